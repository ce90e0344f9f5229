// SPDX-License-Identifier: GPL-2.0-only
//! Which objects are made from a source file, as the last build recorded it.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::error::Error;

/// Returns the objects that are made from a source file: its own, or those that
/// include it.
pub(super) fn made_from(file: &Utf8Path, folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    if file.extension() == Some("c") {
        let object = file.with_extension("o");
        let is_made = folder.join(&object).is_file();
        return Ok(is_made.then_some(object).into_iter().collect());
    }
    let named = format!("/{file} ");
    let mut made = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(Error::host("looking through objects"))?;
        let object = Utf8Path::from_path(entry.path())
            .and_then(|path| path.strip_prefix(folder).ok())
            .and_then(object_of_record);
        let Some(object) = object else {
            continue;
        };
        let record = fs::read(entry.path()).map_err(Error::host("looking through objects"))?;
        let mut places = record.windows(named.len());
        if places.any(|part| part == named.as_bytes()) && folder.join(&object).is_file() {
            made.push(object);
        }
    }
    Ok(made)
}

/// Returns the object of the kernel that kbuild keeps this record of, if it is one:
/// `kernel/.fork.o.cmd`.
fn object_of_record(path: &Utf8Path) -> Option<Utf8PathBuf> {
    let name = path.file_name()?;
    let name = name.strip_prefix('.')?.strip_suffix(".cmd")?;
    let is_tool = path.starts_with("scripts") || path.starts_with("tools");
    (name.ends_with(".o") && !is_tool).then(|| path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_a_file_are_its_own_or_those_that_include_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(folder.join("kernel")).unwrap();
        fs::create_dir_all(folder.join("scripts")).unwrap();
        for (object, deps) in [
            ("kernel/a.o", "/src/include/linux/x.h \\\n"),
            ("kernel/b.o", "/src/include/linux/xx.h \\\n"),
            ("scripts/c.o", "/src/include/linux/x.h \\\n"),
        ] {
            let object = Utf8Path::new(object);
            let record = format!(".{}.cmd", object.file_name().unwrap());
            fs::write(folder.join(object), "").unwrap();
            fs::write(folder.join(object.with_file_name(record)), deps).unwrap();
        }
        let made = |file: &str| made_from(Utf8Path::new(file), folder).unwrap();
        assert_eq!(made("include/linux/x.h"), ["kernel/a.o"]);
        assert_eq!(made("kernel/b.c"), ["kernel/b.o"]);
        assert!(made("kernel/none.c").is_empty());
        assert!(made("include/none.h").is_empty());
    }
}
