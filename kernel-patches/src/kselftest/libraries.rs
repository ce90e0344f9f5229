// SPDX-License-Identifier: MIT OR Apache-2.0
//! Identifies the installed libraries of the host by the files of its package manager and
//! dynamic linker. A library installed without both is not detected.

use std::io::ErrorKind;

use camino::Utf8Path;
use patchbed_host::content::ContentId;
use patchbed_host::files::read_plain;

use crate::error::{Doing, Error};

/// Files that change when packages or shared libraries are installed or removed; some may
/// not exist.
pub(super) const RECORDS: [&str; 3] = [
    "/var/lib/dpkg/status",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/etc/ld.so.cache",
];
/// Size limit of a record, in bytes.
const RECORD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Returns the content id of the existing `records`.
pub(super) fn content(records: &[&str]) -> Result<String, Error> {
    let mut id = ContentId::new("libraries");
    for record in records {
        let bytes = match read_plain(Utf8Path::new(record), RECORD_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.doing("reading the list of installed libraries")?,
        };
        id = id.part(&bytes);
    }
    Ok(id.finish())
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn content_changes_when_a_library_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let record = Utf8Path::from_path(dir.path()).unwrap().join("status");
        let id = || content(&[record.as_str(), "/nonexistent/record"]).unwrap();
        let without_record = id();
        fs::write(&record, "Package: libc6-dev\n").unwrap();
        let one_package = id();
        fs::write(&record, "Package: libc6-dev\nPackage: libcap-dev\n").unwrap();
        let two_packages = id();
        assert!(without_record != one_package && one_package != two_packages);
        fs::write(&record, "Package: libc6-dev\n").unwrap();
        assert_eq!(id(), one_package);
    }
}
