// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the kernel's reports in the lines of a log. The lines of each writer (a task, or
//! the interrupts of a CPU) are read separately, so that reports of two writers may be
//! interleaved; a console without callers counts as one writer. Each line is compared a
//! bounded number of times.

use std::collections::HashMap;

use super::draft::Draft;
use super::heading::{Heading, heading, is_announcement, is_cut};
use super::line::{Caller, Line};
use super::selftest::{Candidate, Suites, is_loss};

/// Largest number of splats in one log.
const SPLATS_MAX: usize = 500;
/// The first line of a backtrace that another CPU requested by NMI.
const NMI_BACKTRACE: &str = "NMI backtrace for cpu";
/// Largest number of nested reports of one writer.
const NESTING_MAX: usize = 4;

/// The reports in a log.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The splats, in the order of their first lines.
    pub(super) drafts: Vec<Draft>,
    /// The reports that the kernel's self-tests provoked.
    pub(super) provoked: Vec<Draft>,
    /// Whether the log has more than `SPLATS_MAX` reports.
    pub(super) is_cut: bool,
    /// The number of comparisons of a line with a splat: a few per line at most.
    pub(super) comparisons: usize,
}

/// Finds all splats.
pub(super) fn find(lines: &[Line]) -> Found {
    let mut finder = Finder::default();
    let mut boot = 0;
    for (index, line) in lines.iter().enumerate() {
        if line.boot != boot {
            boot = line.boot;
            finder.next_boot();
        }
        if is_loss(&line.text) {
            finder.lose(index);
        } else if !line.from_userspace {
            finder.line(line, index);
        }
    }
    finder.finish(lines)
}

#[derive(Debug, Default)]
struct Finder {
    found: Found,
    /// For each writer the drafts that still take lines, innermost last.
    open: HashMap<Option<Caller>, Vec<usize>>,
    /// The draft whose writer requested backtraces of other CPUs.
    nmi_sender: Option<usize>,
    /// The last line that may describe the object of the next report, and its writer.
    announcement: Option<(Option<Caller>, usize)>,
    suites: Suites,
    /// Drafts that a self-test may have provoked.
    candidates: HashMap<usize, Candidate>,
    /// The draft that continues after the last loss of messages.
    rest: Option<usize>,
}

impl Finder {
    fn next_boot(&mut self) {
        self.open.clear();
        self.nmi_sender = None;
        self.announcement = None;
        self.suites.next_boot();
        self.rest = None;
    }

    /// The console reports lost messages: the next lines may belong to another report.
    fn lose(&mut self, index: usize) {
        self.suites.lose(index);
        if let Some(number) = self.rest.take() {
            self.found.drafts[number].end();
        }
    }

    fn line(&mut self, line: &Line, index: usize) {
        let text = line.text.as_str();
        if self.suites.line(line) {
            return;
        }
        let mut open = self.open.remove(&line.caller).unwrap_or_default();
        let announced = self.announced(line.caller, text);
        let is_taken = match heading(text) {
            Some(heading) => {
                self.heading(&mut open, heading, text, index, announced);
                true
            }
            None => self.body(&mut open, text, index) || self.rest(&mut open, line, index),
        };
        if !is_taken && is_announcement(text) {
            self.announcement = Some((line.caller, index));
        }
        if !open.is_empty() {
            self.open.insert(line.caller, open);
        }
    }

    /// Returns the line of this writer that directly precedes a report and describes its
    /// object. A separator line between the two is ignored.
    fn announced(&mut self, caller: Option<Caller>, text: &str) -> Option<usize> {
        let (by, index) = self.announcement?;
        if by != caller || text.starts_with("=====") {
            return None;
        }
        self.announcement = None;
        Some(index)
    }

    fn heading(
        &mut self,
        open: &mut Vec<usize>,
        heading: Heading,
        text: &str,
        index: usize,
        announced: Option<usize>,
    ) {
        while let Some(&top) = open.last() {
            self.found.comparisons += 1;
            let draft = &mut self.found.drafts[top];
            if draft.takes_heading(heading, text, index) {
                return;
            }
            if !draft.is_complete() {
                break;
            }
            open.pop();
        }
        if self.found.drafts.len() == SPLATS_MAX {
            self.found.is_cut = true;
            return;
        }
        let number = self.found.drafts.len();
        if let Some(candidate) = self.suites.candidate(text) {
            self.candidates.insert(number, candidate);
        }
        let mut draft = Draft::new(heading, text, index);
        draft.announcement = announced.filter(|_| is_cut(text) || text.starts_with("BUG "));
        self.found.drafts.push(draft);
        self.nest(open, number);
    }

    /// Adds a line to the splat that it is part of. Returns whether there is such a splat.
    fn body(&mut self, open: &mut Vec<usize>, text: &str, index: usize) -> bool {
        if text.starts_with(NMI_BACKTRACE) && self.backtrace(open, text, index) {
            return true;
        }
        while let Some(&top) = open.last() {
            self.found.comparisons += 1;
            if self.found.drafts[top].takes(text, index) {
                if text.starts_with("Sending NMI from CPU") {
                    self.nmi_sender = Some(top);
                }
                return true;
            }
            if self.found.drafts[top].waits() {
                return false;
            }
            open.pop();
        }
        false
    }

    /// Begins a draft for the rest of a self-test's report whose first lines the console
    /// lost.
    fn rest(&mut self, open: &mut Vec<usize>, line: &Line, index: usize) -> bool {
        if !open.is_empty() || self.found.drafts.len() == SPLATS_MAX {
            return false;
        }
        let Some(candidate) = self.suites.rest(line) else {
            return false;
        };
        let number = self.found.drafts.len();
        self.candidates.insert(number, candidate);
        self.found.drafts.push(Draft::rest(index));
        self.rest = Some(number);
        open.push(number);
        true
    }

    /// Adds the backtrace of another CPU to the report that requested it. The CPU itself
    /// may be in the middle of a report.
    fn backtrace(&mut self, open: &mut Vec<usize>, text: &str, index: usize) -> bool {
        let Some(sender) = self.nmi_sender.filter(|sender| !open.contains(sender)) else {
            return false;
        };
        if !self.found.drafts[sender].takes(text, index) {
            return false;
        }
        self.nest(open, sender);
        true
    }

    /// Makes a draft the innermost open draft of a writer.
    fn nest(&mut self, open: &mut Vec<usize>, number: usize) {
        if let Some(&outer) = open.last() {
            self.found.drafts[outer].interrupt();
        }
        if open.len() == NESTING_MAX {
            open.remove(0);
        }
        open.push(number);
    }

    fn finish(mut self, lines: &[Line]) -> Found {
        for draft in &mut self.found.drafts {
            draft.finish();
        }
        let is_provoked = |number: usize, draft: &Draft| {
            let candidate = self.candidates.get(&number);
            candidate.is_some_and(|candidate| self.suites.has_provoked(*candidate, draft, lines))
        };
        let mut found = Found {
            is_cut: self.found.is_cut,
            comparisons: self.found.comparisons,
            ..Found::default()
        };
        for (number, draft) in self.found.drafts.into_iter().enumerate() {
            if is_provoked(number, &draft) {
                found.provoked.push(draft);
            } else if !draft.is_dropped() {
                found.drafts.push(draft);
            }
        }
        found
    }
}
