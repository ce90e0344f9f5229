// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the scheduler's statistics of a process's threads: run time, time on the run
//! queue, and the current state.

use std::time::Duration;

use fs_err as fs;

/// The scheduling state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for an event and needs no processor.
    Sleeping,
    /// It runs, or waits for a processor.
    Runnable,
    /// It was stopped, or waits for a disk: the host does not let it run.
    Blocked,
}

/// The statistics of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadSample {
    pub(super) id: u32,
    pub(super) state: State,
    /// Time on a processor, since the start of the thread.
    pub(super) ran: Duration,
    /// Time of completed waits for a processor.
    pub(super) waited: Duration,
}

/// Returns the statistics of each thread of a process; empty if the kernel records no waits
/// or the process has ended.
pub(super) fn sample(process: u32) -> Vec<ThreadSample> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let sample_task = |task: fs::DirEntry| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let folder = task.path();
        let schedstat = fs::read_to_string(folder.join("schedstat")).ok()?;
        let stat = fs::read(folder.join("stat")).ok()?;
        parse(id, &schedstat, &stat)
    };
    tasks.flatten().filter_map(sample_task).collect()
}

/// Parses `schedstat` (times in nanoseconds) and `stat`, in which the state follows a name
/// in parentheses that may contain any bytes. Returns `None` if both times are 0, as from a
/// kernel without scheduler statistics.
fn parse(id: u32, schedstat: &str, stat: &[u8]) -> Option<ThreadSample> {
    let mut times = schedstat.split_ascii_whitespace();
    let mut time = || times.next()?.parse().ok().map(Duration::from_nanos);
    let (ran, waited) = (time()?, time()?);
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let state = match stat.get(name_end + 2)? {
        b'R' => State::Runnable,
        b'T' | b't' | b'D' => State::Blocked,
        _ => State::Sleeping,
    };
    (!ran.is_zero() || !waited.is_zero()).then_some(ThreadSample {
        id,
        state,
        ran,
        waited,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_finds_the_state_after_any_name() {
        let state = |stat: &[u8]| parse(7, "5 6 7\n", stat).map(|sample| sample.state);
        assert_eq!(state(b"7 (CPU 0/TCG) R 1 2"), Some(State::Runnable));
        assert_eq!(state(b"7 (a) R (\xff) S 1"), Some(State::Sleeping));
        assert_eq!(state(b"7 (a) T 1"), Some(State::Blocked));
        assert_eq!(state(b"7 (a)"), None);
        assert_eq!(state(b""), None);
        assert_eq!(parse(7, "0 0 0\n", b"7 (a) R 1"), None);
        assert_eq!(parse(7, "5\n", b"7 (a) R 1"), None);
    }

    #[test]
    fn sample_of_this_process_has_run_time_if_available() {
        let threads = sample(std::process::id());
        let ran: Duration = threads.iter().map(|thread| thread.ran).sum();
        assert!(threads.is_empty() || !ran.is_zero());
    }
}
