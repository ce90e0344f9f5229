// SPDX-License-Identifier: GPL-2.0-only
//! Faults: a kernel module of ours that goes wrong when told to, and the program
//! in a guest that tells it. Knows their sources and how they are called, and
//! nothing of who looks at what comes of it.

pub mod self_check;

use std::time::Duration;

use camino::Utf8Path;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{ProcessError, Tool};

use crate::kselftest::{BootCall, KselftestBoots};

/// The module's file name.
pub const MODULE: &str = "fault.ko";
/// The program's name.
pub const PROGRAM: &str = "inject";
/// The machine of faults that only a kernel notices which looks for leaks.
pub const LEAK_MACHINE: &str = "edu-pair-leaks";
/// What the kernel logs before a fault is injected, without the word.
pub const INJECTING: &str = "fault: injecting ";

const PROGRAM_SOURCE: &str = include_str!("fault/inject.c");
/// How long the compiler may take.
const COMPILER_LIMIT: Duration = Duration::from_secs(120);

/// Milliseconds that a console has for what the kernel said last.
const SETTLE_MS: u32 = 100;
/// Seconds that a guest has beside what its faults take.
const START_SECS: u64 = 10;

const MODULE_SOURCES: [(&str, &str); 9] = [
    ("Kbuild", include_str!("fault/Kbuild")),
    ("fault.h", include_str!("fault/fault.h")),
    ("fault_ends.c", include_str!("fault/fault_ends.c")),
    ("fault_faults.c", include_str!("fault/fault_faults.c")),
    ("fault_locks.c", include_str!("fault/fault_locks.c")),
    ("fault_main.c", include_str!("fault/fault_main.c")),
    ("fault_memory.c", include_str!("fault/fault_memory.c")),
    ("fault_objects.c", include_str!("fault/fault_objects.c")),
    ("fault_stalls.c", include_str!("fault/fault_stalls.c")),
];

/// Returns the sources of the module and of those that tests load, names and contents:
/// they are built together, so that a kernel has one folder of modules.
#[must_use]
pub fn modules() -> Vec<(&'static str, &'static str)> {
    let mut files = MODULE_SOURCES.to_vec();
    files.extend(crate::generate::modules());
    files
}

/// Returns the source of the program that injections.
#[must_use]
pub const fn program() -> &'static str {
    PROGRAM_SOURCE
}

/// Compiles the program that injections, statically, from its `source` to `output`.
///
/// # Errors
/// Returns the compiler's last lines when it fails, or is cancelled.
pub fn compile(source: &Utf8Path, output: &Utf8Path, cancel: &Cancel) -> Result<(), ProcessError> {
    Tool::new("gcc")
        .args(["-Wall", "-Wextra", "-Werror", "-O2", "-static"])
        .args(["-D_GNU_SOURCE=", "-o", output.as_str(), source.as_str()])
        .env("LC_ALL", "C")
        .deadline("fault program's compiler", COMPILER_LIMIT)
        .run(cancel)
        .map(drop)
}

/// Returns whether a word is of a kind that only a kernel notices which looks for it.
#[must_use]
pub fn is_of_leaks(word: &str) -> bool {
    word == "leak"
}

/// Returns the seconds after which the guest gives up on these faults, on a kernel
/// that is `slowness` times slower than a plain one.
#[must_use]
pub fn limit_secs(words: &[String], slowness: u32) -> u64 {
    let secs: u64 = words.iter().map(|word| secs(word)).sum();
    let start = match words {
        // Nothing else comes of it than that the time is up.
        [word] if word == "hang" => 0,
        _ => START_SECS,
    };
    (start + secs) * u64::from(slowness.max(1))
}

/// What one takes at most on a plain kernel: those that stall last seven seconds or
/// twelve, and lost memory must be as old before it is told of.
fn secs(word: &str) -> u64 {
    let stalls = ["hung-task", "soft-", "hard-", "rcu-", "workqueue-"];
    if word == "leak" || stalls.iter().any(|kind| word.starts_with(kind)) {
        30
    } else {
        2
    }
}

/// Returns the environment of the program on a kernel that is `slowness` times slower
/// than a plain one: what was said before a fault is injected has that time to be read.
#[must_use]
pub fn environment(slowness: u32) -> Vec<(String, String)> {
    let settle_ms = SETTLE_MS * slowness.max(1);
    let parameters = format!("settle_ms={settle_ms}");
    vec![("INJECT_PARAMETERS".to_owned(), parameters)]
}

/// Returns what a guest that injections these is judged as: a program that is content when
/// all were injected, so that whatever the kernel says is a finding.
#[must_use]
pub fn test(words: &[String]) -> KselftestBoots {
    KselftestBoots {
        target: "fault".to_owned(),
        name: words.join("+"),
        boots: vec![BootCall {
            args: words.to_vec(),
            env: std::collections::BTreeMap::new(),
            timeout_secs: limit_secs(words, 1),
        }],
        tolerates: Vec::new(),
    }
}
