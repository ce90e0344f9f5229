// SPDX-License-Identifier: GPL-2.0-only
//! What a run came to: the content of `result.json`, and the exit code it leads to.
//!
//! A contract: fields may be added, none renamed. The schema is checked in
//! beside this room's `Cargo.toml`.

mod coverage;
mod detector;
mod mutant;
mod patch;
mod rate;
mod setting;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::plan::{self, CellPlan};

pub(crate) use coverage::Coverage;
pub(crate) use detector::{DetectorResult, Sight};
pub(crate) use mutant::{Fate, MutantResult, Tally};
pub(crate) use patch::{PatchResult, StackResult, Turn};
pub(crate) use rate::RateResult;
pub(crate) use setting::{KernelFacts, PatchFacts, SeriesFacts, Setting};

/// The version of this format.
pub(crate) const SCHEMA: u32 = 1;

/// Whether an outcome is what was to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    Unexpected,
}

/// Whose fault it is that a cell did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Blame {
    /// The kernel under test.
    Kernel,
    /// The test program, or the scenario that it was made from.
    Test,
    /// This tool.
    Tool,
    /// The host: QEMU, memory, disk, or too little time for the guest.
    Host,
}

impl Blame {
    /// Returns the word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Test => "test",
            Self::Tool => "tool",
            Self::Host => "host",
        }
    }
}

impl From<selftests::outcome::Blame> for Blame {
    fn from(blame: selftests::outcome::Blame) -> Self {
        use selftests::outcome::Blame as Told;
        match blame {
            Told::Kernel => Self::Kernel,
            Told::Test => Self::Test,
            Told::Tool => Self::Tool,
            Told::Host => Self::Host,
        }
    }
}

/// One cell's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CellResult {
    /// The scenario's name, or `TARGET:TEST` for a test of the tree's own.
    pub(crate) scenario: String,
    /// Whether it is a test of the tree's own. One that could not do its work has
    /// the outcome `skip` and the verdict `ok`, but is no pass.
    #[serde(default)]
    pub(crate) kselftest: bool,
    /// The stack's name.
    pub(crate) stack: String,
    /// The profile's name.
    pub(crate) profile: String,
    /// The machine's name.
    pub(crate) machine: String,
    /// Which repetition of the cell, from 1.
    pub(crate) repetition: u32,
    /// `pass`, `fail`, `crash`, `hang`, `skip` or `error`.
    pub(crate) outcome: String,
    /// `pass` or `fail`: what the scenario says should happen on this stack; `either`
    /// where it has a part of a series without which the scenario fails.
    pub(crate) expected: String,
    /// The outcome held against what was expected.
    pub(crate) verdict: Verdict,
    /// Why, in a sentence.
    pub(crate) reason: String,
    /// Whose fault it is, of a cell that did not pass and was not skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blame: Option<Blame>,
    /// From starting QEMU until the first kernel is ready, in milliseconds.
    pub(crate) boot_ms: u64,
    /// `template` when the first kernel went on from where one like it had
    /// booted to, `boot` when it booted; empty when no guest was started.
    #[serde(default)]
    pub(crate) start: String,
    /// Whether it shared its guest with other cells.
    #[serde(default)]
    pub(crate) shared: bool,
    /// The whole cell, in milliseconds.
    pub(crate) duration_ms: u64,
    /// `kvm` or `tcg`; empty when no guest was started.
    pub(crate) accel: String,
    /// The cell's folder, relative to the run folder.
    pub(crate) artifacts: String,
    /// How the result differs from the recorded one, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_difference: Option<String>,
    /// Complaints of the kernel, by title.
    #[serde(default)]
    pub(crate) splats: Vec<String>,
    /// The run that this is the result of, when that is an earlier one: nothing
    /// that the cell rests on had changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Kept>,
}

/// An earlier run of the same `watch`, and when it had the cell's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Kept {
    /// The name of its run folder.
    pub(crate) run: String,
    /// When the cell had ended, in local time with its offset.
    pub(crate) at: String,
}

impl CellResult {
    /// Returns the cell that it is the result of.
    pub(crate) fn plan(&self) -> CellPlan {
        CellPlan {
            scenario: self.scenario.clone(),
            profile: self.profile.clone(),
            stack: self.stack.clone(),
            machine: self.machine.clone(),
            repetition: self.repetition,
        }
    }

    /// Returns whether a person should look at it.
    pub(crate) fn is_finding(&self) -> bool {
        self.verdict == Verdict::Unexpected || self.snapshot_difference.is_some()
    }
}

