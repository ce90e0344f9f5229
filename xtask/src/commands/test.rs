// SPDX-License-Identifier: GPL-2.0-only
//! `test`: the whole chain, from arguments to the table.

pub(crate) mod cells;
mod detectors;
mod hang;
mod history;
pub(crate) mod judge;
pub(crate) mod kselftest;
mod loads;
mod mutants;
pub(crate) mod prepare;
mod setting;
pub(crate) mod start;

use anyhow::Context;
use jiff::Timestamp;
use kernel_patches::kernel::Modules;
use kernel_patches::kselftest::Wanted;
use kernel_patches::profile::Profile;
use selftests::canary;
use selftests::input::closest;
use selftests::scenario::{Family, Scenario};
use testbed_host::events::{Event, Observer};
use testbed_host::process::quote;
use vm_images::machine::Machine;
use vm_images::transcript::{self, Transcript};

use self::cells::{Cell, Judge, Test};
use self::history::History;
use self::mutants::Court;
use self::prepare::Ground;
use self::start::Start;
use crate::cli::{DEFAULT_MACHINE, DEFAULT_SERIES, Snapshots, TestArgs};
use crate::commands::build::{Built, build_all, find_profiles};
use crate::commands::canary::kit;
use crate::commands::rig::{Rig, find_machine};
use crate::commands::sources::{Request, Sources};
use crate::commands::{doctor, generate, show};
use crate::exit::{Exit, bad_input};
use crate::plan::{CellPlan, Plan, Wishes};
use crate::render;
use crate::result::{CellResult, RunResult, Setting, StackResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Runs the chain and prints the verdict.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    let began = Timestamp::now();
    let inquiry = Inquiry::look_up(args, session)?;
    if args.dry_run {
        render::to_stdout(&render::plan::text(&inquiry.plan))?;
        return Ok(Exit::Ok);
    }
    doctor::require(args.install, session)?;
    let sources = inquiry.request.apply(session)?;
    kselftest::check(&inquiry.kselftests, &sources)?;
    let modules = inquiry.modules(!args.no_canaries)?;
    let kernels = build_all(&sources, &inquiry.profiles, modules.as_ref(), session)?;
    let ready = Ready::make(kernels, &sources, &inquiry, args, session)?;
    let plan = &ready.plan;
    let folder = RunFolder::create(args.out.as_deref(), &session.layout, plan)?;
    let cells = match_up(&inquiry, &ready)?;
    let detectors = detectors::show(&ready, args, &folder, session)?;
    let results = run_cells(&cells, plan, &ready, &folder, args, session, &|_, _| {})?;
    let court = Court {
        inquiry: &inquiry,
        sources: &sources,
        ready: &ready,
        folder: &folder,
        args,
        session,
    };
    let mutants = court.judge(&results)?;
    let result = ready
        .result(results, began, &folder)
        .with_detectors(detectors)
        .with_mutants(mutants);
    folder.finish(&result, &session.layout)?;
    session.progress.clear();
    show::run(&result, None, plan, &args.show, &folder, session)?;
    Ok(result.exit())
}

/// What is asked for, looked up but not begun.
#[derive(Debug)]
pub(crate) struct Inquiry {
    pub(crate) request: Request,
    pub(crate) profiles: Vec<Profile>,
    /// All families of scenarios.
    pub(crate) families: Vec<Family>,
    /// Those that are asked for.
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) kselftests: Vec<kselftest::Asked>,
    /// The tree's own tests have no cells in it yet.
    pub(crate) plan: Plan,
}

impl Inquiry {
    /// Looks up what the arguments name; no tree is opened, nothing built.
    ///
    /// # Errors
    /// When something does not exist, or its files hold a mistake.
    pub(crate) fn look_up(args: &TestArgs, session: &Session) -> anyhow::Result<Self> {
        let mut request = Request::from_args(&args.source, session)?;
        let profiles = find_profiles(&args.profiles.profile, session)?;
        let wanted = kselftest::parse(&args.kselftest)?;
        let kselftests = kselftest::look_up(&wanted, &session.layout)?;
        let families = generate::families(session)?;
        let scenarios = if args.scenarios.is_empty() && !wanted.is_empty() {
            Vec::new()
        } else {
            choose_scenarios(&families, &args.scenarios)?
        };
        if let Some(name) = &args.machine {
            check_machine(&find_machine(name, session)?, &scenarios)?;
        }
        check_series(&scenarios, &request, session)?;
        let plan = Plan::new(wishes(args, &request, &profiles, &scenarios, wanted));
        // A kexec may lead to a kernel that no cell begins with.
        request.needs_too(scenarios.iter().flat_map(Scenario::other_stacks));
        Ok(Self {
            families,
            request,
            profiles,
            scenarios,
            kselftests,
            plan,
        })
    }
}

