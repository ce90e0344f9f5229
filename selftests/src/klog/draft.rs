// SPDX-License-Identifier: GPL-2.0-only
//! A splat that is being read, one line of its own writer after the other. Knows its
//! lines by their numbers; what others write in between never comes here.

use super::class::SplatClass;
use super::heading::{End, Heading, is_cut, names_kind, station};
use super::trace::{CALL_TRACE, goes_on, is_end, is_trace};

/// Lines that a splat can have; what has not ended by then is torn. A report of the
/// lock validator has hundreds.
pub(super) const SPLAT_LINES_MAX: usize = 1000;
/// Lines from "cut here" to the one that names the kind of report.
const PROLOGUE_LINES_MAX: usize = 8;
/// Lines from what is wrong to the oops.
const OOPS_LINES_MAX: usize = 12;
/// Lines that are nobody's between those of a splat that was interrupted.
const STRANGE_LINES_MAX: u8 = 8;
/// Lines to a stack trace that may come or not.
const PERHAPS_LINES_MAX: usize = 40;

/// How far the reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Behind "cut here", before the line that names the kind.
    Prologue,
    /// On the way to the end.
    Body,
    /// In the stack trace that is the end.
    Trace,
    /// Another report of the same writer came in between: only what is surely of
    /// a splat is taken now.
    Resumed,
    /// At its end, which a few more lines may follow.
    Done,
}

/// A splat that is being read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) class: SplatClass,
    /// The numbers of its lines.
    pub(super) lines: Vec<usize>,
    /// The number of the line before them that says what it is about.
    pub(super) announcement: Option<usize>,
    end: End,
    state: State,
    station: Option<u8>,
    is_dropped: bool,
    /// Whether its last line is the end of a stack trace.
    ends_with_stack: bool,
    /// How many lines came since it was interrupted that are not its own.
    strange: u8,
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
            station: station(heading, text),
            is_dropped: false,
            ends_with_stack: false,
            strange: 0,
        }
    }

    /// Begins what is no splat by itself: the rest, from line `index`, of a sanitizer's
    /// report whose beginning is lost.
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

    /// Has it take no more lines.
    pub(super) fn cut(&mut self) {
        self.state = State::Done;
    }

    /// Whether it was logged to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Done
    }

    /// Whether it turned out to be none.
    pub(super) fn is_dropped(&self) -> bool {
        self.is_dropped
    }

    /// Takes the first line of a report, if that is part of this one: the line that
    /// names the kind, the message of a WARN, the stations of one oops. Else another
    /// report begins there.
    pub(super) fn takes_heading(&mut self, heading: Heading, text: &str, index: usize) -> bool {
        let takes = self.is_full() || !self.has_heading(heading, text);
        if takes {
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
        let station = station(heading, text);
        let follows = match (self.station, station) {
            // An oops follows what is wrong at once; a later one is another.
            (Some(0), Some(1)) => self.lines.len() <= OOPS_LINES_MAX,
            (Some(0 | 1), Some(2)) => true,
            _ => false,
        };
        if !follows || self.state == State::Done {
            return false;
        }
        self.station = station;
        self.state = State::Body;
        if heading.end == End::Panic {
            self.end = End::Panic;
        }
        true
    }

    /// A report that makes a WARN for the sake of its stack.
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
        if let Some(class) = names_kind(text) {
            if self.class == SplatClass::Warn {
                self.class = class;
            }
            if class == SplatClass::Bug {
                self.station = Some(0);
            }
            self.state = State::Body;
            return true;
        }
        matches!(
            heading.end,
            End::Line | End::LineAndCut | End::Perhaps | End::OnlyWithTrace
        )
    }

    /// Steps back for another report of the same writer. One that is only perhaps
    /// more than its first line is no more than that.
    pub(super) fn interrupt(&mut self) {
        if self.is_maybe() {
            self.give_up();
        }
        if self.state != State::Prologue && self.state != State::Done {
            self.state = State::Resumed;
            self.strange = 0;
        }
    }

    /// Whether it still waits for its rest although this line was not of it.
    pub(super) fn waits(&mut self) -> bool {
        self.strange += 1;
        self.state == State::Resumed && self.strange <= STRANGE_LINES_MAX
    }

    /// Takes a line that begins no report, if it is part of this one.
    pub(super) fn takes(&mut self, text: &str, index: usize) -> bool {
        let takes = !self.is_full() && self.has_line(text);
        if takes {
            self.lines.push(index);
            self.ends_with_stack = is_end(End::Stack, text);
        }
        takes
    }

    fn has_line(&mut self, text: &str) -> bool {
        match self.state {
            State::Done => return goes_on(self.class, self.end, text),
            State::Prologue if self.lines.len() > PROLOGUE_LINES_MAX => self.state = State::Body,
            State::Prologue => return true,
            State::Resumed if is_trace(text) => self.state = State::Body,
            State::Resumed if !is_end(self.end, text) => return false,
            State::Trace if !is_trace(text) => {
                // Stacks that cannot be walked to their end have no mark there.
                self.state = State::Done;
                return goes_on(self.class, self.end, text);
            }
            State::Resumed | State::Trace | State::Body => {}
        }
        if is_end(self.end, text) {
            self.state = State::Done;
        } else if text.starts_with(CALL_TRACE) {
            self.begin_trace();
        } else if self.is_maybe() && self.lines.len() > PERHAPS_LINES_MAX {
            self.give_up();
            return false;
        }
        true
    }

    fn begin_trace(&mut self) {
        if self.is_maybe() {
            self.end = End::Stack;
        }
        if self.end == End::Stack {
            self.state = State::Trace;
        }
    }

    fn is_maybe(&self) -> bool {
        matches!(self.end, End::Perhaps | End::OnlyWithTrace)
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= SPLAT_LINES_MAX
    }

    /// No stack trace came, so the lines behind the first are others'.
    fn give_up(&mut self) {
        self.lines.truncate(1);
        self.is_dropped = self.end == End::OnlyWithTrace;
        self.end = End::Line;
        self.state = State::Done;
    }

    /// The numbers of all its lines.
    pub(super) fn all_lines(&self) -> Vec<usize> {
        self.announcement
            .into_iter()
            .chain(self.lines.iter().copied())
            .collect()
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self) {
        if self.is_maybe() {
            self.give_up();
        }
        // Early in a boot, a machine that resets at once says no more than that.
        if self.end == End::Panic && self.ends_with_stack {
            self.state = State::Done;
        }
    }
}
