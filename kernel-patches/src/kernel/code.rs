// SPDX-License-Identifier: GPL-2.0-only
//! What an object file does, by name: two with the same name are the same code.
//!
//! What is loaded counts, with what it refers to; debug information, comments and the
//! order of tables do not.

use camino::Utf8Path;
use fs_err as fs;
use object::elf::SHF_ALLOC;
use object::read::{Object, ObjectSection, ObjectSymbol};
use object::{RelocationTarget, SectionFlags};

use crate::content::ContentId;
use crate::error::Error;
use crate::kernel::files::{self, ImageFiles};

/// Returns a name for the code of an object file.
///
/// # Errors
/// When it cannot be read, or is no object file.
pub(super) fn name_of(file: &Utf8Path) -> Result<String, Error> {
    let bytes = fs::read(file).map_err(Error::host("reading an object"))?;
    name_of_bytes(&bytes).map_err(Error::host(format!("reading the object `{file}`")))
}

/// Objects that hold addresses and sizes of the packed kernel. Those differ with its
/// build id, so their source counts instead.
const WITH_SIZES: [&str; 2] = ["header.o", "misc.o"];
/// The object that is the packed kernel.
const PACKED: &str = "piggy.o";

/// Returns a name for the code of the image that was built last: that of the kernel, and
/// of what sets up the machine and unpacks it.
///
/// # Errors
/// When an object or a source file cannot be read.
pub(super) fn of_image(
    objects: &Utf8Path,
    source: &Utf8Path,
    files: &ImageFiles,
) -> Result<String, Error> {
    let mut id = ContentId::new("image").part(name_of(&objects.join("vmlinux"))?.as_bytes());
    for made in &files.made {
        let path = Utf8Path::new(made);
        let is_boot = path.starts_with("arch/x86/boot") && path.extension() == Some("o");
        if !is_boot || path.file_name() == Some(PACKED) {
            continue;
        }
        id = id.part(made.as_bytes());
        if !WITH_SIZES.contains(&path.file_name().unwrap_or_default()) {
            id = id.part(name_of(&objects.join(path))?.as_bytes());
            continue;
        }
        for file in files::sources_of(made, objects, source)? {
            let text = fs::read(source.join(&file)).map_err(Error::host("reading a source"))?;
            id = id.part(file.as_bytes()).part(&text);
        }
    }
    Ok(id.finish())
}

fn name_of_bytes(bytes: &[u8]) -> Result<String, object::read::Error> {
    let file = object::File::parse(bytes)?;
    let mut id = ContentId::new("code");
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        let name = section.name_bytes()?;
        if !sh_flags.contains(SHF_ALLOC) || name.starts_with(b".note") {
            continue;
        }
        id = id.part(name).part(&sh_flags.0.to_le_bytes());
        // Space that is only set aside has a size and no data.
        id = id.part(&section.size().to_le_bytes()).part(section.data()?);
        for (offset, relocation) in section.relocations() {
            let what = format!("{offset} {:?} {}", relocation.flags(), relocation.addend());
            id = id.part(what.as_bytes());
            id = id.part(&target(&file, relocation.target())?);
        }
    }
    let mut symbols = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.is_global()) {
        let place = place(&file, &symbol)?;
        symbols.push([symbol.name_bytes()?, b" ", &place].concat());
    }
    symbols.sort();
    Ok(symbols.iter().fold(id, |id, one| id.part(one)).finish())
}

/// Returns what a relocation refers to: by name where others can see it, else by place.
fn target(
    file: &object::File<'_>,
    target: RelocationTarget,
) -> Result<Vec<u8>, object::read::Error> {
    match target {
        RelocationTarget::Symbol(index) => {
            let symbol = file.symbol_by_index(index)?;
            match symbol.is_global() {
                true => Ok(symbol.name_bytes()?.to_vec()),
                false => place(file, &symbol),
            }
        }
        RelocationTarget::Section(index) => {
            Ok(file.section_by_index(index)?.name_bytes()?.to_vec())
        }
        _ => Ok(Vec::new()),
    }
}

fn place<'data>(
    file: &object::File<'data>,
    symbol: &impl ObjectSymbol<'data>,
) -> Result<Vec<u8>, object::read::Error> {
    let section = match symbol.section_index() {
        Some(index) => file.section_by_index(index)?.name_bytes()?.to_vec(),
        None => b"elsewhere".to_vec(),
    };
    let rest = format!(" {} {}", symbol.address(), symbol.size());
    Ok([section.as_slice(), rest.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use patchbed_host::cancel::Cancel;
    use patchbed_host::process::Tool;

    use super::*;

    /// Returns the name of what a line of C compiles to.
    fn compiled(code: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(folder.join("a.c"), code).unwrap();
        let gcc = Tool::new("gcc")
            .args(["-O2", "-g", "-c", "-o", "a.o", "a.c"])
            .cwd(folder);
        gcc.run(&Cancel::new()).unwrap();
        name_of(&folder.join("a.o")).unwrap()
    }

    #[test]
    fn the_same_code_has_the_same_name_whatever_it_looks_like() {
        let plain =
            compiled("extern int g(int); static int n = 3; int f(int a) { return g(a) + n; }");
        let names = "extern int g(int);\n\n static int m = 3; int f(int b)\n{ return g(b) + m; }";
        assert_eq!(compiled(names), plain);
        for other in [
            "extern int g(int); static int n = 4; int f(int a) { return g(a) + n; }",
            "extern int h(int); static int n = 3; int f(int a) { return h(a) + n; }",
            "extern int g(int); static int n = 3; int e(int a) { return g(a) + n; }",
            "extern int g(int); int n = 3; int f(int a) { return g(a) + n; }",
            "extern int g(int); static int n = 3; int f(int a) { return g(a) + n; } int z[9];",
        ] {
            assert_ne!(compiled(other), plain, "{other}");
        }
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(dir.path()).unwrap().join("a.o");
        fs::write(&file, "\x7fELF").unwrap();
        assert!(name_of(&file).is_err());
    }
}
