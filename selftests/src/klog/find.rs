// SPDX-License-Identifier: GPL-2.0-only
//! Finds the kernel's reports among the lines of a log. Each writer (a task, or the
//! interrupts of a processor) is read by itself, so that two who write at once do not
//! tear one another's splats; a console that does not show who writes has one writer.
//! Each line is looked at a bounded number of times.

use std::collections::HashMap;

use super::draft::Draft;
use super::heading::{Heading, heading, is_cut};
use super::line::Line;
use super::prefix::Caller;
use super::selftest::{Candidate, Suites, is_loss};
use super::trace::is_announcement;

/// Splats that are kept of one log.
const SPLATS_MAX: usize = 500;
/// What a processor begins with that says what it does because another asked.
const ANSWER: &str = "NMI backtrace for cpu";
/// Reports of one writer that stand inside one another.
const NESTING_MAX: usize = 4;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The splats in order of their first lines.
    pub(super) drafts: Vec<Draft>,
    /// Those that the kernel's own tests brought about.
    pub(super) staged: Vec<Draft>,
    /// Whether there are more than are kept.
    pub(super) is_cut: bool,
    /// How often a line was held against a splat: a few times a line at most.
    pub(super) looks: usize,
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
    /// For each writer the drafts that still take lines, the innermost last.
    open: HashMap<Option<Caller>, Vec<usize>>,
    /// The draft whose writer asked other processors what they do.
    asks: Option<usize>,
    /// The last line that may say what a report is about, and its writer.
    announcement: Option<(Option<Caller>, usize)>,
    suites: Suites,
    /// Drafts that a self-test may have brought about.
    candidates: HashMap<usize, Candidate>,
    /// The draft that goes on behind what the console lost last.
    rest: Option<usize>,
}

impl Finder {
    fn next_boot(&mut self) {
        self.open.clear();
        self.asks = None;
        self.announcement = None;
        self.suites.next_boot();
        self.rest = None;
    }

    /// The console says that it lost messages: what comes now may be of another report.
    fn lose(&mut self, index: usize) {
        self.suites.lose(index);
        if let Some(number) = self.rest.take() {
            self.found.drafts[number].cut();
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

    /// The line that this writer has just announced a report with. One that stands
    /// around a report does not come in between.
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
            self.found.looks += 1;
            let draft = &mut self.found.drafts[top];
            if draft.takes_heading(heading, text, index) {
                return;
            }
            if !draft.is_whole() {
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

    /// Gives a line to the splat that it is part of, if there is one.
    fn body(&mut self, open: &mut Vec<usize>, text: &str, index: usize) -> bool {
        if text.starts_with(ANSWER) && self.answers(open, text, index) {
            return true;
        }
        while let Some(&top) = open.last() {
            self.found.looks += 1;
            if self.found.drafts[top].takes(text, index) {
                if text.starts_with("Sending NMI from CPU") {
                    self.asks = Some(top);
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

    /// Begins with what a self-test's report goes on with, where the console lost how it
    /// began.
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

    /// A processor that was asked what it does answers by itself, whatever it was
    /// telling.
    fn answers(&mut self, open: &mut Vec<usize>, text: &str, index: usize) -> bool {
        let Some(asking) = self.asks.filter(|asking| !open.contains(asking)) else {
            return false;
        };
        if !self.found.drafts[asking].takes(text, index) {
            return false;
        }
        self.nest(open, asking);
        true
    }

    /// Has a draft take the lines of a writer before all that it has open.
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
        let is_staged = |number: usize, draft: &Draft| {
            let candidate = self.candidates.get(&number);
            candidate.is_some_and(|candidate| self.suites.has_made(*candidate, draft, lines))
        };
        let mut found = Found {
            is_cut: self.found.is_cut,
            looks: self.found.looks,
            ..Found::default()
        };
        for (number, draft) in self.found.drafts.into_iter().enumerate() {
            if is_staged(number, &draft) {
                found.staged.push(draft);
            } else if !draft.is_dropped() {
                found.drafts.push(draft);
            }
        }
        found
    }
}
