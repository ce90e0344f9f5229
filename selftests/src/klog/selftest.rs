// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's own tests of its sanitizers bring reports about on purpose, and find out
//! themselves whether those came. Knows the suites by what KUnit prints, and a report as
//! theirs by who wrote it: only a console that shows levels and callers can tell.

use std::collections::HashSet;

use super::draft::Draft;
use super::heading::End;
use super::line::Line;
use super::prefix::Caller;
use super::trace::is_end;

/// Suites that make sanitizers report, and how those reports begin. An object that
/// KASAN's suite spoils may be one that KFENCE watches.
const SUITES: [(&str, &[&str]); 4] = [
    ("kasan", &["BUG: KASAN: ", "BUG: KFENCE: "]),
    ("kfence", &["BUG: KFENCE: "]),
    ("kcsan", &["BUG: KCSAN: "]),
    ("kmsan", &["BUG: KMSAN: "]),
];
/// What a suite begins with. What a test with parameters begins with stands further in.
const BEGINS: &str = "    # Subtest: ";
/// The task in which KUnit runs a test.
const TASK: &str = "kunit_try_catch";
/// What calls the test there, and what calls that.
const FRAMES: [&str; 2] = [
    "kunit_try_run_case+0x",
    "kunit_generic_run_threadfn_adapter+0x",
];

/// All runs of suites, and the one that goes on.
#[derive(Debug, Default)]
pub(super) struct Suites {
    runs: Vec<Run>,
    running: Option<usize>,
    /// The numbers of the lines by which the console says that it lost messages.
    losses: Vec<usize>,
    /// Whether it lost some since, and nobody went on behind them yet.
    has_lost: bool,
}

/// A suite that makes sanitizers report, from its beginning to its end.
#[derive(Debug)]
struct Run {
    name: &'static str,
    reports: &'static [&'static str],
    /// Tasks that have said that they are KUnit's.
    tasks: HashSet<u32>,
    has_ended: bool,
}

/// A splat that a suite may have brought about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    run: usize,
    /// Whether the console lost how it began.
    is_rest: bool,
}

/// Whether the console says here that it lost messages.
pub(super) fn is_loss(text: &str) -> bool {
    text.starts_with("** ") && text.ends_with(" printk messages dropped **")
}

impl Suites {
    /// Another kernel begins.
    pub(super) fn next_boot(&mut self) {
        self.running = None;
    }

    /// The console says with line `index` that it lost messages.
    pub(super) fn lose(&mut self, index: usize) {
        self.losses.push(index);
        self.has_lost = true;
    }

    /// Reads a line of the kernel's. Returns whether it is one of KUnit itself in such a
    /// suite, and so of no report.
    pub(super) fn line(&mut self, line: &Line) -> bool {
        let text = line.text.as_str();
        if line.level.is_none() {
            return false;
        }
        if let Some(name) = text.strip_prefix(BEGINS) {
            self.begin(name);
        }
        let Some(run) = self.running.and_then(|number| self.runs.get_mut(number)) else {
            return false;
        };
        if is_result_of(text, run.name) {
            run.has_ended = true;
            self.running = None;
            return true;
        }
        if let Some(Caller::Task(task)) = line.caller
            && reporter(text) == Some((TASK, task))
        {
            run.tasks.insert(task);
        }
        is_of_kunit(text)
    }

    /// One that begins before another has ended ends it without a result.
    fn begin(&mut self, name: &str) {
        self.has_lost = false;
        let suite = SUITES.iter().find(|(suite, _)| *suite == name);
        self.running = suite.map(|(name, reports)| {
            self.runs.push(Run {
                name,
                reports,
                tasks: HashSet::new(),
                has_ended: false,
            });
            self.runs.len() - 1
        });
    }

    /// Whether the report that begins so is what the running suite is about.
    pub(super) fn candidate(&self, heading: &str) -> Option<Candidate> {
        let run = self.running?;
        let mut reports = self.runs[run].reports.iter();
        reports
            .any(|begins| heading.starts_with(begins))
            .then_some(Candidate {
                run,
                is_rest: false,
            })
    }

