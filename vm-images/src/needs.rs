// SPDX-License-Identifier: GPL-2.0-only
//! What a guest must have to run a kernel of a profile. Knows nothing of how such
//! a kernel is configured or built.

use camino::Utf8Path;
use patchbed_host::files::read_plain;
use patchbed_host::input::InputError;
use patchbed_host::yaml;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Larger files describe no profile, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a guest must have to run a kernel of a profile.
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

/// A profile's file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    #[serde(rename = "fragments")]
    _fragments: IgnoredAny,
    guest: GuestNeeds,
}

/// Why a profile does not tell what its guests need.
#[derive(Debug, thiserror::Error)]
pub enum NeedsError {
    /// It cannot be read.
    #[error("cannot read the profile: {0}")]
    Read(#[from] std::io::Error),
    /// It does not say it, or says it wrongly.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl GuestNeeds {
    /// Reads them from the file of a profile.
    ///
    /// # Errors
    /// When it cannot be read, or holds a mistake, which is shown with its place.
    pub fn load(path: &Utf8Path) -> Result<Self, NeedsError> {
        let bytes = read_plain(path, FILE_BYTES_MAX)?;
        let raw: RawProfile = yaml::parse(&String::from_utf8_lossy(&bytes), path.as_str())?;
        Ok(raw.guest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_here_tell_what_they_need() {
        let folder = Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config"));
        let fast = GuestNeeds::load(&folder.join("fast.yaml")).unwrap();
        let kasan = GuestNeeds::load(&folder.join("kasan.yaml")).unwrap();
        assert!(kasan.memory_mib > fast.memory_mib && kasan.slowness > fast.slowness);
    }
}