impl CellResult {
    /// Returns whether it is neither proven nor a finding.
    pub(crate) fn is_skipped(&self) -> bool {
        self.outcome == "skip" && self.verdict == Verdict::Ok
    }

    /// Takes the verdict back: the host failed to keep what it rests on.
    pub(crate) fn give_up(&mut self, why: &anyhow::Error) {
        "error".clone_into(&mut self.outcome);
        self.blame = Some(Blame::Host);
        self.verdict = Verdict::Unexpected;
        self.reason = format!("the cell's folder cannot be written: {why:#}");
    }
}

/// What a scenario showed over all its cells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ScenarioResult {
    /// The scenario's name.
    pub(crate) name: String,
    /// Whether it failed on at least one stack that should be bad.
    pub(crate) teeth: bool,
    /// The stacks it failed on.
    pub(crate) failed_on: Vec<String>,
}

/// The content of `result.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RunResult {
    /// The version of this format: 1.
    pub(crate) schema: u32,
    /// What the command exited with.
    pub(crate) exit_code: u8,
    /// The tree, for people.
    pub(crate) tree: String,
    /// The series judged.
    pub(crate) series: String,
    /// The series below every stack.
    pub(crate) prerequisites: Vec<String>,
    /// When, where, by what and of what the run was made.
    #[serde(default)]
    pub(crate) setting: Setting,
    /// The cells, in the order of the plan.
    pub(crate) cells: Vec<CellResult>,
    /// The scenarios, by name, without the tests of the tree's own.
    pub(crate) scenarios: Vec<ScenarioResult>,
    /// How often what came to what, of scenarios that ran several times.
    #[serde(default)]
    pub(crate) rates: Vec<RateResult>,
    /// The source states that were judged, in the order of the table.
    #[serde(default)]
    pub(crate) stacks: Vec<StackResult>,
    /// What each patch of the series changes, told from the table alone; empty where
    /// too few stacks were judged to tell.
    #[serde(default)]
    pub(crate) patches: Vec<PatchResult>,
    /// What each kernel showed that it can see, before its verdicts counted.
    #[serde(default)]
    pub(crate) detectors: Vec<DetectorResult>,
    /// The mistakes that were put into the series, and what came of each.
    #[serde(default)]
    pub(crate) mutants: Vec<MutantResult>,
    /// What of the series was in the kernels that were run; absent in a run that did not
    /// record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coverage: Option<Coverage>,
}

