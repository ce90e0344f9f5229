// SPDX-License-Identifier: GPL-2.0-only
//! The head of the page: the verdict in a sentence, the findings, and the commands that
//! show them again.

use std::collections::BTreeMap;

use kernel_patches::stack::MUTANT_PREFIX;

use super::article::{self, distinct};
use super::sentence;
use crate::evidence::Evidence;
use crate::render::again;
use crate::render::report::what_came;
use crate::result::{CellResult, MutantResult, RunResult, Sight, Tally, Verdict};

/// So many findings are listed at the top, so many more behind a click; the table has all.
const FINDINGS_AT_ONCE: usize = 8;
const FINDINGS_MAX: usize = 200;
/// So many scenarios are named in a command.
const NAMES_MAX: usize = 8;

/// What a reader needs first.
pub(super) struct Headline {
    /// `good`, `bad` or `open`.
    pub(super) class: &'static str,
    /// The mark in front of the sentence, for those who see no colours.
    pub(super) word: &'static str,
    pub(super) sentence: String,
    /// The other counts, a sentence each.
    pub(super) facts: Vec<String>,
    /// The command that makes the run, or what went wrong in it, again.
    pub(super) again: String,
    /// The worst first.
    pub(super) findings: Vec<Finding>,
    pub(super) more_findings: Vec<Finding>,
    pub(super) findings_left_out: usize,
}

/// One thing that a person should look at.
pub(super) struct Finding {
    /// Where the page tells more.
    pub(super) link: String,
    pub(super) name: String,
    pub(super) place: String,
    pub(super) what: String,
    pub(super) reason: String,
}

impl Headline {
    pub(super) fn of(result: &RunResult, evidence: &Evidence) -> Self {
        let (sentence, is_bad) = verdict(result);
        let (class, word) = match result.exit_code {
            _ if result.only_not_tested().is_some() => ("open", "not tested"),
            3 => ("open", "unproven"),
            0 if !is_bad => ("good", "as expected"),
            _ => ("bad", "finding"),
        };
        let mut all: Vec<&CellResult> = result
            .cells
            .iter()
            .filter(|cell| cell.is_finding())
            .collect();
        all.sort_by_key(|cell| (cell.verdict == Verdict::Ok, cell.outcome == "error"));
        let mut findings: Vec<Finding> = all
            .iter()
            .take(FINDINGS_MAX)
            .map(|cell| finding(cell))
            .collect();
        let more_findings = findings.split_off(findings.len().min(FINDINGS_AT_ONCE));
        Self {
            class,
            word,
            sentence,
            facts: facts(result),
            again: again_all(result, &all, &evidence.again),
            findings_left_out: all.len() - findings.len() - more_findings.len(),
            findings,
            more_findings,
        }
    }
}

/// Returns the verdict in one sentence, and whether it is a bad one.
fn verdict(result: &RunResult) -> (String, bool) {
    let mut bad = bad_news(result);
    if let Some(not_tested) = result.not_tested() {
        bad.insert(0, not_tested.to_owned());
    }
    if !bad.is_empty() {
        return (bad.join(", "), true);
    }
    let total = result.cells.len();
    let skipped = result.cells.iter().filter(|cell| cell.is_skipped()).count();
    let sentence = match total - skipped {
        0 if total > 0 => return ("Nothing is proven: every test was skipped".to_owned(), true),
        0 => return ("Nothing is proven: nothing ran".to_owned(), true),
        good if skipped > 0 => {
            let are = some_of(good, total, "verdict");
            format!("{are} as expected, the others were skipped")
        }
        1 => "The one verdict is as expected".to_owned(),
        good => format!("All {good} verdicts are as expected"),
    };
    match result.exit_code {
        0 => (sentence, false),
        // A newer kind of finding, which this page has no words for.
        code => (format!("{sentence}, yet the run ended with {code}"), true),
    }
}

/// Returns what a reader must not miss, a part of a sentence each.
fn bad_news(result: &RunResult) -> Vec<String> {
    let total = result.cells.len();
    let count = |test: &dyn Fn(&CellResult) -> bool| {
        let cells = result.cells.iter();
        cells.filter(|cell| test(cell)).count()
    };
    let mutants = Tally::of(&result.mutants);
    let counts = [
        (
            count(&|cell| cell.verdict == Verdict::Unexpected && cell.outcome != "error"),
            total,
            "verdict",
            "not as expected",
        ),
        (
            count(&|cell| cell.verdict == Verdict::Ok && cell.is_finding()),
            total,
            "cell",
            "not as recorded",
        ),
        (
            count(&|cell| cell.outcome == "error"),
            total,
            "cell",
            "without a verdict",
        ),
        (
            mutants.unnoticed,
            mutants.noticeable(),
            "mutant",
            "noticed by no scenario",
        ),
        (
            mutants.unproven,
            mutants.noticeable() + mutants.unproven,
            "mutant",
            "not proven",
        ),
        (
            mutants.disproved,
            mutants.equivalent,
            "equivalent mutant",
            "noticed all the same",
        ),
        (
            result
                .detectors
                .iter()
                .filter(|one| one.sight == Sight::Blind)
                .count(),
            result.detectors.len(),
            "detector",
            "blind",
        ),
    ];
    counts
        .into_iter()
        .filter(|(some, ..)| *some > 0)
        .map(|(some, total, what, how)| format!("{} {how}", some_of(some, total, what)))
        .collect()
}

