// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prepares builds for jobs: packs the initramfs of each kernel and compiles test programs.

mod program;
mod vm_run;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Kernel;
use patchbed_host::cache::{hex, publish};
use patchbed_host::events::Activity;
use selftests::expectation::Has;
use sha2::{Digest, Sha256};
use vm_images::initramfs::Initramfs;
use vm_images::needs::GuestNeeds;
use vm_images::vm::VmRun;

use crate::engine::build::Built;
use crate::engine::environment::{Environment, find_needs};
use crate::engine::record::Kselftest;
use crate::engine::request::Request;
use crate::engine::session::Session;
use crate::engine::sources::Sources;

/// A kernel to run jobs on, with its initramfs and test programs.
#[derive(Clone, Debug)]
pub struct Build {
    pub(crate) checkout: String,
    pub(crate) config: String,
    pub(crate) kernel: Kernel,
    pub(crate) guest: GuestNeeds,
    /// Names of the series that are completely applied.
    pub contains: BTreeSet<String>,
    /// Names of the series that are partly applied.
    pub partly: BTreeSet<String>,
    /// The folder of the test modules built for the kernel, if any are used.
    pub modules: Option<Utf8PathBuf>,
    pub(crate) initramfs: Utf8PathBuf,
    /// The boots of each test, by scenario name or `TARGET:TEST`.
    pub vm_runs: BTreeMap<String, VmRun>,
    /// The kselftests, by `TARGET:TEST`.
    pub kselftest: BTreeMap<String, Kselftest>,
}

impl Build {
    /// Returns the series in the kernel.
    pub fn has(&self) -> Has<'_> {
        Has {
            whole: &self.contains,
            partly: &self.partly,
        }
    }
}

/// Prepares every kernel for the selected scenarios.
///
/// # Errors
/// When a program does not compile, or the host fails.
pub fn builds(
    built: Vec<Built>,
    sources: &Sources,
    request: &Request,
    environment: &Environment,
    session: &Session,
) -> anyhow::Result<Vec<Build>> {
    let without_tests = |built| without_tests(built, sources, environment, session);
    let mut builds: Vec<Build> = built
        .into_iter()
        .map(without_tests)
        .collect::<Result<_, _>>()?;
    let scenario_files = request.selected_scenario_files();
    let total = (builds.len() * scenario_files.len()) as u64;
    let activity = Activity::start(&*session.observer, "compiling test programs", Some(total));
    let mut done = 0;
    for index in 0..builds.len() {
        let mut vm_runs = BTreeMap::new();
        let inputs = program::kernel_inputs(&builds[index].kernel)?;
        for scenario_file in &scenario_files {
            activity.advance(done, &scenario_file.name);
            done += 1;
            let files = vm_run::Inputs {
                program: program::make(scenario_file, &builds[index].kernel, &inputs, session)?,
                modules: builds[index].modules.clone(),
                build: &builds[index],
                builds: &builds,
            };
            for scenario in request
                .scenarios
                .iter()
                .filter(|one| one.scenario_file == scenario_file.name)
            {
                let machine = request.plan.machine.as_ref().unwrap_or(&scenario.machine);
                let vm_run = vm_run::of(scenario, environment.machine(machine)?, &files)?;
                vm_runs.insert(scenario.name.clone(), vm_run);
            }
        }
        builds[index].vm_runs = vm_runs;
    }
    Ok(builds)
}

/// Returns a build with its initramfs, but without tests.
fn without_tests(
    built: Built,
    sources: &Sources,
    environment: &Environment,
    session: &Session,
) -> anyhow::Result<Build> {
    let Built {
        checkout,
        config,
        kernel,
        modules,
    } = built;
    let mut checkouts = sources.checkouts.iter();
    let source = checkouts
        .find(|one| one.name == checkout)
        .with_context(|| format!("no checkout `{checkout}`"))?;
    Ok(Build {
        guest: find_needs(&config, session)?,
        contains: source.contains.clone(),
        partly: source.partly.clone(),
        initramfs: pack(&kernel, environment, session)?,
        checkout,
        config,
        kernel,
        modules,
        vm_runs: BTreeMap::new(),
        kselftest: BTreeMap::new(),
    })
}

/// Writes the initramfs of a kernel. It always contains the kernel for a kexec, so that all jobs
/// of the kernel can restore the same checkpoint.
///
/// # Errors
/// When a file cannot be read or written.
pub fn pack(
    kernel: &Kernel,
    environment: &Environment,
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let bytes = archive(kernel, environment)?;
    let name = format!("{}.cpio", hex(&Sha256::digest(&bytes)));
    let path = session.cache.dir(&["initramfs"])?.join(&name);
    if fs::read(&path).ok().as_ref() != Some(&bytes) {
        publish(&path, &bytes)?;
    }
    Ok(path)
}

fn archive(kernel: &Kernel, environment: &Environment) -> anyhow::Result<Vec<u8>> {
    let mut archive = Initramfs::for_guest(&environment.guest)?;
    archive.add_next_kernel(&kernel.image())?;
    Ok(archive.to_bytes()?)
}

/// Returns the build of a mutant: the tests of the series, on the mutant's kernel. A kexec into
/// the series becomes a kexec into the mutant.
///
/// # Errors
/// When the initramfs cannot be written next to the kernel.
pub(super) fn mutant(
    series: &Build,
    checkout: String,
    kernel: Kernel,
    modules: Option<&Utf8Path>,
    environment: &Environment,
) -> anyhow::Result<Build> {
    let initramfs = kernel.dir.join("initramfs.cpio");
    fs::write(&initramfs, archive(&kernel, environment)?)?;
    let mut vm_runs = series.vm_runs.clone();
    for boot in vm_runs.values_mut().flat_map(|vm_run| &mut vm_run.boots) {
        vm_run::replace_modules(boot, modules);
        let next = boot.kernel.as_mut();
        if let Some(next) = next.filter(|next| next.image == series.kernel.image()) {
            next.image = kernel.image();
            next.initramfs.clone_from(&initramfs);
        }
    }
    Ok(Build {
        checkout,
        kernel,
        initramfs,
        vm_runs,
        kselftest: BTreeMap::new(),
        ..panic_on_oops(series)
    })
}

/// Returns the build with a command line that makes the kernel panic on an oops or KASAN
/// report. A task killed by an oops keeps its locks, so that other tasks would block until the
/// job's timeout.
pub(super) fn panic_on_oops(build: &Build) -> Build {
    let mut build = build.clone();
    build.guest.kernel_arguments += " oops=panic kasan.fault=panic";
    build
}