impl Inquiry {
    /// Returns the families of the scenarios that are asked for.
    pub(crate) fn families_asked_for(&self) -> Vec<&Family> {
        let is_wanted = |family: &&Family| {
            let mut scenarios = self.scenarios.iter();
            scenarios.any(|one| one.family == family.name)
        };
        self.families.iter().filter(is_wanted).collect()
    }

    /// Returns the kernel modules that the scenarios load, if one does, or these and
    /// those that detectors are shown by.
    ///
    /// # Errors
    /// When they are none that can be built.
    pub(crate) fn modules(&self, with_canaries: bool) -> anyhow::Result<Option<Modules>> {
        if with_canaries {
            return kit::modules().map(Some);
        }
        if !self
            .scenarios
            .iter()
            .any(selftests::generate::needs_modules)
        {
            return Ok(None);
        }
        let files = selftests::generate::modules();
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Ok(Some(Modules::new(files)?))
    }
}

/// Returns the scenarios with these names, or all when none is named. The name of a
/// family stands for all its variants.
///
/// # Errors
/// When there is no scenario of a name.
pub(crate) fn choose_scenarios(
    families: &[Family],
    names: &[String],
) -> anyhow::Result<Vec<Scenario>> {
    let all = || families.iter().flat_map(|family| &family.variants);
    for name in names {
        if !all().any(|scenario| is_meant(scenario, name)) {
            let mut known: Vec<&str> = families.iter().map(|one| one.name.as_str()).collect();
            let hint = match closest(name, all().map(|one| one.name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    known.dedup();
                    format!("scenarios are: {}", known.join(", "))
                }
            };
            return Err(bad_input(format!("there is no scenario `{name}`"), hint));
        }
    }
    let is_wanted = |scenario: &&Scenario| {
        names.is_empty() || names.iter().any(|name| is_meant(scenario, name))
    };
    Ok(all().filter(is_wanted).cloned().collect())
}

fn is_meant(scenario: &Scenario, name: &str) -> bool {
    scenario.name == name || scenario.family == name
}

/// Makes sure that scenarios fail for want of series that there are: a name that nothing
/// has would let them fail everywhere as expected.
fn check_series(
    scenarios: &[Scenario],
    request: &Request,
    session: &Session,
) -> anyhow::Result<()> {
    let mut known = kernel_patches::series::names(&session.layout.series());
    known.push(request.series.name.clone());
    known.extend(
        request
            .prerequisites
            .iter()
            .map(|series| series.name.clone()),
    );
    for scenario in scenarios {
        let named = scenario.fails_without.iter().chain(&scenario.fails_since);
        for name in named {
            if known.contains(name) {
                continue;
            }
            let near = closest(name, known.iter().map(String::as_str));
            let hint = near.map_or_else(
                || format!("series are: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(bad_input(
                format!(
                    "`{}` fails without a series `{name}`, and there is none",
                    scenario.name
                ),
                hint,
            ));
        }
    }
    Ok(())
}

/// Makes sure that a machine has all that the scenarios use.
fn check_machine(machine: &Machine, scenarios: &[Scenario]) -> anyhow::Result<()> {
    let has = |slot: &str| machine.slots.iter().any(|known| known.name == slot);
    for scenario in scenarios {
        if let Some(lacking) = scenario.devices.iter().find(|device| !has(&device.slot)) {
            return Err(bad_input(
                format!(
                    "`{}` uses the slot `{}`, which the machine `{}` does not have",
                    scenario.name, lacking.slot, machine.name
                ),
                format!(
                    "it is made for `{}`; leave `--machine` out",
                    scenario.machine
                ),
            ));
        }
    }
    Ok(())
}