impl RunResult {
    /// Makes sure that it is one that this program writes.
    ///
    /// # Errors
    /// Says what is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            let schema = self.schema;
            return Err(format!("its `schema` is {schema}, and not {SCHEMA}"));
        }
        let plans: Vec<CellPlan> = self.cells.iter().map(CellResult::plan).collect();
        plan::check_cells(&plans)?;
        for (index, (plan, cell)) in plans.iter().zip(&self.cells).enumerate() {
            if plan.folder() != cell.artifacts {
                let (told, own) = (&cell.artifacts, plan.folder());
                return Err(format!("`cells[{index}].artifacts`: `{told}`, not `{own}`"));
            }
        }
        Ok(())
    }

    /// Returns the result for these cells, with teeth and exit code worked out.
    pub(crate) fn new(
        tree: String,
        series: String,
        prerequisites: Vec<String>,
        cells: Vec<CellResult>,
    ) -> Self {
        let exit_code = exit(&cells) as u8;
        let scenarios = scenarios(&cells);
        let rates = rate::rates(&cells);
        Self {
            schema: SCHEMA,
            exit_code,
            tree,
            series,
            prerequisites,
            setting: Setting::default(),
            cells,
            scenarios,
            rates,
            stacks: Vec::new(),
            patches: Vec::new(),
            detectors: Vec::new(),
            mutants: Vec::new(),
            coverage: None,
        }
    }

    /// Returns the result with what is known of the stacks: what each patch changes, and
    /// whether one breaks what an earlier one has mended.
    pub(crate) fn with_stacks(mut self, stacks: Vec<StackResult>) -> Self {
        patch::hold_in_order(&mut self.cells, &stacks);
        self.patches = patch::patches(&self.cells, &stacks);
        self.stacks = stacks;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns the result with what of the series was in the kernels.
    pub(crate) fn with_coverage(mut self, coverage: Option<Coverage>) -> Self {
        if let Some(coverage) = &coverage {
            coverage.correct(&mut self.patches);
        }
        self.coverage = coverage;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns why the run does not test the series, or a part of it, in a sentence.
    pub(crate) fn not_tested(&self) -> Option<&str> {
        self.coverage.as_ref()?.summary.as_deref()
    }

    /// Returns the same sentence where nothing worse came of the run.
    pub(crate) fn only_not_tested(&self) -> Option<&str> {
        let is_finding = self.cells.iter().any(CellResult::is_finding);
        self.not_tested()
            .filter(|_| self.exit_code == Exit::Infrastructure as u8 && !is_finding)
    }

    /// Returns the result with what the kernels showed that they can see.
    pub(crate) fn with_detectors(mut self, detectors: Vec<DetectorResult>) -> Self {
        self.detectors = detectors;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns the result with what came of mutants.
    pub(crate) fn with_mutants(mut self, mutants: Vec<MutantResult>) -> Self {
        self.mutants = mutants;
        self.exit_code = self.exit() as u8;
        self
    }

    /// Returns what the command exits with. Where a detector is blind, what passed may
    /// not have; where a mutant lives, what failed may not have been looked for.
    /// A series that was not in the kernels is not tested, whatever passed.
    pub(crate) fn exit(&self) -> Exit {
        match self.exit_by_outcomes() {
            Exit::Ok if self.not_tested().is_some() => Exit::Infrastructure,
            other => other,
        }
    }

    fn exit_by_outcomes(&self) -> Exit {
        let was_run = |one: &MutantResult| !matches!(one.fate, Fate::SameObject | Fate::NotBuilt);
        let none_was_run = !self.mutants.is_empty() && !self.mutants.iter().any(was_run);
        let is_finding = none_was_run
            || self.detectors.iter().any(DetectorResult::is_finding)
            || self.mutants.iter().any(MutantResult::is_finding);
        let is_unproven = |one: &MutantResult| one.fate == Fate::Unproven;
        match exit(&self.cells) {
            _ if self.mutants.iter().any(is_unproven) => Exit::Infrastructure,
            Exit::Ok if is_finding => Exit::Finding,
            other => other,
        }
    }
}

/// Returns the exit code: a host that failed makes the whole run unproven, so
/// it outranks a finding. A run in which nothing was proven is one.
pub(crate) fn exit(cells: &[CellResult]) -> Exit {
    if cells.iter().any(|cell| cell.outcome == "error") {
        Exit::Infrastructure
    } else if cells.iter().any(CellResult::is_finding) || cells.iter().all(CellResult::is_skipped) {
        Exit::Finding
    } else {
        Exit::Ok
    }
}

fn scenarios(cells: &[CellResult]) -> Vec<ScenarioResult> {
    let ours = cells.iter().filter(|cell| !cell.kselftest);
    let names: BTreeSet<&String> = ours.map(|cell| &cell.scenario).collect();
    names
        .into_iter()
        .map(|name| {
            let failed: Vec<&CellResult> = cells
                .iter()
                .filter(|cell| cell.scenario == *name)
                .filter(|cell| cell.outcome == "fail" || cell.outcome == "crash")
                .collect();
            let failed_on: BTreeSet<String> =
                failed.iter().map(|cell| cell.stack.clone()).collect();
            ScenarioResult {
                name: name.clone(),
                teeth: failed
                    .iter()
                    .any(|cell| cell.expected == "fail" && cell.verdict == Verdict::Ok),
                failed_on: failed_on.into_iter().collect(),
            }
        })
        .collect()
}

/// Returns the JSON schema of `result.json`.
pub(crate) fn json_schema() -> String {
    let schema = schemars::schema_for!(RunResult);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) use super::coverage::tests::nothing;
    pub(crate) use super::mutant::tests::{mutant, one_of_each};
    pub(crate) use super::setting::tests::setting;

    pub(crate) fn cell(scenario: &str, stack: &str, outcome: &str, expected: &str) -> CellResult {
        let good = outcome == expected
            || (expected == "fail" && outcome == "crash")
            || (scenario.contains(':') && outcome == "skip");
        CellResult {
            scenario: scenario.to_owned(),
            kselftest: scenario.contains(':'),
            stack: stack.to_owned(),
            profile: "fast".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
            outcome: outcome.to_owned(),
            expected: expected.to_owned(),
            verdict: if good {
                Verdict::Ok
            } else {
                Verdict::Unexpected
            },
            reason: format!("{outcome} for a reason"),
            blame: (!good).then_some(Blame::Kernel),
            boot_ms: 1500,
            duration_ms: 2500,
            start: "template".to_owned(),
            shared: false,
            accel: "tcg".to_owned(),
            artifacts: format!("fast/{stack}/{scenario}"),
            snapshot_difference: None,
            splats: Vec::new(),
            kept: None,
        }
    }

    #[test]
    fn a_result_that_we_do_not_write_is_told() {
        let cells = vec![
            cell("a", "base", "pass", "pass"),
            cell("b", "base", "pass", "pass"),
        ];
        let good = RunResult::new("t".into(), "s".into(), Vec::new(), cells);
        assert_eq!(good.check(), Ok(()));
        let said = |change: &dyn Fn(&mut RunResult)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.check().unwrap_err()
        };
        assert_eq!(
            said(&|bad| bad.schema = 99),
            "its `schema` is 99, and not 1"
        );
        assert_eq!(
            said(&|bad| bad.cells[1].artifacts = "../x".to_owned()),
            "`cells[1].artifacts`: `../x`, not `fast/base/b`"
        );
        let twice = said(&|bad| bad.cells[1] = bad.cells[0].clone());
        assert_eq!(twice, "`cells[1]`: a on base (fast) is there twice");
    }

    #[test]
    fn the_exit_code_follows_the_worst_cell() {
        let good = cell("s", "series", "pass", "pass");
        let bad = cell("s", "series", "fail", "pass");
        let broken = cell("s", "series", "error", "pass");
        assert_eq!(exit(std::slice::from_ref(&good)), Exit::Ok);
        assert_eq!(exit(&[good.clone(), bad.clone()]), Exit::Finding);
        assert_eq!(exit(&[bad, broken]), Exit::Infrastructure);
        assert_eq!(
            exit(&[]),
            Exit::Finding,
            "nothing that ran is nothing proven"
        );
        let skipped = cell("t:a", "series", "skip", "pass");
        assert_eq!(exit(&[good.clone(), skipped.clone()]), Exit::Ok);
        assert_eq!(exit(&[skipped.clone(), skipped]), Exit::Finding);
        let changed = CellResult {
            snapshot_difference: Some("-a +b".to_owned()),
            ..good
        };
        assert_eq!(exit(&[changed]), Exit::Finding);
    }

    #[test]
    fn the_exit_code_follows_mutants_as_well() {
        let of = |fates: &[Fate]| {
            let cells = vec![cell("s", "series", "pass", "pass")];
            let result = RunResult::new("t".into(), "s".into(), Vec::new(), cells);
            let mutants = fates.iter().map(|fate| mutant("m", *fate));
            result.with_mutants(mutants.collect()).exit()
        };
        assert_eq!(of(&[]), Exit::Ok);
        assert_eq!(of(&[Fate::Noticed, Fate::SameObject]), Exit::Ok);
        assert_eq!(of(&[Fate::Noticed, Fate::Unnoticed]), Exit::Finding);
        assert_eq!(of(&[Fate::SameObject, Fate::NotBuilt]), Exit::Finding);
        assert_eq!(of(&[Fate::Unnoticed, Fate::Unproven]), Exit::Infrastructure);
    }

    #[test]
    fn exit_is_3_where_the_series_is_not_in_the_kernel_unless_there_is_a_finding() {
        let of = |outcome: &str| {
            let cells = vec![cell("s", "series", outcome, "pass")];
            let result = RunResult::new("t".into(), "s".into(), Vec::new(), cells);
            let result = result.with_coverage(Some(nothing()));
            assert_eq!(result.exit_code, result.exit() as u8);
            (result.exit(), result.only_not_tested().is_some())
        };
        assert_eq!(of("pass"), (Exit::Infrastructure, true));
        assert_eq!(of("fail"), (Exit::Finding, false));
        assert_eq!(of("error"), (Exit::Infrastructure, false));
    }

    #[test]
    fn teeth_are_failures_where_they_were_due() {
        let cells = [
            cell("bites", "base", "crash", "fail"),
            cell("bites", "series", "pass", "pass"),
            cell("barks", "base", "pass", "pass"),
            cell("broken", "series", "fail", "pass"),
            cell("tree:own", "series", "fail", "pass"),
        ];
        let teeth: Vec<_> = scenarios(&cells)
            .into_iter()
            .map(|s| (s.name, s.teeth, s.failed_on))
            .collect();
        assert_eq!(teeth[0], ("barks".to_owned(), false, vec![]));
        assert_eq!(
            teeth[1],
            ("bites".to_owned(), true, vec!["base".to_owned()])
        );
        assert_eq!(
            teeth[2],
            ("broken".to_owned(), false, vec!["series".to_owned()])
        );
        assert_eq!(teeth.len(), 3, "tests of the tree's own have none");
    }

    #[test]
    fn the_schema_that_is_checked_in_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/result.schema.json");
        let there = fs_err::read_to_string(path).unwrap_or_default();
        assert!(
            there == json_schema(),
            "run `cargo xtask generate` and commit the result"
        );
    }
}
