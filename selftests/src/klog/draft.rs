// SPDX-License-Identifier: MIT OR Apache-2.0
//! A splat that is being read, line by line. It gets only the lines of its own writer, and
//! stores their indices.

use super::class::SplatClass;
use super::heading::{
    CALL_TRACE, End, Heading, continues, is_cut, is_end, is_trace, kind, oops_part,
};

/// Largest number of lines of a splat; a longer splat is incomplete. Reports of the lock
/// validator have hundreds of lines.
pub(super) const SPLAT_LINES_MAX: usize = 1000;
/// Largest number of lines from "cut here" to the line with the kind of report.
const PROLOGUE_LINES_MAX: usize = 8;
/// Largest number of lines from the first line of a fault (`BUG: ...`) to `Oops:`.
const OOPS_LINES_MAX: usize = 12;
/// Largest number of unrelated lines in a splat that was interrupted.
const UNRELATED_LINES_MAX: u8 = 8;
/// Largest number of lines from the heading to an optional stack trace.
const OPTIONAL_TRACE_LINES_MAX: usize = 40;

/// The part of the splat that is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// After "cut here", before the line with the kind of report.
    Prologue,
    /// Before the end.
    Body,
    /// In the stack trace that ends the splat.
    Trace,
    /// Another report of the same writer interrupted it: only lines that are certainly
    /// part of a splat are taken.
    Resumed,
    /// After the end, where a few more lines may follow.
    Done,
}

/// A splat that is being read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) class: SplatClass,
    /// The indices of its lines.
    pub(super) lines: Vec<usize>,
    /// The index of a line before the splat that describes the object of the report.
    pub(super) announcement: Option<usize>,
    end: End,
    state: State,
    oops_part: Option<u8>,
    is_dropped: bool,
    /// Whether its last line is the end of a stack trace.
    ends_with_trace: bool,
    /// The number of unrelated lines since it was interrupted.
    unrelated: u8,
}

impl Draft {
    /// Begins a splat at line `index`.
    pub(super) fn new(heading: Heading, text: &str, index: usize) -> Self {
        let Heading { class, end } = heading;
        Self {
            class,
            lines: vec![index],
            announcement: None,
            end,
            state: match end {
                _ if is_cut(text) => State::Prologue,
                End::Line | End::LineAndCut => State::Done,
                _ => State::Body,
            },
            oops_part: oops_part(heading, text),
            is_dropped: false,
            ends_with_trace: false,
            unrelated: 0,
        }
    }

    /// Begins the rest, from line `index`, of a sanitizer's report whose first lines are
    /// lost. It is not reported as a splat.
    pub(super) fn rest(index: usize) -> Self {
        let heading = Heading {
            class: SplatClass::Kasan,
            end: End::DoubleRule,
        };
        Self {
            is_dropped: true,
            ..Self::new(heading, "", index)
        }
    }

    /// Ends the splat: it takes no more lines of its body.
    pub(super) fn end(&mut self) {
        self.state = State::Done;
    }

    /// Returns whether it was logged to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// Returns whether it is not a splat after all.
    pub(super) fn is_dropped(&self) -> bool {
        self.is_dropped
    }

    /// Takes the first line of a report if it is part of this splat: the line with the
    /// kind, the message of a WARN, the parts of one oops. Otherwise another report begins
    /// at that line.
    pub(super) fn takes_heading(&mut self, heading: Heading, text: &str, index: usize) -> bool {
        if self.is_full() || !self.has_heading(heading, text) {
            return false;
        }
        self.lines.push(index);
        true
    }

    fn has_heading(&mut self, heading: Heading, text: &str) -> bool {
        if is_cut(text) {
            return self.has_cut();
        }
        if self.state == State::Prologue {
            return self.has_prologue(heading, text);
        }
        let part = oops_part(heading, text);
        let follows = match (self.oops_part, part) {
            // A later `Oops:` belongs to another report.
            (Some(0), Some(1)) => self.lines.len() <= OOPS_LINES_MAX,
            (Some(0 | 1), Some(2)) => true,
            _ => false,
        };
        if !follows || self.state == State::Done {
            return false;
        }
        self.oops_part = part;
        self.state = State::Body;
        if heading.end == End::Panic {
            self.end = End::Panic;
        }
        true
    }

