// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ci`: runs all checks of the project's CI, and lists failed and skipped steps.

mod account;
mod browser;
mod formats;
mod words;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::kernel;
use patchbed_host::events::Activity;
use patchbed_host::process::Tool;
use selftests::fault;

use self::account::{Ignored, Outcome, Step, summary, worst};
use crate::cli::{CiArgs, RunArgs, TestArgs};
use crate::commands::{doctor, generate, patch_style, test};
use xtask::engine::inject::kit;
use xtask::engine::job::Job;
use xtask::engine::options::{ConfigArgs, TestOptions};
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::exit::{self, Exit, bad_input};
use xtask::report;

/// The number of last lines that are printed of a failed cargo command.
const LINES_MAX: usize = 400;
const CARGO_LIMIT: Duration = Duration::from_secs(1800);

/// The scenarios that run under KASAN: one of each kind. All scenarios take half an hour there;
/// `cargo xtask test --config kasan` runs them.
const KASAN_SMOKE: [&str; 9] = [
    "cleanup-races-with-last-unpreserve",
    "get-outgoing-without-preserve",
    "live-update-kexec",
    "outgoing-flb-held-while-last-file-goes",
    "outgoing-references-balance",
    "outgoing-user-is-killed",
    "preserve-rolls-back",
    "session-names",
    "sysfs-remove-while-preserved",
];

/// The function of a step.
type Run = fn(&Ci<'_>) -> anyhow::Result<Outcome>;

/// All steps, in order. `--only` selects them by a part of their names.
const STEPS: [(&str, Run); 14] = [
    ("format", formatting),
    ("lints", lints),
    ("licences", licences),
    ("words", replaced_words),
    ("unit tests", unit_tests),
    ("host tests", host_tests),
    ("generated files", generated),
    ("kernel style", kernel_style),
    ("matrix fast", fast_matrix),
    ("html report in a browser", browser::check),
    ("vm tests", vm_tests),
    ("kselftest with kexec", kselftest),
    ("matrix kasan (smoke)", kasan_matrix),
    ("output formats", formats::validate),
];

/// A run of this command.
struct Ci<'a> {
    session: &'a Session,
    checkout: &'a Utf8Path,
    begun: Instant,
    /// After this time, optional steps are skipped.
    budget: Duration,
    /// The run of the step `matrix fast`, set when the step has ended; `None` if the step left
    /// no run.
    fast: OnceCell<Option<RunFolder>>,
}

/// Runs the selected steps. A failed step does not end the run.
pub(crate) fn run(args: &CiArgs, session: &Session) -> anyhow::Result<Exit> {
    let checkout = session.layout.checkout("ci")?;
    let selected = select(&args.only)?;
    let budget = minutes(args.budget)?;
    let ci = Ci {
        session,
        checkout,
        begun: Instant::now(),
        budget,
        fast: OnceCell::new(),
    };
    let may_install = args.install || std::env::var("CI").is_ok_and(|ci| ci == "true");
    doctor::require(may_install, session)?;
    let mut steps = Vec::new();
    for (name, run) in selected {
        if session.cancel.is_cancelled() {
            break;
        }
        steps.push(ci.step(name, run));
    }
    if session.cancel.is_cancelled() {
        anyhow::bail!("interrupted");
    }
    session.observer.clear();
    report::to_stdout(&summary(&steps, ci.begun.elapsed()))?;
    Ok(worst(&steps))
}

/// Returns the steps whose names contain one of these texts, or all steps if there are none.
///
/// # Errors
/// When a text is in the name of no step.
fn select(only: &[String]) -> anyhow::Result<Vec<(&'static str, Run)>> {
    for part in only {
        if !STEPS.iter().any(|(name, _)| name.contains(part)) {
            let names = STEPS.map(|(name, _)| format!("`{name}`"));
            return Err(bad_input(
                format!("no step has `{part}` in its name"),
                format!("known steps: {}", names.join(", ")),
            ));
        }
    }
    let is_selected = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
    let steps = STEPS.into_iter();
    Ok(steps.filter(|(name, _)| is_selected(name)).collect())
}