    /// Whether this line, which is of no known report, may go on with one of the
    /// running suite behind what the console lost.
    pub(super) fn rest(&mut self, line: &Line) -> Option<Candidate> {
        let run = self.running?;
        let is_rest = self.has_lost && line.is_warning();
        is_rest.then(|| {
            self.has_lost = false;
            Candidate { run, is_rest }
        })
    }

    /// Whether a candidate is what its suite brought about: that came to its end, and one
    /// of its tests did it.
    pub(super) fn has_made(&self, candidate: Candidate, draft: &Draft, lines: &[Line]) -> bool {
        let run = &self.runs[candidate.run];
        let texts = || draft.lines.iter().map(|index| lines[*index].text.as_str());
        let (is_known, is_shown) = match lines[draft.lines[0]].caller {
            Some(Caller::Task(task)) => (run.tasks.contains(&task), texts().any(is_frame)),
            // Whom an interrupt interrupts says nothing, but whose memory it is about does.
            Some(Caller::Cpu(_)) => {
                let mut history = texts().skip_while(|text| !begins_history(text));
                (false, draft.is_whole() && history.any(is_frame))
            }
            None => (false, false),
        };
        let is_of_test = is_known || is_shown && !self.is_broken(draft);
        let has_end = || {
            texts()
                .next_back()
                .is_some_and(|text| is_end(End::DoubleRule, text))
        };
        let is_nobodys = candidate.is_rest && has_end() && !texts().any(is_of_other);
        run.has_ended && (is_of_test || is_nobodys)
    }

    /// Whether messages were lost between the first line and the last: it may be made of
    /// what two reports say.
    fn is_broken(&self, draft: &Draft) -> bool {
        let (first, last) = (draft.lines[0], draft.lines[draft.lines.len() - 1]);
        let next = self.losses.partition_point(|loss| *loss < first);
        self.losses.get(next).is_some_and(|loss| *loss < last)
    }
}

/// `ok 3 kasan`, and `# kasan: pass:61 fail:0 skip:17 total:78` before it.
fn is_result_of(text: &str, suite: &str) -> bool {
    let totals = text
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_prefix(suite));
    let ends = text.starts_with("ok ") || text.starts_with("not ok ");
    let name = text.rsplit(' ').next();
    totals.is_some_and(|rest| rest.starts_with(": pass:")) || ends && name == Some(suite)
}

/// Whether this is KUnit's own way to talk.
fn is_of_kunit(text: &str) -> bool {
    let text = text.trim_start();
    let begins = ["# ", "ok ", "not ok ", "KTAP version "];
    begins.iter().any(|begins| text.starts_with(begins))
}

/// Whom a report is about, by name and number: `Read of size 1 at addr ffff888102a3f073
/// by task test/40`, `CPU: 1 UID: 0 PID: 40 Comm: test Not tainted 7.3.4 #1`.
fn reporter(text: &str) -> Option<(&str, u32)> {
    let (name, number) = if text.starts_with("CPU: ") {
        let (number, name) = text.split_once(" PID: ")?.1.split_once(" Comm: ")?;
        let name = name.split(" Tainted: ").next()?;
        (name.split(" Not tainted ").next()?, number)
    } else {
        let (_, task) = text.split_once(" addr ")?.1.split_once(" by task ")?;
        task.rsplit_once('/')?
    };
    Some((name, number.parse().ok()?))
}

/// Whether a report is about somebody else than a task of KUnit's.
fn is_of_other(text: &str) -> bool {
    reporter(text).is_some_and(|(name, _)| name != TASK)
}

fn is_frame(text: &str) -> bool {
    let text = text.trim_start();
    FRAMES.iter().any(|frame| text.starts_with(frame))
}

/// Whether what follows tells where an object comes from: `Allocated by task 102:`.
fn begins_history(text: &str) -> bool {
    text.starts_with("Allocated by task ") || text.starts_with("allocated by task ")
}

#[cfg(test)]
mod tests;
