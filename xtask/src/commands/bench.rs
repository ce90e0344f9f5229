// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bench`: measures the speed of patchbed and compares it with other tools.
//!
//! The measured times do not decide the exit code. If a run fails, its case has no figures.

mod case;
mod cost;
mod document;
mod edit;
mod fragment;
mod jobs;
mod leftovers;
pub(crate) mod load;

mod render;
pub(crate) mod report;
mod rounds;
pub(crate) mod stats;
mod test_run;
mod vmtest;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::lock::FileLock;
use selftests::input::closest;

use self::case::Bench;
pub(crate) use self::case::{Case, Claim};
use self::load::Clocks;
use self::report::{CaseReport, Report, SCHEMA};
use crate::cli::{BenchArgs, BenchFormat, SourceArgs};
use crate::commands::doctor;
use xtask::engine::host::Host;
use xtask::engine::session::Session;
use xtask::engine::sources::{SourceRequest, Sources};
use xtask::exit::{Exit, bad_input};

/// All cases, in the order of BENCHMARKS.md.
const CASES: [Case; 10] = [
    Case {
        name: "vmtest",
        about: "the kselftest luo_kexec_simple from command to result: by patchbed, and by the \
                vmtest.sh of the tree with the same kernel configuration",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: vmtest::same_kernel,
    },
    Case {
        name: "vmtest-stock",
        about: "the same, with the unchanged vmtest.sh and its own kernel configuration",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: vmtest::as_shipped,
    },
    Case {
        name: "restore",
        about: "a job that restores a checkpoint and a job that boots, config fast",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: jobs::restore_fast,
    },
    Case {
        name: "restore-kasan",
        about: "the same under KASAN, where booting is slow",
        rounds: 3,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: jobs::restore_kasan,
    },
    Case {
        name: "warm",
        about: "`test` of all scenarios, with nothing to build",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Takes,
        prepare: jobs::warm,
    },
    Case {
        name: "edit",
        about: "from a change of a line of C in a patch to the results of four scenarios on the \
                series",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Takes,
        prepare: edit::result,
    },
    Case {
        name: "mutant",
        about: "from a change of a line of C in a patch to the kernel image of the series",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Takes,
        prepare: edit::mutant,
    },
    Case {
        name: "rate",
        about: "at least 200 jobs of all scenarios without kexec on two checkouts, config kasan",
        rounds: 3,
        is_cheap: false,
        unit: "s a job",
        claim: Claim::Takes,
        prepare: jobs::rate,
    },
    Case {
        name: "scale",
        about: "the time per job in runs of 10, 100 and 1000 jobs",
        rounds: 3,
        is_cheap: false,
        unit: "s a job",
        claim: Claim::Flat,
        prepare: jobs::scale,
    },
    Case {
        name: "restores",
        about: "1000 guests restored from one checkpoint, each with its own boot id",
        rounds: 1,
        is_cheap: false,
        unit: "s a job",
        claim: Claim::Takes,
        prepare: jobs::restores,
    },
];

/// Measures the chosen cases and prints the figures.
pub(crate) fn run(args: &BenchArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.list {
        xtask::report::to_stdout(&render::list(&CASES))?;
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
    let measured = rounds::measure(case.name, &sides, warm_ups, rounds, home, session)?;
    let load = before.until(&Clocks::read());
    notes.extend(sides.iter().flat_map(|side| side.notes()));
    Ok(CaseReport::new(case, &sides, rounds, measured, load, notes))
}

/// Returns the sources of a checkout, as `test` makes them.
fn sources(args: &BenchArgs, checkout: &str, session: &Session) -> anyhow::Result<Sources> {
    let source = SourceArgs {
        tree: args.tree.clone(),
        checkouts: vec![checkout.to_owned()],
        ..SourceArgs::default()
    };
    SourceRequest::from_args(&source, session)?.apply(session)
}

fn show(report: &Report, args: &BenchArgs, session: &Session) -> anyhow::Result<()> {
    if args.record && !report.has_finding() {
        let path = session
            .layout
            .checkout("bench --record")?
            .join("BENCHMARKS.md");
        let mut text = fs::read_to_string(&path)?;
        for case in &report.cases {
            let section = render::section(case, &report.host);
            text = document::with_section(&text, &case.name, &section);
        }
        fs::write(&path, text)?;
    }
    let text = match args.format {
        BenchFormat::Text => render::text(report),
        BenchFormat::Json => serde_json::to_string_pretty(report)?,
        BenchFormat::Markdown => render::markdown(report),
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
}
