// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requirements of a config for the guest that runs its kernel. Configuration and build of
//! the kernel are elsewhere.

use camino::Utf8Path;
use patchbed_host::files::read_plain;
use patchbed_host::input::InputError;
use patchbed_host::yaml;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Maximum size of a config's file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Requirements of a config for its guests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GuestNeeds {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Added to the kernel's command line.
    #[serde(default)]
    pub kernel_arguments: String,
    /// Multiplier of time limits; 1 for a plain kernel.
    pub slowness: u32,
}

/// The file of a config as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(rename = "fragments")]
    _fragments: IgnoredAny,
    guest: GuestNeeds,
}

/// Why the requirements of a config cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NeedsError {
    /// The file cannot be read.
    #[error("cannot read the config: {0}")]
    Read(#[from] std::io::Error),
    /// The file is invalid.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl GuestNeeds {
    /// Reads the requirements from the file of a config.
    ///
    /// # Errors
    /// When the file cannot be read, or for the first error in it, with its position.
    pub fn load(path: &Utf8Path) -> Result<Self, NeedsError> {
        let bytes = read_plain(path, FILE_BYTES_MAX)?;
        let raw: RawConfig = yaml::parse(&String::from_utf8_lossy(&bytes), path.as_str())?;
        Ok(raw.guest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_reads_the_configs_of_this_folder() {
        let folder = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config"));
        let fast = GuestNeeds::load(&folder.join("fast.yaml")).unwrap();
        let kasan = GuestNeeds::load(&folder.join("kasan.yaml")).unwrap();
        assert!(kasan.memory_mib > fast.memory_mib && kasan.slowness > fast.slowness);
    }
}
