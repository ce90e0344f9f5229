// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that a boot image contains the kernel that was built. kbuild compresses
//! `vmlinux` and includes it in an object by `.incbin`, which a compiler cache may miss.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

/// Folder of the parts of the image, in the object folder.
const FOLDER: &str = "arch/x86/boot/compressed";
/// The object with the compressed kernel.
const OBJECT: &str = "piggy.o";
/// Prefix of the compressed kernel's name; the suffix is the compression.
const PACKED: &str = "vmlinux.bin.";

/// Returns the path of the image.
pub(super) fn path(objects: &Utf8Path) -> Utf8PathBuf {
    objects.join("arch/x86/boot/bzImage")
}

/// Returns whether the image contains the newest compressed kernel; true for an
/// uncompressed kernel.
pub(super) fn has_newest_kernel(objects: &Utf8Path) -> std::io::Result<bool> {
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

/// Deletes the object with the compressed kernel, so that make links the image again.
pub(super) fn delete_object(objects: &Utf8Path) -> std::io::Result<()> {
    fs::remove_file(objects.join(FOLDER).join(OBJECT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_newest_kernel_detects_an_old_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(objects.join(FOLDER)).unwrap();
        fs::write(path(objects), "setup, old kernel, relocations").unwrap();
        assert!(has_newest_kernel(objects).unwrap());
        let packed = objects.join(FOLDER).join("vmlinux.bin.gz");
        fs::write(&packed, "old kernel").unwrap();
        assert!(has_newest_kernel(objects).unwrap());
        fs::write(&packed, "new kernel").unwrap();
        assert!(!has_newest_kernel(objects).unwrap());
        fs::write(&packed, "").unwrap();
        assert!(!has_newest_kernel(objects).unwrap());
        fs::write(objects.join(FOLDER).join(OBJECT), "").unwrap();
        delete_object(objects).unwrap();
        assert!(!objects.join(FOLDER).join(OBJECT).exists());
    }
}
