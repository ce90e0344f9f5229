// SPDX-License-Identifier: GPL-2.0-only
//! Makes context what jobs run: kernels with their initramfs, and vm_runs for guests.

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

use super::Request;
use crate::commands::build::Built;
use crate::commands::environment::{Environment, find_needs};
use crate::commands::sources::Sources;
use crate::record::Kselftest;
use crate::session::Session;

/// A kernel to run jobs on, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) checkout: String,
    pub(crate) config: String,
    pub(crate) kernel: Kernel,
    pub(crate) guest: GuestNeeds,
    /// Names of the series in it.
    pub(crate) contains: BTreeSet<String>,
    /// Names of the series of which it has some patches only.
    pub(crate) partly: BTreeSet<String>,
    /// The folder of the modules built against it, if any were wanted.
    pub(crate) modules: Option<Utf8PathBuf>,
    /// What all its guests boot with.
    pub(crate) initramfs: Utf8PathBuf,
    /// By scenario or `TARGET:TEST`, what its guest is to do.
    pub(crate) vm_runs: BTreeMap<String, VmRun>,
    /// By `TARGET:TEST`, the tree's own tests.
    pub(crate) kselftest: BTreeMap<String, Kselftest>,
}

impl Build {
    /// Returns which series are in it.
    pub(crate) fn has(&self) -> Has<'_> {
        Has {
            whole: &self.contains,
            partly: &self.partly,
        }
    }
}

/// Makes context what the guests of every kernel are to do.
///
/// # Errors
/// When a program does not compile, or the host fails.
pub(crate) fn builds(
    built: Vec<Built>,
    sources: &Sources,
    request: &Request,
    environment: &Environment,
    session: &Session,
) -> anyhow::Result<Vec<Build>> {
    let bare = |built| bare(built, sources, environment, session);
    let mut builds: Vec<Build> = built.into_iter().map(bare).collect::<Result<_, _>>()?;
    let scenario_files = request.scenario_files_asked_for();
    let total = (builds.len() * scenario_files.len()) as u64;
    let activity = Activity::start(&session.progress, "making selftests context", Some(total));
    let mut done = 0;
    for index in 0..builds.len() {
        let mut vm_runs = BTreeMap::new();
        let against = program::surroundings(&builds[index].kernel)?;
        for scenario_file in &scenario_files {
            activity.advance(done, &scenario_file.name);
            done += 1;
            let order = vm_run::Order {
                program: program::make(scenario_file, &builds[index].kernel, &against, session)?,
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
                let vm_run = vm_run::of(scenario, environment.machine(machine)?, &order)?;
                vm_runs.insert(scenario.name.clone(), vm_run);
            }
        }
        builds[index].vm_runs = vm_runs;
    }
    Ok(builds)
}

/// A kernel with what its guests boot with, and nothing for them to do yet.
fn bare(
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
    let from = checkouts
        .find(|one| one.name == checkout)
        .with_context(|| format!("no checkout `{checkout}` to run on"))?;
    Ok(Build {
        guest: find_needs(&config, session)?,
        contains: from.contains.clone(),
        partly: from.partly.clone(),
        initramfs: pack(&kernel, environment, session)?,
        checkout,
        config,
        kernel,
        modules,
        vm_runs: BTreeMap::new(),
        kselftest: BTreeMap::new(),
    })
}

/// Makes the archive that all guests of a kernel boot with. It carries the next
/// kernel too, whether or not there will be a kexec, so that all are alike.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn pack(
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

/// Returns what a mutant's jobs run on: what those of its series do, on another kernel.
/// A kexec to the series goes to the mutant again, which stands for it.
///
/// # Errors
/// When what its guests boot with cannot be written beside the kernel.
pub(super) fn mutated(
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
        vm_run::load_modules(boot, modules);
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
        ..short_lived(series)
    })
}

/// Returns a kernel that panics when it breaks. A task that dies of an oops takes its locks
/// along, and whoever waits for them waits until the time is up; of a mutant, nobody wants
/// to know more by then.
pub(super) fn short_lived(build: &Build) -> Build {
    let mut build = build.clone();
    build.guest.kernel_arguments += " oops=panic kasan.fault=panic";
    build
}
