// SPDX-License-Identifier: GPL-2.0-only
//! The rows of a table: one for each scenario, or for several that say the same.
//!
//! A finding is never put together with another. What tells something (a failure that
//! is due, an outcome that differs between stacks) is put together with its own family
//! only, and what passes everywhere becomes one line.

use std::collections::BTreeMap;

use super::rate::counts;
use crate::result::{CellResult, Verdict};

/// A table with no more rows than this shows each.
const ROWS_WORTH_FOLDING: usize = 20;

/// Whether an outcome is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// It passed, and had to; or was skipped.
    None,
    /// It does what it does without the series; a later patch changes that.
    Between,
    /// It failed, and had to.
    Due,
    /// It is not as recorded.
    Changed,
    Unexpected,
}

/// One place in the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The outcome; of repetitions the one that came most often, and how often.
    pub(crate) outcome: String,
    pub(crate) mark: Mark,
    /// Whether it is an earlier run's.
    pub(crate) kept: bool,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The scenario, or the family of several: `family.*`; empty when they are of many.
    pub(crate) name: String,
    /// How many scenarios it stands for.
    pub(crate) count: usize,
    /// In the order of the stacks; none where there is no cell.
    pub(crate) entries: Vec<Option<Entry>>,
}

/// The table of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid<'a> {
    pub(crate) profile: &'a str,
    pub(crate) stacks: Vec<&'a str>,
    pub(crate) rows: Vec<Row>,
}

impl<'a> Grid<'a> {
    /// Returns a table for each profile, in the order of the cells; with `all`, a row
    /// for each scenario however many there are.
    pub(crate) fn all(cells: &'a [CellResult], all: bool) -> Vec<Self> {
        let mut profiles: Vec<&str> = Vec::new();
        for cell in cells {
            if !profiles.contains(&cell.profile.as_str()) {
                profiles.push(&cell.profile);
            }
        }
        let of = |profile: &'a str| {
            let cells = cells.iter().filter(|cell| cell.profile == profile);
            Self::of(profile, &cells.collect::<Vec<_>>(), all)
        };
        profiles.into_iter().map(of).collect()
    }

    fn of(profile: &'a str, cells: &[&'a CellResult], all: bool) -> Self {
        let mut stacks: Vec<&str> = Vec::new();
        let mut scenarios: BTreeMap<&str, BTreeMap<&str, Vec<&CellResult>>> = BTreeMap::new();
        for cell in cells {
            if !stacks.contains(&cell.stack.as_str()) {
                stacks.push(&cell.stack);
            }
            let by_stack = scenarios.entry(&cell.scenario).or_default();
            by_stack.entry(&cell.stack).or_default().push(cell);
        }
        let row = |(name, by_stack): (&&str, &BTreeMap<&str, Vec<&CellResult>>)| Row {
            name: (*name).to_owned(),
            count: 1,
            entries: stacks
                .iter()
                .map(|stack| by_stack.get(stack).map(|cells| Entry::of(cells)))
                .collect(),
        };
        let mut rows: Vec<Row> = scenarios.iter().map(row).collect();
        if !all && rows.len() > ROWS_WORTH_FOLDING {
            rows = fold(rows);
        }
        Self {
            profile,
            stacks,
            rows,
        }
    }
}

impl Entry {
    fn of(cells: &[&CellResult]) -> Self {
        let outcome = match (cells, counts(cells).first()) {
            ([cell], _) => cell.outcome.clone(),
            (_, Some((outcome, count))) => format!("{count}/{} {outcome}", cells.len()),
            (_, None) => String::new(),
        };
        let any = |test: &dyn Fn(&CellResult) -> bool| cells.iter().any(|cell| test(cell));
        let mark = if any(&|cell| cell.verdict == Verdict::Unexpected) {
            Mark::Unexpected
        } else if any(&|cell| cell.snapshot_difference.is_some()) {
            Mark::Changed
        } else if any(&|cell| cell.expected == "fail") {
            Mark::Due
        } else if any(&|cell| cell.expected == "either" && cell.outcome != "pass") {
            Mark::Between
        } else {
            Mark::None
        };
        Self {
            outcome,
            mark,
            kept: cells.iter().all(|cell| cell.kept.is_some()),
        }
    }