impl Ci<'_> {
    /// Runs a step, and prints why it failed or was skipped.
    fn step(&self, name: &'static str, run: Run) -> Step {
        let begun = Instant::now();
        report::line_to_stderr(&format!("== {name}"));
        let outcome = run(self)
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}"), exit::exit_for(&error)));
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
    fn run_folder(&self) -> Option<RunFolder> {
        if let Some(own) = self.fast.get() {
            return own.clone();
        }
        let runs = self.session.layout.runs().ok()?;
        let newest = RunFolder::open(&runs.join("latest")).ok()?;
        self.session.observer.clear();
        report::line_to_stderr(&format!("using the latest run: {}", newest.name()));
        Some(newest)
    }

    fn cargo(&self, words: &[&str]) -> anyhow::Result<Outcome> {
        Ok(match self.cargo_lines(words, &[], &mut |_| ())? {
            Some(failed) => failed,
            None => Outcome::Passed,
        })
    }

    /// Runs `cargo test` with these words, and counts the tests that are ignored.
    fn cargo_test(&self, words: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Outcome> {
        let mut ignored = Ignored::default();
        let words = [&["test", "--no-fail-fast"], words].concat();
        let failed = self.cargo_lines(&words, env, &mut |line| ignored.read(line))?;
        Ok(failed.unwrap_or_else(|| ignored.passed()))
    }

    /// Runs cargo and calls `on_line` for each line of output. Returns the outcome if it fails.
    fn cargo_lines(
        &self,
        words: &[&str],
        env: &[(&str, &str)],
        on_line: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Option<Outcome>> {
        let session = self.session;
        let activity = Activity::start(&*session.observer, format!("cargo {}", words[0]), None);
        let mut last_lines = VecDeque::new();
        let mut lines = 0;
        let cargo = Tool::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        let ran = env
            .iter()
            .fold(cargo, |cargo, (key, value)| cargo.env(key, value))
            .args(words)
            .cwd(self.checkout)
            .env("CARGO_TERM_COLOR", "never")
            // Snapshots are compared and never rewritten, also if the caller's environment
            // requests it.
            .env("INSTA_UPDATE", "no")
            .deadline("cargo", CARGO_LIMIT)
            .run_lines(&session.cancel, &mut |line| {
                lines += 1;
                activity.advance(lines, line);
                on_line(line);
                if line.ends_with(" ... ok") {
                    return;
                }
                if last_lines.len() == LINES_MAX {
                    last_lines.pop_front();
                }
                last_lines.push_back(line.to_owned());
            });
        Ok(match ran {
            Ok(_) => None,
            Err(error) => {
                let last_lines = Vec::from(last_lines).join("\n");
                let why = format!("{last_lines}\n{error}");
                Some(Outcome::Failed(why, Exit::Finding))
            }
        })
    }

    /// Runs `test` with these options; `out` is the run folder, if given.
    fn matrix(&self, options: TestOptions, out: Option<Utf8PathBuf>) -> anyhow::Result<Outcome> {
        let command = format!("cargo xtask test{}", options.words());
        let run = RunArgs {
            options,
            ..RunArgs::default()
        };
        let args = TestArgs {
            run,
            out,
            ..TestArgs::default()
        };
        Ok(match test::run(&args, self.session)? {
            Exit::Ok => Outcome::Passed,
            Exit::Interrupted => anyhow::bail!("interrupted"),
            other => Outcome::Failed(
                format!("`{command}` failed with exit code {}", other as u8),
                other,
            ),
        })
    }
}

fn formatting(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    ci.cargo(&["fmt", "--all", "--check"])
}

fn lints(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let words = ["clippy", "--quiet", "--workspace", "--all-targets"];
    ci.cargo(&[&words[..], &["--", "-D", "warnings"]].concat())
}

fn licences(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    ci.cargo_test(&["--package", "xtask", "--test", "licence"], &[])
}

fn replaced_words(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    Ok(Outcome::of(words::findings(ci.session)?))
}

fn unit_tests(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    ci.cargo_test(&["--workspace"], &[])
}

/// Runs the ignored tests that need programs but no kernel. `ci` requires the programs that
/// `doctor` checks; ccache is not one of them.
fn host_tests(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let mut words = vec!["--workspace", "--exclude", "vm-images", "--", "--ignored"];
    if which::which("ccache").is_ok() {
        return ci.cargo_test(&words, &[]);
    }
    // The names of tests that need ccache have this prefix.
    words.extend(["--skip", "::ccache_"]);
    Ok(match ci.cargo_test(&words, &[])? {
        Outcome::Passed => {
            Outcome::PassedWithout("tests of ccache skipped: it is not installed".to_owned())
        }
        other => other,
    })
}

fn generated(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    Ok(Outcome::of(generate::differences(ci.session)?))
}

fn kernel_style(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    Ok(Outcome::of(patch_style::problems(ci.session)?))
}

fn fast_matrix(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    // Not `latest`, which another run may replace before later steps use it.
    let place = RunFolder::reserve(&ci.session.layout)?;
    let outcome = ci.matrix(TestOptions::default(), Some(place.clone()));
    let run = RunFolder::open(&place).ok();
    if run.is_none() {
        // The folder is empty if the run did not begin.
        let _ = fs_err::remove_dir(&place);
    }
    let _ = ci.fast.set(run);
    outcome
}

fn minutes(number: u64) -> anyhow::Result<Duration> {
    let secs = number.checked_mul(60).ok_or_else(|| {
        bad_input(
            format!("`--budget {number}` is too large"),
            "pass minutes, for example `--budget 120`",
        )
    })?;
    Ok(Duration::from_secs(secs))
}

/// Runs the tests of the crate `vm-images` with the kernel of the last job of the matrix.
fn vm_tests(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let Some(folder) = ci.run_folder() else {
        return Ok(Outcome::Skipped(
            "no kernel: there is no run of the matrix".to_owned(),
        ));
    };
    let plan = folder.plan()?;
    let Some(job) = plan.jobs.last() else {
        return Ok(Outcome::Skipped(
            "no kernel: the run of the matrix has no jobs".to_owned(),
        ));
    };
    let binaries = Job::read(job, &folder)?.binaries;
    let modules = kernel::modules_folder(&kit::modules()?, &binaries.kernel_id, &ci.session.cache)?;
    let fault = modules.join(fault::MODULE);
    if !fault.is_file() {
        return Ok(Outcome::Skipped(format!(
            "no `{fault}`: the matrix ran with `--no-self-check`"
        )));
    }
    ci.cargo_test(
        &[
            "--package",
            "vm-images",
            "--tests",
            "--",
            "--include-ignored",
        ],
        &[
            ("PATCHBED_TEST_KERNEL", binaries.image.as_str()),
            ("PATCHBED_TEST_FAULT", fault.as_str()),
        ],
    )
}

fn kselftest(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let options = TestOptions {
        kselftest: vec!["liveupdate:luo_kexec_simple".to_owned()],
        ..TestOptions::default()
    };
    ci.matrix(options, None)
}

fn kasan_matrix(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let spent = ci.begun.elapsed();
    if spent > ci.budget {
        return Ok(Outcome::Skipped(format!(
            "time budget exceeded ({} of {} min)",
            spent.as_secs() / 60,
            ci.budget.as_secs() / 60
        )));
    }
    let options = TestOptions {
        scenarios: KASAN_SMOKE.map(str::to_owned).to_vec(),
        configs: ConfigArgs {
            config: vec!["kasan".to_owned()],
        },
        ..TestOptions::default()
    };
    ci.matrix(options, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_rejects_numbers_that_overflow() {
        assert_eq!(minutes(2).unwrap(), Duration::from_secs(120));
        assert!(minutes(u64::MAX).is_err());
    }

    #[test]
    fn run_folder_is_the_run_of_the_fast_matrix_or_the_latest_without_it() {
        let place = tempfile::tempdir().unwrap();
        let session = Session::at(place.path().to_owned().try_into().unwrap());
        let ci = || Ci {
            session: &session,
            checkout: session.layout.checkout("ci").unwrap(),
            begun: Instant::now(),
            budget: Duration::ZERO,
            fast: OnceCell::new(),
        };
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

    #[test]
    fn kasan_matrix_is_skipped_after_the_budget() {
        let place = tempfile::tempdir().unwrap();
        let session = Session::at(place.path().to_owned().try_into().unwrap());
        let ci = Ci {
            session: &session,
            checkout: session.layout.checkout("ci").unwrap(),
            begun: Instant::now(),
            budget: Duration::ZERO,
            fast: OnceCell::new(),
        };
        let why = "time budget exceeded (0 of 0 min)".to_owned();
        assert_eq!(kasan_matrix(&ci).unwrap(), Outcome::Skipped(why));
    }

    #[test]
    fn select_returns_steps_by_a_part_of_their_names() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&part| part.to_owned()).collect();
            let steps = select(&only)?;
            anyhow::Ok(
                steps
                    .into_iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<&str>>(),
            )
        };
        assert_eq!(names(&[]).unwrap(), STEPS.map(|(name, _)| name));
        let matrices = ["matrix fast", "matrix kasan (smoke)"];
        assert_eq!(names(&["matrix"]).unwrap(), matrices);
        let error = names(&["matrix", "matrics"]).unwrap_err();
        assert_eq!(exit::exit_for(&error), Exit::Input);
        let error = error.to_string();
        assert!(error.contains("no step has `matrics`"), "{error}");
        for (name, _) in STEPS {
            assert!(error.contains(name), "{error}");
        }
    }
}
