// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects kselftests and prepares the jobs that run them.

use std::collections::BTreeSet;

use kernel_patches::checkout::Checkout;
use kernel_patches::kernel::Toolchain;
use kernel_patches::kselftest::{self, Form, Suite, Wanted};
use patchbed_host::events::Event;
use selftests::kselftest::{KselftestBoots, NotesError, TargetNotes};
use vm_images::accel::Accelerator;
use vm_images::vm::{BootRun, GuestFile, VmRun};

use crate::engine::build::Build;
use crate::engine::environment::Environment;
use crate::engine::job::{Job, Kselftest};
use crate::engine::layout::Layout;
use crate::engine::session::Session;
use crate::engine::sources::Sources;
use crate::exit::bad_input;
use crate::job_plan::JobPlan;

/// Factor on the time limits of kselftests, which are chosen for real machines.
const TCG_SLOWNESS: u32 = 4;
/// Limit of missing config options in a reason.
const OPTIONS_SHOWN_MAX: usize = 6;

/// A requested TARGET.
#[derive(Clone, Debug)]
pub struct RequestedTarget {
    target: String,
    /// The tests requested by name.
    tests: Vec<String>,
    /// Whether the tests that run by default are requested.
    defaults: bool,
    notes: TargetNotes,
}

/// Parses the arguments of `--kselftest`.
///
/// # Errors
/// When an argument is not a valid name of a target or test.
pub fn parse(words: &[String]) -> anyhow::Result<Vec<Wanted>> {
    Ok(words
        .iter()
        .map(|word| Wanted::parse(word))
        .collect::<Result<_, _>>()?)
}

/// Reads the notes on the requested TARGETs, without duplicates.
///
/// # Errors
/// When a file with notes is invalid.
pub fn look_up(wanted: &[Wanted], layout: &Layout) -> anyhow::Result<Vec<RequestedTarget>> {
    let mut unique = BTreeSet::new();
    let targets = wanted.iter().map(|test| &test.target);
    targets
        .filter(|target| unique.insert(*target))
        .map(|target| {
            let notes =
                TargetNotes::find(&layout.kselftest(), target).map_err(|error| match error {
                    NotesError::Input(error) => anyhow::Error::from(error),
                    other @ NotesError::Io { .. } => other.into(),
                })?;
            let of_target = || wanted.iter().filter(|test| test.target == *target);
            Ok(RequestedTarget {
                target: target.clone(),
                tests: of_target()
                    .filter_map(|wanted| wanted.test.clone())
                    .collect(),
                defaults: of_target().any(|wanted| wanted.test.is_none()),
                notes,
            })
        })
        .collect()
}

/// Checks before the build that each TARGET exists in at least one checkout.
///
/// # Errors
/// When no checkout has a TARGET.
pub fn check(requested: &[RequestedTarget], sources: &Sources) -> anyhow::Result<()> {
    for RequestedTarget { target, .. } in requested {
        let mut checkouts = sources.checkouts.iter();
        if !checkouts.any(|checkout| kselftest::has_target(&sources.tree, checkout, target)) {
            let checkouts: Vec<&Checkout> = sources.checkouts.iter().collect();
            return Err(kselftest::no_such_target(&sources.tree, &checkouts, target).into());
        }
    }
    Ok(())
}

/// Builds the TARGETs for every kernel, and returns the jobs of their tests on each build, in
/// the order of the plan.
///
/// # Errors
/// When no kernel has a requested test, or the host fails.
pub(crate) fn jobs(
    requested: &[RequestedTarget],
    sources: &Sources,
    builds: &[Build],
    environment: &Environment,
    machine: &str,
    repeat: u32,
    session: &Session,
) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    if requested.is_empty() {
        return Ok(jobs);
    }
    let toolchain = Toolchain::detect(&session.cancel)?;
    for target in requested {
        let mut suites = Vec::new();
        for build in builds {
            suites.push(suite(&target.target, build, sources, &toolchain, session)?);
        }
        report_omitted_tests(&suites, session);
        for test in target.choose(&suites)? {
            for (build, suite) in builds.iter().zip(&suites) {
                let job = target.job(&test, suite.as_ref(), build, environment, machine)?;
                jobs.extend(job.repeated(repeat));
            }
        }
    }
    Ok(jobs)
}

/// Returns the TARGET built for a kernel, or `None` if its checkout has no such TARGET.
fn suite(
    target: &str,
    build: &Build,
    sources: &Sources,
    toolchain: &Toolchain,
    session: &Session,
) -> anyhow::Result<Option<Suite>> {
    let tree = &sources.tree;
    let mut checkouts = sources.checkouts.iter();
    let Some(checkout) = checkouts.find(|checkout| {
        checkout.name == build.checkout && kselftest::has_target(tree, checkout, target)
    }) else {
        return Ok(None);
    };
    let request = kselftest::Request {
        tree,
        checkout,
        kernel: &build.kernel,
        toolchain,
        target,
    };
    Ok(Some(kselftest::make(&request, &session.context())?))
}

