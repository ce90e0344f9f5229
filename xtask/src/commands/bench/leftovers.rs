// SPDX-License-Identifier: GPL-2.0-only
//! Finds and ends what a script of somebody else's left running.
//!
//! Such a script may move its children out of the process group that dies with
//! us: timeout(1) does, and vmtest.sh runs QEMU below it. Whatever else they
//! change, descendants inherit the environment, so a mark in it tells them.

use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal};

/// The variable that marks what we started.
pub(crate) const MARK: &str = "PATCHBED_BENCH_PLACE";
/// One that is being killed may just have started another.
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
            // Gone already is as good as killed.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(PAUSE);
    }
    found
}

/// Returns the processes with this entry in their environment. That of a process
/// which is dead, or another user's, cannot be read and counts as empty.
fn marked(entry: &[u8]) -> Vec<Pid> {
    let is_marked = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == entry)
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
    fn what_left_its_process_group_is_found_and_ended() {
        let place = format!("test-{}", std::process::id());
        // As in the script: `timeout` makes a process group of its own.
        Tool::new("sh")
            .args(["-c", "timeout 60 sleep 60 >/dev/null 2>&1 & sleep 0.1"])
            .env(MARK, &place)
            .run(&Cancel::new())
            .unwrap();
        assert!(end(&place), "the test's own premise");
        assert!(!end(&place));
    }

    #[test]
    fn others_are_left_alone() {
        assert!(!end("nobody has this one"));
    }
}
