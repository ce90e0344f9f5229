// SPDX-License-Identifier: MIT OR Apache-2.0
//! Content ids of the code in object files.
//!
//! Loaded sections, relocations and global symbols are hashed. Debug information,
//! comments and the order of the tables are not.

use camino::Utf8Path;
use fs_err as fs;
use object::elf::SHF_ALLOC;
use object::read::{Object, ObjectSection, ObjectSymbol};
use object::{RelocationTarget, SectionFlags};
use patchbed_host::content::ContentId;

use super::files::{self, ImageFiles};
use crate::arch::Arch;
use crate::error::{Doing, Error};

/// Returns the content id of the code of an object file.
pub(super) fn code_id(file: &Utf8Path) -> Result<String, Error> {
    let bytes = fs::read(file).doing("reading an object")?;
    code_id_of_bytes(&bytes).doing(format!("reading the object `{file}`"))
}

/// Returns the content id of the code of the last built image: the kernel, the setup code
/// and the decompressor.
pub(super) fn image_code_id(
    objects: &Utf8Path,
    source: &Utf8Path,
    files: &ImageFiles,
    arch: &Arch,
) -> Result<String, Error> {
    let mut id = ContentId::new("image").part(code_id(&objects.join("vmlinux"))?);
    for output in &files.outputs {
        let path = Utf8Path::new(output);
        let is_boot = path.starts_with(arch.boot) && path.extension() == Some("o");
        if !is_boot || output == arch.packed_object {
            continue;
        }
        id = id.part(output);
        if !arch
            .with_sizes
            .contains(&path.file_name().unwrap_or_default())
        {
            id = id.part(code_id(&objects.join(path))?);
            continue;
        }
        for file in files::sources_of(output, objects, source)? {
            let text = fs::read(source.join(&file)).doing("reading a source file")?;
            id = id.part(file).part(&text);
        }
    }
    Ok(id.finish())
}

fn code_id_of_bytes(bytes: &[u8]) -> Result<String, object::read::Error> {
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
        id = id.part(name).part(sh_flags.0.to_le_bytes());
        // `.bss` has a size and no data.
        id = id.part(section.size().to_le_bytes()).part(section.data()?);
        for (offset, relocation) in section.relocations() {
            let reference = format!("{offset} {:?} {}", relocation.flags(), relocation.addend());
            id = id.part(reference);
            id = id.part(&target(&file, relocation.target())?);
        }
    }
    let mut symbols = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.is_global()) {
        let place = place(&file, &symbol)?;
        symbols.push([symbol.name_bytes()?, b" ", &place].concat());
    }
    symbols.sort();
    Ok(symbols
        .iter()
        .fold(id, |id, symbol| id.part(symbol))
        .finish())
}

/// Returns the target of a relocation: the name of a global symbol, else its place.
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

    /// Compiles C code and returns its code id.
    fn compiled(code: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(folder.join("a.c"), code).unwrap();
        let gcc = Tool::new("gcc")
            .args(["-O2", "-g", "-c", "-o", "a.o", "a.c"])
            .cwd(folder);
        gcc.run(&Cancel::new()).unwrap();
        code_id(&folder.join("a.o")).unwrap()
    }

    #[test]
    fn code_id_ignores_local_names_and_lines() {
        let plain =
            compiled("extern int g(int); static int n = 3; int f(int a) { return g(a) + n; }");
        let renamed = "extern int g(int);\n\n static int m = 3; int f(int b)\n{ return g(b) + m; }";
        assert_eq!(compiled(renamed), plain);
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
    fn code_id_rejects_a_truncated_object() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(dir.path()).unwrap().join("a.o");
        fs::write(&file, "\x7fELF").unwrap();
        assert!(code_id(&file).is_err());
    }
}
