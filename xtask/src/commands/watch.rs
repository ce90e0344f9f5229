// SPDX-License-Identifier: GPL-2.0-only
//! `watch`: the author's loop. Judges like `test`, then again on every save, and
//! runs only the jobs that rest on what was saved.
//!
//! A save is a reason to look, never more: what it changed is told by content. A
//! save while jobs run ends them, since they run on what is not there any more.

mod debounce;
mod iteration;
mod result_cache;
mod watched_paths;
mod watcher;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Event, Observer};

use self::debounce::Debounce;
use self::result_cache::ResultCache;
use self::watcher::{News, Watcher};
use crate::checkouts::MutantsWanted;
use crate::cli::TestArgs;
use crate::commands::doctor;
use crate::exit::{Exit, bad_input};
use crate::program;
use crate::render;
use crate::session::Session;

/// How often Ctrl-C and the end of a iteration are looked for.
const TICK: Duration = Duration::from_millis(20);

/// Judges again and again until the user ends it, which is how it always ends.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    if let Some(out) = &args.out {
        return Err(bad_input(
            format!("`watch` does not take `--out {out}`"),
            "every iteration has a run folder of its own; `latest` beside them is the newest",
        ));
    }
    if args.no_self_check {
        return Err(bad_input(
            "`watch` does not take `--no-self-check`",
            format!(
                "it has no kernel show that its reports are seen; it only tells what \
                 `{} test` had them show",
                program::name()
            ),
        ));
    }
    if MutantsWanted::take_from(&args.source.checkouts).0 != MutantsWanted::None {
        return Err(bad_input(
            "`watch` does not take mutants",
            format!(
                "`{} test --checkouts mutants` judges them, once the series is as it should be",
                program::name()
            ),
        ));
    }
    watched_paths::check_words(args, session)?;
    if args.dry_run {
        return crate::commands::test::run(args, session);
    }
    doctor::require(args.install, session)?;
    let (mut watcher, news) = Watcher::open(watched_paths::watched_paths(args, session)?)?;
    let result_cache = ResultCache::default();
    std::thread::scope(|scope| turns(args, session, &result_cache, &mut watcher, &news, scope))
}

/// A iteration under way.
struct Running<'scope> {
    cancel: Cancel,
    thread: ScopedJoinHandle<'scope, ()>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Wait,
    /// End the iteration that runs: what it runs on is not there any more.
    Abandon,
    Begin,
}

/// Decides by whether a debounce of saves is over, and whether a iteration runs.
fn next(pending: Option<&Debounce>, is_running: bool, now: Instant) -> Next {
    match pending {
        Some(debounce) if debounce.is_over(now) && is_running => Next::Abandon,
        Some(debounce) if debounce.is_over(now) => Next::Begin,
        _ => Next::Wait,
    }
}

fn turns<'scope>(
    args: &'scope TestArgs,
    session: &'scope Session,
    result_cache: &'scope ResultCache,
    watcher: &mut Watcher,
    news: &Receiver<News>,
    scope: &'scope Scope<'scope, '_>,
) -> anyhow::Result<Exit> {
    let mut pending = Some(Debounce::long_over(Instant::now()));
    let mut running: Option<Running<'scope>> = None;
    let mut look_after_it = false;
    loop {
        if session.cancel.is_cancelled() {
            // The scope waits for the iteration; its children die at once.
            running
                .iter()
                .for_each(|iteration| iteration.cancel.cancel());
            anyhow::bail!("interrupted");
        }
        if let Some(iteration) = running.take_if(|iteration| iteration.thread.is_finished()) {
            let panicked = iteration.thread.join().is_err();
            anyhow::ensure!(!panicked, "a iteration of `watch` fell over");
            if std::mem::take(&mut look_after_it) {
                Debounce::add(&mut pending, Instant::now());
            }
        }
        match next(pending.as_ref(), running.is_some(), Instant::now()) {
            Next::Wait => {}
            Next::Abandon => running
                .iter()
                .for_each(|iteration| iteration.abandon(session)),
            Next::Begin => {
                let since = pending
                    .take()
                    .map_or_else(Instant::now, |debounce| debounce.since());
                running = Some(begin(since, args, session, result_cache, watcher, scope)?);
            }
        }
        match news.recv_timeout(TICK) {
            // No reason to end a iteration, but one to look again when it is over.
            Ok(News::Missed) if running.is_some() => look_after_it = true,
            Ok(News::Saved | News::Missed) => Debounce::add(&mut pending, Instant::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                anyhow::bail!("files are not watched any more");
            }
        }
    }
}

/// Begins a iteration. What is saved from here on is news again, so that nothing falls
/// between what this iteration reads and what it is told.
fn begin<'scope>(
    since: Instant,
    args: &'scope TestArgs,
    session: &'scope Session,
    result_cache: &'scope ResultCache,
    watcher: &mut Watcher,
    scope: &'scope Scope<'scope, '_>,
) -> anyhow::Result<Running<'scope>> {
    for text in watcher.renew()? {
        session.progress.event(Event::Note { text });
    }
    let cancel = Cancel::new();
    let own = session.with_cancel(cancel.clone());
    let thread = std::thread::Builder::new()
        .name("iteration".to_owned())
        .spawn_scoped(scope, move || {
            iteration::run(since, args, &own, result_cache)
        })
        .context("cannot start a thread")?;
    Ok(Running { cancel, thread })
}

impl Running<'_> {
    fn abandon(&self, session: &Session) {
        if !self.cancel.is_cancelled() {
            self.cancel.cancel();
            session.progress.clear();
            render::line_to_stderr("saved again: beginning anew");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_begins_when_saves_are_over_and_ends_the_one_before() {
        let now = Instant::now();
        let over = Debounce::long_over(now);
        let mut fresh = None;
        Debounce::add(&mut fresh, now);
        assert_eq!(next(None, false, now), Next::Wait);
        assert_eq!(next(None, true, now), Next::Wait);
        assert_eq!(next(fresh.as_ref(), true, now), Next::Wait);
        assert_eq!(next(fresh.as_ref(), false, now), Next::Wait);
        assert_eq!(next(Some(&over), false, now), Next::Begin);
        assert_eq!(next(Some(&over), true, now), Next::Abandon);
    }
}
