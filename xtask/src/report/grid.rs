// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of a config: a row for each test, or for several tests with the same results.
//!
//! Findings always have their own row. Tests with expected failures or with statuses that
//! differ between checkouts are folded only with tests of the same scenario file or TARGET. All
//! tests with the same pass or skip on every checkout are folded into one row.

use crate::result::{Group, Mark, Matrix};
use crate::text::{columns, shorten};

/// Tables with more rows are folded.
const ROWS_UNFOLDED_MAX: usize = 20;
/// Minimum width of the column of names.
const NAME_COLUMNS_MIN: usize = 24;

/// One result in the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The status; with repetitions, the most frequent status and its number.
    pub status: String,
    pub mark: Mark,
    /// Whether it is reused from an earlier run.
    pub cached: bool,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The test, or `FILE.*` or `TARGET:*` for several tests; empty for tests of several files.
    pub name: String,
    /// The number of tests in the row.
    pub count: usize,
    /// In the order of the checkouts; `None` without a job.
    pub entries: Vec<Option<Entry>>,
}

/// The table of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid<'a> {
    pub config: &'a str,
    pub checkouts: Vec<&'a str>,
    pub rows: Vec<Row>,
}

/// Returns the text of an entry, without colours.
pub(crate) type EntryText<'f> = &'f dyn Fn(Option<&Entry>) -> String;

impl<'a> Grid<'a> {
    /// Returns a table for each config, in the order of the jobs; with `all`, rows are not
    /// folded.
    pub(crate) fn all(matrix: &Matrix<'a>, all: bool) -> Vec<Self> {
        let configs = matrix.configs().into_iter();
        configs
            .map(|config| Self::of(config, matrix, all))
            .collect()
    }

    fn of(config: &'a str, matrix: &Matrix<'a>, all: bool) -> Self {
        let checkouts = matrix.checkouts_of(config);
        let row = |test: &str| Row {
            name: test.to_owned(),
            count: 1,
            entries: checkouts
                .iter()
                .map(|checkout| matrix.get(test, config, checkout).map(Entry::of))
                .collect(),
        };
        let rows = matrix.tests().into_iter().map(row);
        let mut rows: Vec<Row> = rows
            .filter(|row| row.entries.iter().any(Option::is_some))
            .collect();
        if !all && rows.len() > ROWS_UNFOLDED_MAX {
            rows = fold(rows);
        }
        Self {
            config,
            checkouts,
            rows,
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.rows
            .iter()
            .flat_map(|row| row.entries.iter().flatten())
    }

    fn title(&self) -> String {
        format!("config {}", self.config)
    }

    /// Returns the width of each column of entries, at least `least`.
    pub(crate) fn widths(&self, least: usize, text: EntryText<'_>) -> Vec<usize> {
        let width = |(at, checkout): (usize, &&str)| {
            let entries = self.rows.iter().map(|row| row.entries[at].as_ref());
            let widest = entries.map(|entry| columns(&text(entry))).max();
            widest.unwrap_or(0).max(columns(checkout)).max(least)
        };
        self.checkouts.iter().enumerate().map(width).collect()
    }

    pub(crate) fn fits(&self, width: usize, widths: &[usize]) -> bool {
        room(width, widths) >= self.longest_name()
    }

    fn longest_name(&self) -> usize {
        let names = self.rows.iter().map(|row| columns(&row.label()));
        names.max().unwrap_or(0).max(columns(&self.title()))
    }

    /// Returns the lines of the table in `width` columns of text. `paint` adds colours to the
    /// text of an entry.
    pub(crate) fn lines(
        &self,
        width: usize,
        widths: &[usize],
        text: EntryText<'_>,
        paint: &dyn Fn(&Entry, String) -> String,
    ) -> String {
        let first = self
            .longest_name()
            .min(room(width, widths).max(NAME_COLUMNS_MIN));
        let checkouts = self.checkouts.iter().zip(widths);
        let heads: String = checkouts
            .map(|(checkout, width)| format!("  {checkout:<width$}"))
            .collect();
        let head = format!("{:<first$}{heads}", self.title());
        let mut lines = format!("{}\n", head.trim_end());
        for row in &self.rows {
            let mut line = format!("{:<first$}", shorten(&row.label(), first));
            for (entry, width) in row.entries.iter().zip(widths) {
                let plain = text(entry.as_ref());
                let blanks = " ".repeat(width - columns(&plain));
                let shown = match entry {
                    Some(entry) => paint(entry, plain),
                    None => plain,
                };
                line += &format!("  {shown}{blanks}");
            }
            lines += &format!("{}\n", line.trim_end());
        }
        lines
    }
}

/// Returns the columns that are left for names.
fn room(width: usize, widths: &[usize]) -> usize {
    width.saturating_sub(widths.iter().map(|width| width + 2).sum())
}

impl Entry {
    fn of(group: &Group<'_>) -> Self {
        let status = match group.jobs() {
            [job] => job.status.to_string(),
            _ => group.rates().swap_remove(0),
        };
        Self {
            status,
            mark: group.mark(),
            cached: group.all(|job| job.cached.is_some()),
        }
    }
}

impl Row {
    /// Returns the name as printed, with the number of tests.
    pub(crate) fn label(&self) -> String {
        match (self.name.as_str(), self.count) {
            ("", 1) => "... 1 more test".to_owned(),
            ("", count) => format!("... {count} more tests"),
            (name, 1) => name.to_owned(),
            (name, count) => format!("{name} ({count})"),
        }
    }