fn report_omitted_tests(suites: &[Option<Suite>], session: &Session) {
    let mut reported = BTreeSet::new();
    for suite in suites.iter().flatten() {
        for note in &suite.facts.notes {
            if reported.insert(note) {
                let text = format!("kselftest `{}`: {note}", suite.target);
                session.observer.event(Event::Note { text });
            }
        }
    }
}

impl RequestedTarget {
    /// Returns the names of the tests to run, in the order of the Makefile: the tests
    /// requested by name, and if defaults are requested, the tests that at least one kernel
    /// runs by default.
    fn choose(&self, suites: &[Option<Suite>]) -> anyhow::Result<Vec<String>> {
        let suites: Vec<&Suite> = suites.iter().flatten().collect();
        for name in &self.tests {
            if !suites.iter().any(|suite| suite.find(name).is_some()) {
                let suite = suites.first();
                return Err(match suite {
                    Some(suite) => suite.no_such_test(name).into(),
                    None => {
                        anyhow::anyhow!("no checkout has the kselftest target `{}`", self.target)
                    }
                });
            }
        }
        let mut chosen: Vec<String> = Vec::new();
        for test in suites.iter().flat_map(|suite| &suite.facts.tests) {
            let is_default = test.by_default || self.notes.names().any(|name| name == test.name);
            let is_wanted = self.tests.contains(&test.name) || (self.defaults && is_default);
            if is_wanted && !chosen.contains(&test.name) {
                chosen.push(test.name.clone());
            }
        }
        if chosen.is_empty() {
            return Err(bad_input(
                format!(
                    "no test of the kselftest target `{}` runs by default",
                    self.target
                ),
                format!("name a test: `--kselftest {}:TEST`", self.target),
            ));
        }
        Ok(chosen)
    }

    /// Returns the first job of a test on a build.
    fn job(
        &self,
        name: &str,
        suite: Option<&Suite>,
        build: &Build,
        environment: &Environment,
        machine: &str,
    ) -> anyhow::Result<Job> {
        let label = format!("{}:{name}", self.target);
        let found = suite.and_then(|suite| Some((suite, suite.find(name)?)));
        let unfit = |reason| (Kselftest::Unfit { reason }, VmRun::default());
        let (kselftest, vm_run) = match found.map(|(suite, test)| (suite, test, &test.form)) {
            None => unfit(format!("the checkout has no kselftest `{label}`")),
            Some((_, _, Form::Unfit { reason })) => unfit(format!("`{name}` {reason}")),
            Some((suite, test, Form::Program { .. })) => {
                let timeout = suite.facts.timeout_secs;
                let kselftest = self.notes.test(&self.target, name, timeout);
                let slowness = match environment.accelerator() {
                    Accelerator::Tcg => build.needs.slowness.saturating_mul(TCG_SLOWNESS),
                    Accelerator::Kvm => build.needs.slowness,
                };
                let vm_run = vm_run(&kselftest, &files(suite, test), slowness);
                let lacks = suite.missing_options(&build.kernel)?;
                let test = kselftest;
                (Kselftest::Fit { test, lacks }, vm_run)
            }
        };
        let machine = environment.machine(machine)?;
        let plan = JobPlan {
            test: label,
            config: build.config.clone(),
            checkout: build.checkout.clone(),
            machine: machine.name.clone(),
            repetition: 1,
        };
        Ok(Job {
            kselftest: Some(kselftest),
            ..Job::new(plan, build, machine, vm_run)
        })
    }
}

/// Returns the folder of a TARGET in the guest, laid out as by `make install`.
fn folder(target: &str) -> String {
    format!("/kselftest/{target}")
}

fn files(suite: &Suite, test: &kselftest::Test) -> Vec<GuestFile> {
    let folder = folder(&suite.target);
    let files = suite.files(test).into_iter().map(|file| GuestFile {
        path: format!("{folder}/{}", file.name),
        source: file.path,
        mode: if file.executable { 0o755 } else { 0o644 },
    });
    files.collect()
}

/// Returns the boots of a test. Each boot gets all files, because a kexec discards the
/// initramfs.
fn vm_run(test: &KselftestBoots, files: &[GuestFile], slowness: u32) -> VmRun {
    let folder = folder(&test.target);
    let boots = test.boots.iter().map(|call| BootRun {
        kernel: None,
        files: files.to_vec(),
        program: format!("{folder}/{}", test.name),
        args: call.args.clone(),
        env: call.env.clone().into_iter().collect(),
        dir: folder.clone(),
        timeout: call.time_limit(slowness),
    });
    VmRun {
        boots: boots.collect(),
    }
}

/// Returns the config options missing from a kernel, as a suffix for the reason of a test that
/// did not pass; empty if the kernel has all options.
pub fn missing_options(test: &KselftestBoots, lacks: &[String]) -> String {
    if lacks.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = lacks
        .iter()
        .take(OPTIONS_SHOWN_MAX)
        .map(String::as_str)
        .collect();
    let more = match lacks.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "; the kernel lacks options that `{}` requires: {}{more}",
        test.target,
        shown.join(", ")
    )
}
