// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bench`: measures the speed of patchbed and compares it with other tools.
//!
//! The measured times do not decide the exit code. If a run fails, its case has no figures.

mod case;
mod edit;
mod figures;
mod jobs;
mod processes;
mod report;
mod test_run;
mod vmtest;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::Activity;
use patchbed_host::lock::FileLock;
use selftests::input::closest;
use xtask::engine::host::Host;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};

use self::case::{Bench, Case, Claim, Outcome, Side};
use self::figures::Clocks;
use self::report::{CaseReport, Report, SCHEMA, Status, measured};
use crate::cli::{BenchArgs, BenchFormat};
use crate::commands::doctor;

/// A case of a few minutes about the time that one side takes.
const CASE: Case = Case {
    name: "",
    about: "",
    unit: "s",
    claim: Claim::Takes,
    rounds: 5,
    is_cheap: true,
    prepare: |_, _| anyhow::bail!("the case has no sides"),
};

/// All cases, in the order of BENCHMARKS.md.
const CASES: [Case; 10] = [
    Case {
        name: "vmtest",
        about: "the kselftest luo_kexec_simple from command to result: by patchbed, and by the \
                vmtest.sh of the tree with the same kernel configuration",
        claim: Claim::Faster,
        prepare: vmtest::same_kernel,
        ..CASE
    },
    Case {
        name: "vmtest-stock",
        about: "the same, with the unchanged vmtest.sh and its own kernel configuration",
        claim: Claim::Faster,
        prepare: vmtest::as_shipped,
        ..CASE
    },
    Case {
        name: "restore",
        about: "a job that restores a checkpoint and a job that boots, config fast",
        claim: Claim::Faster,
        prepare: |args, _| Ok(jobs::restore("fast", args)),
        ..CASE
    },
    Case {
        name: "restore-kasan",
        about: "the same under KASAN, where booting is slow",
        rounds: 3,
        claim: Claim::Faster,
        prepare: |args, _| Ok(jobs::restore("kasan", args)),
        ..CASE
    },
    Case {
        name: "warm",
        about: "`test` of all scenarios, with nothing to build",
        prepare: jobs::warm,
        ..CASE
    },
    Case {
        name: "edit",
        about: "from a change of a line of C in a patch to the results of four scenarios on the \
                series",
        prepare: |args, _| Ok(edit::result(args)),
        ..CASE
    },
    Case {
        name: "mutant",
        about: "from a change of a line of C in a patch to the kernel image of the series",
        prepare: |args, _| Ok(edit::mutant(args)),
        ..CASE
    },
    Case {
        name: "rate",
        about: "at least 200 jobs of all scenarios without kexec on two checkouts, config kasan",
        rounds: 3,
        is_cheap: false,
        unit: "s a job",
        prepare: jobs::rate,
        ..CASE
    },
    Case {
        name: "scale",
        about: "the time per job in runs of 10, 100 and 1000 jobs",
        rounds: 3,
        is_cheap: false,
        unit: "s a job",
        claim: Claim::Flat,
        prepare: |args, _| Ok(jobs::scale(args)),
    },
    Case {
        name: "restores",
        about: "1000 guests restored from one checkpoint, each with its own boot id",
        rounds: 1,
        is_cheap: false,
        unit: "s a job",
        prepare: |args, _| Ok(jobs::restores(args)),
        ..CASE
    },
];

/// Measures the chosen cases and prints the figures.
pub(crate) fn run(args: &BenchArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.list {
        xtask::report::to_stdout(&list())?;
        return Ok(Exit::Ok);
    }
    let cases = choose(&args.names)?;
    if args.record {
        session.layout.checkout("bench --record")?;
    }
    doctor::require(false, session)?;
    let home = session.layout.state("bench")?;
    let lock = home.join("lock");
    // Two benches at the same time would slow each other down.
    let _lock = FileLock::acquire(&lock, "the bench", &session.cancel, &*session.observer)?;
    let mut report = Report {
        schema: SCHEMA,
        host: Host::look(session),
        cases: Vec::new(),
    };
    for case in cases {
        let measured = measure(case, &home, args, session)?;
        report.cases.push(measured);
        if report.has_finding() {
            break;
        }
    }
    session.observer.clear();
    show(&report, args, session)?;
    Ok(if report.has_finding() {
        Exit::Finding
    } else {
        Exit::Ok
    })
}