fn wishes(
    args: &TestArgs,
    request: &Request,
    profiles: &[Profile],
    scenarios: &[Scenario],
    kselftests: Vec<Wanted>,
) -> Wishes {
    // Nothing is recorded of tests that are not ours.
    let check_snapshots = !scenarios.is_empty()
        && match args.snapshots {
            Some(how) => how == Snapshots::Check,
            None => request.is_ours() && args.machine.is_none(),
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
            .map(|scenario| (scenario.name.clone(), scenario.machine.clone()))
            .collect(),
        repeat: args.repeat,
        check_snapshots,
        again: again(args),
        kselftests,
        mutants: request.mutants.words(),
    }
}

/// Everything that cells run on.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) rig: Rig,
    pub(crate) grounds: Vec<Ground>,
    /// The plan, with the cells of the tree's own tests.
    pub(crate) plan: Plan,
    /// The tree's name for people.
    pub(crate) tree: String,
    /// What results say of the stacks that are judged.
    pub(crate) stacks: Vec<StackResult>,
    /// All of the circumstances that is known before the first cell.
    setting: Setting,
}

impl Ready {
    /// From kernels to programs that are ready to boot on them.
    ///
    /// # Errors
    /// When a program does not compile, or the host fails.
    pub(crate) fn make(
        kernels: Vec<Built>,
        sources: &Sources,
        inquiry: &Inquiry,
        args: &TestArgs,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let machine = args.machine.as_deref();
        let own = inquiry.scenarios.iter().map(|one| one.machine.as_str());
        let all = own
            .chain([DEFAULT_MACHINE])
            .map(|own| machine.unwrap_or(own))
            .chain([canary::LEAK_MACHINE]);
        let mut rig = Rig::set_up(all, session)?;
        rig.keep_dumps = args.dump_hangs;
        let mut grounds = prepare::grounds(kernels, sources, inquiry, &rig, session)?;
        let ground = grounds.first().context("there is no kernel to run")?;
        rig.choose_accelerator(
            machine.unwrap_or(DEFAULT_MACHINE),
            &ground.kernel.image(),
            &ground.initramfs,
            &ground.guest,
            session,
        )?;
        let tests = kselftest::make_ready(
            &inquiry.kselftests,
            sources,
            &mut grounds,
            rig.accelerator,
            session,
        )?;
        Ok(Self {
            setting: setting::look(inquiry, sources, &grounds, session)?,
            rig,
            grounds,
            plan: inquiry.plan.clone().with_cells_of(&on_default(tests)),
            tree: sources.tree.label().to_owned(),
            stacks: sources.results(&inquiry.plan.stacks),
        })
    }

    /// Returns what a run that began at `began` came to, from the results of its cells.
    pub(crate) fn result(
        &self,
        cells: Vec<CellResult>,
        began: Timestamp,
        folder: &RunFolder,
    ) -> RunResult {
        RunResult {
            setting: setting::of_run(&self.setting, began, folder),
            ..self.plan.result(self, cells)
        }
    }
}

/// The tree's own tests name no machine.
fn on_default(tests: Vec<String>) -> Vec<(String, String)> {
    let machine = DEFAULT_MACHINE.to_owned();
    tests
        .into_iter()
        .map(|test| (test, machine.clone()))
        .collect()
}

/// Runs cells, all or some of the plan's, and returns what each came to, in the
/// same order; `tell` hears of each as it ends, whether or not the others do.
///
/// # Errors
/// When the user asked to stop.
pub(crate) fn run_cells(
    cells: &[Cell<'_>],
    plan: &Plan,
    ready: &Ready,
    folder: &RunFolder,
    args: &TestArgs,
    session: &Session,
    tell: &(dyn Fn(&Cell<'_>, &CellResult) + Sync),
) -> anyhow::Result<Vec<CellResult>> {
    let Ready { rig, grounds, .. } = ready;
    let jobs = args
        .jobs
        .map_or_else(|| cells::jobs_that_fit(grounds, rig), |jobs| jobs as usize);
    let to_run: Vec<Cell<'_>> = cells.iter().filter(|cell| cell.runs()).cloned().collect();
    let starts = if args.no_template {
        Vec::new()
    } else {
        start::starts(&to_run, rig, jobs, session)
    };
    let to_run = start_from(&to_run, &starts);
    let mut history = History::load(session);
    let loads = loads::pack(&to_run, &history, args.batch, jobs);
    let judge = RunJudge {
        rig,
        plan,
        folder,
        session,
        tell,
    };
    let judged = cells::run_all(&to_run, &loads, rig, folder.path(), jobs, session, &judge);
    history.learn(judged.iter().flatten());
    history.save();
    if session.cancel.is_cancelled() {
        anyhow::bail!("interrupted");
    }
    let mut judged = judged.into_iter();
    let result = |cell: &Cell<'_>| {
        if cell.runs() {
            let known = judged.next().flatten();
            return known.with_context(|| format!("nothing is known of {}", cell.plan.label()));
        }
        let result = judge_cell(cell, None, plan, folder, session);
        tell(cell, &result);
        Ok(result)
    };
    cells.iter().map(result).collect()
}

/// Judges cells and tells of them.
struct RunJudge<'a> {
    rig: &'a Rig,
    plan: &'a Plan,
    folder: &'a RunFolder,
    session: &'a Session,
    tell: &'a (dyn Fn(&Cell<'_>, &CellResult) + Sync),
}

