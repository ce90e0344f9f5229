// SPDX-License-Identifier: GPL-2.0-only
//! The tree's own tests as jobs: which there are of those asked for, and what the
//! guests of each kernel are to do for them.

use std::collections::BTreeSet;

use kernel_patches::checkout::Checkout;
use kernel_patches::kernel::Toolchain;
use kernel_patches::kselftest::{self, Form, Suite, Wanted};
use patchbed_host::events::{Event, Observer};
use selftests::kselftest::{KselftestBoots, NotesError, TargetNotes};
use vm_images::accel::Accelerator;
use vm_images::vm::{BootRun, GuestFile, VmRun};

use super::prepare::Build;
use crate::commands::sources::Sources;
use crate::exit::bad_input;
use crate::layout::Layout;
use crate::record::Kselftest;
use crate::session::Session;

/// Tests have the tree's time limits, which are made for real machines.
const TCG_SLOWNESS: u32 = 4;
/// Of the options that a kernel lacks, so many are named.
const LACKS_SHOWN: usize = 6;

/// A TARGET that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    target: String,
    /// Its tests that are asked for by name.
    tests: Vec<String>,
    /// Whether those that run by default are asked for.
    defaults: bool,
    notes: TargetNotes,
}

/// Reads what the user typed.
///
/// # Errors
/// When something cannot be the name of a test.
pub(crate) fn parse(words: &[String]) -> anyhow::Result<Vec<Wanted>> {
    Ok(words
        .iter()
        .map(|word| Wanted::parse(word))
        .collect::<Result<_, _>>()?)
}

/// Looks up what we know of the TARGETs asked for, each once.
///
/// # Errors
/// When a file of ours holds a mistake.
pub(crate) fn look_up(wanted: &[Wanted], layout: &Layout) -> anyhow::Result<Vec<Asked>> {
    let mut seen = BTreeSet::new();
    let targets = wanted.iter().map(|one| &one.target);
    targets
        .filter(|target| seen.insert(*target))
        .map(|target| {
            let notes =
                TargetNotes::find(&layout.kselftest(), target).map_err(|error| match error {
                    NotesError::Input(error) => anyhow::Error::from(error),
                    other @ NotesError::Io { .. } => other.into(),
                })?;
            let of_target = || wanted.iter().filter(|one| one.target == *target);
            Ok(Asked {
                target: target.clone(),
                tests: of_target().filter_map(|one| one.test.clone()).collect(),
                defaults: of_target().any(|one| one.test.is_none()),
                notes,
            })
        })
        .collect()
}

/// Makes sure, before anything is built, that a checkout has each TARGET.
///
/// # Errors
/// When none has one.
pub(crate) fn check(asked: &[Asked], sources: &Sources) -> anyhow::Result<()> {
    for Asked { target, .. } in asked {
        let mut checkouts = sources.checkouts.iter();
        if !checkouts.any(|checkout| kselftest::has_target(&sources.tree, checkout, target)) {
            let checkouts: Vec<&Checkout> = sources.checkouts.iter().collect();
            return Err(kselftest::no_such_target(&sources.tree, &checkouts, target).into());
        }
    }
    Ok(())
}

/// Builds the TARGETs for every kernel, tells the builds what their guests are to
/// do, and returns the names of the tests, `TARGET:TEST`, in their order.
///
/// # Errors
/// When no kernel has a test that is asked for, or the host fails.
pub(crate) fn make_run_context(
    asked: &[Asked],
    sources: &Sources,
    builds: &mut [Build],
    accelerator: Accelerator,
    session: &Session,
) -> anyhow::Result<Vec<String>> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let toolchain = Toolchain::detect(&session.cancel)?;
    let mut names = Vec::new();
    for one in asked {
        let mut suites = Vec::new();
        for build in &*builds {
            suites.push(suite(&one.target, build, sources, &toolchain, session)?);
        }
        say_what_is_left_out(&suites, session);
        let tests = one.choose(&suites)?;
        for (build, suite) in builds.iter_mut().zip(&suites) {
            for test in &tests {
                one.prepare(test, suite.as_ref(), build, accelerator)?;
            }
        }
        names.extend(tests.iter().map(|test| format!("{}:{test}", one.target)));
    }
    Ok(names)
}