    fn needs_attention(&self) -> bool {
        let mut entries = self.entries.iter().flatten();
        entries.any(|entry| entry.mark.needs_attention())
    }

    /// Returns whether the row has a mark or different entries.
    fn is_notable(&self) -> bool {
        let mut entries = self.entries.iter().flatten();
        let first = entries.clone().next();
        entries.any(|entry| entry.mark != Mark::None || Some(entry) != first)
    }

    /// Returns the scenario file, or the TARGET of a kselftest, whose dots are not separators.
    fn scenario_file(&self) -> &str {
        match self.name.split_once(':') {
            Some((target, _)) => target,
            None => self.name.split('.').next().unwrap_or(&self.name),
        }
    }
}

/// Folds rows with equal entries; rows that are folded across files come last.
fn fold(rows: Vec<Row>) -> Vec<Row> {
    let mut shown: Vec<Row> = Vec::new();
    let mut quiet: Vec<Row> = Vec::new();
    for row in rows {
        if !row.is_notable() {
            let same = quiet.iter_mut().find(|known| known.entries == row.entries);
            match same {
                Some(known) => known.count += 1,
                None => quiet.push(row),
            }
            continue;
        }
        let same_file = |known: &&mut Row| {
            !row.needs_attention()
                && known.scenario_file() == row.scenario_file()
                && known.entries == row.entries
        };
        match shown.iter_mut().find(same_file) {
            Some(known) => {
                let joint = if row.name.contains(':') { ":*" } else { ".*" };
                known.name = format!("{}{joint}", row.scenario_file());
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
    use crate::result::JobResult;
    use crate::result::tests::job;

    fn lines(jobs: &[JobResult], all: bool) -> Vec<String> {
        let grids = Grid::all(&Matrix::of(jobs), all);
        let line = |row: &Row| {
            let statuses = row.entries.iter().map(|entry| match entry {
                Some(entry) => format!("{} {:?}", entry.status, entry.mark),
                None => "-".to_owned(),
            });
            format!(
                "{} x{}: {}",
                row.name,
                row.count,
                statuses.collect::<Vec<_>>().join(", ")
            )
        };
        grids[0].rows.iter().map(line).collect()
    }

    fn pair(name: &str, base: &str, expected: &str, series: &str) -> [JobResult; 2] {
        [
            job(name, "base", base, expected),
            job(name, "series", series, "pass"),
        ]
    }

    #[test]
    fn all_folds_rows_with_equal_results_but_not_findings() {
        let mut jobs = Vec::new();
        for number in 0..12 {
            jobs.extend(pair(&format!("dull-{number}"), "pass", "pass", "pass"));
        }
        for variant in ["a", "b", "c"] {
            jobs.extend(pair(&format!("fixed.{variant}"), "crash", "fail", "pass"));
            jobs.extend(pair(&format!("broken.{variant}"), "pass", "pass", "hang"));
            jobs.extend(pair(&format!("t:{variant}"), "skip", "pass", "skip"));
        }
        insta::assert_snapshot!(lines(&jobs, false).join("\n"), @"
        broken.a x1: pass None, hang Unexpected
        broken.b x1: pass None, hang Unexpected
        broken.c x1: pass None, hang Unexpected
        fixed.* x3: crash Xfail, pass None
         x12: pass None, pass None
         x3: skip None, skip None
        ");
        assert_eq!(lines(&jobs, true).len(), 21);
        assert_eq!(
            lines(&jobs[..20], false).len(),
            10,
            "few rows are not folded"
        );
    }

    #[test]
    fn all_leaves_an_entry_without_a_job_empty() {
        let jobs = [
            job("a", "base", "pass", "pass"),
            job("b", "series", "pass", "pass"),
        ];
        assert_eq!(
            lines(&jobs, false),
            ["a x1: pass None, -", "b x1: -, pass None"]
        );
    }
}
