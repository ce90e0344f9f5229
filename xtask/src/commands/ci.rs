// SPDX-License-Identifier: GPL-2.0-only
//! `ci`: all that CI checks, every failure listed, and what was skipped and why.

mod browser;
mod foreign;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use clap::Parser;
use testbed_host::events::Activity;
use testbed_host::process::Tool;

use crate::cli::{CiArgs, Cli, Command, TestArgs};
use crate::commands::test::judge::Record;
use crate::commands::{doctor, generate, patch_style, test};
use crate::exit::{self, Exit};
use crate::plan::Plan;
use crate::render;
use crate::run_folder::{self, RunFolder};
use crate::session::Session;

/// Of what a step that failed said, the last lines are shown.
const LINES_KEPT: usize = 400;
const CARGO_LIMIT: Duration = Duration::from_secs(1800);

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    Passed,
    /// What is wrong, and the exit code it leads to.
    Failed(String, Exit),
    /// Why it was not done.
    Skipped(String),
}

struct Step {
    name: &'static str,
    came: Came,
    secs: u64,
}

/// What runs under KASAN here: of each kind one. All of the catalogue takes half an hour
/// there, and `cargo xtask test --profile kasan` runs it.
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

/// Runs every step, whatever became of the ones before it.
pub(crate) fn run(args: &CiArgs, session: &Session) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let may_install = args.install || std::env::var("CI").is_ok_and(|ci| ci == "true");
    doctor::require(may_install, session)?;
    let mut steps = Vec::new();
    let mut take = |name: &'static str, step: &dyn Fn() -> anyhow::Result<Came>| {
        let is_wanted = args.only.is_empty() || args.only.iter().any(|part| name.contains(part));
        if session.cancel.is_cancelled() || !is_wanted {
            return;
        }
        let step_begun = Instant::now();
        render::line_to_stderr(&format!("== {name}"));
        let came = step()
            .unwrap_or_else(|error| Came::Failed(format!("{error:#}"), exit::exit_for(&error)));
        if let Came::Failed(why, _) | Came::Skipped(why) = &came {
            session.progress.clear();
            render::line_to_stderr(why);
        }
        steps.push(Step {
            name,
            came,
            secs: step_begun.elapsed().as_secs(),
        });
    };
    take("format", &|| cargo(&["fmt", "--all", "--check"], session));
    take("lints", &|| {
        let words = [
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        cargo(&words, session)
    });
    take("unit and snapshot tests", &|| {
        cargo(
            &["test", "--quiet", "--workspace", "--no-fail-fast"],
            session,
        )
    });
    take("generated files are up to date", &|| generated(session));
    take("kernel style of patches and generated C", &|| {
        Ok(verdict(patch_style::complaints(session)?))
    });
    take("matrix, profile fast", &|| {
        matrix(&["--profile", "fast"], session)
    });
    take("the page of that run, in a browser", &|| {
        browser::check(session)
    });
    take(
        "virtual machines that hang, panic, are saved and killed",
        &|| machines(session),
    );
    take("a selftest of the tree's own, two kernels", &|| {
        matrix(&["--kselftest", "liveupdate:luo_kexec_simple"], session)
    });
    take("matrix, profile kasan, a part of the catalogue", &|| {
        let budget = Duration::from_secs(args.budget * 60);
        if begun.elapsed() > budget {
            let spent = begun.elapsed().as_secs() / 60;
            return Ok(Came::Skipped(format!(
                "no time: {spent} minutes are gone, and it is not begun after {}",
                args.budget
            )));
        }
        matrix(
            &[&UNDER_KASAN[..], &["--profile", "kasan"]].concat(),
            session,
        )
    });
    take("formats, validated by other people's tools", &|| {
        foreign::validate(session)
    });
    if session.cancel.is_cancelled() {
        anyhow::bail!("interrupted");
    }
    session.progress.clear();
    render::to_stdout(&summary(&steps, begun.elapsed()))?;
    Ok(worst(&steps))
}

/// A host that failed leaves things unproven, which outranks a finding.
fn worst(steps: &[Step]) -> Exit {
    let exits = steps.iter().map(|step| match step.came {
        Came::Failed(_, exit) => exit,
        Came::Passed | Came::Skipped(_) => Exit::Ok,
    });
    exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Ok)
}

fn cargo(words: &[&str], session: &Session) -> anyhow::Result<Came> {
    cargo_with(words, &[], session)
}

