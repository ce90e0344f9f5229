// SPDX-License-Identifier: MIT OR Apache-2.0
//! Steps, their outcomes and the summary, and how a step calls cargo.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use patchbed_host::events::Activity;
use patchbed_host::process::Tool;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::exit::{Exit, exit_for};
use xtask::report;

/// The number of last lines that are printed of a failed cargo command.
const LINES_MAX: usize = 400;
const CARGO_LIMIT: Duration = Duration::from_secs(1800);

/// The function of a step.
pub(super) type Run = fn(&Ci<'_>) -> anyhow::Result<Outcome>;

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// How many tests did not run and why; empty if all did.
    Passed(String),
    /// Why the step failed, and its exit code.
    Failed(String, Exit),
    /// Why the step was skipped.
    Skipped(String),
}

impl Outcome {
    /// Returns the outcome of a check with these findings.
    pub(super) fn of(findings: &[String]) -> Self {
        match findings {
            [] => Self::Passed(String::new()),
            some => Self::Failed(some.join("\n"), Exit::Finding),
        }
    }

    pub(super) fn skipped(why: &str) -> anyhow::Result<Self> {
        Ok(Self::Skipped(why.to_owned()))
    }
}

/// A step that has run.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) secs: u64,
}

/// A run of this command.
pub(super) struct Ci<'a> {
    pub(super) session: &'a Session,
    pub(super) begun: Instant,
    /// After this time, optional steps are skipped.
    pub(super) budget: Duration,
    /// The run of the step `matrix fast`, set when the step has ended; `None` if the step left
    /// no run.
    pub(super) fast: OnceCell<Option<RunFolder>>,
}

impl<'a> Ci<'a> {
    pub(super) fn begin(budget: Duration, session: &'a Session) -> Self {
        Self {
            session,
            begun: Instant::now(),
            budget,
            fast: OnceCell::new(),
        }
    }

