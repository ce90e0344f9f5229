// SPDX-License-Identifier: GPL-2.0-only
//! The files of the tree that an image was built from.
//!
//! kbuild leaves a `.NAME.cmd` beside each thing it makes: the command, and for compiled
//! things the source and every header. The build folder also holds objects and records of
//! earlier builds, so the walk starts at the image and follows only what the commands of
//! the image and its parts name. Members of `vmlinux.a` are all linked; members of other
//! archives are counted although the linker may leave some out.

use std::collections::{BTreeSet, HashSet};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::Tool;

use super::image;
use crate::error::Error;

/// The list's name in a kernel's folder of the cache.
pub(super) const FILE_NAME: &str = "sources";
/// The archive of the objects that are linked unconditionally.
const OBJECTS: &str = "vmlinux.a";
/// What an image consists of beside `vmlinux.a`, where it is there.
const PARTS: [&str; 5] = [
    "vmlinux",
    "vmlinux.unstripped",
    "arch/x86/kernel/vmlinux.lds",
    "init/version-timestamp.o",
    ".builtin-dtbs.o",
];
/// `include/generated` is made from these, by rules that leave no record.
const OFFSETS: [&str; 3] = [
    "kernel/bounds.s",
    "kernel/sched/rq-offsets.s",
    "arch/x86/kernel/asm-offsets.s",
];
/// The programs in these folders run on the host and are part of no kernel.
const TOOLS: [&str; 2] = ["scripts", "tools"];

/// The files that an image was built from, and the objects that are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageFiles {
    /// Files of the tree, relative to it.
    pub(super) sources: BTreeSet<String>,
    /// Objects and everything else that was made, relative to the object folder.
    pub(super) made: BTreeSet<String>,
}

/// Returns the files of the image that was built last in the folder `objects` from the
/// tree in `source`.
///
/// # Errors
/// When a record is missing that every build leaves, or cannot be read.
pub(super) fn of_image(
    objects: &Utf8Path,
    source: &Utf8Path,
    cancel: &Cancel,
) -> Result<ImageFiles, Error> {
    let mut walk = Walk::new(objects, source, cancel);
    walk.archive(OBJECTS)?;
    let image = image::path(objects);
    let image = image.strip_prefix(objects).unwrap_or(&image).as_str();
    for part in PARTS.iter().chain(&OFFSETS).chain([&image]) {
        walk.name(part);
    }
    while let Some(made) = walk.to_visit.pop() {
        walk.visit(&made)?;
    }
    let is_whole = !walk.found.sources.is_empty() && walk.found.made.contains(image);
    if !is_whole {
        let lost = std::io::Error::other("the build left no record of it");
        return Err(Error::host("listing the files of a kernel")(lost));
    }
    Ok(walk.found)
}

/// Returns the files of the tree that the record of something made names, sorted.
///
/// # Errors
/// When the record cannot be read.
pub(super) fn sources_of(
    made: &str,
    objects: &Utf8Path,
    source: &Utf8Path,
) -> Result<BTreeSet<String>, Error> {
    let cancel = Cancel::new();
    let mut walk = Walk::new(objects, source, &cancel);
    walk.visit(made)?;
    Ok(walk.found.sources)
}

/// Returns a list of files as text, a line each.
pub(super) fn to_text(sources: &BTreeSet<String>) -> String {
    sources.iter().map(|path| format!("{path}\n")).collect()
}

struct Walk<'a> {
    objects: &'a Utf8Path,
    source: &'a Utf8Path,
    cancel: &'a Cancel,
    /// Names as the records have them; most headers are named by most of them.
    known: HashSet<String>,
    to_visit: Vec<String>,
    found: ImageFiles,
}

impl<'a> Walk<'a> {
    fn new(objects: &'a Utf8Path, source: &'a Utf8Path, cancel: &'a Cancel) -> Self {
        Self {
            objects,
            source,
            cancel,
            known: HashSet::new(),
            to_visit: Vec::new(),
            found: ImageFiles::default(),
        }
    }

