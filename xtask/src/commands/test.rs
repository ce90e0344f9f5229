// SPDX-License-Identifier: GPL-2.0-only
//! `test`: the whole chain, from arguments to the table.

mod cells;
pub(crate) mod judge;
mod prepare;
mod start;

use anyhow::Context;
use kernel_patches::profile::Profile;
use selftests::input::closest;
use selftests::scenario::Scenario;
use testbed_host::events::{Event, Observer};
use testbed_host::process::quote;
use vm_images::template::Template;
use vm_images::transcript::{Start, Transcript};

use self::cells::Cell;
use self::prepare::Ground;
use crate::cli::{DEFAULT_MACHINE, DEFAULT_SERIES, Format, Snapshots, TestArgs};
use crate::commands::build::{build_all, find_profiles};
use crate::commands::rig::{Rig, find_machine};
use crate::commands::sources::Request;
use crate::commands::{doctor, generate};
use crate::exit::{Exit, bad_input};
use crate::plan::{CellPlan, Plan, Wishes};
use crate::render;
use crate::result::{self, CellResult, RunResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Runs the chain and prints the verdict.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    let request = Request::from_args(&args.source, session)?;
    let profiles = find_profiles(&args.profiles.profile, session)?;
    find_machine(&args.machine, session)?;
    let scenarios = choose_scenarios(generate::scenarios(session)?, &args.scenarios)?;
    let plan = Plan::new(wishes(args, &request, &profiles, &scenarios));
    if args.dry_run {
        render::to_stdout(&render::plan::text(&plan))?;
        return Ok(Exit::Ok);
    }
    doctor::require(args.install, session)?;
    let ready = make_ready(&request, &profiles, &scenarios, args, session)?;
    let folder = RunFolder::create(args.out.as_deref(), &session.layout, &plan)?;
    let result = run_cells(&plan, &scenarios, &ready, &folder, args, session)?;
    session.progress.clear();
    show(&result, &plan, args.format, &folder, session)?;
    Ok(result::exit(&result.cells))
}

fn choose_scenarios(all: Vec<Scenario>, names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    if names.is_empty() {
        return Ok(all);
    }
    for name in names {
        if !all.iter().any(|scenario| scenario.name == *name) {
            let known: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
            let hint = match closest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("scenarios are: {}", known.join(", ")),
            };
            return Err(bad_input(format!("there is no scenario `{name}`"), hint));
        }
    }
    Ok(all
        .into_iter()
        .filter(|scenario| names.contains(&scenario.name))
        .collect())
}

fn wishes(
    args: &TestArgs,
    request: &Request,
    profiles: &[Profile],
    scenarios: &[Scenario],
) -> Wishes {
    let check_snapshots = match args.snapshots {
        Some(how) => how == Snapshots::Check,
        None => request.is_ours() && args.machine == DEFAULT_MACHINE,
    };
    Wishes {
        tree: request.tree.clone(),
        series: request.series.name.clone(),
        prerequisites: request
            .prerequisites
            .iter()
            .map(|series| series.name.clone())
            .collect(),
        stacks: request.stacks.clone(),
        profiles: profiles
            .iter()
            .map(|profile| profile.name.clone())
            .collect(),
        machine: args.machine.clone(),
        scenarios: scenarios
            .iter()
            .map(|scenario| scenario.name.clone())
            .collect(),
        repeat: args.repeat,
        check_snapshots,
        again: again(args),
    }
}

/// Everything that cells run on.
struct Ready {
    rig: Rig,
    grounds: Vec<Ground>,
    /// The tree's name for people.
    tree: String,
}

/// From series and tree to kernels and programs that are ready to boot.
fn make_ready(
    request: &Request,
    profiles: &[Profile],
    scenarios: &[Scenario],
    args: &TestArgs,
    session: &Session,
) -> anyhow::Result<Ready> {
    let sources = request.apply(session)?;
    let kernels = build_all(&sources, profiles, session)?;
    let mut rig = Rig::set_up(&args.machine, session)?;
    let grounds = prepare::grounds(kernels, &sources, scenarios, &rig, session)?;
    let ground = grounds.first().context("there is no kernel to run")?;
    rig.choose_accelerator(
        &ground.kernel.image(),
        &ground.initramfs,
        &ground.guest,
        session,
    );
    Ok(Ready {
        rig,
        grounds,
        tree: sources.tree.label().to_owned(),
    })
}

