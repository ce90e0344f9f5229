// SPDX-License-Identifier: MIT OR Apache-2.0
//! `watch`: runs `test`, then again after every save, each time only the jobs whose inputs
//! have changed.
//!
//! A file event only starts an iteration; changes are detected by content. A save while jobs
//! run cancels them, because their inputs are outdated.

mod debounce;
mod iteration;
mod watched_paths;
mod watcher;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Event;

use self::debounce::Debounce;
use self::watcher::{FileEvent, Watcher};
use crate::cli::TestArgs;
use crate::commands::doctor;
use xtask::engine::checkouts::MutantsWanted;
use xtask::engine::program;
use xtask::engine::result_cache::ResultCache;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report;

/// How often Ctrl-C and the end of an iteration are checked.
const TICK: Duration = Duration::from_millis(20);

/// Runs iterations until the user interrupts the command.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    if let Some(out) = &args.out {
        return Err(bad_input(
            format!("`watch` does not take `--out {out}`"),
            "every iteration has its own run folder; the link `latest` beside them leads to the \
             newest",
        ));
    }
    if args.options.no_self_check {
        return Err(bad_input(
            "`watch` does not take `--no-self-check`",
            format!(
                "it never runs the self-check; it prints the last self-check results of \
                 `{} test`",
                program::name()
            ),
        ));
    }
    if MutantsWanted::take_from(&args.options.source.checkouts).0 != MutantsWanted::None {
        return Err(bad_input(
            "`watch` does not take mutants",
            format!("run them by `{} test --checkouts mutants`", program::name()),
        ));
    }
    watched_paths::check_words(args, session)?;
    if args.dry_run {
        return crate::commands::test::run(args, session);
    }
    doctor::require(args.install, session)?;
    let (mut watcher, events) = Watcher::open(watched_paths::watched_paths(args, session)?)?;
    let cache = ResultCache::default();
    std::thread::scope(|scope| iterate(args, session, &cache, &mut watcher, &events, scope))
}

/// An iteration that is running.
struct Running<'scope> {
    cancel: Cancel,
    thread: ScopedJoinHandle<'scope, ()>,
}

/// The next action of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Wait,
    /// Cancel the running iteration, whose inputs are outdated.
    Cancel,
    Begin,
}

fn next(pending: Option<&Debounce>, is_running: bool, now: Instant) -> Next {
    match pending {
        Some(debounce) if debounce.is_over(now) && is_running => Next::Cancel,
        Some(debounce) if debounce.is_over(now) => Next::Begin,
        _ => Next::Wait,
    }
}

fn iterate<'scope>(
    args: &'scope TestArgs,
    session: &'scope Session,
    cache: &'scope ResultCache,
    watcher: &mut Watcher,
    events: &Receiver<FileEvent>,
    scope: &'scope Scope<'scope, '_>,
) -> anyhow::Result<Exit> {
    let mut pending = Some(Debounce::already_over(Instant::now()));
    let mut running: Option<Running<'scope>> = None;
    let mut has_missed_events = false;
    loop {
        if session.cancel.is_cancelled() {
            // The scope waits for the iteration; its child processes are killed at once.
            running
                .iter()
                .for_each(|iteration| iteration.cancel.cancel());
            anyhow::bail!("interrupted");
        }
        if let Some(iteration) = running.take_if(|iteration| iteration.thread.is_finished()) {
            let panicked = iteration.thread.join().is_err();
            anyhow::ensure!(!panicked, "an iteration of `watch` panicked");
            if std::mem::take(&mut has_missed_events) {
                Debounce::add(&mut pending, Instant::now());
            }
        }
        match next(pending.as_ref(), running.is_some(), Instant::now()) {
            Next::Wait => {}
            Next::Cancel => running
                .iter()
                .for_each(|iteration| iteration.cancel(session)),
            Next::Begin => {
                let since = pending
                    .take()
                    .map_or_else(Instant::now, |debounce| debounce.since());
                running = Some(begin(since, args, session, cache, watcher, scope)?);
            }
        }
        match events.recv_timeout(TICK) {
            // The iteration itself may cause it by reading a whole tree, so it is not
            // cancelled; another iteration follows.
            Ok(FileEvent::Missed) if running.is_some() => has_missed_events = true,
            Ok(FileEvent::Saved | FileEvent::Missed) => {
                Debounce::add(&mut pending, Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                anyhow::bail!("the file watcher stopped");
            }
        }
    }
}

/// Begins an iteration. The watches are renewed first, so that every save after the
/// iteration has read a file leads to an event.
fn begin<'scope>(
    since: Instant,
    args: &'scope TestArgs,
    session: &'scope Session,
    cache: &'scope ResultCache,
    watcher: &mut Watcher,
    scope: &'scope Scope<'scope, '_>,
) -> anyhow::Result<Running<'scope>> {
    for text in watcher.renew()? {
        session.observer.event(Event::Note { text });
    }
    let cancel = Cancel::new();
    let own = session.with_cancel(cancel.clone());
    let thread = std::thread::Builder::new()
        .name("iteration".to_owned())
        .spawn_scoped(scope, move || iteration::run(since, args, &own, cache))
        .context("cannot start a thread")?;
    Ok(Running { cancel, thread })
}

impl Running<'_> {
    fn cancel(&self, session: &Session) {
        if !self.cancel.is_cancelled() {
            self.cancel.cancel();
            session.observer.clear();
            report::line_to_stderr("saved again: starting over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_cancels_a_running_iteration_before_it_begins_another() {
        let now = Instant::now();
        let over = Debounce::already_over(now);
        let mut fresh = None;
        Debounce::add(&mut fresh, now);
        assert_eq!(next(None, false, now), Next::Wait);
        assert_eq!(next(None, true, now), Next::Wait);
        assert_eq!(next(fresh.as_ref(), true, now), Next::Wait);
        assert_eq!(next(fresh.as_ref(), false, now), Next::Wait);
        assert_eq!(next(Some(&over), false, now), Next::Begin);
        assert_eq!(next(Some(&over), true, now), Next::Cancel);
    }
}
