// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves the arguments of `test` to series, configs, scenarios and a plan.

use kernel_patches::config::Config;
use kernel_patches::kernel::Modules;
use kernel_patches::kselftest::Wanted;
use selftests::catalogue::Catalogue;
use selftests::input::closest;
use selftests::scenario::{Scenario, ScenarioFile};
use vm_images::machine::Machine;

use crate::engine::build::{Tests, find_configs};
use crate::engine::environment::{Environment, find_machine, find_needs};
use crate::engine::inject;
use crate::engine::kselftest;
use crate::engine::options::{Snapshots, TestOptions};
use crate::engine::plan::{Plan, PlanRequest};
use crate::engine::program;
use crate::engine::session::Session;
use crate::engine::sources::SourceRequest;
use crate::exit::bad_input;

/// Limit of names in a hint.
const NAMES_MAX: usize = 8;

/// The resolved arguments of `test`.
#[derive(Debug)]
pub struct Request {
    /// The tree and the series.
    pub source_request: SourceRequest,
    pub(crate) configs: Vec<Config>,
    /// The catalogue.
    pub catalogue: Catalogue,
    /// All scenario files.
    pub scenario_files: Vec<ScenarioFile>,
    /// The selected scenarios.
    pub scenarios: Vec<Scenario>,
    pub(crate) kselftests: Vec<kselftest::RequestedTarget>,
    /// Without the jobs of kselftests, which are added after the build.
    pub plan: Plan,
}

impl Request {
    /// Resolves the arguments, without opening the tree.
    ///
    /// # Errors
    /// When a name does not exist, or a file is invalid.
    pub fn look_up(args: &TestOptions, session: &Session) -> anyhow::Result<Self> {
        let mut source_request = SourceRequest::from_args(&args.source, session)?;
        let configs = find_configs(&args.configs.config, session)?;
        let wanted_kselftests = kselftest::parse(&args.kselftest)?;
        let kselftests = kselftest::look_up(&wanted_kselftests, &session.layout)?;
        let catalogue = session.catalogue()?;
        let scenario_files = catalogue.scenario_files()?;
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
        // A scenario may kexec into a checkout without jobs of its own.
        source_request.add_checkouts(scenarios.iter().flat_map(Scenario::other_checkouts));
        Ok(Self {
            catalogue,
            scenario_files,
            source_request,
            configs,
            scenarios,
            kselftests,
            plan,
        })
    }

    /// Returns the machine of tests that name none: of the options, or of the catalogue.
    pub(crate) fn machine(&self) -> &str {
        let given = self.plan.machine.as_deref();
        given.unwrap_or_else(|| self.catalogue.machine())
    }

