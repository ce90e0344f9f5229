// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel report: class, title, message, stack and position in the log.

use super::class::SplatClass;
use super::draft::Draft;
use super::frames;
use super::heading::{is_cut, kind};
use super::line::{Line, Phase};
use super::title;
use crate::frame::Frame;

/// Longer messages are cut, in characters and in lines.
const MESSAGE_MAX: usize = 400;
const MESSAGE_LINES_MAX: usize = 5;

/// A kernel report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splat {
    /// The class.
    pub class: SplatClass,
    /// The title, without addresses, PIDs, times, line numbers and paths.
    pub title: String,
    /// The message of the report as logged; empty if it has none.
    pub message: String,
    /// The first frames of the stack after the functions that print the report, innermost
    /// first.
    pub frames: Vec<Frame>,
    /// The indices of its lines in the log, in order. Lines of other writers may be in
    /// between.
    pub lines: Vec<usize>,
    /// The number of the boot, from 1.
    pub boot: usize,
    /// The part of the boot.
    pub phase: Phase,
    /// Whether it was logged to its end.
    pub is_complete: bool,
}

impl Splat {
    /// Returns the names of the functions in `frames`.
    #[must_use]
    pub fn functions(&self) -> Vec<&str> {
        self.frames.iter().map(Frame::name).collect()
    }

    /// Returns whether the title or the message contains `text`.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        self.title.contains(text) || self.message.contains(text)
    }

    /// Converts a draft.
    pub(super) fn new(draft: Draft, lines: &[Line]) -> Self {
        let texts: Vec<&str> = draft
            .lines
            .iter()
            .map(|index| lines[*index].text.as_str())
            .collect();
        let first = &lines[draft.lines[0]];
        let about = draft.announcement.map(|index| lines[index].text.as_str());
        let own = message(&texts);
        let class = class(draft.class, &own);
        let message = about.into_iter().chain([own.as_str()]);
        let message = message.filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let frames = frames::frames(class, &texts);
        Self {
            class,
            title: title::title(class, &texts, frames.first().map(Frame::name)),
            message: message.join("\n"),
            frames,
            boot: first.boot,
            phase: first.phase,
            is_complete: draft.is_complete(),
            lines: draft.all_lines(),
        }
    }
}

/// Refines the class by the message: refcount, list and ODEBUG reports are printed by WARN
/// or BUG.
fn class(class: SplatClass, message: &str) -> SplatClass {
    match class {
        SplatClass::Warn | SplatClass::Bug => {
            if message.starts_with("refcount_t: ") {
                SplatClass::Refcount
            } else if title::is_list_corruption(message) {
                SplatClass::ListCorruption
            } else if message.starts_with("ODEBUG: ") {
                SplatClass::ObjectDebug
            } else {
                class
            }
        }
        class => class,
    }
}

/// Returns the lines between "cut here" and the line with the kind of report, or the first
/// line of a report without "cut here".
fn message(texts: &[&str]) -> String {
    let first = texts.first().copied().unwrap_or_default();
    if !is_cut(first) {
        return first.chars().take(MESSAGE_MAX).collect();
    }
    let lines: Vec<&str> = texts[1..]
        .iter()
        .take_while(|text| kind(text).is_none())
        .take(MESSAGE_LINES_MAX)
        .copied()
        .collect();
    lines.join("\n").chars().take(MESSAGE_MAX).collect()
}