fn run_cells(
    plan: &Plan,
    scenarios: &[Scenario],
    ready: &Ready,
    folder: &RunFolder,
    args: &TestArgs,
    session: &Session,
) -> anyhow::Result<RunResult> {
    let Ready { rig, grounds, tree } = ready;
    let jobs = args
        .jobs
        .map_or_else(|| cells::jobs_that_fit(grounds, rig), |jobs| jobs as usize);
    let templates = if args.no_template {
        vec![None; grounds.len()]
    } else {
        start::templates(grounds, rig, jobs, session)
    };
    let cells = match_up(plan, scenarios, grounds, &templates)?;
    let judge = |cell: &Cell<'_>, transcript: &Transcript| {
        if let Start::BootInstead { trouble } = &transcript.start {
            let text = format!(
                "{} booted: its template failed: {trouble}",
                cell.plan.label()
            );
            session.progress.event(Event::Note { text });
        }
        judge_cell(cell, transcript, plan, folder, session)
    };
    let judged = cells::run_all(&cells, rig, folder.path(), jobs, session, &judge);
    if session.cancel.is_cancelled() {
        anyhow::bail!("interrupted");
    }
    let mut results = Vec::new();
    for (cell, result) in cells.iter().zip(judged) {
        results.push(result.with_context(|| format!("nothing is known of {}", cell.plan.label()))?);
    }
    let series = plan.series.clone();
    let result = RunResult::new(tree.clone(), series, plan.prerequisites.clone(), results);
    folder.finish(&result, &session.layout)?;
    Ok(result)
}

/// Judges one cell; one that cannot be kept is an error of its own, not the end
/// of the others.
fn judge_cell(
    cell: &Cell<'_>,
    transcript: &Transcript,
    plan: &Plan,
    folder: &RunFolder,
    session: &Session,
) -> CellResult {
    let record = judge::Record {
        plan: cell.plan.clone(),
        contains: cell.ground.contains.clone(),
        binaries: cell.binaries(),
    };
    let mut judged = record.judge(cell.scenario, transcript, folder);
    if let Err(error) = record.keep(folder).and_then(|()| judged.leave(folder)) {
        judged.cell.give_up(&error);
    } else if plan.check_snapshots {
        judged.compare(&session.layout.snapshots());
    }
    judged.cell
}

/// Returns every cell of the plan with what it needs.
fn match_up<'a>(
    plan: &'a Plan,
    scenarios: &'a [Scenario],
    grounds: &'a [Ground],
    templates: &'a [Option<Template>],
) -> anyhow::Result<Vec<Cell<'a>>> {
    let find = |cell: &'a CellPlan| {
        let scenario = scenarios
            .iter()
            .find(|scenario| scenario.name == cell.scenario)?;
        let (ground, template) = grounds
            .iter()
            .zip(templates)
            .find(|(ground, _)| ground.stack == cell.stack && ground.profile == cell.profile)?;
        Some(Cell {
            plan: cell,
            scenario,
            ground,
            job: ground.jobs.get(&cell.scenario)?,
            template: template.as_ref(),
        })
    };
    plan.cells
        .iter()
        .map(|cell| find(cell).with_context(|| format!("nothing to run {} on", cell.label())))
        .collect()
}

fn show(
    result: &RunResult,
    plan: &Plan,
    format: Format,
    folder: &RunFolder,
    session: &Session,
) -> anyhow::Result<()> {
    let run = folder
        .path()
        .strip_prefix(session.layout.root())
        .unwrap_or(folder.path());
    render::result(result, format, run.as_str(), &plan.again)?;
    render::line_to_stderr(&format!("run folder: {run}"));
    Ok(())
}

/// Returns the arguments beyond scenario, stack and profile that make the same run again.
fn again(args: &TestArgs) -> String {
    let source = &args.source;
    let mut options: Vec<(&str, &str)> = Vec::new();
    options.extend(source.kernel.iter().map(|tree| ("--kernel", tree.as_str())));
    if source.series != DEFAULT_SERIES {
        options.push(("--series", &source.series));
    }
    options.extend(source.prereq.iter().map(|name| ("--prereq", name.as_str())));
    options.extend(
        source
            .provides
            .iter()
            .map(|name| ("--provides", name.as_str())),
    );
    if args.machine != DEFAULT_MACHINE {
        options.push(("--machine", &args.machine));
    }
    let words = options
        .iter()
        .map(|(option, value)| format!(" {option} {}", quote(value)));
    words.collect()
}
