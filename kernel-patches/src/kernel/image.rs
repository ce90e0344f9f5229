// SPDX-License-Identifier: GPL-2.0-only
//! Whether an image that boots has the kernel in it that was built: kbuild packs
//! `vmlinux`, and an object takes the pack in whole, without the compiler or its
//! cache seeing what it is.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

/// Where the image is put together, below the object folder.
const FOLDER: &str = "arch/x86/boot/compressed";
/// The object that the packed kernel is in.
const OBJECT: &str = "piggy.o";
/// How the name of the packed kernel begins; the rest is how it is packed.
const PACKED: &str = "vmlinux.bin.";

/// Returns the image, below the object folder.
pub(super) fn path(objects: &Utf8Path) -> Utf8PathBuf {
    objects.join("arch/x86/boot/bzImage")
}

/// Returns whether the image has the newest packed kernel in it; one that is not
/// packed is not looked into.
pub(super) fn is_of_its_kernel(objects: &Utf8Path) -> std::io::Result<bool> {
    let mut newest = None;
    for entry in objects.join(FOLDER).read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().starts_with(PACKED) {
            newest = newest.max(Some((
                entry.metadata()?.modified()?,
                entry.path().to_owned(),
            )));
        }
    }
    let Some((_, packed)) = newest else {
        return Ok(true);
    };
    let packed = fs::read(packed)?;
    let image = fs::read(path(objects))?;
    Ok(!packed.is_empty() && image.windows(packed.len()).any(|part| part == packed))
}

/// Has make put the image together anew.
pub(super) fn forget(objects: &Utf8Path) -> std::io::Result<()> {
    fs::remove_file(objects.join(FOLDER).join(OBJECT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_with_another_kernel_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(objects.join(FOLDER)).unwrap();
        fs::write(path(objects), "setup, old kernel, relocations").unwrap();
        assert!(is_of_its_kernel(objects).unwrap());
        let packed = objects.join(FOLDER).join("vmlinux.bin.gz");
        fs::write(&packed, "old kernel").unwrap();
        assert!(is_of_its_kernel(objects).unwrap());
        fs::write(&packed, "new kernel").unwrap();
        assert!(!is_of_its_kernel(objects).unwrap());
        fs::write(&packed, "").unwrap();
        assert!(!is_of_its_kernel(objects).unwrap());
        fs::write(objects.join(FOLDER).join(OBJECT), "").unwrap();
        forget(objects).unwrap();
        assert!(!objects.join(FOLDER).join(OBJECT).exists());
    }
}