    /// Takes "cut here" if the report prints its stack trace by a WARN.
    fn has_cut(&mut self) -> bool {
        let takes = match self.end {
            End::Slab if self.state != State::Done => Some(End::SlabTrace),
            End::LineAndCut if self.lines.len() == 1 => Some(End::Trace),
            _ => None,
        };
        if let Some(end) = takes {
            self.end = end;
            self.state = State::Prologue;
        }
        takes.is_some()
    }

    fn has_prologue(&mut self, heading: Heading, text: &str) -> bool {
        if let Some(class) = kind(text) {
            if self.class == SplatClass::Warn {
                self.class = class;
            }
            if class == SplatClass::Bug {
                self.oops_part = Some(0);
            }
            self.state = State::Body;
            return true;
        }
        matches!(
            heading.end,
            End::Line | End::LineAndCut | End::OptionalTrace | End::OnlyWithTrace
        )
    }

    /// Suspends the splat for another report of the same writer. A splat that still waits
    /// for an optional stack trace is reduced to its first line.
    pub(super) fn interrupt(&mut self) {
        if self.waits_for_trace() {
            self.reduce();
        }
        if self.state != State::Prologue && self.state != State::Done {
            self.state = State::Resumed;
            self.unrelated = 0;
        }
    }

    /// Counts a line that is not part of the splat. Returns whether the rest of the splat
    /// may still follow.
    pub(super) fn waits(&mut self) -> bool {
        self.unrelated += 1;
        self.state == State::Resumed && self.unrelated <= UNRELATED_LINES_MAX
    }

    /// Takes a line that begins no report, if it is part of this splat.
    pub(super) fn takes(&mut self, text: &str, index: usize) -> bool {
        let takes = !self.is_full() && self.has_line(text);
        if takes {
            self.lines.push(index);
            self.ends_with_trace = is_end(End::Stack, text);
        }
        takes
    }

    fn has_line(&mut self, text: &str) -> bool {
        match self.state {
            State::Done => return continues(self.class, self.end, text),
            State::Prologue if self.lines.len() > PROLOGUE_LINES_MAX => self.state = State::Body,
            State::Prologue => return true,
            State::Resumed if is_trace(text) => self.state = State::Body,
            State::Resumed if !is_end(self.end, text) => return false,
            State::Trace if !is_trace(text) => {
                // A stack that cannot be unwound to its end has no end marker.
                self.state = State::Done;
                return continues(self.class, self.end, text);
            }
            State::Resumed | State::Trace | State::Body => {}
        }
        if is_end(self.end, text) {
            self.state = State::Done;
        } else if text.starts_with(CALL_TRACE) {
            self.begin_trace();
        } else if self.waits_for_trace() && self.lines.len() > OPTIONAL_TRACE_LINES_MAX {
            self.reduce();
            return false;
        }
        true
    }

    fn begin_trace(&mut self) {
        if self.waits_for_trace() {
            self.end = End::Stack;
        }
        if self.end == End::Stack {
            self.state = State::Trace;
        }
    }

    fn waits_for_trace(&self) -> bool {
        matches!(self.end, End::OptionalTrace | End::OnlyWithTrace)
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= SPLAT_LINES_MAX
    }

    /// Reduces the splat to its first line, because no stack trace followed.
    fn reduce(&mut self) {
        self.lines.truncate(1);
        self.is_dropped = self.end == End::OnlyWithTrace;
        self.end = End::Line;
        self.state = State::Done;
    }

    /// Returns the indices of all its lines.
    pub(super) fn all_lines(&self) -> Vec<usize> {
        self.announcement
            .into_iter()
            .chain(self.lines.iter().copied())
            .collect()
    }

    /// Completes the splat at the end of the log.
    pub(super) fn finish(&mut self) {
        if self.waits_for_trace() {
            self.reduce();
        }
        // In early boot, the machine may reset right after the stack trace of a panic.
        if self.end == End::Panic && self.ends_with_trace {
            self.state = State::Done;
        }
    }
}
