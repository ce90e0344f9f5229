// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's KUnit suites of its sanitizers provoke reports on purpose, and check
//! themselves that the reports are printed. Such reports are not splats. The suites are
//! recognised by the output of KUnit, and their reports by the caller, so the console
//! must show levels and callers.

use std::collections::HashSet;

use super::draft::Draft;
use super::heading::{End, is_end};
use super::line::{Caller, Line};

/// The suites that provoke sanitizer reports, and the first words of these reports. An
/// object that KASAN's suite corrupts may be a KFENCE object.
const SUITES: [(&str, &[&str]); 4] = [
    ("kasan", &["BUG: KASAN: ", "BUG: KFENCE: "]),
    ("kfence", &["BUG: KFENCE: "]),
    ("kcsan", &["BUG: KCSAN: "]),
    ("kmsan", &["BUG: KMSAN: "]),
];
/// The first line of a suite. The first line of a parameterised test is indented further.
const SUBTEST: &str = "    # Subtest: ";
/// The name of the task in which KUnit runs a test.
const TASK: &str = "kunit_try_catch";
/// The callers of the test in that task.
const FRAMES: [&str; 2] = [
    "kunit_try_run_case+0x",
    "kunit_generic_run_threadfn_adapter+0x",
];

/// All runs of suites, and the current run.
#[derive(Debug, Default)]
pub(super) struct Suites {
    runs: Vec<Run>,
    running: Option<usize>,
    /// The indices of the lines that report lost messages.
    losses: Vec<usize>,
    /// Whether messages were lost and no draft continues after the loss yet.
    has_loss: bool,
}

/// One run of a suite.
#[derive(Debug)]
struct Run {
    name: &'static str,
    reports: &'static [&'static str],
    /// The tasks of KUnit that wrote reports.
    tasks: HashSet<u32>,
    has_ended: bool,
}

/// A splat that a suite may have provoked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    run: usize,
    /// Whether the console lost its first lines.
    is_rest: bool,
}

/// Returns whether this line reports lost messages.
pub(super) fn is_loss(text: &str) -> bool {
    text.starts_with("** ") && text.ends_with(" printk messages dropped **")
}

impl Suites {
    /// Ends the current run, because another kernel boots.
    pub(super) fn next_boot(&mut self) {
        self.running = None;
    }

    /// Records that line `index` reports lost messages.
    pub(super) fn lose(&mut self, index: usize) {
        self.losses.push(index);
        self.has_loss = true;
    }

    /// Reads a line of the kernel. Returns whether it is output of KUnit in a run of a
    /// suite, and therefore not part of a report.
    pub(super) fn line(&mut self, line: &Line) -> bool {
        let text = line.text.as_str();
        if line.level.is_none() {
            return false;
        }
        if let Some(name) = text.strip_prefix(SUBTEST) {
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
            && task_of(text) == Some((TASK, task))
        {
            run.tasks.insert(task);
        }
        is_kunit_output(text)
    }

    /// Begins a run. A run that has no result yet ends without a result.
    fn begin(&mut self, name: &str) {
        self.has_loss = false;
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

    /// Returns a candidate if the running suite provokes reports with this first line.
    pub(super) fn candidate(&self, heading: &str) -> Option<Candidate> {
        let run = self.running?;
        let mut reports = self.runs[run].reports.iter();
        reports
            .any(|start| heading.starts_with(start))
            .then_some(Candidate {
                run,
                is_rest: false,
            })
    }

    /// Returns a candidate if this line, which belongs to no known report, may continue a
    /// report of the running suite after a loss of messages.
    pub(super) fn rest(&mut self, line: &Line) -> Option<Candidate> {
        let run = self.running?;
        let is_rest = self.has_loss && line.is_warning();
        is_rest.then(|| {
            self.has_loss = false;
            Candidate { run, is_rest }
        })
    }

    /// Returns whether a candidate was provoked by its suite: the suite has a result, and
    /// one of its tests caused the report.
    pub(super) fn has_provoked(&self, candidate: Candidate, draft: &Draft, lines: &[Line]) -> bool {
        let run = &self.runs[candidate.run];
        let texts = || draft.lines.iter().map(|index| lines[*index].text.as_str());
        let (by_task, by_stack) = match lines[draft.lines[0]].caller {
            Some(Caller::Task(task)) => (run.tasks.contains(&task), texts().any(is_frame)),
            // In interrupt context the current task is unrelated; the history of the object
            // (allocation, free) is compared instead.
            Some(Caller::Cpu(_)) => {
                let mut history = texts().skip_while(|text| !begins_history(text));
                (false, draft.is_complete() && history.any(is_frame))
            }
            None => (false, false),
        };
        let is_of_test = by_task || by_stack && !self.has_loss_in(draft);
        let has_end = || {
            texts()
                .next_back()
                .is_some_and(|text| is_end(End::DoubleRule, text))
        };
        let is_anonymous = candidate.is_rest && has_end() && !texts().any(names_other_task);
        run.has_ended && (is_of_test || is_anonymous)
    }

    /// Returns whether messages were lost between its first and its last line. Such a draft
    /// may consist of parts of two reports.
    fn has_loss_in(&self, draft: &Draft) -> bool {
        let (first, last) = (draft.lines[0], draft.lines[draft.lines.len() - 1]);
        let next = self.losses.partition_point(|loss| *loss < first);
        self.losses.get(next).is_some_and(|loss| *loss < last)
    }
}

/// Matches `ok 3 kasan`, and `# kasan: pass:61 fail:0 skip:17 total:78` before it.
fn is_result_of(text: &str, suite: &str) -> bool {
    let totals = text
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_prefix(suite));
    let ends = text.starts_with("ok ") || text.starts_with("not ok ");
    let name = text.rsplit(' ').next();
    totals.is_some_and(|rest| rest.starts_with(": pass:")) || ends && name == Some(suite)
}

/// Returns whether this line is output of KUnit.
fn is_kunit_output(text: &str) -> bool {
    let text = text.trim_start();
    let starts = ["# ", "ok ", "not ok ", "KTAP version "];
    starts.iter().any(|start| text.starts_with(start))
}

/// Returns the name and PID of the task in a line of a report: `Read of size 1 at addr
/// ffff888102a3f073 by task test/40` or `CPU: 1 UID: 0 PID: 40 Comm: test Not tainted 7.3.4
/// #1`.
fn task_of(text: &str) -> Option<(&str, u32)> {
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

/// Returns whether a line names a task that does not belong to KUnit.
fn names_other_task(text: &str) -> bool {
    task_of(text).is_some_and(|(name, _)| name != TASK)
}

fn is_frame(text: &str) -> bool {
    let text = text.trim_start();
    FRAMES.iter().any(|frame| text.starts_with(frame))
}

/// Returns whether the history of an object begins here: `Allocated by task 102:`.
fn begins_history(text: &str) -> bool {
    text.starts_with("Allocated by task ") || text.starts_with("allocated by task ")
}

#[cfg(test)]
mod tests;
