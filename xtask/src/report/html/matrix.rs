// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of the report: tests and checkouts, configs side by side.

use std::collections::BTreeMap;

use super::article::{Article, JobView, distinct};
use crate::report::evidence::Evidence;
use crate::result::RunResult;
use selftests::expectation::Expected;

/// Results by test and checkout.
pub(super) struct Matrix {
    pub(super) configs: Vec<Config>,
    pub(super) rows: Vec<Row>,
    /// Every status in the table, for the filter.
    pub(super) statuses: Vec<String>,
    pub(super) any_expected_failure: bool,
}

/// The columns of a config.
pub(super) struct Config {
    pub(super) name: String,
    pub(super) checkouts: Vec<String>,
}

/// A test.
pub(super) struct Row {
    pub(super) test: String,
    pub(super) title: String,
    pub(super) fails_without_series: bool,
    pub(super) places: Vec<Place>,
}

/// The entry of a test, a checkout and a config.
pub(super) struct Place {
    pub(super) config: String,
    pub(super) checkout: String,
    /// `None` without a job.
    pub(super) entry: Option<Entry>,
}

/// The result in an entry.
pub(super) struct Entry {
    pub(super) link: String,
    pub(super) class: &'static str,
    pub(super) statuses: String,
    pub(super) word: String,
    pub(super) mark: &'static str,
    pub(super) needs_attention: bool,
}

impl Matrix {
    pub(super) fn of(result: &RunResult, articles: &[Article], evidence: &Evidence) -> Self {
        let configs: Vec<Config> = distinct(result.jobs.iter().map(|job| job.config.as_str()))
            .into_iter()
            .map(|name| config(name, result))
            .collect();
        let mut by_name: BTreeMap<&str, Vec<&Article>> = BTreeMap::new();
        for article in articles {
            by_name.entry(&article.test).or_default().push(article);
        }
        let fails_without_series = |name: &str| {
            let mut tests = result.tests.iter();
            tests.any(|test| test.name == name && test.fails_without_series)
        };
        let row = |(test, articles): (&&str, &Vec<&Article>)| Row {
            test: (*test).to_owned(),
            title: evidence
                .stories
                .get(*test)
                .map(|story| story.title.clone())
                .unwrap_or_default(),
            fails_without_series: fails_without_series(test),
            places: places(&configs, articles),
        };
        let rows = by_name.iter().map(row).collect();
        let statuses = distinct(result.jobs.iter().map(|job| job.status.word()));
        Self {
            rows,
            statuses: statuses.into_iter().map(str::to_owned).collect(),
            any_expected_failure: result
                .jobs
                .iter()
                .any(|job| job.expectation == Expected::Fail),
            configs,
        }
    }
}

fn config(name: &str, result: &RunResult) -> Config {
    let jobs = result.jobs.iter().filter(|job| job.config == name);
    let checkouts = distinct(jobs.map(|job| job.checkout.as_str()));
    Config {
        name: name.to_owned(),
        checkouts: checkouts.into_iter().map(str::to_owned).collect(),
    }
}

fn places(configs: &[Config], articles: &[&Article]) -> Vec<Place> {
    let mut places = Vec::new();
    for config in configs {
        let article = articles.iter().find(|one| one.config == config.name);
        for checkout in &config.checkouts {
            let jobs = article.map_or(&[][..], |article| &article.jobs);
            places.push(Place {
                config: config.name.clone(),
                checkout: checkout.clone(),
                entry: jobs.iter().find(|job| job.checkout == *checkout).map(entry),
            });
        }
    }
    places
}

fn entry(job: &JobView) -> Entry {
    Entry {
        link: job.id.clone(),
        class: job.class,
        statuses: job.statuses.join(" "),
        word: job.word.clone(),
        mark: job.mark,
        needs_attention: job.needs_attention,
    }
}