    /// Returns whether a person should look at it.
    pub(crate) fn is_finding(&self) -> bool {
        self.mark >= Mark::Changed
    }
}

impl Row {
    fn is_finding(&self) -> bool {
        self.entries.iter().flatten().any(Entry::is_finding)
    }

    /// Returns whether it tells more than that all is well everywhere.
    fn tells(&self) -> bool {
        let mut entries = self.entries.iter().flatten();
        let first = entries.clone().next();
        entries.any(|entry| entry.mark != Mark::None || Some(entry) != first)
    }

    fn family(&self) -> &str {
        // Before a colon there is a TARGET of the tree's own tests, whose dots mean nothing.
        match self.name.split_once(':') {
            Some((target, _)) => target,
            None => self.name.split('.').next().unwrap_or(&self.name),
        }
    }
}

/// Puts rows together that say the same, those of all families last.
fn fold(rows: Vec<Row>) -> Vec<Row> {
    let mut shown: Vec<Row> = Vec::new();
    let mut quiet: Vec<Row> = Vec::new();
    for row in rows {
        if !row.tells() {
            let same = quiet.iter_mut().find(|known| known.entries == row.entries);
            match same {
                Some(known) => known.count += 1,
                None => quiet.push(row),
            }
            continue;
        }
        let of_its_own = |known: &&mut Row| {
            !row.is_finding() && known.family() == row.family() && known.entries == row.entries
        };
        match shown.iter_mut().find(of_its_own) {
            Some(known) => {
                let joint = if row.name.contains(':') { ":*" } else { ".*" };
                known.name = format!("{}{joint}", row.family());
                known.count += 1;
            }
            None => shown.push(row),
        }
    }
    for row in &mut quiet {
        if row.count > 1 {
            row.name.clear();
        }
    }
    shown.extend(quiet);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::cell;

    fn said(cells: &[CellResult], all: bool) -> Vec<String> {
        let grids = Grid::all(cells, all);
        let line = |row: &Row| {
            let outcomes = row.entries.iter().map(|entry| match entry {
                Some(entry) => format!("{} {:?}", entry.outcome, entry.mark),
                None => "-".to_owned(),
            });
            format!(
                "{} x{}: {}",
                row.name,
                row.count,
                outcomes.collect::<Vec<_>>().join(", ")
            )
        };
        grids[0].rows.iter().map(line).collect()
    }

    fn pair(name: &str, base: &str, expected: &str, series: &str) -> [CellResult; 2] {
        [
            cell(name, "base", base, expected),
            cell(name, "series", series, "pass"),
        ]
    }

    #[test]
    fn what_says_the_same_is_one_row_and_findings_never_are() {
        let mut cells = Vec::new();
        for number in 0..12 {
            cells.extend(pair(&format!("dull-{number}"), "pass", "pass", "pass"));
        }
        for variant in ["a", "b", "c"] {
            cells.extend(pair(&format!("bites.{variant}"), "crash", "fail", "pass"));
            cells.extend(pair(&format!("broken.{variant}"), "pass", "pass", "hang"));
            cells.extend(pair(&format!("t:{variant}"), "skip", "pass", "skip"));
        }
        insta::assert_snapshot!(said(&cells, false).join("\n"), @"
        bites.* x3: crash Due, pass None
        broken.a x1: pass None, hang Unexpected
        broken.b x1: pass None, hang Unexpected
        broken.c x1: pass None, hang Unexpected
         x12: pass None, pass None
         x3: skip None, skip None
        ");
        assert_eq!(said(&cells, true).len(), 21);
        assert_eq!(
            said(&cells[..20], false).len(),
            10,
            "few rows are all shown"
        );
    }

    #[test]
    fn a_place_without_a_cell_stays_empty() {
        let cells = [
            cell("a", "base", "pass", "pass"),
            cell("b", "series", "pass", "pass"),
        ];
        assert_eq!(
            said(&cells, false),
            ["a x1: pass None, -", "b x1: -, pass None"]
        );
    }
}
