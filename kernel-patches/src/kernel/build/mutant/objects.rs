// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the objects that depend on a source file, from kbuild's `.cmd` files.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::error::Error;

/// Returns the object of a `.c` file, or the objects that include a header.
pub(super) fn dependents(file: &Utf8Path, folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    if file.extension() == Some("c") {
        let object = file.with_extension("o");
        let exists = folder.join(&object).is_file();
        return Ok(exists.then_some(object).into_iter().collect());
    }
    let entry_in_record = format!("/{file} ");
    let mut objects = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(Error::infrastructure("reading kbuild's dependency files"))?;
        let object = Utf8Path::from_path(entry.path())
            .and_then(|path| path.strip_prefix(folder).ok())
            .and_then(object_of_record);
        let Some(object) = object else {
            continue;
        };
        let record = fs::read(entry.path())
            .map_err(Error::infrastructure("reading kbuild's dependency files"))?;
        let mut places = record.windows(entry_in_record.len());
        if places.any(|part| part == entry_in_record.as_bytes()) && folder.join(&object).is_file() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Returns the object of a dependency file such as `kernel/.fork.o.cmd`; `None` for objects
/// of host tools.
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
    fn dependents_returns_the_object_of_a_source_and_the_users_of_a_header() {
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
        let found = |file: &str| dependents(Utf8Path::new(file), folder).unwrap();
        assert_eq!(found("include/linux/x.h"), ["kernel/a.o"]);
        assert_eq!(found("kernel/b.c"), ["kernel/b.o"]);
        assert!(found("kernel/none.c").is_empty());
        assert!(found("include/none.h").is_empty());
    }
}
