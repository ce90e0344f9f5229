// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ci`: runs all checks of the project's CI, and lists failed and skipped steps.

mod formats;
mod runner;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::kernel;
use kernel_patches::tree::{Tree, TreeRequest};
use patchbed_host::events::Activity;
use patchbed_host::files::walk;
use patchbed_host::process::Tool;
use selftests::fault;
use xtask::engine::inject;
use xtask::engine::job::Job;
use xtask::engine::options::{ConfigArgs, TestOptions};
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report;

use self::runner::{Ci, Outcome, Run, exit, summary};
use crate::cli::{CiArgs, RunArgs, TestArgs};
use crate::commands::{doctor, generate, test};

const CHECKPATCH_LIMIT: Duration = Duration::from_secs(300);
/// Added by the person who submits a patch: a sign-off and an entry in MAINTAINERS. Commit ids
/// cannot be checked without the history of the kernel.
const IN_PATCHES: &str = "--ignore=MISSING_SIGN_OFF,FILE_PATH_CHANGES,UNKNOWN_COMMIT_ID";
/// The fault `bug` calls `BUG()`.
const IN_FAULTS: &str = "--ignore=AVOID_BUG";

/// All steps, in order. `--only` selects them by a part of their names.
const STEPS: [(&str, Run); 15] = [
    ("format", |ci| ci.cargo(&["fmt", "--all", "--check"], &[])),
    ("lints", lints),
    ("licences", |ci| {
        ci.cargo_test(&["--package", "xtask", "--test", "licence"], &[])
    }),
    ("words", |ci| {
        ci.cargo_test(&["--package", "xtask", "--test", "words"], &[])
    }),
    ("unit tests", |ci| ci.cargo_test(&["--workspace"], &[])),
    ("host tests", host_tests),
    ("generated files", |ci| {
        Ok(Outcome::of(&generate::differences(ci.session)?))
    }),
    ("kernel style", kernel_style),
    ("matrix fast", fast_matrix),
    ("html report in a browser", formats::open_in_browser),
    ("vm tests", vm_tests),
    ("kselftest with kexec", kselftest),
    ("matrix of other catalogues", other_catalogues),
    ("matrix kasan (smoke)", kasan_matrix),
    ("output formats", formats::validate),
];

/// Runs the selected steps. A failed step does not end the run.
pub(crate) fn run(args: &CiArgs, session: &Session) -> anyhow::Result<Exit> {
    session.layout.checkout("ci")?;
    let selected = select(&args.only)?;
    let ci = Ci::begin(minutes(args.budget)?, session);
    let may_install = args.install || std::env::var("CI").is_ok_and(|ci| ci == "true");
    doctor::require(may_install, session)?;
    let mut steps = Vec::new();
    for (name, run) in selected {
        if session.cancel.is_cancelled() {
            break;
        }
        steps.push(ci.step(name, run));
    }
    session.check_interrupted()?;
    session.observer.clear();
    report::to_stdout(&summary(&steps, ci.begun.elapsed()))?;
    Ok(exit(&steps))
}

/// Returns the steps whose names contain one of these texts, or all steps if there are none.
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

fn minutes(number: u64) -> anyhow::Result<Duration> {
    let secs = number.checked_mul(60).ok_or_else(|| {
        bad_input(
            format!("`--budget {number}` is too large"),
            "pass minutes, for example `--budget 120`",
        )
    })?;
    Ok(Duration::from_secs(secs))
}

/// Runs `test` with these options; `out` is the run folder, if given.
fn matrix(
    session: &Session,
    options: TestOptions,
    out: Option<Utf8PathBuf>,
) -> anyhow::Result<Outcome> {
    let data = session.layout.data_options().into_iter();
    let data: String = data.map(|word| format!(" {word}")).collect();
    let command = format!("cargo xtask{data} test{}", options.words());
    let no_self_check = options.no_self_check;
    let run = RunArgs {
        options,
        ..RunArgs::default()
    };
    let args = TestArgs {
        no_self_check,
        run,
        out,
    };
    Ok(match test::run(&args, session)? {
        Exit::Ok => Outcome::Passed(String::new()),
        Exit::Interrupted => anyhow::bail!("interrupted"),
        other => Outcome::Failed(
            format!("`{command}` failed with exit code {}", other as u8),
            other,
        ),
    })
}

fn lints(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let words = ["clippy", "--quiet", "--workspace", "--all-targets"];
    ci.cargo(&[&words[..], &["--", "-D", "warnings"]].concat(), &[])
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
        Outcome::Passed(_) => {
            Outcome::Passed("tests of ccache skipped: it is not installed".to_owned())
        }
        other => other,
    })
}

