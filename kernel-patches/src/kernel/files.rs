// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the source files that an image was built from, and compares its code.
//!
//! kbuild writes `.NAME.cmd` for each output `NAME`: the command and, for compiled outputs,
//! the source and every header. The build folder also has outputs of earlier builds, so the
//! walk starts at the image and follows only files in the `.cmd` files of the image and its
//! parts. Members of `vmlinux.a` are all linked; members of other archives are listed too,
//! although the linker may omit some of them.
//!
//! The content id of code hashes loaded sections, relocations and global symbols. Debug
//! information, comments and the order of the tables are not hashed.

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use object::elf::SHF_ALLOC;
use object::read::{Object, ObjectSection, ObjectSymbol, SectionIndex};
use object::{RelocationTarget, SectionFlags};
use patchbed_host::cancel::Cancel;
use patchbed_host::content::ContentId;
use patchbed_host::files::Distinct;
use patchbed_host::process::Tool;

use crate::arch::Arch;
use crate::error::{Doing, Error};
use crate::overlay::normalize;

/// The archive whose members are all linked.
const OBJECTS: &str = "vmlinux.a";
/// Other outputs that are part of an image; some may not exist. For the headers in
/// `include/generated`, kbuild writes no `.cmd` file, so their sources are listed.
const PARTS: [&str; 6] = [
    "vmlinux",
    "vmlinux.unstripped",
    "init/version-timestamp.o",
    ".builtin-dtbs.o",
    "kernel/bounds.s",
    "kernel/sched/rq-offsets.s",
];
/// Start of a `.cmd` line that names a config option.
const OPTION: &str = "    $(wildcard";
/// Folders of programs that run on the host.
const TOOLS: [&str; 2] = ["scripts", "tools"];

/// The source files and the outputs of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageFiles {
    /// Source files, relative to the tree.
    pub(super) sources: BTreeSet<String>,
    /// Objects and other outputs, relative to the object folder.
    pub(super) outputs: BTreeSet<String>,
}

impl ImageFiles {
    /// Returns the source files, one per line.
    pub(super) fn source_list(&self) -> String {
        let lines = self.sources.iter().map(|path| format!("{path}\n"));
        lines.collect()
    }
}

/// Returns the files of the image that was last built in `objects` from the tree `source`.
pub(super) fn of_image(
    objects: &Utf8Path,
    source: &Utf8Path,
    arch: &Arch,
    cancel: &Cancel,
) -> Result<ImageFiles, Error> {
    let mut walk = Walk::new(objects, source, cancel);
    walk.archive(OBJECTS)?;
    for part in PARTS.iter().chain(arch.parts).chain([&arch.image]) {
        walk.visit_name(part);
    }
    while let Some(output) = walk.to_visit.pop() {
        walk.visit(&output)?;
    }
    let is_whole = !walk.found.sources.is_empty() && walk.found.outputs.contains(arch.image);
    if !is_whole {
        return Err(Error::unexpected(
            "listing the source files of a kernel",
            "the `.cmd` file of the image is missing",
        ));
    }
    Ok(walk.found)
}

/// Returns the source files in the `.cmd` file of an output.
fn sources_of(
    output: &str,
    objects: &Utf8Path,
    source: &Utf8Path,
) -> Result<BTreeSet<String>, Error> {
    let cancel = Cancel::new();
    let mut walk = Walk::new(objects, source, &cancel);
    walk.visit(output)?;
    Ok(walk.found.sources)
}

struct Walk<'a> {
    objects: &'a Utf8Path,
    source: &'a Utf8Path,
    cancel: &'a Cancel,
    /// Of the million lines of a build's `.cmd` files, all but about 15,000 are repeated.
    lines: Distinct,
    /// Most words of a compiler's command line are repeated, too.
    words: Distinct,
    visited: HashSet<String>,
    to_visit: Vec<String>,
    found: ImageFiles,
}

impl<'a> Walk<'a> {
    fn new(objects: &'a Utf8Path, source: &'a Utf8Path, cancel: &'a Cancel) -> Self {
        Self {
            objects,
            source,
            cancel,
            lines: Distinct::default(),
            words: Distinct::default(),
            visited: HashSet::new(),
            to_visit: Vec::new(),
            found: ImageFiles::default(),
        }
    }

    /// Adds a word of a `.cmd` file to the result, if it is a source file or an output.
    fn visit_name(&mut self, name: &str) {
        if !self.visited.insert(name.to_owned()) {
            return;
        }
        let path = normalize(Utf8Path::new(name));
        if let Ok(relative) = path.strip_prefix(self.source) {
            if !relative.as_str().is_empty() && path.is_file() {
                self.found.sources.insert(relative.to_string());
            }
            return;
        }
        let relative = path.strip_prefix(self.objects).unwrap_or(&path);
        let is_tool = TOOLS.iter().any(|folder| relative.starts_with(folder));
        if relative.is_absolute() || relative.as_str().is_empty() || is_tool {
            return;
        }
        let is_output = cmd_file(relative).is_some_and(|cmd| self.objects.join(cmd).is_file());
        if is_output && self.found.outputs.insert(relative.to_string()) {
            self.to_visit.push(relative.to_string());
        }
    }

