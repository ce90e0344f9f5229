// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bench`: measures the speed of patchbed and compares it with other tools.
//!
//! The measured times do not decide the exit code. If a run fails, its case has no figures.

mod command;
mod edit;
mod figures;
mod report;
mod vmtest;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::Activity;
use patchbed_host::files::missing_is_removed;
use patchbed_host::input::closest;
use patchbed_host::lock::FileLock;
use patchbed_host::yaml;
use serde::Deserialize;
use xtask::engine::host::Host;
use xtask::engine::scenarios;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report::to_stdout;
use xtask::result::BootMode;

use self::command::{Figure, Once, Outcome, Side, TestRun, shown};
use self::figures::Clocks;
use self::report::{CaseReport, Failure, Report, SCHEMA, SideReport};
use crate::cli::{BenchArgs, BenchFormat};
use crate::commands::doctor;

/// Stands for all scenarios without kexec in a command.
const WITHOUT_KEXEC: &str = "WITHOUT_KEXEC";

/// A case of `cases.yaml`, which explains the fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Case {
    name: String,
    about: String,
    note: Option<String>,
    rounds: u32,
    #[serde(default)]
    figure: Figure,
    #[serde(default)]
    is_long: bool,
    #[serde(default)]
    is_flat: bool,
    commands: Vec<Command>,
}

/// A command to measure, as in `cases.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Command {
    name: String,
    call: String,
    #[serde(default)]
    jobs: usize,
    boot_mode: Option<BootMode>,
    config: Option<String>,
}

/// Measures the chosen cases and prints the figures.
pub(crate) fn run(args: &BenchArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.list {
        to_stdout(&list(&cases()?))?;
        return Ok(Exit::Ok);
    }
    let cases = choose(&args.names)?;
    let checkout = args
        .record
        .then(|| session.layout.checkout("bench --record"));
    let checkout = checkout.transpose()?;
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
        report.cases.push(measure(case, &home, args, session)?);
        if report.has_finding() {
            break;
        }
    }
    session.observer.clear();
    let exit = match report.has_finding() {
        true => Exit::Finding,
        false => Exit::Ok,
    };
    if let (Some(checkout), Exit::Ok) = (checkout, exit) {
        let path = checkout.join("BENCHMARKS.md");
        let text = report.recorded(&fs::read_to_string(&path)?)?;
        fs::write(&path, text)?;
    }
    to_stdout(&match args.format {
        BenchFormat::Text => report.text()?,
        BenchFormat::Json => serde_json::to_string_pretty(&report)?,
        BenchFormat::Markdown => report.markdown()?,
    })?;
    Ok(exit)
}

/// Returns all cases.
fn cases() -> anyhow::Result<Vec<Case>> {
    Ok(yaml::parse(include_str!("bench/cases.yaml"), "cases.yaml")?)
}

/// Returns the cases with these names, or all cheap cases if there are no names.
fn choose(names: &[String]) -> anyhow::Result<Vec<Case>> {
    let mut cases = cases()?;
    let known: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let hint = match closest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known cases: {}", known.join(", ")),
        };
        return Err(bad_input(format!("unknown case `{name}`"), hint));
    }
    cases.retain(|case| match names {
        [] => !case.is_long,
        _ => names.contains(&case.name),
    });
    Ok(cases)
}

/// Returns names and descriptions of the cases.
fn list(cases: &[Case]) -> String {
    let width = cases.iter().map(|case| case.name.len()).max();
    let width = width.unwrap_or_default();
    let line = |case: &Case| {
        let when = if case.is_long { " (takes long)" } else { "" };
        format!("{:<width$}  {}{when}\n", case.name, case.about)
    };
    cases.iter().map(line).collect()
}

/// Returns a side of a case, after all work that is not measured.
fn side(
    command: &Command,
    figure: Figure,
    args: &BenchArgs,
    session: &Session,
) -> anyhow::Result<Side> {
    let (name, call) = (command.name.clone(), &command.call);
    if call.contains("vmtest.sh") {
        let once = vmtest::prepare(call, command.config.as_deref(), args, session)?;
        return Ok(Side::new(name, call.clone(), once));
    }
    let tree = args.tree.iter().flat_map(|tree| ["--tree", tree]);
    let words = call.split_whitespace().chain(tree);
    let words: Vec<String> = words.map(str::to_owned).collect();
    let shown = shown(&words);
    let words = expanded(words, session)?;
    let test = TestRun {
        figure,
        jobs: command.jobs,
        boot_mode: command.boot_mode,
    };
    let once: Box<Once> = match words.iter().any(|word| word == edit::EDITED) {
        true => edit::prepare(words, test),
        false => Box::new(move |folder, session| test.once(&words, folder, session)),
    };
    Ok(Side::new(name, shown, once))
}

