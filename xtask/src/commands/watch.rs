// SPDX-License-Identifier: MIT OR Apache-2.0
//! `watch`: runs `test`, then again after every save, each time only the jobs whose inputs
//! have changed.
//!
//! A file event only starts an iteration; changes are detected by content. A save while jobs
//! run cancels them, because their inputs are outdated.

mod watched_paths;
mod watcher;

use std::collections::BTreeMap;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use patchbed_host::cancel::Cancel;
use xtask::engine::checkouts::MutantsWanted;
use xtask::engine::judge::Analyses;
use xtask::engine::program;
use xtask::engine::request::Request;
use xtask::engine::result_cache::{self, ResultCache};
use xtask::engine::run::{self, Finished};
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input, message};
use xtask::report;
use xtask::report::watch::{Iteration, line};

use self::watcher::{FileEvent, Watcher};
use crate::cli::{RunArgs, TestArgs};
use crate::commands::{doctor, show, test};

/// How often Ctrl-C and the end of an iteration are checked.
const TICK: Duration = Duration::from_millis(20);
/// The pause that ends a group of saves.
const PAUSE: Duration = Duration::from_millis(100);
/// Limit of the length of a group, for programs that write all the time.
const LENGTH_MAX: Duration = Duration::from_secs(2);

/// Runs iterations until the user interrupts the command.
pub(crate) fn run(args: &RunArgs, session: &Session) -> anyhow::Result<Exit> {
    if MutantsWanted::take_from(&args.options.source.checkouts).0 != MutantsWanted::None {
        return Err(bad_input(
            "`watch` does not take mutants",
            format!("run them by `{} test --checkouts mutants`", program::name()),
        ));
    }
    watched_paths::check_words(args, session)?;
    if args.dry_run {
        let args = TestArgs {
            run: args.clone(),
            ..TestArgs::default()
        };
        return test::run(&args, session);
    }
    doctor::require(args.install, session)?;
    let (watcher, events) = Watcher::open(watched_paths::watched_paths(args, session)?)?;
    let cache = ResultCache::default();
    std::thread::scope(|scope| {
        let watch = Watch {
            args,
            session,
            cache: &cache,
            scope,
        };
        watch.iterate(watcher, &events)
    })
}

/// The inputs of all iterations.
#[derive(Clone, Copy)]
struct Watch<'scope, 'env> {
    args: &'scope RunArgs,
    session: &'scope Session,
    cache: &'scope ResultCache,
    scope: &'scope Scope<'scope, 'env>,
}

impl<'scope> Watch<'scope, '_> {
    fn iterate(self, mut watcher: Watcher, events: &Receiver<FileEvent>) -> anyhow::Result<Exit> {
        let mut pending = Some(Debounce::already_over(Instant::now()));
        let mut running: Option<Running<'scope>> = None;
        let mut has_missed_events = false;
        loop {
            if self.session.cancel.is_cancelled() {
                // The scope waits for the iteration; its child processes are killed at once.
                running.iter().for_each(|running| running.cancel.cancel());
                anyhow::bail!("interrupted");
            }
            if let Some(ended) = running.take_if(|running| running.thread.is_finished()) {
                let panicked = ended.thread.join().is_err();
                anyhow::ensure!(!panicked, "an iteration of `watch` panicked");
                if std::mem::take(&mut has_missed_events) {
                    Debounce::add(&mut pending, Instant::now());
                }
            }
            match next(pending.as_ref(), running.is_some(), Instant::now()) {
                Next::Wait => {}
                Next::Cancel => running
                    .iter()
                    .for_each(|running| running.cancel(self.session)),
                Next::Begin => {
                    let since = pending.take().map(|debounce| debounce.first);
                    running = Some(self.begin(since.unwrap_or_else(Instant::now), &mut watcher)?);
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
    fn begin(self, since: Instant, watcher: &mut Watcher) -> anyhow::Result<Running<'scope>> {
        for text in watcher.renew()? {
            self.session.note(text);
        }
        let cancel = Cancel::new();
        let session = self.session.with_cancel(cancel.clone());
        let (args, cache) = (self.args, self.cache);
        let thread = std::thread::Builder::new()
            .name("iteration".to_owned())
            .spawn_scoped(self.scope, move || run_once(since, args, &session, cache))
            .context("cannot start a thread")?;
        Ok(Running { cancel, thread })
    }
}

/// An iteration that is running.
struct Running<'scope> {
    cancel: Cancel,
    thread: ScopedJoinHandle<'scope, ()>,
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

/// Tests the current files and prints the result; prints nothing if it is cancelled.
fn run_once(since: Instant, args: &RunArgs, session: &Session, cache: &ResultCache) {
    let tested = test_files(args, session, cache);
    session.observer.clear();
    if session.cancel.is_cancelled() {
        cache.printed_error();
        return;
    }
    let iteration = match &tested {
        Ok(None) => Iteration::Unaffected,
        Ok(Some(run)) => Iteration::Judged {
            jobs: &run.result.jobs,
            took: since.elapsed(),
            parts: &run.times,
            not_tested: run.result.not_tested(),
        },
        Err(error) => {
            cache.printed_error();
            report::error_to_stderr(&message(error));
            Iteration::Failed
        }
    };
    report::line_to_stderr(&line(&result_cache::now("%H:%M:%S"), &iteration));
}

/// Tests the current files; `None` if the last printed result was of the same inputs.
fn test_files(
    args: &RunArgs,
    session: &Session,
    cache: &ResultCache,
) -> anyhow::Result<Option<Finished>> {
    let request = Request::look_up(&args.options, session)?;
    let finished = run::run_changed(&request, &args.options, None, Some(cache), session)?;
    if let Some(Finished {
        result,
        plan,
        folder,
        ..
    }) = &finished
    {
        session.observer.clear();
        let analyses = Analyses::new(folder, BTreeMap::new());
        show::run(result, None, plan, &args.show, (folder, &analyses), session)?;
    }
    Ok(finished)
}

/// A group of saves that follow each other quickly: an editor writes a temporary file and
/// renames it, and git writes many files.
#[derive(Clone, Debug)]
struct Debounce {
    first: Instant,
    last: Instant,
}

impl Debounce {
    /// Returns a group that began at `since` and is over.
    fn already_over(since: Instant) -> Self {
        Self {
            first: since,
            last: since.checked_sub(PAUSE).unwrap_or(since),
        }
    }

    /// Adds a save at `now` to the group, or begins a group.
    fn add(debounce: &mut Option<Self>, now: Instant) {
        let first = debounce.as_ref().map_or(now, |debounce| debounce.first);
        *debounce = Some(Self { first, last: now });
    }

    /// Returns whether the group has ended.
    fn is_over(&self, now: Instant) -> bool {
        now >= (self.last + PAUSE).min(self.first + LENGTH_MAX)
    }
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

    #[test]
    fn is_over_after_a_pause_or_at_the_maximum_length() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut debounce = None;
        Debounce::add(&mut debounce, start);
        Debounce::add(&mut debounce, after(90));
        let group = debounce.clone().unwrap();
        assert!(!group.is_over(after(100)));
        assert!(!group.is_over(after(189)));
        assert!(group.is_over(after(190)));
        assert_eq!(group.first, start);
        for millis in (100..1990).step_by(50) {
            Debounce::add(&mut debounce, after(millis));
            assert!(!debounce.as_ref().unwrap().is_over(after(millis + 1)));
        }
        assert!(debounce.unwrap().is_over(after(2000)));
    }

    #[test]
    fn is_over_is_true_at_once_for_already_over() {
        let now = Instant::now();
        assert!(Debounce::already_over(now).is_over(now));
    }
}
