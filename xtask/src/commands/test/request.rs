// SPDX-License-Identifier: GPL-2.0-only
//! What is asked for, looked up but not begun.

use kernel_patches::config::Config;
use kernel_patches::kernel::Modules;
use kernel_patches::kselftest::Wanted;
use selftests::input::closest;
use selftests::scenario::{Scenario, ScenarioFile};
use vm_images::machine::Machine;

use super::kselftest;
use crate::cli::{DEFAULT_SERIES, Snapshots, TestArgs};
use crate::commands::build::find_configs;
use crate::commands::environment::find_machine;
use crate::commands::generate;
use crate::commands::inject::kit;
use crate::commands::sources::SourceRequest;
use crate::exit::bad_input;
use crate::plan::{Plan, PlanRequest};
use crate::program;
use crate::session::Session;

/// Most names that a hint lists.
const NAMES_MAX: usize = 8;

/// What is asked for, looked up but not begun.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) source_request: SourceRequest,
    pub(crate) configs: Vec<Config>,
    /// All scenario_files of scenarios.
    pub(crate) scenario_files: Vec<ScenarioFile>,
    /// Those that are asked for.
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) kselftests: Vec<kselftest::Asked>,
    /// The tree's own tests have no jobs in it yet.
    pub(crate) plan: Plan,
}

impl Request {
    /// Looks up what the arguments name; no tree is opened, nothing built.
    ///
    /// # Errors
    /// When something does not exist, or its files hold a mistake.
    pub(crate) fn look_up(args: &TestArgs, session: &Session) -> anyhow::Result<Self> {
        let mut source_request = SourceRequest::from_args(&args.source, session)?;
        let configs = find_configs(&args.configs.config, session)?;
        let wanted_kselftests = kselftest::parse(&args.kselftest)?;
        let kselftests = kselftest::look_up(&wanted_kselftests, &session.layout)?;
        let scenario_files = generate::scenario_files(session)?;
        let scenarios = if args.scenarios.is_empty() && !wanted_kselftests.is_empty() {
            Vec::new()
        } else {
            choose_scenarios(&scenario_files, &args.scenarios)?
        };
        if let Some(name) = &args.machine {
            check_machine(&find_machine(name, session)?, &scenarios)?;
        }
        check_series(&scenarios, &source_request, session)?;
        let plan = Plan::new(plan_request(
            args,
            &source_request,
            &configs,
            &scenarios,
            wanted_kselftests,
            session,
        ));
        // A kexec may lead to a kernel that no job begins with.
        source_request.needs_too(scenarios.iter().flat_map(Scenario::other_checkouts));
        Ok(Self {
            scenario_files,
            source_request,
            configs,
            scenarios,
            kselftests,
            plan,
        })
    }

    /// Returns the scenario_files of the scenarios that are asked for.
    pub(crate) fn scenario_files_asked_for(&self) -> Vec<&ScenarioFile> {
        let is_wanted = |scenario_file: &&ScenarioFile| {
            let mut scenarios = self.scenarios.iter();
            scenarios.any(|one| one.scenario_file == scenario_file.name)
        };
        self.scenario_files.iter().filter(is_wanted).collect()
    }

    /// Returns the kernel modules that the scenarios load, if one does, or these and
    /// those that self_checks are shown by.
    ///
    /// # Errors
    /// When they are none that can be built.
    pub(crate) fn modules(&self, with_self_check: bool) -> anyhow::Result<Option<Modules>> {
        if with_self_check {
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
/// scenario_file stands for all its variants.
///
/// # Errors
/// When there is no scenario of a name.
pub(crate) fn choose_scenarios(
    scenario_files: &[ScenarioFile],
    names: &[String],
) -> anyhow::Result<Vec<Scenario>> {
    let all = || {
        scenario_files
            .iter()
            .flat_map(|scenario_file| &scenario_file.variants)
    };
    for name in names {
        if !all().any(|scenario| is_meant(scenario, name)) {
            let mut known: Vec<&str> = scenario_files.iter().map(|one| one.name.as_str()).collect();
            let hint = match closest(name, all().map(|one| one.name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    known.dedup();
                    hint_of(name, &known)
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

/// Returns the scenario_files that begin like a name, or else where all are listed.
fn hint_of(name: &str, known: &[&str]) -> String {
    let start = name.trim_end_matches(['*', '-', '.']);
    let begins = |one: &&&str| !start.is_empty() && one.starts_with(start);
    let near: Vec<&str> = known
        .iter()
        .filter(begins)
        .take(NAMES_MAX)
        .copied()
        .collect();
    match near.is_empty() {
        true => format!("`{} test --dry-run` lists them", program::name()),
        false => format!("some that begin like it: {}", near.join(", ")),
    }
}

/// Returns whether a name is that of a scenario or of its scenario_file, which the table writes
/// with `.*` behind it.
fn is_meant(scenario: &Scenario, name: &str) -> bool {
    let scenario_file = name.strip_suffix(".*").unwrap_or(name);
    scenario.name == name || scenario.scenario_file == scenario_file
}

/// Makes sure that scenarios fail for want of series that there are: a name that nothing
/// has would let them fail everywhere as expected.
fn check_series(
    scenarios: &[Scenario],
    source_request: &SourceRequest,
    session: &Session,
) -> anyhow::Result<()> {
    let mut known = kernel_patches::series::names(&session.layout.series());
    known.push(source_request.series.name.clone());
    known.extend(
        source_request
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

fn plan_request(
    args: &TestArgs,
    source_request: &SourceRequest,
    configs: &[Config],
    scenarios: &[Scenario],
    kselftests: Vec<Wanted>,
    session: &Session,
) -> PlanRequest {
    // Nothing is recorded of tests that are not ours.
    let check_snapshots = !scenarios.is_empty()
        && match args.snapshots {
            Some(how) => how == Snapshots::Check,
            None => {
                let has_records = session.layout.snapshots().is_dir();
                has_records && source_request.is_ours() && args.machine.is_none()
            }
        };
    PlanRequest {
        tree: source_request.tree.clone(),
        series: source_request.series.name.clone(),
        prerequisites: source_request
            .prerequisites
            .iter()
            .map(|series| series.name.clone())
            .collect(),
        checkouts: source_request.checkouts.clone(),
        configs: configs.iter().map(|config| config.name.clone()).collect(),
        machine: args.machine.clone(),
        scenarios: scenarios
            .iter()
            .map(|scenario| (scenario.name.clone(), scenario.machine.clone()))
            .collect(),
        repeat: args.repeat,
        check_snapshots,
        again: again(args, session.layout.data_options()),
        kselftests,
        mutants: source_request.mutants.words(),
    }
}

/// Returns the arguments beyond scenario, checkout and config that make the same run again.
fn again(args: &TestArgs, data: Vec<String>) -> Vec<String> {
    let source = &args.source;
    let mut options: Vec<(&str, &str)> = Vec::new();
    options.extend(source.tree.iter().map(|tree| ("--tree", tree.as_str())));
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
    let words = options.into_iter().flat_map(<[&str; 2]>::from);
    data.into_iter().chain(words.map(str::to_owned)).collect()
}