    /// Looks at a name of a record: a file of the tree, something that was made, or
    /// neither.
    fn name(&mut self, name: &str) {
        if self.known.contains(name) {
            return;
        }
        self.known.insert(name.to_owned());
        let path = plain(Utf8Path::new(name));
        if let Ok(below) = path.strip_prefix(self.source) {
            if !below.as_str().is_empty() && path.is_file() {
                self.found.sources.insert(below.to_string());
            }
            return;
        }
        let below = path.strip_prefix(self.objects).unwrap_or(&path);
        let is_tool = TOOLS.iter().any(|folder| below.starts_with(folder));
        if below.is_absolute() || below.as_str().is_empty() || is_tool {
            return;
        }
        let is_made = record_of(below).is_some_and(|record| self.objects.join(record).is_file());
        if is_made && self.found.made.insert(below.to_string()) {
            self.to_visit.push(below.to_string());
        }
    }

    /// Follows the record of something that was made.
    fn visit(&mut self, made: &str) -> Result<(), Error> {
        let Some(record) = record_of(Utf8Path::new(made)) else {
            return Ok(());
        };
        let record = fs::read(self.objects.join(record))
            .map_err(Error::host("reading the record of a build"))?;
        let record = String::from_utf8_lossy(&record);
        let tree = self.source.as_str();
        for line in record.split('\n') {
            // There are millions of dependencies, a line each.
            match dependency(line) {
                Line::Option => {}
                Line::File(name) => self.name(name),
                Line::Other => names(line, tree).for_each(|name| self.name(name)),
            }
        }
        if made.ends_with(".a") && made != OBJECTS {
            self.archive(made)?;
        }
        if let Some(source) = assembled(&record) {
            self.included(&source)?;
        }
        Ok(())
    }

    /// Looks at the members of an archive.
    fn archive(&mut self, path: &str) -> Result<(), Error> {
        let members = Tool::new("ar")
            .args(["t", path])
            .cwd(self.objects)
            .run(self.cancel)
            .map_err(Error::tool("listing the objects of a kernel"))?;
        for member in members.stdout_text().lines() {
            self.name(member);
        }
        Ok(())
    }

    /// Looks at what an assembler source takes in with `.incbin`, which is in no record.
    fn included(&mut self, source: &str) -> Result<(), Error> {
        // Absolute for a source of the tree, relative for one that was made.
        let text = match fs::read(self.objects.join(source)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::host("reading the source of an object")(error)),
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((_, rest)) = line.split_once(".incbin") else {
                continue;
            };
            if let Some(name) = rest.split('"').nth(1) {
                self.name(name);
            }
        }
        Ok(())
    }
}

/// A line of a record.
enum Line<'a> {
    /// A dependency on an option of the configuration.
    Option,
    /// A dependency on a file.
    File(&'a str),
    Other,
}

fn dependency(line: &str) -> Line<'_> {
    if line.starts_with("    $(wildcard") {
        return Line::Option;
    }
    let name = line
        .strip_prefix("  ")
        .and_then(|rest| rest.strip_suffix(" \\"));
    match name.filter(|name| !name.contains(' ')) {
        Some(name) => Line::File(name),
        None => Line::Other,
    }
}

/// Returns the words of a record that may be names of files. The path of the tree may hold
/// any letter but white space, which make does not support.
fn names<'r>(record: &'r str, tree: &'r str) -> impl Iterator<Item = &'r str> {
    let is_end = |c: char| ";()<>|\"'=,&`".contains(c);
    let words = record.split_whitespace().flat_map(move |word| {
        let of_tree = word.find(tree);
        let word = of_tree.map_or(word, |at| word[at..].trim_end_matches(is_end));
        word.split(move |c: char| of_tree.is_none() && is_end(c))
    });
    words.filter(|word| word.contains(['.', '/']) || *word == "vmlinux")
}

