// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fault injection: the kernel module `fault` and the guest program `inject`. This
//! module has their sources, build commands and arguments; results are evaluated in
//! [`self_check`] and by the caller.

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
/// The machine with kmemleak enabled on the kernel command line.
pub const LEAK_MACHINE: &str = "edu-pair-leaks";
/// The prefix of the line that the module logs before it injects a fault.
pub const INJECTING: &str = "fault: injecting ";

const PROGRAM_SOURCE: &str = include_str!("fault/inject.c");
/// Time limit of the compiler.
const COMPILER_LIMIT: Duration = Duration::from_secs(120);

/// Milliseconds between the log line of a fault and the fault, so that the console
/// can print the line.
const SETTLE_MS: u32 = 100;
/// Seconds that a guest gets in addition to the time of its faults.
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

/// Returns the sources of this module and of the test modules, as file names and
/// contents. They are built together into one folder per kernel.
#[must_use]
pub fn modules() -> Vec<(&'static str, &'static str)> {
    let mut files = MODULE_SOURCES.to_vec();
    files.extend(crate::generate::modules());
    files
}

/// Returns the names of all faults in the module, each with the kernel options without which
/// it is left out, as in the condition of the preprocessor: empty if there are none.
#[must_use]
pub fn faults() -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let mut needs = String::new();
    for line in MODULE_SOURCES.iter().flat_map(|(_, text)| text.lines()) {
        let condition = line
            .strip_prefix("#ifdef ")
            .or_else(|| line.strip_prefix("#if "));
        let entry = line.strip_prefix("\t{ \"");
        if let Some(condition) = condition {
            needs = condition.replace("defined(", "").replace(')', "");
        } else if line == "#endif" {
            needs.clear();
        } else if let Some((name, _)) = entry.and_then(|entry| entry.split_once('"')) {
            faults.push((name, needs.clone()));
        }
    }
    faults.sort_by_key(|(_, needs)| !needs.is_empty());
    faults
}

/// Returns the source of the program `inject`.
#[must_use]
pub const fn program() -> &'static str {
    PROGRAM_SOURCE
}

/// Compiles the program `inject` statically from `source` to `output`.
///
/// # Errors
/// Returns the compiler's last lines when it fails, or is cancelled.
pub fn compile(source: &Utf8Path, output: &Utf8Path, cancel: &Cancel) -> Result<(), ProcessError> {
    Tool::new("gcc")
        .args(["-Wall", "-Wextra", "-Werror", "-O2", "-static"])
        .args(["-D_GNU_SOURCE=", "-o", output.as_str(), source.as_str()])
        .env("LC_ALL", "C")
        .deadline("compiler of the inject program", COMPILER_LIMIT)
        .run(cancel)
        .map(drop)
}

/// Returns whether a fault is detected only on a machine with kmemleak enabled.
#[must_use]
pub fn needs_kmemleak(word: &str) -> bool {
    word == "leak"
}

/// Returns the time limit of these faults in seconds, on a kernel that is `slowness`
/// times slower than one without debug options.
#[must_use]
pub fn limit_secs(words: &[String], slowness: u32) -> u64 {
    let secs: u64 = words.iter().map(|word| secs(word)).sum();
    let start = match words {
        // The guest reaches the time limit in every case.
        [word] if word == "hang" => 0,
        _ => START_SECS,
    };
    (start + secs) * u64::from(slowness.max(1))
}

/// The time limit of one fault on a kernel without debug options. Stalls last 7 or 12
/// seconds, and kmemleak reports only objects older than 5 seconds.
fn secs(word: &str) -> u64 {
    let stalls = ["hung-task", "soft-", "hard-", "rcu-", "workqueue-"];
    if word == "leak" || stalls.iter().any(|kind| word.starts_with(kind)) {
        30
    } else {
        2
    }
}

/// Returns the environment of the program `inject`: the module parameter `settle_ms`,
/// multiplied by the kernel's `slowness`.
#[must_use]
pub fn environment(slowness: u32) -> Vec<(String, String)> {
    let settle_ms = SETTLE_MS * slowness.max(1);
    let parameters = format!("settle_ms={settle_ms}");
    vec![("INJECT_PARAMETERS".to_owned(), parameters)]
}

/// Returns the test of a guest that injects these faults. It passes if all of them were
/// injected and the kernel reported none of them.
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

#[cfg(test)]
mod tests {
    use super::self_check::SELF_CHECKS;
    use super::*;

    #[test]
    fn faults_have_the_words_of_all_self_checks_and_their_options() {
        let faults = faults();
        let needs = |word: &str| {
            let fault = faults.iter().find(|(name, _)| *name == word);
            fault.map(|(_, needs)| needs.as_str())
        };
        assert_eq!(needs("warn"), Some(""));
        assert_eq!(needs("leak"), Some("CONFIG_DEBUG_KMEMLEAK"));
        let work = "CONFIG_DEBUG_OBJECTS_FREE && CONFIG_DEBUG_OBJECTS_WORK";
        assert_eq!(needs("odebug-free-work"), Some(work));
        for check in SELF_CHECKS {
            assert!(needs(check.word).is_some(), "{}", check.word);
        }
    }
}
