// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of a build folder: installed headers, the image, and whether a build was killed.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::files::missing_is_removed;
use patchbed_host::process::{Output, ProcessError};

use crate::arch::Arch;
use crate::error::{Doing, Error};
use crate::overlay::Overlay;
use crate::tree::Tree;

/// A file that every complete installation has.
const STAMP: &str = "include/linux/version.h";

/// The installed headers of a build folder.
#[derive(Debug)]
pub(super) struct Headers {
    pub(super) folder: Utf8PathBuf,
    key_file: Utf8PathBuf,
    /// Hash of the sources of the required headers.
    key: String,
}

impl Headers {
    pub(super) fn of(home: &Utf8Path, tree: &Tree, overlay: &Overlay, arch: &Arch) -> Self {
        Self {
            folder: home.join("headers"),
            key_file: home.join("headers.key"),
            key: key(tree, overlay, arch),
        }
    }

    pub(super) fn are_current(&self) -> bool {
        fs::read_to_string(&self.key_file).is_ok_and(|installed| installed == self.key)
            && self.folder.join(STAMP).is_file()
    }

    /// Deletes all headers, since `headers_install` does not delete removed headers.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let _ = fs::remove_file(&self.key_file);
        missing_is_removed(fs::remove_dir_all(&self.folder)).doing("deleting old headers")
    }

    pub(super) fn store_key(&self) -> Result<(), Error> {
        fs::write(&self.key_file, &self.key).doing("storing the key of the headers")
    }
}

fn key(tree: &Tree, overlay: &Overlay, arch: &Arch) -> String {
    let mut id = ContentId::new("headers");
    match tree.index() {
        None => id = id.part(tree.id()),
        Some(index) => {
            for (path, file) in index.iter().filter(|(path, _)| matters(path, arch)) {
                id = id.part(path.as_str()).part(&file.content);
            }
        }
    }
    let changed = overlay.files().iter();
    for (path, state) in changed.filter(|(path, _)| matters(path, arch)) {
        id = id.part(b"over it").part(path.as_str());
        id = match state {
            Some(state) => id.part(&state.bytes),
            None => id.part(b"removed"),
        };
    }
    id.finish()
}

/// Returns whether the installed headers may depend on a file.
fn matters(path: &Utf8Path, arch: &Arch) -> bool {
    let name = path.file_name().unwrap_or_default();
    let is_rule = name.starts_with("Makefile") || name.starts_with("Kbuild");
    let folders = ["", arch.folder, "include", "usr"].map(Utf8Path::new);
    let mut sources = ["scripts", "usr/include"].iter().chain(arch.header_sources);
    sources.any(|folder| path.starts_with(folder))
        || path.components().any(|part| part.as_str() == "uapi")
        || (is_rule
            && path
                .parent()
                .is_some_and(|folder| folders.contains(&folder)))
}

/// Returns whether the boot image contains the newest compressed kernel; true for an
/// uncompressed kernel. kbuild includes the compressed kernel in an object by `.incbin`,
/// which a compiler cache may miss.
pub(super) fn has_newest_kernel(objects: &Utf8Path, arch: &Arch) -> std::io::Result<bool> {
    let packed = objects.join(arch.packed);
    let (folder, prefix) = (packed.parent(), packed.file_name().unwrap_or_default());
    let mut newest = None;
    for entry in folder.unwrap_or(objects).read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().starts_with(prefix) {
            let modified = entry.metadata()?.modified()?;
            newest = newest.max(Some((modified, entry.path().to_owned())));
        }
    }
    let Some((_, packed)) = newest else {
        return Ok(true);
    };
    let packed = fs::read(packed)?;
    let image = fs::read(objects.join(arch.image))?;
    Ok(!packed.is_empty() && image.windows(packed.len()).any(|part| part == packed))
}

/// A marker file that exists while make runs and stays if make is killed.
///
/// Files that are newer than the marker may be incomplete. make would reuse them, since
/// they are newer than their sources, and would run incomplete tools.
#[derive(Debug)]
pub struct InProgress(Utf8PathBuf);

impl InProgress {
    /// Returns the marker of the build folder `home`.
    #[must_use]
    pub fn of(home: &Utf8Path) -> Self {
        Self(home.join("in_progress"))
    }

    /// Creates the marker, before make runs.
    pub fn begin(&self) -> Result<(), Error> {
        fs::write(&self.0, "").doing("creating the in-progress marker of a build")
    }

    /// Deletes the marker if make exited, even with an error, since make has then deleted its
    /// incomplete targets.
    pub fn end(&self, result: &Result<Output, ProcessError>) -> Result<(), Error> {
        let has_exited = match result {
            Ok(_) => true,
            Err(ProcessError::Failed { status, .. }) => status.code().is_some(),
            Err(_) => false,
        };
        match has_exited {
            true => fs::remove_file(&self.0).doing("deleting the in-progress marker of a build"),
            false => Ok(()),
        }
    }

