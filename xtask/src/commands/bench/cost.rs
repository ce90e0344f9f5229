// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the memory and the open files of child processes, and the disk space of a run.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;

/// Interval of the samples. The kernel records the peak of the memory, so only growth after
/// the last sample is missed.
const INTERVAL: Duration = Duration::from_millis(200);

/// The maximum over all child processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Peak {
    pub(crate) memory_mib: f64,
    pub(crate) files: usize,
}

impl Peak {
    fn max(self, other: Self) -> Self {
        Self {
            memory_mib: self.memory_mib.max(other.memory_mib),
            files: self.files.max(other.files),
        }
    }
}

/// Samples the direct children of this process.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: SyncSender<()>,
    thread: JoinHandle<Peak>,
}

impl Sampler {
    /// Starts a thread that samples the children.
    pub(crate) fn start() -> Self {
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let mut peak = Peak::default();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                peak = children().into_iter().map(sample).fold(peak, Peak::max);
            }
            peak
        });
        Self { stop, thread }
    }

    /// Stops the thread and returns the maximum of all samples; 0 if no child was sampled.
    pub(crate) fn finish(self) -> Peak {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn children() -> Vec<u32> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = u64::from(std::process::id());
    folder
        .filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| field(&status(*pid), "PPid:") == Some(own))
        .collect()
}

fn sample(pid: u32) -> Peak {
    let memory_kib = field(&status(pid), "VmHWM:").unwrap_or_default();
    Peak {
        memory_mib: memory_kib as f64 / 1024.0,
        files: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count),
    }
}

/// Returns an empty text for a process that has ended.
fn status(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// Reads a number from `/proc/PID/status`, proc_pid_status(5).
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the disk space of the regular files below a folder, in MiB.
pub(crate) fn disk_mib(folder: &Utf8Path) -> f64 {
    disk_bytes(folder) as f64 / 1024.0 / 1024.0
}

fn disk_bytes(folder: &Utf8Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = folder.read_dir_utf8() else {
        return 0;
    };
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
}