fn some_of(some: usize, total: usize, what: &str) -> String {
    let are = if some == 1 { "is" } else { "are" };
    let plural = if total == 1 { "" } else { "s" };
    format!("{some} of {total} {what}{plural} {are}")
}

fn facts(result: &RunResult) -> Vec<String> {
    let mut facts = Vec::new();
    let count =
        |test: &dyn Fn(&CellResult) -> bool| result.cells.iter().filter(|cell| test(cell)).count();
    let skipped = count(&CellResult::is_skipped);
    let good = count(&|cell| cell.verdict == Verdict::Ok) - skipped;
    facts.push(format!("{good} of {} as expected", result.cells.len()));
    if skipped > 0 {
        facts.push(format!("{skipped} skipped"));
    }
    let must_fail = count(&|cell| cell.expected == "fail");
    if must_fail > 0 {
        let teeth = result.scenarios.iter().filter(|one| one.teeth).count();
        facts.push(format!(
            "{teeth} of {} scenarios have teeth",
            result.scenarios.len()
        ));
    }
    if !result.mutants.is_empty() {
        let tally = Tally::of(&result.mutants);
        facts.push(format!(
            "{} of {} mutants noticed",
            tally.noticed,
            tally.noticeable()
        ));
    }
    facts.extend(sightless(result));
    let notes = result.coverage.iter().flat_map(|coverage| &coverage.notes);
    facts.extend(notes.cloned());
    facts
}

/// Returns what the kernels of each profile cannot show: silence there is no pass.
fn sightless(result: &RunResult) -> Vec<String> {
    let mut absent: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in result
        .detectors
        .iter()
        .filter(|one| one.sight == Sight::Absent)
    {
        let names = absent.entry(&one.profile).or_default();
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    let sentences = absent.iter();
    sentences
        .map(|(profile, names)| format!("{profile} cannot show {}", names.join(", ")))
        .collect()
}

fn finding(cell: &CellResult) -> Finding {
    Finding {
        link: article::cell_id(&cell.profile, &cell.scenario, &cell.stack),
        name: cell.scenario.clone(),
        place: format!("{} ({})", cell.stack, cell.profile),
        what: what_came(cell),
        reason: sentence(&cell.reason),
    }
}

/// Returns the command that runs again what went wrong, or everything when nothing did.
fn again_all(result: &RunResult, findings: &[&CellResult], options: &str) -> String {
    let cells: Vec<&CellResult> = if findings.is_empty() {
        result.cells.iter().collect()
    } else {
        findings.to_vec()
    };
    let mutants = result.mutants.iter().filter(|one| one.is_finding());
    let mutants: Vec<&MutantResult> = mutants.collect();
    if let (true, Some(first)) = (findings.is_empty(), mutants.first()) {
        let of_profile = mutants.iter().filter(|one| one.profile == first.profile);
        let stacks: Vec<String> = of_profile
            .map(|one| format!("{MUTANT_PREFIX}{}", one.name))
            .collect();
        let stacks: Vec<&str> = stacks.iter().map(String::as_str).collect();
        return again::command([], &stacks, &[&first.profile], options);
    }
    let each = |of: fn(&CellResult) -> &str| distinct(cells.iter().map(|cell| of(cell)));
    let mut names = each(|cell| &cell.scenario);
    let mut stacks = each(|cell| &cell.stack);
    let mut profiles = each(|cell| &cell.profile);
    // What is so without being said, and more names than anybody would paste.
    if names.len() > NAMES_MAX {
        names.clear();
    }
    if stacks == ["base", "series"] {
        stacks.clear();
    }
    if profiles == ["fast"] {
        profiles.clear();
    }
    again::command(names, &stacks, &profiles, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Fate;
    use crate::result::tests::{cell, mutant};

    #[test]
    fn headline_says_that_the_series_is_in_no_kernel() {
        let result = crate::render::tests::not_tested();
        let headline = Headline::of(&result, &Evidence::default());
        assert_eq!((headline.class, headline.word), ("open", "not tested"));
        assert_eq!(headline.sentence, crate::render::tests::NOT_TESTED);
    }

    #[test]
    fn what_is_run_again_is_what_went_wrong() {
        let cells = vec![
            cell("s", "base", "pass", "pass"),
            cell("s", "series", "pass", "pass"),
        ];
        let result = RunResult::new("t".into(), "s".into(), Vec::new(), cells);
        assert_eq!(
            again_all(&result, &[], " --kernel K"),
            "cargo xtask test s --kernel K"
        );
        let mutants = [
            ("a-1", Fate::Noticed),
            ("b-1", Fate::Unnoticed),
            ("c-1", Fate::Unnoticed),
        ];
        let mutants = mutants.map(|(name, fate)| mutant(name, fate)).to_vec();
        let result = result.with_mutants(mutants);
        assert_eq!(
            again_all(&result, &[], ""),
            "cargo xtask test --stacks mutant-b-1,mutant-c-1 --profile fast"
        );
    }
}
