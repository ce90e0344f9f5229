// SPDX-License-Identifier: GPL-2.0-only
//! A report of the kernel, as it is told: what class it is of, what it says, and
//! where it comes from.

use super::class::SplatClass;
use super::draft::Draft;
use super::frames;
use super::heading::{is_cut, names_kind};
use super::line::{Line, Phase};
use super::title;

/// Characters of a message that are kept, and lines of it.
const MESSAGE_MAX: usize = 400;
const MESSAGE_LINES_MAX: usize = 5;

/// A report of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splat {
    /// What kind.
    pub class: SplatClass,
    /// Normalised: no addresses, numbers of tasks, times, line numbers or paths.
    pub title: String,
    /// What the code that complains says, as logged; empty when it says nothing.
    pub message: String,
    /// The first functions of the stack that are not the reporting machinery, the
    /// innermost first, without what the compiler appends.
    pub frames: Vec<String>,
    /// The numbers of the log's lines that it is made of, in order. Others may stand
    /// in between.
    pub lines: Vec<usize>,
    /// Which kernel complained, from 1.
    pub boot: usize,
    /// When in its boot.
    pub phase: Phase,
    /// Whether it was logged to its end: what another tears is not known whole.
    pub is_whole: bool,
}

impl Splat {
    /// Returns whether the title or the message contains `text`.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.title.contains(text) || self.message.contains(text)
    }

    /// Makes it of what was read.
    pub(super) fn new(draft: Draft, lines: &[Line]) -> Self {
        let texts: Vec<&str> = draft
            .lines
            .iter()
            .map(|index| lines[*index].text.as_str())
            .collect();
        let first = &lines[draft.lines[0]];
        let about = draft.announcement.map(|index| lines[index].text.as_str());
        let said = message(&texts);
        let class = class(draft.class, &said);
        let message = about.into_iter().chain([said.as_str()]);
        let message = message.filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let frames = frames::frames(class, &texts);
        Self {
            class,
            title: title::title(class, &texts, &frames),
            message: message.join("\n"),
            frames,
            boot: first.boot,
            phase: first.phase,
            is_whole: draft.is_whole(),
            lines: draft.all_lines(),
        }
    }
}

/// A stack trace does not tell a lost reference or a torn list from any WARN; what is
/// said does.
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

/// What stands between "cut here" and the line that names the kind, else the heading
/// itself.
fn message(texts: &[&str]) -> String {
    let first = texts.first().copied().unwrap_or_default();
    if !is_cut(first) {
        return first.chars().take(MESSAGE_MAX).collect();
    }
    let said: Vec<&str> = texts[1..]
        .iter()
        .take_while(|text| names_kind(text).is_none())
        .take(MESSAGE_LINES_MAX)
        .copied()
        .collect();
    said.join("\n").chars().take(MESSAGE_MAX).collect()
}