    /// Deletes the files in `objects` that a killed build may have left incomplete, except
    /// `.config`, whose state is stored separately.
    pub fn delete_partial(&self, objects: &Utf8Path) -> Result<(), Error> {
        let Ok(started) = fs::metadata(&self.0).and_then(|meta| meta.modified()) else {
            return Ok(());
        };
        let doing = "deleting the files of a killed build";
        let walk = objects.is_dir().then(|| walkdir::WalkDir::new(objects));
        for entry in walk.into_iter().flatten() {
            let entry = entry.doing(doing)?;
            let modified = entry.metadata().ok().and_then(|meta| meta.modified().ok());
            let is_new = modified.is_some_and(|time| time >= started);
            if is_new && entry.file_type().is_file() && entry.file_name() != ".config" {
                fs::remove_file(entry.path()).doing(doing)?;
            }
        }
        fs::remove_file(&self.0).doing(doing)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use patchbed_host::cancel::Cancel;
    use patchbed_host::process::Tool;

    use super::*;
    use crate::arch::X86_64;
    use crate::overlay::FileState;

    fn overlay(path: &str, text: &str) -> Overlay {
        let state = FileState {
            bytes: text.into(),
            executable: false,
        };
        Overlay::from_files(BTreeMap::from([(path.into(), Some(state))]))
    }

    #[test]
    fn key_depends_on_sources_of_headers_only() {
        let tree = Tree::fixed("tree", Utf8Path::new("/no/such"), "a tree");
        let plain = key(&tree, &Overlay::default(), &X86_64);
        for path in ["kernel/fork.c", "include/linux/fs.h", "arch/x86/Kconfig"] {
            assert_eq!(key(&tree, &overlay(path, "new"), &X86_64), plain, "{path}");
        }
        for path in [
            "include/uapi/linux/liveupdate.h",
            "arch/x86/include/uapi/asm/kvm.h",
            "arch/x86/entry/syscalls/syscall_64.tbl",
            "scripts/headers_install.sh",
            "Makefile",
            "arch/x86/Makefile",
        ] {
            let changed = key(&tree, &overlay(path, "new"), &X86_64);
            assert_ne!(changed, plain, "{path}");
            assert_ne!(
                changed,
                key(&tree, &overlay(path, "newer"), &X86_64),
                "{path}"
            );
        }
    }

    #[test]
    fn are_current_requires_the_key_and_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let tree = Tree::fixed("tree", Utf8Path::new("/no/such"), "a tree");
        let headers = |overlay| Headers::of(home, &tree, &overlay, &X86_64);
        let plain = headers(Overlay::default());
        let other = headers(overlay("include/uapi/linux/x.h", "new"));
        assert!(!plain.are_current());
        fs::create_dir_all(plain.folder.join("include/linux")).unwrap();
        fs::write(plain.folder.join(STAMP), "").unwrap();
        plain.store_key().unwrap();
        assert!(plain.are_current() && !other.are_current());
        other.clear().unwrap();
        assert!(!plain.are_current() && !plain.folder.exists());
        plain.store_key().unwrap();
        assert!(!plain.are_current());
    }

    #[test]
    fn has_newest_kernel_detects_an_old_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Utf8Path::from_path(dir.path()).unwrap();
        let has_newest_kernel = || has_newest_kernel(objects, &X86_64).unwrap();
        fs::create_dir_all(objects.join(X86_64.packed).parent().unwrap()).unwrap();
        fs::write(objects.join(X86_64.image), "setup, old kernel, relocations").unwrap();
        assert!(has_newest_kernel());
        let packed = objects.join(format!("{}gz", X86_64.packed));
        fs::write(&packed, "old kernel").unwrap();
        assert!(has_newest_kernel());
        fs::write(&packed, "new kernel").unwrap();
        assert!(!has_newest_kernel());
        fs::write(&packed, "").unwrap();
        assert!(!has_newest_kernel());
    }

    /// Runs a shell that creates `new` and `.config` in the objects, deletes incomplete
    /// files and returns the remaining files.
    fn left_after(script: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let objects = home.join("obj");
        fs::create_dir_all(objects.join("scripts")).unwrap();
        fs::write(objects.join("old"), "").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        let old = std::fs::File::open(objects.join("old")).unwrap();
        old.set_modified(long_ago).unwrap();
        let shell = Tool::new("sh")
            .args(["-c", &format!("touch scripts/new .config; {script}")])
            .cwd(objects.clone());
        let marker = InProgress::of(home);
        marker.begin().unwrap();
        marker.end(&shell.run(&Cancel::new())).unwrap();
        InProgress::of(home).delete_partial(&objects).unwrap();
        assert!(!home.join("in_progress").exists());
        [".config", "old", "scripts/new"]
            .into_iter()
            .filter(|name| objects.join(name).exists())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn delete_partial_removes_new_files_of_a_killed_build_only() {
        let all = [".config", "old", "scripts/new"];
        assert_eq!(left_after("exit 0"), all);
        assert_eq!(left_after("exit 2"), all);
        assert_eq!(left_after("kill -9 $$"), [".config", "old"]);
    }

    #[test]
    fn delete_partial_accepts_a_missing_object_folder() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let marker = InProgress::of(home);
        let command = "make".to_owned();
        marker.begin().unwrap();
        marker
            .end(&Err(ProcessError::Cancelled { command }))
            .unwrap();
        assert!(home.join("in_progress").exists());
        marker.delete_partial(&home.join("obj")).unwrap();
        assert!(!home.join("in_progress").exists());
    }
}
