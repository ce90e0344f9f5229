// SPDX-License-Identifier: GPL-2.0-only
//! The rows of a table: one for each scenario, or for several that say the same.
//!
//! A finding is never put together with another. What tells something (a failure that
//! is due, an status that differs between checkouts) is put together with its own scenario_file
//! only, and what passes everywhere becomes one line.

use std::collections::BTreeMap;

use super::rate::counts;
use crate::result::JobResult;

/// A table with no more rows than this shows each.
const ROWS_WORTH_FOLDING: usize = 20;

/// Whether an status is as it should be.
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
    /// The status; of repetitions the one that came most often, and how often.
    pub(crate) status: String,
    pub(crate) mark: Mark,
    /// Whether it is an earlier run's.
    pub(crate) cached: bool,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The scenario, or the scenario_file of several: `scenario_file.*`; empty when they are of many.
    pub(crate) name: String,
    /// How many scenarios it stands for.
    pub(crate) count: usize,
    /// In the order of the checkouts; none where there is no job.
    pub(crate) entries: Vec<Option<Entry>>,
}

/// The table of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid<'a> {
    pub(crate) config: &'a str,
    pub(crate) checkouts: Vec<&'a str>,
    pub(crate) rows: Vec<Row>,
}

impl<'a> Grid<'a> {
    /// Returns a table for each config, in the order of the jobs; with `all`, a row
    /// for each scenario however many there are.
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
        let mut scenarios: BTreeMap<&str, BTreeMap<&str, Vec<&JobResult>>> = BTreeMap::new();
        for job in jobs {
            if !checkouts.contains(&job.checkout.as_str()) {
                checkouts.push(&job.checkout);
            }
            let by_checkout = scenarios.entry(&job.test).or_default();
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
        let mut rows: Vec<Row> = scenarios.iter().map(row).collect();
        if !all && rows.len() > ROWS_WORTH_FOLDING {
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
            ([job], _) => job.status.clone(),
            (_, Some((status, count))) => format!("{count}/{} {status}", jobs.len()),
            (_, None) => String::new(),
        };
        let any = |test: &dyn Fn(&JobResult) -> bool| jobs.iter().any(|job| test(job));
        let mark = if any(&|job| !job.expected) {
            Mark::Unexpected
        } else if any(&|job| job.snapshot_difference.is_some()) {
            Mark::Changed
        } else if any(&|job| job.expectation == "fail") {
            Mark::Due
        } else if any(&|job| job.expectation == "not-asserted" && job.status != "pass") {
            Mark::Between
        } else {
            Mark::None
        };
        Self {
            status,
            mark,
            cached: jobs.iter().all(|job| job.cached.is_some()),
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

    fn scenario_file(&self) -> &str {
        // Before a colon there is a TARGET of the tree's own tests, whose dots mean nothing.
        match self.name.split_once(':') {
            Some((target, _)) => target,
            None => self.name.split('.').next().unwrap_or(&self.name),
        }
    }
}

/// Puts rows together that say the same, those of all scenario_files last.
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
            !row.is_finding()
                && known.scenario_file() == row.scenario_file()
                && known.entries == row.entries
        };
        match shown.iter_mut().find(of_its_own) {
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

    fn said(jobs: &[JobResult], all: bool) -> Vec<String> {
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
    fn what_says_the_same_is_one_row_and_findings_never_are() {
        let mut jobs = Vec::new();
        for number in 0..12 {
            jobs.extend(pair(&format!("dull-{number}"), "pass", "pass", "pass"));
        }
        for variant in ["a", "b", "c"] {
            jobs.extend(pair(
                &format!("fails_first.{variant}"),
                "crash",
                "fail",
                "pass",
            ));
            jobs.extend(pair(&format!("broken.{variant}"), "pass", "pass", "hang"));
            jobs.extend(pair(&format!("t:{variant}"), "skip", "pass", "skip"));
        }
        insta::assert_snapshot!(said(&jobs, false).join("\n"), @"
        broken.a x1: pass None, hang Unexpected
        broken.b x1: pass None, hang Unexpected
        broken.c x1: pass None, hang Unexpected
        fails_first.* x3: crash Due, pass None
         x12: pass None, pass None
         x3: skip None, skip None
        ");
        assert_eq!(said(&jobs, true).len(), 21);
        assert_eq!(said(&jobs[..20], false).len(), 10, "few rows are all shown");
    }

    #[test]
    fn a_place_without_a_job_stays_empty() {
        let jobs = [
            job("a", "base", "pass", "pass"),
            job("b", "series", "pass", "pass"),
        ];
        assert_eq!(
            said(&jobs, false),
            ["a x1: pass None, -", "b x1: -, pass None"]
        );
    }
}
