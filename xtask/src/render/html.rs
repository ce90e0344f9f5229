// SPDX-License-Identifier: GPL-2.0-only
//! The page: a whole run in one file that needs no network and, to be read, no script.
//! All that comes from a guest or a patch is escaped by the template; beyond that, the
//! page tells the browser to run no script but its own, and to load nothing.

mod article;
mod changes;
mod matrix;
mod pair;
mod verdict;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::comparison::Comparison;
use crate::evidence::{Evidence, Excerpt};
use crate::result::{
    Detection, MutantResult, MutantStatus, PatchResult, RunResult, SelfCheckResult,
};
use article::Article;
use changes::Changes;
use matrix::Matrix;
use verdict::Headline;

/// The name of the page in a run folder.
pub(crate) const FILE_NAME: &str = "report.html";

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");
/// Of a mutant's difference, so many bytes are shown.
const DIFFERENCE_BYTES_MAX: usize = 8 * 1024;
/// Of a sentence, so many bytes are shown.
const SENTENCE_BYTES_MAX: usize = 2000;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    style: &'static str,
    style_hash: String,
    script: &'static str,
    script_hash: String,
    series: &'a str,
    tree: &'a str,
    prerequisites: String,
    run: &'a str,
    headline: Headline,
    matrix: Matrix,
    articles: Vec<Article>,
    patches: &'a [PatchResult],
    self_checks: Vec<SelfCheck<'a>>,
    mutants: Vec<Mutant<'a>>,
    changes: Option<Changes<'a>>,
}

/// A self_check, on all checkouts of a config on which the same is known of it.
struct SelfCheck<'a> {
    one: &'a SelfCheckResult,
    checkouts: Vec<&'a str>,
    class: &'static str,
    word: &'static str,
}

struct Mutant<'a> {
    one: &'a MutantResult,
    class: &'static str,
    word: &'static str,
    difference: Excerpt,
}

/// Returns the page of a run; `against` is what changed since an earlier run, and that run's
/// name.
pub(crate) fn page(
    result: &RunResult,
    against: Option<(&Comparison, &str)>,
    evidence: &Evidence,
) -> String {
    let articles = article::articles(result, evidence);
    let page = Page {
        style: STYLE,
        style_hash: hash(STYLE),
        script: SCRIPT,
        script_hash: hash(SCRIPT),
        series: &result.series,
        tree: &result.tree,
        prerequisites: result.prerequisites.join(", "),
        run: &evidence.run,
        headline: Headline::of(result, evidence),
        matrix: Matrix::of(result, &articles, evidence),
        articles,
        patches: &result.patches,
        self_checks: self_checks(&result.self_checks),
        mutants: mutants(&result.mutants),
        changes: against.map(|(comparison, before)| Changes::of(comparison, before)),
    };
    let text = page
        .render()
        .expect("a template that compiled only fails where its values cannot be written");
    harmless(&text)
}

/// Returns what the page's own policy knows a style or a script by.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

/// Replaces what no reader sees but a browser obeys: control characters, and those that
/// change the direction of what follows.
fn harmless(text: &str) -> String {
    let is_bad = |letter: char| {
        (letter.is_control() && letter != '\n' && letter != '\t')
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let replace = |letter| if is_bad(letter) { '\u{fffd}' } else { letter };
    text.chars().map(replace).collect()
}

/// Returns a sentence, cut where it is no sentence any more.
fn sentence(text: &str) -> String {
    let end = text.floor_char_boundary(SENTENCE_BYTES_MAX);
    if end == text.len() {
        return text.to_owned();
    }
    format!("{} ... (cut)", &text[..end])
}

/// Returns the self_checks, in their order; each checkout has a kernel, and most are alike.
fn self_checks(all: &[SelfCheckResult]) -> Vec<SelfCheck<'_>> {
    let mut self_checks: Vec<SelfCheck<'_>> = Vec::new();
    for one in all {
        let is_alike = |known: &&mut SelfCheck<'_>| {
            (&known.one.name, &known.one.config, known.one.detection)
                == (&one.name, &one.config, one.detection)
                && known.one.detail == one.detail
        };
        match self_checks.iter_mut().find(is_alike) {
            Some(known) => known.checkouts.push(&one.checkout),
            None => self_checks.push(SelfCheck::of(one)),
        }
    }
    self_checks
}

impl<'a> SelfCheck<'a> {
    fn of(one: &'a SelfCheckResult) -> Self {
        let (class, word) = match one.detection {
            Detection::Seen => ("good", "seen"),
            Detection::Missed => ("bad", "BLIND"),
            Detection::NotConfigured => ("open", "not in this config"),
        };
        Self {
            one,
            checkouts: vec![&one.checkout],
            class,
            word,
        }
    }
}

/// Returns the mutants, those that slipped through first.
fn mutants(all: &[MutantResult]) -> Vec<Mutant<'_>> {
    let mut mutants: Vec<Mutant<'_>> = all.iter().map(Mutant::of).collect();
    mutants.sort_by_key(|mutant| !mutant.one.is_finding());
    mutants
}

impl<'a> Mutant<'a> {
    fn of(one: &'a MutantResult) -> Self {
        let (class, word) = match one.status {
            MutantStatus::Caught => ("good", "caught"),
            MutantStatus::Missed => ("bad", "MISSED"),
            MutantStatus::Inconclusive => ("bad", "not proven"),
            MutantStatus::Equivalent if one.is_finding() => ("bad", "CAUGHT, though equivalent"),
            MutantStatus::Equivalent => ("plain", "equivalent"),
            MutantStatus::SameCode => ("plain", "same object code"),
            MutantStatus::Unviable => ("open", "does not compile"),
        };
        let difference = Excerpt::of(&one.diff, DIFFERENCE_BYTES_MAX);
        Self {
            one,
            class,
            word,
            difference,
        }
    }
}

#[cfg(test)]
mod tests;