/// Runs `checkpatch.pl --strict` of the kernel on the patches, the generated C and the fault
/// module.
fn kernel_style(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let session = ci.session;
    let tree = Tree::open(&TreeRequest::Default, &session.context())?;
    let layout = &session.layout;
    let mut groups: Vec<(Utf8PathBuf, &[&str], &[&str])> = vec![
        (layout.series(), &["patch"], &[IN_PATCHES]),
        (layout.faults(), &["c", "h"], &["--file", IN_FAULTS]),
    ];
    for layout in layout.each_catalogue()? {
        let folder = layout.catalogue().join("generated");
        groups.push((folder, &["c", "h"], &["--file"]));
    }
    let activity = Activity::start(&*session.observer, "checkpatch", None);
    let mut checked = 0;
    let mut problems = Vec::new();
    for (folder, endings, options) in groups {
        let files = walk(&folder).collect::<Result<Vec<_>, _>>()?;
        let names = files.iter().map(|(name, _)| name);
        let is_chosen =
            |name: &&Utf8PathBuf| name.extension().is_some_and(|end| endings.contains(&end));
        let before = checked;
        for name in names.filter(is_chosen) {
            checked += 1;
            activity.advance(checked, name.as_str());
            problems.extend(checkpatch(&tree, &folder.join(name), options, session)?);
        }
        let shown = layout.shown(&folder);
        anyhow::ensure!(checked > before, "no files to check below `{shown}`");
    }
    Ok(Outcome::of(&problems))
}

/// Returns the problems of a file, each with its line.
fn checkpatch(
    tree: &Tree,
    file: &Utf8Path,
    options: &[&str],
    session: &Session,
) -> anyhow::Result<Option<String>> {
    let output = Tool::new("perl")
        .arg(tree.root().join("scripts/checkpatch.pl"))
        .args(["--strict", "--no-tree", "--terse", "--show-types"])
        .args(["--color=never", "--no-summary"])
        .args(options)
        .arg(file)
        .cwd(tree.root())
        .env("LC_ALL", "C")
        .deadline("checkpatch", CHECKPATCH_LIMIT)
        .run_unchecked(&session.cancel)?;
    let findings = output.stdout_text();
    if output.status.success() && findings.trim().is_empty() {
        return Ok(None);
    }
    let shown = session.layout.shown(file);
    let errors = output.stderr_text();
    Ok(Some(format!("{shown}:\n{findings}{errors}")))
}

fn fast_matrix(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    // Not `latest`, which another run may replace before later steps use it.
    let place = RunFolder::reserve(&ci.session.layout)?;
    let outcome = matrix(ci.session, TestOptions::default(), Some(place.clone()));
    let run = RunFolder::open(&place).ok();
    if run.is_none() {
        // The folder is empty if the run did not begin.
        let _ = fs_err::remove_dir(&place);
    }
    let _ = ci.fast.set(run);
    outcome
}

/// Runs the tests of the crate `vm-images` with the kernel of the last job of the matrix.
fn vm_tests(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let Some(folder) = ci.run_folder() else {
        return Outcome::skipped("no kernel: there is no run of the matrix");
    };
    let plan = folder.plan()?;
    let Some(job) = plan.jobs.last() else {
        return Outcome::skipped("no kernel: the run of the matrix has no jobs");
    };
    let binaries = Job::read(job, &folder)?.binaries;
    let modules =
        kernel::modules_folder(&inject::modules()?, &binaries.kernel_id, &ci.session.cache)?;
    let fault = modules.join(fault::MODULE);
    if !fault.is_file() {
        return Ok(Outcome::Skipped(format!(
            "no `{fault}`: the matrix ran with `--no-self-check`"
        )));
    }
    let words = ["--package", "vm-images", "--tests"];
    ci.cargo_test(
        &[&words[..], &["--", "--include-ignored"]].concat(),
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
    matrix(ci.session, options, None)
}

/// Runs the scenarios of the other catalogues. Their kernels have the configuration that the
/// self-checks of the matrix were run with.
fn other_catalogues(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let mut names = Vec::new();
    for session in ci.session.each_catalogue()? {
        if session.layout.is_default_catalogue() {
            continue;
        }
        let options = TestOptions {
            no_self_check: true,
            ..TestOptions::default()
        };
        match matrix(&session, options, None)? {
            Outcome::Passed(_) => names.push(session.layout.catalogue_name().to_string()),
            other => return Ok(other),
        }
    }
    Ok(Outcome::Passed(names.join(", ")))
}

/// Runs the smoke list of the catalogue. All scenarios take half an hour under KASAN;
/// `cargo xtask test --config kasan` runs them.
fn kasan_matrix(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let spent = ci.begun.elapsed();
    if spent > ci.budget {
        return Ok(Outcome::Skipped(format!(
            "time budget exceeded ({} of {} min)",
            spent.as_secs() / 60,
            ci.budget.as_secs() / 60
        )));
    }
    let scenarios = ci.session.manifest()?.smoke;
    if scenarios.is_empty() {
        return Outcome::skipped("the catalogue has no `smoke` list");
    }
    let options = TestOptions {
        scenarios,
        configs: ConfigArgs {
            config: vec!["kasan".to_owned()],
        },
        ..TestOptions::default()
    };
    matrix(ci.session, options, None)
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
    fn kasan_matrix_is_skipped_after_the_budget() {
        let place = tempfile::tempdir().unwrap();
        let session = Session::at(place.path().to_owned().try_into().unwrap());
        let ci = Ci::begin(Duration::ZERO, &session);
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
        let matrices = [
            "matrix fast",
            "matrix of other catalogues",
            "matrix kasan (smoke)",
        ];
        assert_eq!(names(&["matrix"]).unwrap(), matrices);
        let error = names(&["matrix", "matrics"]).unwrap_err();
        assert_eq!(xtask::exit::exit_for(&error), Exit::Input);
        let error = error.to_string();
        assert!(error.contains("no step has `matrics`"), "{error}");
        for (name, _) in STEPS {
            assert!(error.contains(name), "{error}");
        }
    }
}