/// Returns the assembler source that a record says an object is made from.
fn assembled(record: &str) -> Option<String> {
    let line = record.lines().find(|line| line.starts_with("source_"))?;
    let (_, source) = line.split_once(" := ")?;
    source.ends_with(".S").then(|| source.trim().to_owned())
}

/// Returns the path of the record of something that was made, relative as it is.
fn record_of(made: &Utf8Path) -> Option<Utf8PathBuf> {
    let name = made.file_name()?;
    Some(made.with_file_name(format!(".{name}.cmd")))
}

/// Returns a path without `.` and `..`, as far as text alone allows.
fn plain(path: &Utf8Path) -> Utf8PathBuf {
    let mut plain = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            other => plain.push(other.as_str()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record of an object, as a build left it.
    const RECORD: &str = include_str!("files/fork.o.cmd");

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

        /// Leaves something that was made, and its record, in which `SRC` is the tree.
        fn made(&self, path: &str, record: &str) {
            let source = self.home().join("src");
            self.write(&format!("obj/{path}"), "");
            let path = record_of(Utf8Path::new(path)).unwrap();
            self.write(
                &format!("obj/{path}"),
                &record.replace("SRC", source.as_str()),
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
            of_image(&objects, &source, &Cancel::new())
        }
    }

    /// A build with one object, and an object of an earlier build that is in no archive.
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
        build.made("kernel/fork.o", RECORD);
        build.made(
            "kernel/stale.o",
            "source_kernel/stale.o := SRC/kernel/stale.c\n\
             deps_kernel/stale.o := SRC/include/linux/stale.h\n",
        );
        build.made(
            "arch/x86/boot/bzImage",
            "savedcmd_x := (dd if=a; cat b) >c\n",
        );
        build.archive("vmlinux.a", &["kernel/fork.o"]);
        build
    }

    #[test]
    fn of_image_lists_source_and_headers_of_objects_that_are_linked() {
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
        assert!(files.made.contains("kernel/fork.o"));
        assert!(!files.made.contains("kernel/stale.o"));
    }

    #[test]
    fn of_image_follows_commands_generated_sources_and_incbin() {
        let build = build();
        let image = "savedcmd_arch/x86/boot/bzImage := (dd if=arch/x86/boot/setup.bin bs=4k; \
            cat arch/x86/boot/vmlinux.bin) >arch/x86/boot/bzImage\n";
        build.made("arch/x86/boot/bzImage", image);
        build.made(
            "arch/x86/boot/setup.bin",
            "savedcmd_x := ld -T SRC/arch/x86/boot/setup.ld ./arch/x86/boot/a20.o\n",
        );
        build.source("arch/x86/boot/setup.ld", "");
        build.source("arch/x86/boot/a20.c", "");
        build.made(
            "arch/x86/boot/a20.o",
            "source_x := SRC/arch/x86/boot/a20.c\n",
        );
        build.source("rm/piggy.S", "\t.incbin\t\"rm/rm.bin\"\n");
        build.made("rm/piggy.o", "source_rm/piggy.o := SRC/rm/piggy.S\n");
        build.source("rm/rm.c", "");
        build.made("rm/rm.bin", "savedcmd_x := objcopy rm/rm.o rm/rm.bin\n");
        build.made("rm/rm.o", "source_rm/rm.o := SRC/rm/rm.c\n");
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
    fn of_image_fails_where_the_build_left_no_record() {
        let build = build();
        fs::remove_file(build.home().join("obj/arch/x86/boot/.bzImage.cmd")).unwrap();
        let error = build.files().unwrap_err().to_string();
        assert!(error.contains("listing the files of a kernel"), "{error}");
        let build = self::build();
        fs::remove_file(build.home().join("obj/vmlinux.a")).unwrap();
        assert!(build.files().is_err());
    }
}