    fn visit(&mut self, output: &str) -> Result<(), Error> {
        let Some(cmd_file) = cmd_file(Utf8Path::new(output)) else {
            return Ok(());
        };
        let text = fs::read(self.objects.join(cmd_file));
        let text = text.doing("reading a `.cmd` file of a build")?;
        // `from_utf8_lossy` is slower for valid text.
        let text = String::from_utf8(text)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let tree = self.source.as_str();
        for line in self.lines.new_lines(&text) {
            if line.starts_with(OPTION) {
                continue;
            }
            if let Some(name) = dependency(line) {
                self.visit_name(name);
                continue;
            }
            for word in self.words.new_words(line) {
                names(word, tree).for_each(|name| self.visit_name(name));
            }
        }
        if output.ends_with(".a") && output != OBJECTS {
            self.archive(output)?;
        }
        if let Some(source) = assembler_source(&text) {
            self.visit_incbin(&source)?;
        }
        Ok(())
    }

    fn archive(&mut self, path: &str) -> Result<(), Error> {
        let members = Tool::new("ar")
            .args(["t", path])
            .cwd(self.objects)
            .run(self.cancel)
            .doing("listing the objects of a kernel")?;
        for member in members.stdout_text().lines() {
            self.visit_name(member);
        }
        Ok(())
    }

    /// Visits the files of `.incbin` in an assembler source, which are in no `.cmd` file.
    fn visit_incbin(&mut self, source: &str) -> Result<(), Error> {
        // Absolute for a file of the tree, relative for a generated file.
        let text = match fs::read(self.objects.join(source)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            text => text.doing("reading an assembler source")?,
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let rest = line.split_once(".incbin").map(|(_, rest)| rest);
            if let Some(name) = rest.and_then(|rest| rest.split('"').nth(1)) {
                self.visit_name(name);
            }
        }
        Ok(())
    }
}

/// Returns the file of a dependency line of a `.cmd` file.
fn dependency(line: &str) -> Option<&str> {
    let name = line.strip_prefix("  ")?.strip_suffix(" \\")?;
    (!name.contains(' ')).then_some(name)
}

/// Returns the parts of a word of a `.cmd` line that may be file names. The path of the tree
/// may have any character but white space, which make does not support.
fn names<'t>(word: &'t str, tree: &str) -> impl Iterator<Item = &'t str> {
    let is_end = |c: char| ";()<>|\"'=,&`".contains(c);
    // Most words are shorter, and a search is expensive to set up.
    let of_tree = (word.len() >= tree.len())
        .then(|| word.find(tree))
        .flatten();
    let word = of_tree.map_or(word, |at| word[at..].trim_end_matches(is_end));
    let parts = word.split(move |c: char| of_tree.is_none() && is_end(c));
    parts.filter(|part| part.contains(['.', '/']) || *part == "vmlinux")
}

/// Returns the source of an object from its `.cmd` file, if it is assembler.
fn assembler_source(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("source_"))?;
    let (_, source) = line.split_once(" := ")?;
    source.ends_with(".S").then(|| source.trim().to_owned())
}

fn cmd_file(output: &Utf8Path) -> Option<Utf8PathBuf> {
    let name = output.file_name()?;
    Some(output.with_file_name(format!(".{name}.cmd")))
}

/// Returns the content id of the code of an object file.
pub(super) fn code_id(file: &Utf8Path) -> Result<String, Error> {
    let bytes = fs::read(file).doing("reading an object")?;
    code_id_of_bytes(&bytes).doing(format!("reading the object `{file}`"))
}

/// Returns the content id of the code of an image: kernel, setup code and decompressor.
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
        let name = path.file_name().unwrap_or_default();
        if !arch.with_sizes.contains(&name) {
            id = id.part(code_id(&objects.join(path))?);
            continue;
        }
        for file in sources_of(output, objects, source)? {
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
    let id = symbols.iter().fold(id, |id, symbol| id.part(symbol));
    Ok(id.finish())
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
        RelocationTarget::Section(index) => section_name(file, index),
        _ => Ok(Vec::new()),
    }
}

fn place<'data>(
    file: &object::File<'data>,
    symbol: &impl ObjectSymbol<'data>,
) -> Result<Vec<u8>, object::read::Error> {
    let mut place = match symbol.section_index() {
        Some(index) => section_name(file, index)?,
        None => b"elsewhere".to_vec(),
    };
    place.extend(format!(" {} {}", symbol.address(), symbol.size()).bytes());
    Ok(place)
}

