// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rows of a table: a row for each test, or for several tests with the same results.
//!
//! Findings always have their own row. Tests with expected failures or with statuses that
//! differ between checkouts are folded only with tests of the same scenario file or TARGET. All
//! tests with the same pass or skip on every checkout are folded into one row.

use std::collections::BTreeMap;

use super::rate::counts;
use crate::result::JobResult;
use selftests::expectation::Expected;
use selftests::status::Status;

/// Tables with more rows are folded.
const ROWS_UNFOLDED_MAX: usize = 20;

/// How a status relates to its expectation and snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// An expected pass or skip.
    None,
    /// Not a pass, in mid-series, where no status is asserted.
    NotAsserted,
    /// An expected failure.
    Xfail,
    /// It differs from the snapshot.
    Changed,
    /// An unexpected pass.
    Xpass,
    /// Any other unexpected status.
    Unexpected,
}

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

impl<'a> Grid<'a> {
    /// Returns a table for each config, in the order of the jobs; with `all`, rows are not
    /// folded.
    pub(crate) fn all(jobs: &'a [JobResult], all: bool) -> Vec<Self> {
        let mut configs: Vec<&str> = Vec::new();
        for job in jobs {
            if !configs.contains(&job.config.as_str()) {
                configs.push(&job.config);
            }
        }
        let of = |config: &'a str| {
            let jobs = jobs.iter().filter(|job| job.config == config);
            Self::of(config, &jobs.collect::<Vec<_>>(), all)
        };
        configs.into_iter().map(of).collect()
    }

    fn of(config: &'a str, jobs: &[&'a JobResult], all: bool) -> Self {
        let mut checkouts: Vec<&str> = Vec::new();
        let mut tests: BTreeMap<&str, BTreeMap<&str, Vec<&JobResult>>> = BTreeMap::new();
        for job in jobs {
            if !checkouts.contains(&job.checkout.as_str()) {
                checkouts.push(&job.checkout);
            }
            let by_checkout = tests.entry(&job.test).or_default();
            by_checkout.entry(&job.checkout).or_default().push(job);
        }
        let row = |(name, by_checkout): (&&str, &BTreeMap<&str, Vec<&JobResult>>)| Row {
            name: (*name).to_owned(),
            count: 1,
            entries: checkouts
                .iter()
                .map(|checkout| by_checkout.get(checkout).map(|jobs| Entry::of(jobs)))
                .collect(),
        };
        let mut rows: Vec<Row> = tests.iter().map(row).collect();
        if !all && rows.len() > ROWS_UNFOLDED_MAX {
            rows = fold(rows);
        }
        Self {
            config,
            checkouts,
            rows,
        }
    }
}

impl Entry {
    fn of(jobs: &[&JobResult]) -> Self {
        let status = match (jobs, counts(jobs).first()) {
            ([job], _) => job.status.to_string(),
            (_, Some((status, count))) => format!("{count}/{} {status}", jobs.len()),
            (_, None) => String::new(),
        };
        let any = |test: &dyn Fn(&JobResult) -> bool| jobs.iter().any(|job| test(job));
        let is_xpass =
            |job: &JobResult| job.status == Status::Pass && job.expectation == Expected::Fail;
        let mark = if any(&|job| !job.expected && !is_xpass(job)) {
            Mark::Unexpected
        } else if any(&|job| !job.expected) {
            Mark::Xpass
        } else if any(&|job| job.snapshot_difference.is_some()) {
            Mark::Changed
        } else if any(&|job| job.expectation == Expected::Fail) {
            Mark::Xfail
        } else if any(&|job| job.expectation == Expected::Either && job.status != Status::Pass) {
            Mark::NotAsserted
        } else {
            Mark::None
        };
        Self {
            status,
            mark,
            cached: jobs.iter().all(|job| job.cached.is_some()),
        }
    }

    pub(crate) fn needs_attention(&self) -> bool {
        self.mark >= Mark::Changed
    }
}

impl Row {
    fn needs_attention(&self) -> bool {
        self.entries.iter().flatten().any(Entry::needs_attention)
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
    use crate::result::tests::job;

    fn lines(jobs: &[JobResult], all: bool) -> Vec<String> {
        let grids = Grid::all(jobs, all);
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
