// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of a measured command: their memory and open files, and those that it left
//! running.

use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use rustix::process::{Pid, Signal};

/// Interval of the samples. The kernel records the peak of the memory, so only growth after
/// the last sample is missed.
const INTERVAL: Duration = Duration::from_millis(200);
/// The variable that marks the descendants of a command. Its process group is killed with it,
/// but a child may leave the group: timeout(1) does, and vmtest.sh runs QEMU below it.
pub(super) const MARK: &str = "PATCHBED_BENCH_PLACE";
/// Limit of the passes; more than one is needed, because a process may start another while it
/// is being killed.
const SWEEPS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// The maximum over all child processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Peak {
    pub(super) memory_mib: f64,
    pub(super) files: usize,
}

/// Calls `run`, and samples the direct children of this process meanwhile. The maximum of all
/// samples is 0 if no child was sampled.
pub(super) fn sampled<T>(run: impl FnOnce() -> T) -> (T, Peak) {
    let (stop, stopped) = sync_channel::<()>(1);
    let sample_all = move || {
        let mut peak = Peak::default();
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            peak = children().fold(peak, sample);
        }
        peak
    };
    std::thread::scope(move |scope| {
        let sampler = scope.spawn(sample_all);
        let result = run();
        drop(stop);
        (result, sampler.join().unwrap_or_default())
    })
}

/// Returns the ids of all processes.
fn processes() -> impl Iterator<Item = i32> {
    let folder = fs::read_dir("/proc").into_iter().flatten();
    folder.filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
}

fn children() -> impl Iterator<Item = i32> {
    let own = u64::from(std::process::id());
    processes().filter(move |pid| field(&status(*pid), "PPid:") == Some(own))
}

fn sample(peak: Peak, pid: i32) -> Peak {
    let memory_kib = field(&status(pid), "VmHWM:").unwrap_or_default();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    Peak {
        memory_mib: peak.memory_mib.max(memory_kib as f64 / 1024.0),
        files: peak.files.max(files),
    }
}

/// Returns an empty text for a process that has ended.
fn status(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// Reads a number from `/proc/PID/status`, proc_pid_status(5).
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Kills every process whose environment has `MARK` with this value. Returns
/// whether there were any.
pub(super) fn end_leftovers(value: &str) -> bool {
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
    let is_marked = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.any(|found| found == entry)
    };
    let marked = processes().filter(is_marked);
    marked.filter_map(Pid::from_raw).collect()
}

/// Returns the disk space of the regular files below a folder, in bytes.
pub(super) fn disk_bytes(folder: &Utf8Path) -> u64 {
    let entries = folder.read_dir_utf8().into_iter().flatten();
    let bytes = entries
        .filter_map(Result::ok)
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => disk_bytes(entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |meta| meta.blocks() * 512),
            _ => 0,
        });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use patchbed_host::cancel::Cancel;
    use patchbed_host::process::Tool;

    use super::*;

    #[test]
    fn field_returns_the_number_of_the_line_with_that_name() {
        let status = "Name:\tVmHWM: 9\nPPid:\t77\nVmHWM:\t  2048 kB\n";
        assert_eq!(field(status, "PPid:"), Some(77));
        assert_eq!(field(status, "VmHWM:"), Some(2048));
        assert_eq!(field("", "VmHWM:"), None);
    }

    #[test]
    fn disk_bytes_counts_files_in_subfolders_and_ignores_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), vec![1; 8192]).unwrap();
        fs_err::os::unix::fs::symlink("/", root.join("a/everything")).unwrap();
        assert_eq!(disk_bytes(root), 8192);
    }

    #[test]
    fn end_leftovers_kills_a_process_that_left_its_process_group() {
        let place = format!("test-{}", std::process::id());
        // As in the script: `timeout` makes its own process group.
        Tool::new("sh")
            .args(["-c", "timeout 60 sleep 60 >/dev/null 2>&1 & sleep 0.1"])
            .env(MARK, &place)
            .run(&Cancel::new())
            .unwrap();
        assert!(end_leftovers(&place), "the test's process was not found");
        assert!(!end_leftovers(&place));
    }

    #[test]
    fn end_leftovers_ignores_processes_without_the_mark() {
        assert!(!end_leftovers("value that no process has"));
    }
}
