// SPDX-License-Identifier: GPL-2.0-only
//! What the host's kernel tells of a process's threads: how long each ran, how long it
//! wanted to and had to wait, and whether it does so now. Says nothing of what that
//! means.

use std::time::Duration;

use fs_err as fs;

/// Whether a thread could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for something to happen, and wants no processor.
    Content,
    /// It runs, or waits for a processor.
    Runnable,
    /// It was stopped, or waits for a disk: the host does not let it run.
    Barred,
}

/// What is told of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadLook {
    pub(super) id: u32,
    pub(super) state: State,
    /// On a processor, since it was started.
    pub(super) ran: Duration,
    /// For a processor, as far as the wait is over.
    pub(super) waited: Duration,
}

/// Returns what is told of each thread of a process; nothing where the kernel counts no
/// waits, or the process is gone.
pub(super) fn look(process: u32) -> Vec<ThreadLook> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let one = |task: fs::DirEntry| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let folder = task.path();
        let schedstat = fs::read_to_string(folder.join("schedstat")).ok()?;
        let stat = fs::read(folder.join("stat")).ok()?;
        parse(id, &schedstat, &stat)
    };
    tasks.flatten().filter_map(one).collect()
}

/// Reads `schedstat`, times in nanoseconds, and `stat`, where the state follows a name
/// in parentheses that may hold anything. A thread that never ran and never waited is
/// one of a kernel that does not count.
fn parse(id: u32, schedstat: &str, stat: &[u8]) -> Option<ThreadLook> {
    let mut times = schedstat.split_ascii_whitespace();
    let mut time = || times.next()?.parse().ok().map(Duration::from_nanos);
    let (ran, waited) = (time()?, time()?);
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let state = match stat.get(name_end + 2)? {
        b'R' => State::Runnable,
        b'T' | b't' | b'D' => State::Barred,
        _ => State::Content,
    };
    (!ran.is_zero() || !waited.is_zero()).then_some(ThreadLook {
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
    fn the_state_follows_a_name_that_may_hold_anything() {
        let state = |stat: &[u8]| parse(7, "5 6 7\n", stat).map(|look| look.state);
        assert_eq!(state(b"7 (CPU 0/TCG) R 1 2"), Some(State::Runnable));
        assert_eq!(state(b"7 (a) R (\xff) S 1"), Some(State::Content));
        assert_eq!(state(b"7 (a) T 1"), Some(State::Barred));
        assert_eq!(state(b"7 (a)"), None);
        assert_eq!(state(b""), None);
        assert_eq!(parse(7, "0 0 0\n", b"7 (a) R 1"), None);
        assert_eq!(parse(7, "5\n", b"7 (a) R 1"), None);
    }

    #[test]
    fn this_very_process_ran() {
        let threads = look(std::process::id());
        let ran: Duration = threads.iter().map(|thread| thread.ran).sum();
        assert!(threads.is_empty() || !ran.is_zero());
    }
}
