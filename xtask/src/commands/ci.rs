// SPDX-License-Identifier: GPL-2.0-only
//! `ci`: all that CI checks, every failure listed, and what was skipped and why.

mod account;
mod browser;
mod formats;
mod words;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use kernel_patches::kernel;
use patchbed_host::events::Activity;
use patchbed_host::process::Tool;
use selftests::fault;

use self::account::{Came, Ignored, Step, summary, verdict, worst};
use crate::cli::{CiArgs, Cli, Command, TestArgs};
use crate::commands::inject::kit;
use crate::commands::{doctor, generate, patch_style, test};
use crate::exit::{self, Exit, bad_input};
use crate::record::Record;
use crate::render;
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Of what a step that failed said, the last lines are shown.
const LINES_KEPT: usize = 400;
const CARGO_LIMIT: Duration = Duration::from_secs(1800);

/// What runs under KASAN here: of each kind one. All of the catalogue takes half an hour
/// there, and `cargo xtask test --config kasan` runs it.
const UNDER_KASAN: [&str; 9] = [
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

/// Takes a step.
type Take = fn(&Ci<'_>) -> anyhow::Result<Came>;

/// All steps, in order; `--only` finds them by a part of their names.
const STEPS: [(&str, Take); 14] = [
    ("format", formatting),
    ("lints", lints),
    ("licences of files and dependencies", licences),
    ("words of text and identifiers", words_of_project),
    ("unit and snapshot tests", own_tests),
    ("tests that need programs of this host", host_tests),
    ("generated files are up to date", generated),
    ("kernel style of patches and generated C", kernel_style),
    ("matrix, config fast", fast_matrix),
    ("the page of that run, in a browser", browser::check),
    (
        "virtual machines that hang, panic, are saved and killed",
        machines,
    ),
    ("a selftest of the tree's own, two kernels", selftest),
    (
        "matrix, config kasan, a part of the catalogue",
        kasan_matrix,
    ),
    (
        "formats, validated by other people's tools",
        formats::validate,
    ),
];

/// A run of this command.
struct Ci<'a> {
    session: &'a Session,
    checkout: &'a Utf8Path,
    begun: Instant,
    /// After this time, no optional step is begun.
    budget: Duration,
    /// The run that the fast matrix left, once it was run; none if it left none.
    fast: OnceCell<Option<RunFolder>>,
}

/// Runs every step that is wanted, whatever became of the ones before it.
pub(crate) fn run(args: &CiArgs, session: &Session) -> anyhow::Result<Exit> {
    let checkout = session.layout.checkout("ci")?;
    let wanted = choose(&args.only)?;
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
    for (name, take) in wanted {
        if session.cancel.is_cancelled() {
            break;
        }
        steps.push(ci.step(name, take));
    }
    if session.cancel.is_cancelled() {
        anyhow::bail!("interrupted");
    }
    session.progress.clear();
    render::to_stdout(&summary(&steps, ci.begun.elapsed()))?;
    Ok(worst(&steps))
}

/// Returns the steps with one of these texts in their names, or all when there is none.
///
/// # Errors
/// When no step has one of them.
fn choose(only: &[String]) -> anyhow::Result<Vec<(&'static str, Take)>> {
    for part in only {
        if !STEPS.iter().any(|(name, _)| name.contains(part)) {
            let names = STEPS.map(|(name, _)| format!("`{name}`"));
            return Err(bad_input(
                format!("no step has `{part}` in its name"),
                format!("steps are: {}", names.join(", ")),
            ));
        }
    }
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
    let steps = STEPS.into_iter();
    Ok(steps.filter(|(name, _)| is_wanted(name)).collect())
}

impl Ci<'_> {
    /// Takes a step, and says why where it did not pass.
    fn step(&self, name: &'static str, take: Take) -> Step {
        let begun = Instant::now();
        render::line_to_stderr(&format!("== {name}"));
        let came = take(self)
            .unwrap_or_else(|error| Came::Failed(format!("{error:#}"), exit::exit_for(&error)));
        if let Came::Failed(why, _) | Came::Skipped(why) = &came {
            self.session.progress.clear();
            render::line_to_stderr(why);
        }
        Step {
            name,
            came,
            secs: begun.elapsed().as_secs(),
        }
    }

    /// Returns the run that steps look at: that of the fast matrix, or the newest there is
    /// where that was not to run.
    fn run_folder(&self) -> Option<RunFolder> {
        if let Some(own) = self.fast.get() {
            return own.clone();
        }
        let runs = self.session.layout.runs().ok()?;
        let newest = RunFolder::open(&runs.join("latest")).ok()?;
        self.session.progress.clear();
        render::line_to_stderr(&format!(
            "of the newest run that there is, {}",
            newest.name()
        ));
        Some(newest)
    }

    fn cargo(&self, words: &[&str]) -> anyhow::Result<Came> {
        Ok(match self.cargo_lines(words, &[], &mut |_| ())? {
            Some(failed) => failed,
            None => Came::Passed,
        })
    }

    /// Runs `cargo test` with these words, and counts the tests that are ignored.
    fn cargo_test(&self, words: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Came> {
        let mut ignored = Ignored::default();
        let words = [&["test", "--no-fail-fast"], words].concat();
        let failed = self.cargo_lines(&words, env, &mut |line| ignored.read(line))?;
        Ok(failed.unwrap_or_else(|| ignored.passed()))
    }

    /// Runs cargo and hands on each line; returns what is wrong if it fails.
    fn cargo_lines(
        &self,
        words: &[&str],
        env: &[(&str, &str)],
        on_line: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Option<Came>> {
        let session = self.session;
        let activity = Activity::start(&session.progress, format!("cargo {}", words[0]), None);
        let mut said = VecDeque::new();
        let mut lines = 0;
        let cargo = Tool::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        let ran = env
            .iter()
            .fold(cargo, |cargo, (key, value)| cargo.env(key, value))
            .args(words)
            .cwd(self.checkout)
            .env("CARGO_TERM_COLOR", "never")
            // Snapshots are compared, never rewritten, whatever the caller's shell says.
            .env("INSTA_UPDATE", "no")
            .deadline("cargo", CARGO_LIMIT)
            .run_lines(&session.cancel, &mut |line| {
                lines += 1;
                activity.advance(lines, line);
                on_line(line);
                if line.ends_with(" ... ok") {
                    return;
                }
                if said.len() == LINES_KEPT {
                    said.pop_front();
                }
                said.push_back(line.to_owned());
            });
        Ok(match ran {
            Ok(_) => None,
            Err(error) => {
                let said = Vec::from(said).join("\n");
                Some(Came::Failed(format!("{said}\n{error}"), Exit::Finding))
            }
        })
    }

    /// Runs `test` with these words, as a person would; the run is left in `out`, if that
    /// is given.
    fn matrix(&self, words: &[&str], out: Option<Utf8PathBuf>) -> anyhow::Result<Came> {
        let args = TestArgs {
            out,
            ..test_args(words)?
        };
        Ok(match test::run(&args, self.session)? {
            Exit::Ok => Came::Passed,
            Exit::Interrupted => anyhow::bail!("interrupted"),
            other => Came::Failed(
                format!(
                    "`cargo xtask test {}` ended with {other:?}",
                    words.join(" ")
                ),
                other,
            ),
        })
    }
}

fn formatting(ci: &Ci<'_>) -> anyhow::Result<Came> {
    ci.cargo(&["fmt", "--all", "--check"])
}

fn lints(ci: &Ci<'_>) -> anyhow::Result<Came> {
    let words = ["clippy", "--quiet", "--workspace", "--all-targets"];
    ci.cargo(&[&words[..], &["--", "-D", "warnings"]].concat())
}

fn licences(ci: &Ci<'_>) -> anyhow::Result<Came> {
    ci.cargo_test(&["--package", "xtask", "--test", "licence"], &[])
}

fn words_of_project(ci: &Ci<'_>) -> anyhow::Result<Came> {
    Ok(verdict(words::findings(ci.session)?))
}

fn own_tests(ci: &Ci<'_>) -> anyhow::Result<Came> {
    ci.cargo_test(&["--workspace"], &[])
}

/// Runs the ignored tests that need programs but no kernel. `ci` does not begin without
/// the programs of `doctor`; ccache is not among them.
fn host_tests(ci: &Ci<'_>) -> anyhow::Result<Came> {
    let mut words = vec!["--workspace", "--exclude", "vm-images", "--", "--ignored"];
    if which::which("ccache").is_ok() {
        return ci.cargo_test(&words, &[]);
    }
    // The names of tests that need ccache begin so.
    words.extend(["--skip", "::ccache_"]);
    Ok(match ci.cargo_test(&words, &[])? {
        Came::Passed => Came::PassedWithout("those of ccache, which is not installed".to_owned()),
        other => other,
    })
}

fn generated(ci: &Ci<'_>) -> anyhow::Result<Came> {
    Ok(verdict(generate::differences(ci.session)?))
}

fn kernel_style(ci: &Ci<'_>) -> anyhow::Result<Came> {
    Ok(verdict(patch_style::problems(ci.session)?))
}

fn fast_matrix(ci: &Ci<'_>) -> anyhow::Result<Came> {
    // By its own name: `latest` may be somebody else's by the time that it is looked at.
    let place = RunFolder::reserve(&ci.session.layout)?;
    let came = ci.matrix(&["--config", "fast"], Some(place.clone()));
    let left = RunFolder::open(&place).ok();
    if left.is_none() {
        // Where it was not even begun, nothing is in it.
        let _ = fs_err::remove_dir(&place);
    }
    let _ = ci.fast.set(left);
    came
}

fn minutes(number: u64) -> anyhow::Result<Duration> {
    let secs = number.checked_mul(60).ok_or_else(|| {
        bad_input(
            format!("a budget of {number} minutes is longer than any run"),
            "give some hours, such as `--budget 120`",
        )
    })?;
    Ok(Duration::from_secs(secs))
}

/// Runs the tests of the VM room on the kernel that the matrix ran on last.
fn machines(ci: &Ci<'_>) -> anyhow::Result<Came> {
    let Some(folder) = ci.run_folder() else {
        return Ok(Came::Skipped(
            "no kernel: the matrix left no run".to_owned(),
        ));
    };
    let plan = folder.plan()?;
    let Some(job) = plan.jobs.last() else {
        return Ok(Came::Skipped(
            "no kernel: the matrix ran nothing".to_owned(),
        ));
    };
    let binaries = Record::read(job, &folder)?.binaries;
    let modules = kernel::modules_folder(&kit::modules()?, &binaries.kernel_id, &ci.session.cache)?;
    let fault = modules.join(fault::MODULE);
    if !fault.is_file() {
        return Ok(Came::Skipped(format!(
            "no `{fault}`: the matrix was run with `--no-self-check`"
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

fn selftest(ci: &Ci<'_>) -> anyhow::Result<Came> {
    ci.matrix(&["--kselftest", "liveupdate:luo_kexec_simple"], None)
}

fn kasan_matrix(ci: &Ci<'_>) -> anyhow::Result<Came> {
    let spent = ci.begun.elapsed();
    if spent > ci.budget {
        return Ok(Came::Skipped(format!(
            "no time: {} minutes are gone, and it is not begun after {}",
            spent.as_secs() / 60,
            ci.budget.as_secs() / 60
        )));
    }
    ci.matrix(&[&UNDER_KASAN[..], &["--config", "kasan"]].concat(), None)
}

fn test_args(words: &[&str]) -> anyhow::Result<TestArgs> {
    let cli = Cli::try_parse_from(["patchbed", "test"].iter().chain(words))?;
    match cli.command {
        Command::Test(args) => Ok(args),
        _ => anyhow::bail!("`test` is not `test`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_without_end_is_refused() {
        assert_eq!(minutes(2).unwrap(), Duration::from_secs(120));
        assert!(minutes(u64::MAX).is_err());
    }

    #[test]
    fn the_matrix_is_what_a_person_would_type() {
        let args = test_args(&["--config", "kasan"]).unwrap();
        assert_eq!(args.configs.config, ["kasan"]);
        assert!(args.scenarios.is_empty() && !args.dry_run && args.out.is_none());
    }

    #[test]
    fn steps_look_at_the_run_of_the_fast_matrix_and_at_another_only_without_it() {
        let place = tempfile::tempdir().unwrap();
        let session = Session::at(place.path().to_owned().try_into().unwrap());
        let ci = || Ci {
            session: &session,
            checkout: session.layout.checkout("ci").unwrap(),
            begun: Instant::now(),
            budget: Duration::ZERO,
            fast: OnceCell::new(),
        };
        let of = |ci: &Ci<'_>| ci.run_folder().map(|run| run.path().to_owned());
        assert_eq!(of(&ci()), None, "there is no run yet");
        let finished = || {
            let path = RunFolder::reserve(&session.layout).unwrap();
            let run = RunFolder::at(path);
            let result =
                crate::result::RunResult::new(String::new(), String::new(), Vec::new(), Vec::new());
            run.finish(&result, &session.layout).unwrap();
            run
        };
        let (own, newest) = (finished(), finished());
        assert_eq!(of(&ci()).unwrap().file_name(), Some(newest.name()));
        let with_own = ci();
        with_own.fast.set(Some(own.clone())).unwrap();
        assert_eq!(of(&with_own).unwrap().file_name(), Some(own.name()));
        let with_none = ci();
        with_none.fast.set(None).unwrap();
        assert_eq!(of(&with_none), None, "another's run proves nothing of it");
    }

    #[test]
    fn what_is_optional_is_not_begun_beyond_the_budget() {
        let place = tempfile::tempdir().unwrap();
        let session = Session::at(place.path().to_owned().try_into().unwrap());
        let ci = Ci {
            session: &session,
            checkout: session.layout.checkout("ci").unwrap(),
            begun: Instant::now(),
            budget: Duration::ZERO,
            fast: OnceCell::new(),
        };
        let came = kasan_matrix(&ci).unwrap();
        let why = "no time: 0 minutes are gone, and it is not begun after 0";
        assert_eq!(came, Came::Skipped(why.to_owned()));
    }

    #[test]
    fn steps_are_chosen_by_a_part_of_their_names() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&part| part.to_owned()).collect();
            let steps = choose(&only)?;
            anyhow::Ok(
                steps
                    .into_iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<&str>>(),
            )
        };
        assert_eq!(names(&[]).unwrap(), STEPS.map(|(name, _)| name));
        let matrices = [
            "matrix, config fast",
            "matrix, config kasan, a part of the catalogue",
        ];
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
