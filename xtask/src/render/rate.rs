// SPDX-License-Identifier: GPL-2.0-only
//! How often what ran several times came to what, in words: chance is told as a rate on
//! each stack, and hidden by no retry.

use std::collections::BTreeMap;

use crate::result::{CellResult, RunResult, Verdict};

/// Returns how often cells came to what; what came most often first, and of what came as
/// often what was not expected.
pub(super) fn counts<'a>(cells: &[&'a CellResult]) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for cell in cells {
        let (count, is_bad) = counts.entry(&cell.outcome).or_default();
        *count += 1;
        *is_bad |= cell.verdict == Verdict::Unexpected;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, order)| std::cmp::Reverse(*order));
    let counts = counts.into_iter();
    counts
        .map(|(outcome, (count, _))| (outcome, count))
        .collect()
}

/// Returns all cells that are one on a stack, but for the number of their repetition.
pub(super) fn repetitions<'a>(
    result: &'a RunResult,
    of: &CellResult,
    stack: &str,
) -> Vec<&'a CellResult> {
    let cells = result.cells.iter();
    cells
        .filter(|one| {
            one.stack == stack && one.scenario == of.scenario && one.profile == of.profile
        })
        .collect()
}

/// Returns how often a scenario came to what on each stack: `base 9/10 crash, 1/10 pass`.
pub(super) fn rate(result: &RunResult, cell: &CellResult) -> String {
    let mut stacks: Vec<&str> = Vec::new();
    for one in &result.cells {
        if !stacks.contains(&one.stack.as_str()) {
            stacks.push(&one.stack);
        }
    }
    let of_stack = |stack: &str| {
        let cells = repetitions(result, cell, stack);
        let all = cells.len();
        let counts = counts(&cells).into_iter();
        let counts: Vec<String> = counts
            .map(|(outcome, count)| format!("{count}/{all} {outcome}"))
            .collect();
        (all > 0).then(|| format!("{stack} {}", counts.join(", ")))
    };
    let rates: Vec<String> = stacks.into_iter().filter_map(of_stack).collect();
    rates.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::cell;

    #[test]
    fn chance_is_told_as_a_rate_on_each_stack() {
        let mut cells = Vec::new();
        for repetition in 1..=10 {
            let outcome = if repetition == 4 { "pass" } else { "crash" };
            cells.push(cell("often", "base", outcome, "fail"));
            cells.push(cell("often", "series", "pass", "pass"));
        }
        let result = RunResult::new("t".into(), "s".into(), Vec::new(), cells);
        let first = &result.cells[0];
        assert_eq!(
            rate(&result, first),
            "base 9/10 crash, 1/10 pass; series 10/10 pass"
        );
        assert_eq!(repetitions(&result, first, "series").len(), 10);
    }
}
