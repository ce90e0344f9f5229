// SPDX-License-Identifier: GPL-2.0-only
//! What a guest must have to run a kernel of a config. Knows nothing of how such
//! a kernel is configured or built.

use camino::Utf8Path;
use patchbed_host::files::read_plain;
use patchbed_host::input::InputError;
use patchbed_host::yaml;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Larger files describe no config, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a guest must have to run a kernel of a config.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestNeeds {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Added to the kernel's command line.
    #[serde(default)]
    pub kernel_arguments: String,
    /// By how much time limits are to be multiplied; 1 for a plain kernel.
    pub slowness: u32,
}

/// A config's file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(rename = "fragments")]
    _fragments: IgnoredAny,
    guest: GuestNeeds,
}

/// Why a config does not tell what its guests need.
#[derive(Debug, thiserror::Error)]
pub enum NeedsError {
    /// It cannot be read.
    #[error("cannot read the config: {0}")]
    Read(#[from] std::io::Error),
    /// It does not say it, or says it wrongly.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl GuestNeeds {
    /// Reads them from the file of a config.
    ///
    /// # Errors
    /// When it cannot be read, or holds a mistake, which is shown with its place.
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
    fn the_configs_here_tell_what_they_need() {
        let folder = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config"));
        let fast = GuestNeeds::load(&folder.join("fast.yaml")).unwrap();
        let kasan = GuestNeeds::load(&folder.join("kasan.yaml")).unwrap();
        assert!(kasan.memory_mib > fast.memory_mib && kasan.slowness > fast.slowness);
    }
}