fn section_name(
    file: &object::File<'_>,
    index: SectionIndex,
) -> Result<Vec<u8>, object::read::Error> {
    Ok(file.section_by_index(index)?.name_bytes()?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::X86_64;

    /// The `.cmd` file of an object from a build.
    const CMD_FILE: &str = include_str!("files/fork.o.cmd");

    struct Build(tempfile::TempDir);

    impl Build {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn home(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn source(&self, path: &str, text: &str) {
            self.write(&format!("src/{path}"), text);
        }

        /// Writes an output and its `.cmd` file, in which `SRC` is replaced by the tree.
        fn output(&self, path: &str, text: &str) {
            let source = self.home().join("src");
            self.write(&format!("obj/{path}"), "");
            let path = cmd_file(Utf8Path::new(path)).unwrap();
            self.write(
                &format!("obj/{path}"),
                &text.replace("SRC", source.as_str()),
            );
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.home().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn archive(&self, path: &str, members: &[&str]) {
            let ar = Tool::new("ar")
                .args(["cDPrST", path])
                .args(members)
                .cwd(self.home().join("obj"));
            ar.run(&Cancel::new()).unwrap();
        }

        fn files(&self) -> Result<ImageFiles, Error> {
            let (objects, source) = (self.home().join("obj"), self.home().join("src"));
            of_image(&objects, &source, &X86_64, &Cancel::new())
        }
    }

    /// Returns a build with an object, and an object of an earlier build that is not linked.
    fn build() -> Build {
        let build = Build::new();
        for path in [
            "kernel/fork.c",
            "kernel/stale.c",
            "include/linux/compiler-version.h",
            "include/linux/seq_file_net.h",
            "include/linux/stale.h",
            "mm/vma.h",
        ] {
            build.source(path, "");
        }
        build.output("kernel/fork.o", CMD_FILE);
        build.output(
            "kernel/stale.o",
            "source_kernel/stale.o := SRC/kernel/stale.c\n\
             deps_kernel/stale.o := SRC/include/linux/stale.h\n",
        );
        build.output(
            "arch/x86/boot/bzImage",
            "savedcmd_x := (dd if=a; cat b) >c\n",
        );
        build.archive("vmlinux.a", &["kernel/fork.o"]);
        build
    }

    #[test]
    fn of_image_lists_sources_and_headers_of_linked_objects() {
        let files = build().files().unwrap();
        let sources: Vec<&str> = files.sources.iter().map(String::as_str).collect();
        assert_eq!(
            sources,
            [
                "include/linux/compiler-version.h",
                "include/linux/seq_file_net.h",
                "kernel/fork.c",
                "mm/vma.h",
            ]
        );
        assert!(files.outputs.contains("kernel/fork.o"));
        assert!(!files.outputs.contains("kernel/stale.o"));
    }

    #[test]
    fn of_image_follows_commands_generated_sources_and_incbin() {
        let build = build();
        let image = "savedcmd_arch/x86/boot/bzImage := (dd if=arch/x86/boot/setup.bin bs=4k; \
            cat arch/x86/boot/vmlinux.bin) >arch/x86/boot/bzImage\n";
        build.output("arch/x86/boot/bzImage", image);
        build.output(
            "arch/x86/boot/setup.bin",
            "savedcmd_x := ld -T SRC/arch/x86/boot/setup.ld ./arch/x86/boot/a20.o\n",
        );
        build.source("arch/x86/boot/setup.ld", "");
        build.source("arch/x86/boot/a20.c", "");
        build.output(
            "arch/x86/boot/a20.o",
            "source_x := SRC/arch/x86/boot/a20.c\n",
        );
        build.source("rm/piggy.S", "\t.incbin\t\"rm/rm.bin\"\n");
        build.output("rm/piggy.o", "source_rm/piggy.o := SRC/rm/piggy.S\n");
        build.source("rm/rm.c", "");
        build.output("rm/rm.bin", "savedcmd_x := objcopy rm/rm.o rm/rm.bin\n");
        build.output("rm/rm.o", "source_rm/rm.o := SRC/rm/rm.c\n");
        build.archive("vmlinux.a", &["kernel/fork.o", "rm/piggy.o"]);
        let sources = build.files().unwrap().sources;
        for path in [
            "arch/x86/boot/setup.ld",
            "arch/x86/boot/a20.c",
            "rm/piggy.S",
            "rm/rm.c",
        ] {
            assert!(sources.contains(path), "{path}: {sources:?}");
        }
    }

    #[test]
    fn of_image_rejects_a_build_without_cmd_file_or_archive() {
        let build = build();
        fs::remove_file(build.home().join("obj/arch/x86/boot/.bzImage.cmd")).unwrap();
        let error = build.files().unwrap_err().to_string();
        assert!(
            error.contains("listing the source files of a kernel"),
            "{error}"
        );
        let build = self::build();
        fs::remove_file(build.home().join("obj/vmlinux.a")).unwrap();
        assert!(build.files().is_err());
    }

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
