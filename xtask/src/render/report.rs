// SPDX-License-Identifier: GPL-2.0-only
//! What every format is made from: a result, and the few things beside it that are
//! not in `result.json`. A value; nothing here reads a file.

use std::collections::BTreeMap;

use super::again;
use crate::result::{CellResult, RunResult, Verdict};

/// A judged run, ready to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) result: &'a RunResult,
    /// The run folder, as people call it.
    pub(crate) run: &'a str,
    /// Options beyond scenario, stack and profile that make the same run again.
    pub(crate) again: &'a str,
    /// Complaints of the kernel as logged, by the `artifacts` of their cell.
    pub(crate) splats: BTreeMap<String, String>,
    /// Where scenarios are written, by name.
    pub(crate) places: BTreeMap<String, Place>,
}

/// A line of a file of this checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
}

impl<'a> Report<'a> {
    /// Returns a report of which nothing is known but the result.
    pub(crate) const fn new(result: &'a RunResult, run: &'a str, again: &'a str) -> Self {
        Self {
            result,
            run,
            again,
            splats: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Returns the cells that a person should look at.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &'a CellResult> {
        self.result.cells.iter().filter(|cell| cell.is_finding())
    }

    /// Returns the command that shows a cell again.
    pub(crate) fn command(&self, cell: &CellResult) -> String {
        again::of_cell(cell, self.again)
    }

    /// Returns the complaints of a cell as logged, or at least their titles.
    pub(crate) fn splats_of(&self, cell: &CellResult) -> String {
        match self.splats.get(&cell.artifacts) {
            Some(text) => text.clone(),
            None => cell
                .splats
                .iter()
                .map(|title| format!("{title}\n"))
                .collect(),
        }
    }

    /// Returns stacks and profiles in the order of the cells.
    pub(crate) fn kernels(&self) -> Vec<(&'a str, &'a str)> {
        let mut kernels = Vec::new();
        for cell in &self.result.cells {
            let kernel = (cell.stack.as_str(), cell.profile.as_str());
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
        kernels
    }

    /// Returns the verdict on the whole run in a few words.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.result.exit_code {
            _ if self.result.only_not_tested().is_some() => "not tested",
            0 => "as expected",
            1 => "FINDINGS",
            _ => "NOT PROVEN",
        }
    }
}

/// Returns what became of a cell and what should have, in a few words.
pub(crate) fn what_came(cell: &CellResult) -> String {
    let CellResult {
        outcome, expected, ..
    } = cell;
    match cell.verdict {
        Verdict::Unexpected => format!("{outcome}, where {expected} was expected"),
        Verdict::Ok if cell.snapshot_difference.is_some() => {
            format!("{outcome}, but not as recorded")
        }
        Verdict::Ok if expected == "fail" => format!("{outcome}, as expected"),
        Verdict::Ok => outcome.clone(),
    }
}

/// Returns the cell's name for people.
pub(crate) fn name(cell: &CellResult) -> String {
    format!("{} on {} ({})", cell.scenario, cell.stack, cell.profile)
}

/// Returns as much of a text as fits into so many bytes, whole lines, and says what
/// was left out.
pub(crate) fn head(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if kept.len() + line.len() > bytes_max {
            break;
        }
        kept += line;
    }
    let left_out = text[kept.len()..].lines().count();
    format!("{kept}... and {left_out} more lines\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(head("a\nb\n", 10), "a\nb\n");
        assert_eq!(head("a\nb\nc\n", 4), "a\nb\n... and 1 more lines\n");
        assert_eq!(head("\u{e9}\u{e9}", 3), "... and 1 more lines\n");
    }
}