fn cargo_with(words: &[&str], env: &[(&str, &str)], session: &Session) -> anyhow::Result<Came> {
    let activity = Activity::start(&session.progress, format!("cargo {}", words[0]), None);
    let mut said = VecDeque::new();
    let mut lines = 0;
    let cargo = Tool::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    let ran = env
        .iter()
        .fold(cargo, |cargo, (key, value)| cargo.env(key, value))
        .args(words)
        .cwd(session.layout.root())
        .env("CARGO_TERM_COLOR", "never")
        // Snapshots are compared, never rewritten, whatever the caller's shell says.
        .env("INSTA_UPDATE", "no")
        .deadline("cargo", CARGO_LIMIT)
        .run_lines(&session.cancel, &mut |line| {
            lines += 1;
            activity.advance(lines, line);
            if said.len() == LINES_KEPT {
                said.pop_front();
            }
            said.push_back(line.to_owned());
        });
    Ok(match ran {
        Ok(_) => Came::Passed,
        Err(error) => {
            let said = Vec::from(said).join("\n");
            Came::Failed(format!("{said}\n{error}"), Exit::Finding)
        }
    })
}

fn generated(session: &Session) -> anyhow::Result<Came> {
    Ok(verdict(generate::differences(session)?))
}

fn verdict(complaints: Vec<String>) -> Came {
    if complaints.is_empty() {
        Came::Passed
    } else {
        Came::Failed(complaints.join("\n"), Exit::Finding)
    }
}

/// Runs `test` with these words, as a person would.
fn matrix(words: &[&str], session: &Session) -> anyhow::Result<Came> {
    let args = test_args(words)?;
    Ok(match test::run(&args, session)? {
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

/// Runs the tests of the VM room on the kernel that the matrix just ran on.
fn machines(session: &Session) -> anyhow::Result<Came> {
    let run = session.layout.runs().join("latest");
    let Ok(folder) = RunFolder::open(&run) else {
        return Ok(Came::Skipped(
            "no kernel: the matrix left no run".to_owned(),
        ));
    };
    let plan: Plan = folder.read_json(run_folder::PLAN)?;
    let Some(cell) = plan.cells.last() else {
        return Ok(Came::Skipped(
            "no kernel: the matrix ran nothing".to_owned(),
        ));
    };
    let kernel = Record::read(cell, &folder)?.binaries.image;
    let words = ["test", "--quiet", "--package", "vm-images", "--tests"];
    cargo_with(&words, &[("TESTBED_TEST_KERNEL", kernel.as_str())], session)
}

fn test_args(words: &[&str]) -> anyhow::Result<TestArgs> {
    let cli = Cli::try_parse_from(["cargo xtask", "test"].iter().chain(words))?;
    match cli.command {
        Command::Test(args) => Ok(TestArgs {
            out: None::<Utf8PathBuf>,
            ..args
        }),
        _ => anyhow::bail!("`test` is not `test`"),
    }
}

fn summary(steps: &[Step], took: Duration) -> String {
    let mut text = format!("\nci, {} s\n", took.as_secs());
    for step in steps {
        let (word, why) = match &step.came {
            Came::Passed => ("passed", ""),
            Came::Failed(..) => ("FAILED", " (see above)"),
            Came::Skipped(why) => ("skipped", why.as_str()),
        };
        text += &format!("  {word:<8} {} ({} s){why}\n", step.name, step.secs);
    }
    let count = |test: fn(&Came) -> bool| steps.iter().filter(|step| test(&step.came)).count();
    text += &format!(
        "{} passed, {} failed, {} skipped\n",
        count(|came| *came == Came::Passed),
        count(|came| matches!(came, Came::Failed(..))),
        count(|came| matches!(came, Came::Skipped(_))),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_says_why() {
        let step = |name, came| Step {
            name,
            came,
            secs: 3,
        };
        let steps = [
            step("one", Came::Passed),
            step("two", Came::Failed("because".to_owned(), Exit::Finding)),
            step("three", Came::Skipped(": no time".to_owned())),
        ];
        insta::assert_snapshot!(summary(&steps, Duration::from_secs(9)), @r"

        ci, 9 s
          passed   one (3 s)
          FAILED   two (3 s) (see above)
          skipped  three (3 s): no time
        1 passed, 1 failed, 1 skipped
        ");
    }

    #[test]
    fn the_matrix_is_what_a_person_would_type() {
        let args = test_args(&["--profile", "kasan"]).unwrap();
        assert_eq!(args.profiles.profile, ["kasan"]);
        assert!(args.scenarios.is_empty() && !args.dry_run);
    }
}
