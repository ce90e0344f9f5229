// SPDX-License-Identifier: GPL-2.0-only
//! The head of the page: the verdict in a sentence, the findings, and the commands that
//! show them again.

use testbed_host::process::quote;

use super::article;
use super::sentence;
use crate::evidence::Evidence;
use crate::result::{CellResult, Fate, RunResult, Sight, Verdict};

/// So many findings are listed at the top; the table has them all.
const FINDINGS_MAX: usize = 40;
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
    pub(super) findings: Vec<Finding>,
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
        let (class, word) = match result.exit_code {
            0 => ("good", "as expected"),
            3 => ("open", "unproven"),
            _ => ("bad", "finding"),
        };
        let all: Vec<&CellResult> = result
            .cells
            .iter()
            .filter(|cell| cell.is_finding())
            .collect();
        let findings: Vec<Finding> = all
            .iter()
            .take(FINDINGS_MAX)
            .map(|cell| finding(cell))
            .collect();
        Self {
            class,
            word,
            sentence: verdict(result),
            facts: facts(result),
            again: again_all(result, &all, &evidence.again),
            findings_left_out: all.len() - findings.len(),
            findings,
        }
    }
}

/// Returns the verdict in one sentence.
fn verdict(result: &RunResult) -> String {
    let total = result.cells.len();
    let count =
        |test: &dyn Fn(&CellResult) -> bool| result.cells.iter().filter(|cell| test(cell)).count();
    let errors = count(&|cell| cell.outcome == "error");
    let surprises = count(&|cell| cell.verdict == Verdict::Unexpected && cell.outcome != "error");
    let changed = count(&|cell| cell.verdict == Verdict::Ok && cell.is_finding());
    let skipped = count(&CellResult::is_skipped);
    let mut parts = Vec::new();
    if surprises > 0 {
        parts.push(format!("{} not as expected", of_verdicts(surprises, total)));
    }
    if changed > 0 {
        parts.push(format!("{changed} not as recorded"));
    }
    if errors > 0 {
        parts.push(format!("{errors} without a verdict"));
    }
    let unnoticed = result.mutants.iter().filter(|one| one.is_finding()).count();
    if unnoticed > 0 {
        let mutants = if unnoticed == 1 { "mutant" } else { "mutants" };
        parts.push(format!("{unnoticed} {mutants} that no scenario notices"));
    }
    let blind = result
        .detectors
        .iter()
        .filter(|one| one.sight == Sight::Blind)
        .count();
    if blind > 0 {
        let detectors = if blind == 1 { "detector" } else { "detectors" };
        parts.push(format!("{blind} blind {detectors}"));
    }
    if !parts.is_empty() {
        return parts.join(", ");
    }
    match total - skipped {
        0 if total > 0 => "Nothing is proven: every test was skipped".to_owned(),
        0 => "Nothing is proven: nothing ran".to_owned(),
        good if skipped > 0 => {
            format!("{good} of {total} verdicts are as expected, the others were skipped")
        }
        1 => "The one verdict is as expected".to_owned(),
        good => format!("All {good} verdicts are as expected"),
    }
}

fn of_verdicts(some: usize, total: usize) -> String {
    let are = if some == 1 { "is" } else { "are" };
    format!("{some} of {total} verdicts {are}")
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
        let noticed = result
            .mutants
            .iter()
            .filter(|one| one.fate == Fate::Noticed)
            .count();
        facts.push(format!(
            "{noticed} of {} mutants noticed",
            result.mutants.len()
        ));
    }
    facts
}

fn finding(cell: &CellResult) -> Finding {
    let what = match cell.verdict {
        Verdict::Unexpected => format!("{}, where {} was expected", cell.outcome, cell.expected),
        Verdict::Ok => format!("{}, but not as recorded", cell.outcome),
    };
    Finding {
        link: article::cell_id(&cell.profile, &cell.scenario, &cell.stack),
        name: cell.scenario.clone(),
        place: format!("{} ({})", cell.stack, cell.profile),
        what,
        reason: sentence(&cell.reason),
    }
}

/// Returns the command that runs a cell again.
pub(super) fn again(cell: &CellResult, options: &str) -> String {
    let kselftest = if cell.kselftest { "--kselftest " } else { "" };
    format!(
        "cargo xtask test {kselftest}{} --stacks {} --profile {}{options}",
        quote(&cell.scenario),
        quote(&cell.stack),
        quote(&cell.profile)
    )
}

/// Returns the command that runs again what went wrong, or everything when nothing did.
fn again_all(result: &RunResult, findings: &[&CellResult], options: &str) -> String {
    let cells: Vec<&CellResult> = if findings.is_empty() {
        result.cells.iter().collect()
    } else {
        findings.to_vec()
    };
    let distinct = |of: &dyn Fn(&CellResult) -> String| {
        let mut names: Vec<String> = Vec::new();
        for name in cells.iter().map(|cell| of(cell)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let names = distinct(&|cell| cell.scenario.clone());
    let mut command = "cargo xtask test".to_owned();
    if names.len() <= NAMES_MAX {
        for name in &names {
            let kselftest = if name.contains(':') {
                " --kselftest"
            } else {
                ""
            };
            command += &format!("{kselftest} {}", quote(name));
        }
    }
    let stacks = distinct(&|cell| cell.stack.clone());
    if stacks != ["base", "series"] {
        command += &format!(" --stacks {}", quote(&stacks.join(",")));
    }
    let profiles = distinct(&|cell| cell.profile.clone());
    if profiles != ["fast"] {
        command += &format!(" --profile {}", quote(&profiles.join(",")));
    }
    command + options
}
