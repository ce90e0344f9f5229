// SPDX-License-Identifier: GPL-2.0-only
//! Which libraries the host has, by the records that its package manager and its
//! dynamic linker keep. One that was put there past both is not caught.

use std::io::ErrorKind;

use camino::Utf8Path;
use patchbed_host::files::read_plain;

use crate::content::ContentId;
use crate::error::Error;

/// Files that change when packages or shared libraries come and go; a host has
/// some of them.
pub(super) const RECORDS: [&str; 3] = [
    "/var/lib/dpkg/status",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/etc/ld.so.cache",
];
/// A longer record is none, in bytes.
const RECORD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Returns a name for what the `records` that are there say.
pub(super) fn content(records: &[&str]) -> Result<String, Error> {
    let mut id = ContentId::new("libraries");
    for record in records {
        let bytes = match read_plain(Utf8Path::new(record), RECORD_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::host("reading which libraries there are"))?,
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
    fn a_library_that_comes_gives_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let record = Utf8Path::from_path(dir.path()).unwrap().join("status");
        let name = || content(&[record.as_str(), "/nonexistent/record"]).unwrap();
        let none = name();
        fs::write(&record, "Package: libc6-dev\n").unwrap();
        let one = name();
        fs::write(&record, "Package: libc6-dev\nPackage: libcap-dev\n").unwrap();
        let two = name();
        assert!(none != one && one != two);
        fs::write(&record, "Package: libc6-dev\n").unwrap();
        assert_eq!(name(), one);
    }
}