    /// Returns the tests of the scenarios.
    #[must_use]
    pub fn tests(&self) -> Tests<'_> {
        Tests {
            catalogue: &self.catalogue,
            scenario_files: &self.scenario_files,
            programs: self.scenarios.iter().map(Scenario::program).collect(),
        }
    }

    /// Returns the memory of the largest guest, in MiB.
    ///
    /// # Errors
    /// When the file of a config is invalid.
    pub(crate) fn memory_mib(
        &self,
        environment: &Environment,
        session: &Session,
    ) -> anyhow::Result<u32> {
        let mut largest = 1;
        for config in &self.configs {
            let needs = find_needs(&config.name, &self.catalogue.manifest, session)?;
            largest = largest.max(environment.memory_mib(&needs));
        }
        Ok(largest)
    }

    /// Returns the kernel modules to build: the modules that the scenarios load, and with
    /// self-check also the fault injection module.
    ///
    /// # Errors
    /// When the list of modules is invalid.
    pub fn modules(&self, with_self_check: bool) -> anyhow::Result<Option<Modules>> {
        if with_self_check {
            return inject::modules().map(Some);
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

/// Returns the scenarios with the given names, or all scenarios if no name is given. The name of
/// a scenario file selects all its variants.
///
/// # Errors
/// When a name does not exist.
pub fn choose_scenarios(
    scenario_files: &[ScenarioFile],
    names: &[String],
) -> anyhow::Result<Vec<Scenario>> {
    let all = || {
        scenario_files
            .iter()
            .flat_map(|scenario_file| &scenario_file.variants)
    };
    for name in names {
        if !all().any(|scenario| matches_name(scenario, name)) {
            let mut known: Vec<&str> = scenario_files.iter().map(|one| one.name.as_str()).collect();
            let hint = match closest(name, all().map(|one| one.name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    known.dedup();
                    hint_of(name, &known)
                }
            };
            return Err(bad_input(format!("unknown scenario `{name}`"), hint));
        }
    }
    let is_selected = |scenario: &&Scenario| {
        names.is_empty() || names.iter().any(|name| matches_name(scenario, name))
    };
    Ok(all().filter(is_selected).cloned().collect())
}

/// Returns a hint with the scenario files that start with a name, or with the command that lists
/// all scenarios.
fn hint_of(name: &str, known: &[&str]) -> String {
    let start = name.trim_end_matches(['*', '-', '.']);
    let has_prefix = |name: &&&str| !start.is_empty() && name.starts_with(start);
    let near: Vec<&str> = known
        .iter()
        .filter(has_prefix)
        .take(NAMES_MAX)
        .copied()
        .collect();
    match near.is_empty() {
        true => format!(
            "list all scenarios with `{} test --dry-run`",
            program::name()
        ),
        false => format!("similar names: {}", near.join(", ")),
    }
}

/// Returns whether a name selects a scenario. The table prints a scenario file as `NAME.*`, so
/// both forms are accepted.
fn matches_name(scenario: &Scenario, name: &str) -> bool {
    let scenario_file = name.strip_suffix(".*").unwrap_or(name);
    scenario.name == name || scenario.scenario_file == scenario_file
}

/// Checks the series names in scenarios. With an unknown name, a scenario would be an expected
/// failure on every checkout.
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
    known.sort();
    known.dedup();
    for scenario in scenarios {
        let named = scenario.fails_without.iter().chain(&scenario.fails_since);
        for name in named {
            if known.contains(name) {
                continue;
            }
            let near = closest(name, known.iter().map(String::as_str));
            let hint = near.map_or_else(
                || format!("known series: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(bad_input(
                format!(
                    "`{}`: unknown series `{name}` in `fails_without` or `fails_since`",
                    scenario.name
                ),
                hint,
            ));
        }
    }
    Ok(())
}

/// Checks that a machine has the device slots of the scenarios.
fn check_machine(machine: &Machine, scenarios: &[Scenario]) -> anyhow::Result<()> {
    let has = |slot: &str| machine.slots.iter().any(|known| known.name == slot);
    for scenario in scenarios {
        if let Some(missing) = scenario.devices.iter().find(|device| !has(&device.slot)) {
            return Err(bad_input(
                format!(
                    "`{}` uses the slot `{}`, which the machine `{}` lacks",
                    scenario.name, missing.slot, machine.name
                ),
                format!(
                    "omit `--machine` to use its own machine `{}`",
                    scenario.machine
                ),
            ));
        }
    }
    Ok(())
}

fn plan_request(
    args: &TestOptions,
    source_request: &SourceRequest,
    configs: &[Config],
    scenarios: &[Scenario],
    kselftests: Vec<Wanted>,
    session: &Session,
) -> PlanRequest {
    // Kselftests have no snapshots.
    let check_snapshots = !scenarios.is_empty()
        && match args.snapshots {
            Some(how) => how == Snapshots::Check,
            None => {
                let has_snapshots = session.layout.snapshots().is_dir();
                has_snapshots && source_request.is_ours() && args.machine.is_none()
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
        catalogue: session.layout.catalogue_name().to_owned(),
        scenarios: scenarios
            .iter()
            .map(|scenario| (scenario.name.clone(), scenario.machine.clone()))
            .collect(),
        repeat: args.repeat,
        check_snapshots,
        rerun_options: reproduce_options(args, session.layout.data_options()),
        kselftests,
        mutants: source_request.mutants.words(),
    }
}

/// Returns the options, except scenario, checkout and config, that reproduce the run.
fn reproduce_options(args: &TestOptions, data: Vec<String>) -> Vec<String> {
    let source = &args.source;
    let mut options: Vec<(&str, &str)> = Vec::new();
    options.extend(source.tree.iter().map(|tree| ("--tree", tree.as_str())));
    options.extend(source.series.iter().map(|name| ("--series", name.as_str())));
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
