// SPDX-License-Identifier: GPL-2.0-only
//! What is asked for, looked up but not begun.

use kernel_patches::kernel::Modules;
use kernel_patches::kselftest::Wanted;
use kernel_patches::profile::Profile;
use selftests::input::closest;
use selftests::scenario::{Family, Scenario};
use vm_images::machine::Machine;

use super::kselftest;
use crate::cli::{DEFAULT_SERIES, Snapshots, TestArgs};
use crate::commands::build::find_profiles;
use crate::commands::canary::kit;
use crate::commands::generate;
use crate::commands::rig::find_machine;
use crate::commands::sources::Request;
use crate::exit::bad_input;
use crate::plan::{Plan, Wishes};
use crate::program;
use crate::session::Session;

/// Most names that a hint lists.
const NAMES_MAX: usize = 8;

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
        let plan = Plan::new(wishes(
            args, &request, &profiles, &scenarios, wanted, session,
        ));
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

/// Returns the families that begin like a name, or else where all are listed.
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

/// Returns whether a name is that of a scenario or of its family, which the table writes
/// with `.*` behind it.
fn is_meant(scenario: &Scenario, name: &str) -> bool {
    let family = name.strip_suffix(".*").unwrap_or(name);
    scenario.name == name || scenario.family == family
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
    session: &Session,
) -> Wishes {
    // Nothing is recorded of tests that are not ours.
    let check_snapshots = !scenarios.is_empty()
        && match args.snapshots {
            Some(how) => how == Snapshots::Check,
            None => {
                let has_records = session.layout.snapshots().is_dir();
                has_records && request.is_ours() && args.machine.is_none()
            }
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
        again: again(args, session.layout.data_options()),
        kselftests,
        mutants: request.mutants.words(),
    }
}

/// Returns the arguments beyond scenario, stack and profile that make the same run again.
fn again(args: &TestArgs, data: Vec<String>) -> Vec<String> {
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
    let words = options.into_iter().flat_map(<[&str; 2]>::from);
    data.into_iter().chain(words.map(str::to_owned)).collect()
}