/// Returns the cases with these names, or all cheap cases if there are no names.
fn choose(names: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    for name in names {
        if !CASES.iter().any(|case| case.name == name) {
            let known = || CASES.iter().map(|case| case.name);
            let hint = match closest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known cases: {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(bad_input(format!("unknown case `{name}`"), hint));
        }
    }
    let is_chosen = |case: &&Case| match names {
        [] => case.is_cheap,
        _ => names.iter().any(|name| name == case.name),
    };
    Ok(CASES.iter().filter(is_chosen).collect())
}

/// Runs a case and evaluates its figures.
fn measure(
    case: &Case,
    home: &Utf8Path,
    args: &BenchArgs,
    session: &Session,
) -> anyhow::Result<CaseReport> {
    let Bench { sides, mut notes } = (case.prepare)(args, session)?;
    let rounds = args.rounds.unwrap_or(case.rounds);
    let before = Clocks::read();
    // In a long case a cold start does not matter, except for its first side, which may be
    // short and which the others are compared with.
    let warm_ups = match (case.is_cheap, sides.len()) {
        (true, all) => all,
        (false, 1) => 0,
        (false, _) => 1,
    };
    let (status, of_runs) = run_rounds(case.name, &sides, warm_ups, rounds, home, session)?;
    let load = before.until(&Clocks::read());
    notes.extend(of_runs);
    Ok(CaseReport {
        case: *case,
        rounds,
        load,
        notes,
        status,
    })
}

/// Runs the first `warm_ups` sides once without measuring, and then all sides in each round.
/// Returns the figures and the notes of the runs.
fn run_rounds(
    case: &str,
    sides: &[Side],
    warm_ups: usize,
    rounds: u32,
    home: &Utf8Path,
    session: &Session,
) -> anyhow::Result<(Status, BTreeSet<String>)> {
    let total = u64::from(rounds) * sides.len() as u64 + warm_ups as u64;
    let activity = Activity::start(&*session.observer, format!("bench {case}"), Some(total));
    let mut samples = vec![Vec::new(); sides.len()];
    let mut done = 0;
    for round in 0..=rounds {
        let count = if round == 0 { warm_ups } else { sides.len() };
        for index in order(count, round) {
            let Side { name, once, .. } = &sides[index];
            let label = match round {
                0 => format!("warm-up: {name}"),
                _ => format!("round {round} of {rounds}: {name}"),
            };
            activity.advance(done, label);
            let place = empty_folder(&home.join(case).join(index.to_string()))?;
            let outcome = once(&place, session)?;
            anyhow::ensure!(!session.cancel.is_cancelled(), "interrupted");
            done += 1;
            match outcome {
                Outcome::Passed(_) if round == 0 => {}
                Outcome::Passed(sample) => samples[index].push(sample),
                Outcome::Failed(why) => {
                    let side = name.clone();
                    return Ok((Status::Wrong { side, why, place }, BTreeSet::new()));
                }
            }
        }
    }
    Ok(measured(sides, &samples))
}

/// Returns the order of the sides in a round. It is reversed in every second round, so that no
/// side always runs after the same side.
fn order(sides: usize, round: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sides).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Makes an empty folder, and removes the files of an earlier run.
fn empty_folder(place: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(place)?;
    Ok(place.to_owned())
}

/// Returns names and descriptions of the cases.
fn list() -> String {
    let width = CASES.map(|case| case.name.len()).into_iter().max();
    let width = width.unwrap_or_default();
    let line = |case: Case| {
        let when = if case.is_cheap { "" } else { " (takes long)" };
        format!("{:<width$}  {}{when}\n", case.name, case.about)
    };
    CASES.map(line).concat()
}

fn show(report: &Report, args: &BenchArgs, session: &Session) -> anyhow::Result<()> {
    if args.record && !report.has_finding() {
        let checkout = session.layout.checkout("bench --record")?;
        let path = checkout.join("BENCHMARKS.md");
        let text = report::recorded(&fs::read_to_string(&path)?, report);
        fs::write(&path, text)?;
    }
    let text = match args.format {
        BenchFormat::Text => report::text(report),
        BenchFormat::Json => serde_json::to_string_pretty(report)?,
        BenchFormat::Markdown => report::markdown(report),
    };
    Ok(xtask::report::to_stdout(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Vec<&'static str> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let cases = choose(&names).unwrap();
        cases.iter().map(|case| case.name).collect()
    }

    #[test]
    fn choose_returns_cheap_cases_without_names_and_suggests_a_similar_name() {
        assert_eq!(chosen(&["vmtest"]), ["vmtest"]);
        assert!(chosen(&[]).iter().all(|name| {
            let case = CASES.iter().find(|case| case.name == *name);
            case.is_some_and(|case| case.is_cheap)
        }));
        let error = choose(&["vmtset".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("did you mean `vmtest`?"));
    }

    #[test]
    fn order_is_reversed_in_every_second_round() {
        assert_eq!(order(2, 1), [1, 0]);
        assert_eq!(order(2, 2), [0, 1]);
        assert_eq!(order(3, 3), [2, 1, 0]);
        assert_eq!(order(1, 1), [0]);
    }

    #[test]
    fn empty_folder_removes_the_files_of_an_earlier_run() {
        let dir = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(dir.path()).unwrap().join("a/b");
        empty_folder(&place).unwrap();
        fs::write(place.join("left"), "").unwrap();
        empty_folder(&place).unwrap();
        assert_eq!(place.read_dir_utf8().unwrap().count(), 0);
    }
}