/// Returns the TARGET as built for a kernel, if its checkout has it.
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
    Ok(Some(kselftest::make(
        &request,
        &session.cache,
        &session.cancel,
        &session.progress,
    )?))
}

fn say_what_is_left_out(suites: &[Option<Suite>], session: &Session) {
    let mut said = BTreeSet::new();
    for suite in suites.iter().flatten() {
        for note in &suite.facts.notes {
            if said.insert(note) {
                let text = format!("selftests `{}`: {note}", suite.target);
                session.progress.event(Event::Note { text });
            }
        }
    }
}

impl Asked {
    /// Returns the names of the tests to run, in the order of the Makefile: those
    /// asked for, and all that some kernel runs by default if they are.
    fn choose(&self, suites: &[Option<Suite>]) -> anyhow::Result<Vec<String>> {
        let suites: Vec<&Suite> = suites.iter().flatten().collect();
        for name in &self.tests {
            if !suites.iter().any(|suite| suite.find(name).is_some()) {
                let suite = suites.first();
                return Err(match suite {
                    Some(suite) => suite.no_such_test(name).into(),
                    None => anyhow::anyhow!("no kernel has the selftests `{}`", self.target),
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
                format!("no test of the selftests `{}` runs by default", self.target),
                format!("name one, as in `{}:TEST`", self.target),
            ));
        }
        Ok(chosen)
    }

    /// Tells a build what its guests do for a test.
    fn prepare(
        &self,
        name: &str,
        suite: Option<&Suite>,
        build: &mut Build,
        accelerator: Accelerator,
    ) -> anyhow::Result<()> {
        let label = format!("{}:{name}", self.target);
        let found = suite.and_then(|suite| Some((suite, suite.find(name)?)));
        let (kselftest, vm_run) = match found.map(|(suite, test)| (suite, test, &test.form)) {
            None => {
                let reason = format!("the checkout has no selftest `{label}`");
                (Kselftest::Unfit { reason }, VmRun::default())
            }
            Some((_, _, Form::Unfit { reason })) => {
                let reason = format!("`{name}` {reason}");
                (Kselftest::Unfit { reason }, VmRun::default())
            }
            Some((suite, test, Form::Program { .. })) => {
                let timeout = suite.facts.timeout_secs;
                let kselftest = self.notes.test(&self.target, name, timeout);
                let slowness = match accelerator {
                    Accelerator::Tcg => build.guest.slowness.saturating_mul(TCG_SLOWNESS),
                    Accelerator::Kvm => build.guest.slowness,
                };
                let vm_run = vm_run(&kselftest, &files(suite, test), slowness);
                let lacks = suite.lacks(&build.kernel)?;
                let test = kselftest;
                (Kselftest::Fit { test, lacks }, vm_run)
            }
        };
        build.vm_runs.insert(label.clone(), vm_run);
        build.kselftest.insert(label, kselftest);
        Ok(())
    }
}

/// The folder of the guest that a TARGET's files lie in, below one another as in
/// an installed tree.
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

/// Returns what a guest does for a test. Each kernel gets the files anew: a kexec
/// leaves nothing of the first one's.
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

/// Returns what options a kernel lacks, to follow the reason of a test that did not
/// pass there; nothing when it lacks none.
pub(crate) fn what_is_lacking(test: &KselftestBoots, lacks: &[String]) -> String {
    if lacks.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = lacks.iter().take(LACKS_SHOWN).map(String::as_str).collect();
    let more = match lacks.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "; the kernel lacks what `{}` asks for: {}{more}",
        test.target,
        shown.join(", ")
    )
}