/// Replaces `WITHOUT_KEXEC`.
fn expanded(mut words: Vec<String>, session: &Session) -> anyhow::Result<Vec<String>> {
    if let Some(at) = words.iter().position(|word| word == WITHOUT_KEXEC) {
        let mut scenarios = scenarios::scenarios(session)?;
        scenarios.retain(|scenario| scenario.boots.len() == 1);
        words.splice(at..=at, scenarios.into_iter().map(|scenario| scenario.name));
    }
    Ok(words)
}

/// Runs a case and evaluates its figures.
fn measure(
    case: Case,
    home: &Utf8Path,
    args: &BenchArgs,
    session: &Session,
) -> anyhow::Result<CaseReport> {
    let sides = case.commands.iter();
    let sides = sides.map(|command| side(command, case.figure, args, session));
    let mut sides = sides.collect::<Result<Vec<_>, _>>()?;
    let rounds = args.rounds.unwrap_or(case.rounds);
    let before = Clocks::read();
    let failure = run_rounds(&case, &mut sides, rounds, home, session)?;
    let load = before.until(&Clocks::read());
    let mut reports = Vec::new();
    if failure.is_none() {
        for side in sides {
            reports.extend(SideReport::new(side, reports.first()));
        }
    }
    Ok(CaseReport {
        name: case.name,
        about: case.about,
        unit: case.figure.unit(),
        is_flat: case.is_flat,
        rounds,
        load,
        note: case.note,
        sides: reports,
        failure,
    })
}

/// Runs some sides once without measuring, and then all sides in each round. Adds the samples to
/// the sides, and ends at the first wrong result.
fn run_rounds(
    case: &Case,
    sides: &mut [Side],
    rounds: u32,
    home: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Option<Failure>> {
    // In a long case a cold start does not matter, except for its first side, which may be
    // short and which the others are compared with.
    let warm_ups = match case.is_long {
        true => usize::from(sides.len() > 1),
        false => sides.len(),
    };
    let measured = (1..=rounds).flat_map(|round| order(sides.len(), round));
    let runs: Vec<(u32, usize)> = order(warm_ups, 0).into_iter().chain(measured).collect();
    let label = format!("bench {}", case.name);
    let activity = Activity::start(&*session.observer, label, Some(runs.len() as u64));
    for (done, (round, index)) in runs.into_iter().enumerate() {
        let side = &mut sides[index];
        let label = match round {
            0 => format!("warm-up: {}", side.name),
            _ => format!("round {round} of {rounds}: {}", side.name),
        };
        activity.advance(done as u64, label);
        let place = empty_folder(&home.join(&case.name).join(index.to_string()))?;
        let outcome = (side.once)(&place, session)?;
        session.check_interrupted()?;
        match outcome {
            Outcome::Passed(_) if round == 0 => {}
            Outcome::Passed(sample) => side.samples.push(sample),
            Outcome::Failed(why) => {
                let side = side.name.clone();
                return Ok(Some(Failure { side, why, place }));
            }
        }
    }
    Ok(None)
}

/// Returns the runs of a round: its number and the index of a side. The order is reversed in
/// every second round, so that no side always runs after the same side.
fn order(sides: usize, round: u32) -> Vec<(u32, usize)> {
    let mut runs: Vec<(u32, usize)> = (0..sides).map(|side| (round, side)).collect();
    if round % 2 == 1 {
        runs.reverse();
    }
    runs
}

/// Makes an empty folder, and removes the files of an earlier run.
fn empty_folder(place: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
    missing_is_removed(fs::remove_dir_all(place))?;
    fs::create_dir_all(place)?;
    Ok(place.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn choose_returns_cheap_cases_without_names_and_suggests_a_similar_name() {
        let chosen = choose(&["vmtest".to_owned()]).unwrap();
        assert_eq!((chosen.len(), chosen[0].name.as_str()), (1, "vmtest"));
        assert_eq!(cases().unwrap().len(), 10);
        let cheap = choose(&[]).unwrap();
        assert_eq!(cheap.len(), 7);
        assert!(!cheap.iter().any(|case| case.is_long));
        let error = choose(&["vmtset".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("did you mean `vmtest`?"));
    }

    #[test]
    fn calls_of_cases_are_accepted_by_the_command_line() {
        for command in cases().unwrap().iter().flat_map(|case| &case.commands) {
            if !command.call.contains("vmtest.sh") {
                let call = format!("patchbed {}", command.call);
                Cli::try_parse_from(call.split_whitespace()).unwrap();
            }
        }
    }

    #[test]
    fn order_is_reversed_in_every_second_round() {
        assert_eq!(order(2, 1), [(1, 1), (1, 0)]);
        assert_eq!(order(2, 2), [(2, 0), (2, 1)]);
        assert_eq!(order(3, 3), [(3, 2), (3, 1), (3, 0)]);
        assert_eq!(order(1, 1), [(1, 0)]);
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
