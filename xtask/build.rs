// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the data and the guest's PID 1 that are built into the program, as Rust source
//! for `src/builtin.rs`. Without the feature `builtin`, all of it is empty.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[path = "../vm-images/src/guest/command.rs"]
mod guest_command;

/// The folders with data, in the checkout.
const DATA: [&str; 6] = [
    "kernel-patches",
    "selftests/catalogues",
    "selftests/core",
    "selftests/kselftest",
    "vm-images/config",
    "vm-images/machines",
];
/// Further inputs of the guest's PID 1 and of the revision.
const SOURCES: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "host/src",
    "selftests/src",
    "vm-images/guest",
    "vm-images/protocol",
    "vm-images/src",
    "xtask/src",
];
/// The target folder of the guest, below `OUT_DIR`.
const GUEST_FOLDER: &str = "guest";
const DATA_ENDINGS: [&str; 9] = [
    "Makefile",
    "c",
    "commit-message",
    "config",
    "h",
    "md",
    "patch",
    "snap",
    "yaml",
];
/// Folders below that are not data.
const OTHER_FOLDERS: [&str; 2] = ["generated", "src"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../vm-images/src/guest/command.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = root.parent().ok_or("the package is not in a checkout")?;
    let source = match env::var_os("CARGO_FEATURE_BUILTIN") {
        Some(_) => source(root, &out)?,
        None => in_rust(&[], false, ""),
    };
    Ok(fs::write(out.join("builtin.rs"), source)?)
}

fn source(root: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    for path in DATA.iter().chain(&SOURCES) {
        // Relative to the package, so that a copied target folder does not refer to the
        // checkout that it was copied from.
        println!("cargo::rerun-if-changed=../{path}");
    }
    let mut files = Vec::new();
    for folder in DATA {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let names: Vec<&str> = files
        .iter()
        .map(|file| text(file.strip_prefix(root)?))
        .collect::<Result<_, _>>()?;
    guest(root, out)?;
    let revision = revision(root).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    Ok(in_rust(&names, true, &revision))
}

/// Paths are relative to variables that cargo sets when it compiles the program.
fn in_rust(names: &[&str], has_guest: bool, revision: &str) -> String {
    let included = |variable: &str, path: &str| {
        format!("include_bytes!(concat!(env!({variable:?}), {path:?}))")
    };
    let mut source = "static FILES: &[(&str, &[u8])] = &[\n".to_owned();
    for name in names {
        let bytes = included("CARGO_MANIFEST_DIR", &format!("/../{name}"));
        source += &format!("    ({name:?}, {bytes}),\n");
    }
    let guest = match has_guest {
        true => included(
            "OUT_DIR",
            &format!("/{GUEST_FOLDER}/{}", guest_command::PROGRAM),
        ),
        false => "&[]".to_owned(),
    };
    source + &format!("];\nstatic GUEST: &[u8] = {guest};\nstatic REVISION: &str = {revision:?};\n")
}

/// Collects the data files below a folder, without unreviewed results.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let ending = path.extension().or(path.file_name());
        let ending = ending.and_then(|ending| ending.to_str());
        if entry.file_type()?.is_dir() {
            let name = entry.file_name();
            if !OTHER_FOLDERS.iter().any(|other| name == **other) {
                collect(&path, files)?;
            }
        } else if ending.is_some_and(|ending| DATA_ENDINGS.contains(&ending)) {
            files.push(path);
        }
    }
    Ok(())
}

/// Compiles the guest's PID 1 in a target folder of its own, because cargo holds the lock
/// of the outer one.
fn guest(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let target = out.join(GUEST_FOLDER);
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("`CARGO` is not set")?);
    cargo
        .args(guest_command::arguments(text(&target)?))
        // Also if the outer build ignores the lock file.
        .arg("--locked")
        .current_dir(root)
        .envs(guest_command::VARIABLES);
    for name in guest_command::OUTER_VARIABLES {
        cargo.env_remove(name);
    }
    let output = cargo.output()?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        return Err(format!("building the guest's PID 1 failed: {cargo:?}\n{messages}").into());
    }
    Ok(())
}

/// Returns the commit of the checkout, with `+` if tracked files differ from it; `None` if
/// the sources are not in a git repository.
fn revision(root: &Path) -> Option<String> {
    let git = |words: &[&str]| {
        let output = Command::new("git")
            .args(words)
            .current_dir(root)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // Unpacked sources may lie in an unrelated repository.
    git(&["ls-files", "--error-unmatch", "xtask/build.rs"])?;
    // Changes with every commit and every checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if root.join(&log).is_file() {
        // Relative to the package; absolute in a worktree.
        println!(
            "cargo::rerun-if-changed={}",
            Path::new("..").join(log).display()
        );
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=normal"])?;
    let mark = if changes.is_empty() { "" } else { "+" };
    Some(format!("{commit}{mark}"))
}

fn text(path: &Path) -> Result<&str, Box<dyn Error>> {
    Ok(path
        .to_str()
        .ok_or_else(|| format!("`{}` is not UTF-8", path.display()))?)
}
