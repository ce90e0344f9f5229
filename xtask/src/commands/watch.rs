// SPDX-License-Identifier: GPL-2.0-only
//! `watch`: the author's loop. Judges like `test`, then again on every save, and
//! runs only the cells that rest on what was saved.
//!
//! A save is a reason to look, never more: what it changed is told by content. A
//! save while cells run ends them, since they run on what is not there any more.

mod burst;
mod eyes;
mod memory;
mod roots;
mod turn;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Event, Observer};

use self::burst::Burst;
use self::eyes::{Eyes, News};
use self::memory::Memory;
use crate::cli::TestArgs;
use crate::commands::doctor;
use crate::exit::{Exit, bad_input};
use crate::program;
use crate::render;
use crate::session::Session;
use crate::stacks::MutantsWanted;

/// How often Ctrl-C and the end of a turn are looked for.
const TICK: Duration = Duration::from_millis(20);

/// Judges again and again until the user ends it, which is how it always ends.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    if let Some(out) = &args.out {
        return Err(bad_input(
            format!("`watch` does not take `--out {out}`"),
            "every turn has a run folder of its own; `latest` beside them is the newest",
        ));
    }
    if args.no_canaries {
        return Err(bad_input(
            "`watch` does not take `--no-canaries`",
            format!(
                "it has no kernel show that its complaints are seen; it only tells what \
                 `{} test` had them show",
                program::name()
            ),
        ));
    }
    if MutantsWanted::take_from(&args.source.stacks).0 != MutantsWanted::None {
        return Err(bad_input(
            "`watch` does not take mutants",
            format!(
                "`{} test --stacks mutants` judges them, once the series is as it should be",
                program::name()
            ),
        ));
    }
    roots::check_words(args, session)?;
    if args.dry_run {
        return crate::commands::test::run(args, session);
    }
    doctor::require(args.install, session)?;
    let (mut eyes, news) = Eyes::open(roots::roots(args, session)?)?;
    let memory = Memory::default();
    std::thread::scope(|scope| turns(args, session, &memory, &mut eyes, &news, scope))
}

/// A turn under way.
struct Running<'scope> {
    cancel: Cancel,
    thread: ScopedJoinHandle<'scope, ()>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Wait,
    /// End the turn that runs: what it runs on is not there any more.
    Abandon,
    Begin,
}

/// Decides by whether a burst of saves is over, and whether a turn runs.
fn next(pending: Option<&Burst>, is_running: bool, now: Instant) -> Next {
    match pending {
        Some(burst) if burst.is_over(now) && is_running => Next::Abandon,
        Some(burst) if burst.is_over(now) => Next::Begin,
        _ => Next::Wait,
    }
}

fn turns<'scope>(
    args: &'scope TestArgs,
    session: &'scope Session,
    memory: &'scope Memory,
    eyes: &mut Eyes,
    news: &Receiver<News>,
    scope: &'scope Scope<'scope, '_>,
) -> anyhow::Result<Exit> {
    let mut pending = Some(Burst::long_over(Instant::now()));
    let mut running: Option<Running<'scope>> = None;
    let mut look_after_it = false;
    loop {
        if session.cancel.is_cancelled() {
            // The scope waits for the turn; its children die at once.
            running.iter().for_each(|turn| turn.cancel.cancel());
            anyhow::bail!("interrupted");
        }
        if let Some(turn) = running.take_if(|turn| turn.thread.is_finished()) {
            let panicked = turn.thread.join().is_err();
            anyhow::ensure!(!panicked, "a turn of `watch` fell over");
            if std::mem::take(&mut look_after_it) {
                Burst::add(&mut pending, Instant::now());
            }
        }
        match next(pending.as_ref(), running.is_some(), Instant::now()) {
            Next::Wait => {}
            Next::Abandon => running.iter().for_each(|turn| turn.abandon(session)),
            Next::Begin => {
                let since = pending
                    .take()
                    .map_or_else(Instant::now, |burst| burst.since());
                running = Some(begin(since, args, session, memory, eyes, scope)?);
            }
        }
        match news.recv_timeout(TICK) {
            // No reason to end a turn, but one to look again when it is over.
            Ok(News::Missed) if running.is_some() => look_after_it = true,
            Ok(News::Saved | News::Missed) => Burst::add(&mut pending, Instant::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                anyhow::bail!("files are not watched any more");
            }
        }
    }
}

/// Begins a turn. What is saved from here on is news again, so that nothing falls
/// between what this turn reads and what it is told.
fn begin<'scope>(
    since: Instant,
    args: &'scope TestArgs,
    session: &'scope Session,
    memory: &'scope Memory,
    eyes: &mut Eyes,
    scope: &'scope Scope<'scope, '_>,
) -> anyhow::Result<Running<'scope>> {
    for text in eyes.renew()? {
        session.progress.event(Event::Note { text });
    }
    let cancel = Cancel::new();
    let own = session.with_cancel(cancel.clone());
    let thread = std::thread::Builder::new()
        .name("turn".to_owned())
        .spawn_scoped(scope, move || turn::run(since, args, &own, memory))
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
        let over = Burst::long_over(now);
        let mut fresh = None;
        Burst::add(&mut fresh, now);
        assert_eq!(next(None, false, now), Next::Wait);
        assert_eq!(next(None, true, now), Next::Wait);
        assert_eq!(next(fresh.as_ref(), true, now), Next::Wait);
        assert_eq!(next(fresh.as_ref(), false, now), Next::Wait);
        assert_eq!(next(Some(&over), false, now), Next::Begin);
        assert_eq!(next(Some(&over), true, now), Next::Abandon);
    }
}