impl Judge for RunJudge<'_> {
    type Judged = CellResult;

    fn judge(&self, cell: &Cell<'_>, transcript: &Transcript) -> CellResult {
        if let transcript::Start::BootInstead { trouble } = &transcript.start {
            let label = cell.plan.label();
            let text = format!("{label} booted: its template failed: {trouble}");
            self.session.progress.event(Event::Note { text });
            // Who comes after need not wait for it to fail again.
            cell.template
                .into_iter()
                .for_each(|template| self.rig.templates.forget(template));
        }
        judge_cell(cell, Some(transcript), self.plan, self.folder, self.session)
    }

    fn is_well(&self, result: &CellResult) -> bool {
        result.outcome == "pass" && !result.is_finding()
    }

    fn settled(&self, cell: &Cell<'_>, result: &CellResult) {
        (self.tell)(cell, result);
    }
}

/// Returns the cells with the templates of their kernels and machines.
fn start_from<'a>(cells: &[Cell<'a>], starts: &'a [Start<'_>]) -> Vec<Cell<'a>> {
    let template = |cell: &Cell<'_>| {
        let start = starts.iter().find(|start| start.is_for(cell))?;
        start.template.as_ref()
    };
    cells
        .iter()
        .map(|cell| Cell {
            template: template(cell),
            ..cell.clone()
        })
        .collect()
}

/// Judges one cell, by its transcript if it was run; one that cannot be kept is an
/// error of its own, not the end of the others.
fn judge_cell(
    cell: &Cell<'_>,
    transcript: Option<&Transcript>,
    plan: &Plan,
    folder: &RunFolder,
    session: &Session,
) -> CellResult {
    let record = judge::Record {
        plan: cell.plan.clone(),
        contains: cell.ground.contains.clone(),
        partly: cell.ground.partly.clone(),
        binaries: cell.binaries(),
        in_tree: cell.test.in_tree().cloned(),
        kept: None,
    };
    let mut judged = record.judge(cell.test, transcript, folder);
    if let Err(error) = record.keep(folder).and_then(|()| judged.leave(folder)) {
        judged.cell.give_up(&error);
    } else if plan.check_snapshots {
        judged.compare(&session.layout.snapshots());
    }
    judged.cell
}

/// Returns every cell of the plan with what it needs, but for a template.
///
/// # Errors
/// When there is no kernel or program for one.
pub(crate) fn match_up<'a>(
    inquiry: &'a Inquiry,
    ready: &'a Ready,
) -> anyhow::Result<Vec<Cell<'a>>> {
    let find = |cell: &'a CellPlan| {
        let ground = ready
            .grounds
            .iter()
            .find(|ground| ground.stack == cell.stack && ground.profile == cell.profile)?;
        let mut scenarios = inquiry.scenarios.iter();
        let test = match ground.in_tree.get(&cell.scenario) {
            Some(in_tree) => Test::InTree(in_tree),
            None => Test::Scenario(scenarios.find(|one| one.name == cell.scenario)?),
        };
        Some(Cell {
            plan: cell,
            test,
            ground,
            machine: ready.rig.machine(&cell.machine).ok()?,
            job: ground.jobs.get(&cell.scenario)?,
            template: None,
        })
    };
    let cells = ready.plan.cells.iter();
    cells
        .map(|cell| find(cell).with_context(|| format!("nothing to run {} on", cell.label())))
        .collect()
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
    options.extend(args.machine.iter().map(|name| ("--machine", name.as_str())));
    let words = options
        .iter()
        .map(|(option, value)| format!(" {option} {}", quote(value)));
    words.collect()
}