    /// Runs a step, and prints why it failed or was skipped.
    pub(super) fn step(&self, name: &'static str, run: Run) -> Step {
        let begun = Instant::now();
        report::line_to_stderr(&format!("== {name}"));
        let outcome = run(self)
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}"), exit_for(&error)));
        if let Outcome::Failed(why, _) | Outcome::Skipped(why) = &outcome {
            self.session.observer.clear();
            report::line_to_stderr(why);
        }
        Step {
            name,
            outcome,
            secs: begun.elapsed().as_secs(),
        }
    }

    /// Returns the run that later steps use: the run of the step `matrix fast`, or the newest
    /// run if that step was not selected.
    pub(super) fn run_folder(&self) -> Option<RunFolder> {
        if let Some(own) = self.fast.get() {
            return own.clone();
        }
        let runs = self.session.layout.runs().ok()?;
        let newest = RunFolder::open(&runs.join("latest")).ok()?;
        self.session.observer.clear();
        report::line_to_stderr(&format!("using the latest run: {}", newest.name()));
        Some(newest)
    }

    /// Runs `cargo test` with these words.
    pub(super) fn cargo_test(
        &self,
        words: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Outcome> {
        self.cargo(&[&["test", "--no-fail-fast"], words].concat(), env)
    }

    /// Runs cargo, and counts the tests that are ignored.
    pub(super) fn cargo(&self, words: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Outcome> {
        let session = self.session;
        let activity = Activity::start(&*session.observer, format!("cargo {}", words[0]), None);
        let mut ignored = Ignored::default();
        let mut last_lines = VecDeque::new();
        let mut lines = 0;
        let cargo = Tool::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        let ran = env
            .iter()
            .fold(cargo, |cargo, (key, value)| cargo.env(key, value))
            .args(words)
            .cwd(session.layout.checkout("ci")?)
            .env("CARGO_TERM_COLOR", "never")
            // Snapshots are compared and never rewritten, also if the caller's environment
            // requests it.
            .env("INSTA_UPDATE", "no")
            .deadline("cargo", CARGO_LIMIT)
            .run_lines(&session.cancel, &mut |line| {
                lines += 1;
                activity.advance(lines, line);
                ignored.read(line);
                if line.ends_with(" ... ok") {
                    return;
                }
                if last_lines.len() == LINES_MAX {
                    last_lines.pop_front();
                }
                last_lines.push_back(line.to_owned());
            });
        Ok(match ran {
            Ok(_) => Outcome::Passed(ignored.text()),
            Err(error) => {
                let last_lines = Vec::from(last_lines).join("\n");
                Outcome::Failed(format!("{last_lines}\n{error}"), Exit::Finding)
            }
        })
    }
}

/// Tests that `cargo test` did not run, counted by the reason that `#[ignore]` gives.
#[derive(Debug, Default)]
struct Ignored(BTreeMap<String, usize>);

impl Ignored {
    /// Counts a test if this line of `cargo test` reports it as ignored.
    fn read(&mut self, line: &str) {
        let Some((_, result)) = line.split_once(" ... ignored") else {
            return;
        };
        let reason = result.strip_prefix(", ").unwrap_or("no reason given");
        *self.0.entry(reason.to_owned()).or_default() += 1;
    }

    /// Returns the number of tests and the reasons; empty if there are none.
    fn text(&self) -> String {
        let total: usize = self.0.values().sum();
        let tests = |count| if count == 1 { "test" } else { "tests" };
        let reasons = self.0.iter();
        let reasons: Vec<String> = reasons
            .map(|(reason, count)| format!("{count} {}: {reason}", tests(*count)))
            .collect();
        match total {
            0 => String::new(),
            _ => format!("{total} ignored ({})", reasons.join("; ")),
        }
    }
}

/// Returns the exit code of all steps.
pub(super) fn exit(steps: &[Step]) -> Exit {
    Exit::worst(steps.iter().map(|step| match step.outcome {
        Outcome::Failed(_, exit) => exit,
        Outcome::Passed(_) | Outcome::Skipped(_) => Exit::Ok,
    }))
}

/// Returns a line for each step, and the totals.
pub(super) fn summary(steps: &[Step], took: Duration) -> String {
    let mut text = format!("\nci, {} s\n", took.as_secs());
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for step in steps {
        let (word, count, why) = match &step.outcome {
            Outcome::Passed(without) if without.is_empty() => {
                ("passed", &mut passed, String::new())
            }
            Outcome::Passed(without) => ("passed", &mut passed, format!(": {without}")),
            Outcome::Failed(..) => ("FAILED", &mut failed, " (see above)".to_owned()),
            Outcome::Skipped(why) => ("skipped", &mut skipped, format!(": {why}")),
        };
        *count += 1;
        text += &format!("  {word:<8} {} ({} s){why}\n", step.name, step.secs);
    }
    text + &format!("{passed} passed, {failed} failed, {skipped} skipped\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lists_outcomes_with_reasons_and_totals() {
        let step = |name, outcome| Step {
            name,
            outcome,
            secs: 3,
        };
        let steps = [
            step("one", Outcome::Passed(String::new())),
            step("tests", Outcome::Passed("2 ignored".to_owned())),
            step("two", Outcome::Failed("because".to_owned(), Exit::Finding)),
            step("three", Outcome::Skipped("no time".to_owned())),
        ];
        insta::assert_snapshot!(summary(&steps, Duration::from_secs(9)), @r"

        ci, 9 s
          passed   one (3 s)
          passed   tests (3 s): 2 ignored
          FAILED   two (3 s) (see above)
          skipped  three (3 s): no time
        2 passed, 1 failed, 1 skipped
        ");
    }

    #[test]
    fn ignored_counts_tests_by_reason() {
        let mut ignored = Ignored::default();
        assert_eq!(ignored.text(), "");
        for line in [
            "running 5 tests",
            "test boots ... ignored, needs a kernel",
            "test reboots ... ignored, needs a kernel",
            "test parses ... ok",
            "test compiles ... ignored, needs ccache",
            "test result: ok. 1 passed; 0 failed; 4 ignored; 0 measured; 0 filtered out",
        ] {
            ignored.read(line);
        }
        let which = "3 ignored (2 tests: needs a kernel; 1 test: needs ccache)";
        assert_eq!(ignored.text(), which);
    }

    #[test]
    fn exit_is_a_finding_even_if_another_step_had_an_infrastructure_error() {
        let step = |exit| Step {
            name: "step",
            outcome: Outcome::Failed(String::new(), exit),
            secs: 0,
        };
        let steps = [Exit::Infrastructure, Exit::Finding, Exit::Input].map(step);
        assert_eq!(super::exit(&steps), Exit::Finding);
        assert_eq!(super::exit(&steps[..1]), Exit::Infrastructure);
        assert_eq!(super::exit(&[]), Exit::Ok);
    }

    #[test]
    fn run_folder_is_the_run_of_the_fast_matrix_or_the_latest_without_it() {
        let place = tempfile::tempdir().unwrap();
        let session = Session::at(place.path().to_owned().try_into().unwrap());
        let ci = || Ci::begin(Duration::ZERO, &session);
        let path = |ci: &Ci<'_>| ci.run_folder().map(|run| run.path().to_owned());
        assert_eq!(path(&ci()), None, "there is no run yet");
        let finished = || {
            let run = RunFolder::at(RunFolder::reserve(&session.layout).unwrap());
            let result =
                xtask::result::RunResult::new(String::new(), String::new(), Vec::new(), Vec::new());
            run.finish(&result, &session.layout).unwrap();
            run
        };
        let (own, newest) = (finished(), finished());
        assert_eq!(path(&ci()).unwrap().file_name(), Some(newest.name()));
        let with_own = ci();
        with_own.fast.set(Some(own.clone())).unwrap();
        assert_eq!(path(&with_own).unwrap().file_name(), Some(own.name()));
        let with_none = ci();
        with_none.fast.set(None).unwrap();
        assert_eq!(path(&with_none), None, "the matrix failed without a run");
    }
}
