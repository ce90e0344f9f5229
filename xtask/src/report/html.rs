// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTML report: a whole run in one file that is readable without network and script. The
//! layout escapes all text of guests and patches. In addition, the report's content security
//! policy allows only its own script and style, and no other resources.

mod details;
mod headline;
mod pair;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::changes::{self, Line};
use super::comparison::Comparison;
use super::evidence::{Evidence, Excerpt};
use crate::result::{Detection, Matrix, MutantResult, MutantStatus, RunResult, SelfCheckResult};
use crate::text::is_harmful;
use details::{Article, Table, job_id, sentence};
use headline::Headline;

/// The name of the report in a run folder.
pub const FILE_NAME: &str = "report.html";

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");
/// At most this many bytes of a mutant's difference are shown.
const DIFFERENCE_BYTES_MAX: usize = 8 * 1024;
/// At most this many entries of a list of changes are shown.
const CHANGES_MAX: usize = 100;

#[derive(Template)]
#[template(path = "report.html")]
struct Document<'a> {
    style: &'static str,
    style_hash: String,
    script: &'static str,
    script_hash: String,
    result: &'a RunResult,
    prerequisites: String,
    run: &'a str,
    headline: Headline<'a>,
    table: Table<'a>,
    articles: &'a [Article<'a>],
    self_checks: Vec<SelfCheck<'a>>,
    mutants: Vec<Mutant<'a>>,
    changes: Option<Changes<'a>>,
}

/// A fault class of the self-check, with all checkouts of a config that have the same result.
struct SelfCheck<'a> {
    one: &'a SelfCheckResult,
    checkouts: Vec<&'a str>,
    class: &'static str,
}

struct Mutant<'a> {
    one: &'a MutantResult,
    class: &'static str,
    difference: Excerpt,
}

/// The changes since an earlier run.
struct Changes<'a> {
    before: &'a str,
    summary: String,
    comparison: &'a Comparison,
    lists: Vec<List>,
}

/// Changes of one kind.
struct List {
    heading: String,
    worse: bool,
    total: usize,
    lines: Vec<Row>,
}

/// One change.
struct Row {
    worse: bool,
    name: String,
    /// The id of the details in the report; empty without details.
    link: String,
    change: String,
    reason: String,
}

/// Returns the HTML report of a run; `against` has the changes since an earlier run, and the
/// name of that run.
pub fn text(
    result: &RunResult,
    against: Option<(&Comparison, &str)>,
    evidence: &Evidence,
) -> String {
    let jobs = Matrix::of(&result.jobs);
    let articles = details::articles(result, &jobs, evidence);
    let document = Document {
        style: STYLE,
        style_hash: hash(STYLE),
        script: SCRIPT,
        script_hash: hash(SCRIPT),
        result,
        prerequisites: result.prerequisites.join(", "),
        run: &evidence.run,
        headline: Headline::of(result, evidence),
        table: Table::of(result, &jobs, &articles),
        articles: &articles,
        self_checks: self_checks(&result.self_checks),
        mutants: mutants(&result.mutants),
        changes: against.map(|(comparison, before)| Changes::of(comparison, before)),
    };
    let text = document
        .render()
        .expect("writing to a string does not fail");
    text.replace(is_harmful, "\u{fffd}")
}

impl<'a> Changes<'a> {
    fn of(comparison: &'a Comparison, before: &'a str) -> Self {
        let list = |list: changes::List<'_>| List {
            worse: list.lines.iter().any(|line| line.worse),
            total: list.lines.len(),
            lines: list.lines.iter().take(CHANGES_MAX).map(row).collect(),
            heading: list.heading,
        };
        Self {
            before,
            summary: changes::summary(comparison),
            comparison,
            lists: changes::lists(comparison).into_iter().map(list).collect(),
        }
    }
}

fn row(line: &Line<'_>) -> Row {
    let link = line
        .place
        .map(|place| job_id(&place.config, &place.test, &place.checkout));
    Row {
        worse: line.worse,
        name: sentence(&line.name),
        link: link.unwrap_or_default(),
        change: match &line.results {
            Some((before, now)) => format!("{before} → {now}"),
            None => line.on.clone(),
        },
        reason: sentence(&line.reason),
    }
}

/// Returns the hash of a style or script for the content security policy.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

/// Returns the self-checks in their order, with equal results of several checkouts in one row.
fn self_checks(all: &[SelfCheckResult]) -> Vec<SelfCheck<'_>> {
    let mut self_checks: Vec<SelfCheck<'_>> = Vec::new();
    for one in all {
        let is_equal = |known: &&mut SelfCheck<'_>| {
            (&known.one.name, &known.one.config, known.one.detection)
                == (&one.name, &one.config, one.detection)
                && known.one.detail == one.detail
        };
        match self_checks.iter_mut().find(is_equal) {
            Some(known) => known.checkouts.push(&one.checkout),
            None => self_checks.push(SelfCheck::of(one)),
        }
    }
    self_checks
}

impl<'a> SelfCheck<'a> {
    fn of(one: &'a SelfCheckResult) -> Self {
        let class = match one.detection {
            Detection::Detected => "good",
            Detection::Missed => "bad",
            Detection::Inconclusive | Detection::NotConfigured => "open",
        };
        Self {
            one,
            checkouts: vec![&one.checkout],
            class,
        }
    }
}

/// Returns the mutants; mutants that need attention come first.
fn mutants(all: &[MutantResult]) -> Vec<Mutant<'_>> {
    let mut mutants: Vec<Mutant<'_>> = all.iter().map(Mutant::of).collect();
    mutants.sort_by_key(|mutant| !mutant.one.needs_attention());
    mutants
}

impl<'a> Mutant<'a> {
    fn of(one: &'a MutantResult) -> Self {
        let class = match one.status {
            _ if one.needs_attention() => "bad",
            MutantStatus::Caught => "good",
            MutantStatus::Unviable => "open",
            _ => "plain",
        };
        let difference = Excerpt::of(&one.diff, DIFFERENCE_BYTES_MAX);
        Self {
            one,
            class,
            difference,
        }
    }
}

#[cfg(test)]
mod tests;
