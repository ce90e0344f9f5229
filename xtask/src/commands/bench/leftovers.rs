// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kills processes that a measured command left running.
//!
//! The process group of a command is killed with it, but a child may leave the group:
//! timeout(1) does, and vmtest.sh runs QEMU below it. Descendants inherit the environment, so
//! a variable identifies them.

use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal};

/// The variable that marks the descendants of a command.
pub(crate) const MARK: &str = "PATCHBED_BENCH_PLACE";
/// Limit of the passes; more than one is needed, because a process may start another while it
/// is being killed.
const SWEEPS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Kills every process whose environment has `MARK` with this value. Returns
/// whether there were any.
pub(crate) fn end(value: &str) -> bool {
    let entry = format!("{MARK}={value}");
    let mut found = false;
    for _ in 0..SWEEPS_MAX {
        let marked = marked(entry.as_bytes());
        if marked.is_empty() {
            break;
        }
        found = true;
        for pid in marked {
            // It may have ended already.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(PAUSE);
    }
    found
}

/// Returns the processes with this entry in their environment. The environment of a dead
/// process or of another user's process cannot be read, and counts as empty.
fn marked(entry: &[u8]) -> Vec<Pid> {
    let is_marked = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|found| found == entry)
    };
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    folder
        .filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| is_marked(*pid))
        .filter_map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use patchbed_host::cancel::Cancel;
    use patchbed_host::process::Tool;

    use super::*;

    #[test]
    fn end_kills_a_process_that_left_its_process_group() {
        let place = format!("test-{}", std::process::id());
        // As in the script: `timeout` makes its own process group.
        Tool::new("sh")
            .args(["-c", "timeout 60 sleep 60 >/dev/null 2>&1 & sleep 0.1"])
            .env(MARK, &place)
            .run(&Cancel::new())
            .unwrap();
        assert!(end(&place), "the test's process was not found");
        assert!(!end(&place));
    }

    #[test]
    fn end_ignores_processes_without_the_mark() {
        assert!(!end("value that no process has"));
    }
}
