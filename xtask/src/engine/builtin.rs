// SPDX-License-Identifier: MIT OR Apache-2.0
//! The data and the guest's PID 1 that are built into an installed program, and their copies
//! in the cache. A program that cargo runs in a checkout reads them from the checkout.

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::{Cache, hex, publish};
use patchbed_host::content::ContentId;
use patchbed_host::files::read_plain;
use sha2::{Digest, Sha256};

use crate::exit::bad_input;

// `FILES`, `GUEST` and `REVISION`, as build.rs writes them.
include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// A file: its path below the data folder, and its content.
type File<'a> = (&'a str, &'a [u8]);

/// Returns the revision that the program was built from.
pub fn revision() -> &'static str {
    match REVISION {
        "" => "unknown",
        known => known,
    }
}

/// Returns the folder with the data, unpacked into the cache if it is not there.
///
/// # Errors
/// When the program was built without the data, or the cache cannot be written.
pub fn data(cache: &Cache) -> anyhow::Result<Utf8PathBuf> {
    if FILES.is_empty() {
        return Err(bad_input(
            "this program was built without its data",
            "run `cargo install --path xtask` in a checkout, or give a folder with the data \
             by `--data DIR`",
        ));
    }
    unpack(FILES, &cache.dir(&["data"])?)
}

/// Returns the guest's PID 1, a file in the cache.
///
/// # Errors
/// When the program was built without the guest, or the cache cannot be written.
pub fn guest(cache: &Cache) -> anyhow::Result<Utf8PathBuf> {
    if GUEST.is_empty() {
        return Err(bad_input(
            "this program was built without the guest's PID 1",
            "run `cargo install --path xtask` in a checkout",
        ));
    }
    let path = cache.dir(&["guest"])?.join(hex(&Sha256::digest(GUEST)));
    if !is_same(&path, GUEST) {
        // A folder in the place of the file cannot be replaced by a rename.
        let _ = fs::remove_dir_all(&path);
        publish(&path, GUEST).with_context(|| format!("writing `{path}`"))?;
    }
    Ok(path)
}

/// Returns the folder below `home` with exactly these files; its name is the hash of their
/// content.
fn unpack(files: &[File<'_>], home: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let folder = home.join(id(files));
    if is_whole(files, &folder) {
        return Ok(folder);
    }
    // Both folders are deleted on every way out of this function.
    let temporary = |prefix| tempfile::Builder::new().prefix(prefix).tempdir_in(home);
    let (fresh, old) = (temporary(".new-")?, temporary(".old-")?);
    let root = Utf8PathBuf::try_from(fresh.path().join("data"))?;
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&root))?;
        fs::write(path, bytes)?;
    }
    // A damaged folder, or a file in its place, is replaced as a whole. If another process is
    // faster, the second rename fails, and the folder of that process is used.
    if !is_whole(files, &folder) {
        let _ = fs::rename(&folder, old.path().join("damaged"));
    }
    let renamed = fs::rename(&root, &folder);
    match is_whole(files, &folder) {
        true => Ok(folder),
        false => {
            renamed?;
            anyhow::bail!("unpacking `{folder}` failed: another process changes it")
        }
    }
}

fn id(files: &[File<'_>]) -> String {
    let parts = files
        .iter()
        .flat_map(|(name, bytes)| [name.as_bytes(), bytes]);
    parts.fold(ContentId::default(), ContentId::part).finish()
}

/// Checks all files, because a cleaner that removes old files may leave a part of the folder.
fn is_whole(files: &[File<'_>], folder: &Utf8Path) -> bool {
    let is_there = |(name, bytes): &File<'_>| is_same(&folder.join(name), bytes);
    files.iter().all(is_there) && count(folder).is_ok_and(|count| count == files.len())
}

fn is_same(path: &Utf8Path, bytes: &[u8]) -> bool {
    read_plain(path, bytes.len() as u64).is_ok_and(|there| there == bytes)
}

fn count(folder: &Utf8Path) -> std::io::Result<usize> {
    folder.read_dir_utf8()?.try_fold(0, |sum, entry| {
        let entry = entry?;
        Ok(sum
            + match entry.file_type()?.is_dir() {
                true => count(entry.path())?,
                false => 1,
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: [File<'_>; 2] = [("a/b.yaml", b"b"), ("c", b"")];

    fn home() -> (tempfile::TempDir, Utf8PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(home.path()).unwrap().to_owned();
        (home, path)
    }

    #[test]
    fn unpack_writes_all_files_once() {
        let (_home, home) = home();
        let folder = unpack(&SOME, &home).unwrap();
        assert_eq!(fs::read(folder.join("a/b.yaml")).unwrap(), b"b");
        assert_eq!(fs::read(folder.join("c")).unwrap(), b"");
        let written = || fs::metadata(folder.join("c")).unwrap().modified().unwrap();
        let before = written();
        assert_eq!(unpack(&SOME, &home).unwrap(), folder);
        assert_eq!(written(), before);
        assert_eq!(home.read_dir_utf8().unwrap().count(), 1);
    }

    #[test]
    fn unpack_returns_different_folders_for_different_content() {
        let (_home, home) = home();
        let folder = unpack(&SOME, &home).unwrap();
        let other = unpack(&[("a/b.yaml", b"other"), ("c", b"")], &home).unwrap();
        assert_ne!(folder, other);
    }

    #[test]
    fn unpack_replaces_a_folder_with_missing_changed_or_extra_files() {
        let (_home, home) = home();
        let folder = unpack(&SOME, &home).unwrap();
        let damages: [fn(&Utf8Path); 3] = [
            |folder| fs::remove_file(folder.join("c")).unwrap(),
            |folder| fs::write(folder.join("c"), "changed").unwrap(),
            |folder| fs::write(folder.join("a/more.yaml"), "").unwrap(),
        ];
        for damage in damages {
            damage(&folder);
            assert!(!is_whole(&SOME, &folder));
            assert_eq!(unpack(&SOME, &home).unwrap(), folder);
            assert!(is_whole(&SOME, &folder));
        }
    }

    #[test]
    #[cfg(feature = "builtin")]
    fn files_hold_all_data_of_the_checkout() {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let output = std::process::Command::new("git")
            .args(["ls-files", "--"])
            .args(["kernel-patches", "vm-images/config", "vm-images/machines"])
            .args([
                "selftests/kselftest",
                "selftests/catalogues",
                "selftests/core",
            ])
            .args([":!kernel-patches/src", ":!kernel-patches/Cargo.toml"])
            .args([
                ":!selftests/catalogues/*/generated/*",
                ":!selftests/catalogues/*/*.json",
            ])
            .current_dir(root)
            .output()
            .unwrap();
        let tracked = String::from_utf8(output.stdout).unwrap();
        for name in tracked.lines() {
            let bytes = fs::read(root.join(name)).unwrap();
            let built_in = FILES.iter().find(|(known, _)| *known == name);
            assert!(built_in.is_some_and(|(_, known)| *known == bytes), "{name}");
        }
        assert!(!GUEST.is_empty() && !REVISION.is_empty());
    }
}
