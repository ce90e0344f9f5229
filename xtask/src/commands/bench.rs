// SPDX-License-Identifier: GPL-2.0-only
//! `bench`: how fast this is, side by side with other ways to the same result.
//!
//! How long something takes never decides anything here: a vm_run either went
//! right, and then its figures are reported, or it did not, and then there are none.

mod case;
mod cost;
mod edit;
mod fragment;
mod jobs;
mod leftovers;
pub(crate) mod load;
mod ours;
mod page;
pub(crate) mod report;
mod rounds;
pub(crate) mod stats;
mod vmtest;

use camino::Utf8Path;
use clap::Parser;
use fs_err as fs;
use patchbed_host::lock::FileLock;
use selftests::input::closest;

use self::case::Bench;
pub(crate) use self::case::{Case, Claim};
use self::load::Clocks;
use self::report::{CaseReport, Report, SCHEMA};
use crate::cli::{BenchArgs, BenchFormat, Cli, Command};
use crate::commands::doctor;
use crate::commands::sources::{SourceRequest, Sources};
use crate::exit::{Exit, bad_input};
use crate::host::Host;
use crate::render;
use crate::session::Session;

/// What there is to measure, in the order of BENCHMARKS.md.
const CASES: [Case; 10] = [
    Case {
        name: "vmtest",
        about: "the tree's luo_kexec_simple from command to result: by us, and by the tree's own \
                script with our kernel's configuration",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: vmtest::same_kernel,
    },
    Case {
        name: "vmtest-stock",
        about: "the same against the script as it is shipped, with the kernel it configures",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: vmtest::as_shipped,
    },
    Case {
        name: "restore",
        about: "a job from a checkpoint against one that boots, config fast",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: jobs::restore_fast,
    },
    Case {
        name: "restore-kasan",
        about: "the same under KASAN, where a boot takes its time",
        rounds: 3,
        is_cheap: true,
        unit: "s",
        claim: Claim::Faster,
        prepare: jobs::restore_kasan,
    },
    Case {
        name: "warm",
        about: "everything that `test` does, with nothing to build",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Takes,
        prepare: jobs::warm,
    },
    Case {
        name: "edit",
        about: "a line of C in one patch is changed: to the verdict of four scenarios on the series",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Takes,
        prepare: edit::result,
    },
    Case {
        name: "mutant",
        about: "one more kernel, of a series with another line of C: to its image",
        rounds: 5,
        is_cheap: true,
        unit: "s",
        claim: Claim::Takes,
        prepare: edit::mutant,
    },
    Case {
        name: "rate",
        about: "the scenarios that live in one kernel on two checkouts, to 200 jobs, config kasan",
        rounds: 3,
        is_cheap: false,
        unit: "s a job",
        claim: Claim::Takes,
        prepare: jobs::rate,
    },
    Case {
        name: "scale",
        about: "what a job costs as a run has ten times and a hundred times more of them",
        rounds: 3,
        is_cheap: false,
        unit: "s a job",
        claim: Claim::Flat,
        prepare: jobs::scale,
    },
    Case {
        name: "restores",
        about: "a thousand guests from one checkpoint, each with a boot id of its own",
        rounds: 1,
        is_cheap: false,
        unit: "s a job",
        claim: Claim::Takes,
        prepare: jobs::restores,
    },
];

/// Measures and prints.
pub(crate) fn run(args: &BenchArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.list {
        render::to_stdout(&render::bench::list(&CASES))?;
        return Ok(Exit::Ok);
    }
    let cases = choose(&args.names)?;
    if args.record {
        session.layout.checkout("bench --record")?;
    }
    doctor::require(false, session)?;
    let home = session.layout.state("bench")?;
    let lock = home.join("lock");
    // Two at once would measure each other.
    let _lock = FileLock::acquire(&lock, "the bench", &session.cancel, &session.progress)?;
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
    session.progress.clear();
    show(&report, args, session)?;
    Ok(if report.has_finding() {
        Exit::Finding
    } else {
        Exit::Ok
    })
}

/// Returns the cases of these names, or those that do not take long.
fn choose(names: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    for name in names {
        if !CASES.iter().any(|case| case.name == name) {
            let known = || CASES.iter().map(|case| case.name);
            let hint = match closest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(bad_input(format!("there is no case `{name}`"), hint));
        }
    }
    let is_chosen = |case: &&Case| match names {
        [] => case.is_cheap,
        _ => names.iter().any(|name| name == case.name),
    };
    Ok(CASES.iter().filter(is_chosen).collect())
}

/// Runs one case and works out what it came to.
fn measure(
    case: &Case,
    home: &Utf8Path,
    args: &BenchArgs,
    session: &Session,
) -> anyhow::Result<CaseReport> {
    let Bench { sides, mut notes } = (case.prepare)(args, session)?;
    let rounds = args.rounds.unwrap_or(case.rounds);
    let before = Clocks::read();
    // What takes long is long enough not to feel a cold start; only a short side
    // that the others are held against must not be the one that pays for it.
    let warming = match (case.is_cheap, sides.len()) {
        (true, all) => all,
        (false, 1) => 0,
        (false, _) => 1,
    };
    let measured = rounds::measure(case.name, &sides, warming, rounds, home, session)?;
    let load = before.until(&Clocks::read());
    notes.extend(sides.iter().flat_map(|side| side.notes()));
    Ok(CaseReport::new(case, &sides, rounds, measured, load, notes))
}

/// Returns the sources of one checkout, as `test` would take them.
fn sources(args: &BenchArgs, checkout: &str, session: &Session) -> anyhow::Result<Sources> {
    let mut words = vec!["patchbed", "test", "--checkouts", checkout];
    words.extend(args.tree.iter().flat_map(|tree| ["--tree", tree]));
    match Cli::try_parse_from(words)?.command {
        Command::Test(test) => SourceRequest::from_args(&test.source, session)?.apply(session),
        _ => anyhow::bail!("`test` is not `test`"),
    }
}

fn show(report: &Report, args: &BenchArgs, session: &Session) -> anyhow::Result<()> {
    if args.record && !report.has_finding() {
        let page = session
            .layout
            .checkout("bench --record")?
            .join("BENCHMARKS.md");
        let mut text = fs::read_to_string(&page)?;
        for case in &report.cases {
            let section = render::bench::section(case, &report.host);
            text = page::with_section(&text, &case.name, &section);
        }
        fs::write(&page, text)?;
    }
    let text = match args.format {
        BenchFormat::Text => render::bench::text(report),
        BenchFormat::Json => serde_json::to_string_pretty(report)?,
        BenchFormat::Markdown => render::bench::markdown(report),
    };
    Ok(render::to_stdout(&text)?)
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
    fn without_a_name_only_cheap_cases_run() {
        assert_eq!(chosen(&["vmtest"]), ["vmtest"]);
        assert!(chosen(&[]).iter().all(|name| {
            let case = CASES.iter().find(|case| case.name == *name);
            case.is_some_and(|case| case.is_cheap)
        }));
        let error = choose(&["vmtset".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("did you mean `vmtest`?"));
    }
}
