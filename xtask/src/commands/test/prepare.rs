// SPDX-License-Identifier: GPL-2.0-only
//! Makes ready what cells run: kernels with their initramfs, and jobs for guests.

mod job;
mod program;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Kernel;
use patchbed_host::cache::{hex, publish};
use patchbed_host::events::Activity;
use selftests::verdict::Has;
use sha2::{Digest, Sha256};
use vm_images::initramfs::Initramfs;
use vm_images::needs::GuestNeeds;
use vm_images::vm::Job;

use super::Inquiry;
use crate::commands::build::Built;
use crate::commands::rig::{Rig, find_needs};
use crate::commands::sources::Sources;
use crate::record::InTree;
use crate::session::Session;

/// A kernel to run cells on, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) stack: String,
    pub(crate) profile: String,
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
    pub(crate) jobs: BTreeMap<String, Job>,
    /// By `TARGET:TEST`, the tree's own tests.
    pub(crate) in_tree: BTreeMap<String, InTree>,
}

impl Ground {
    /// Returns which series are in it.
    pub(crate) fn has(&self) -> Has<'_> {
        Has {
            whole: &self.contains,
            partly: &self.partly,
        }
    }
}

/// Makes ready what the guests of every kernel are to do.
///
/// # Errors
/// When a program does not compile, or the host fails.
pub(crate) fn grounds(
    built: Vec<Built>,
    sources: &Sources,
    inquiry: &Inquiry,
    rig: &Rig,
    session: &Session,
) -> anyhow::Result<Vec<Ground>> {
    let bare = |built| bare(built, sources, rig, session);
    let mut grounds: Vec<Ground> = built.into_iter().map(bare).collect::<Result<_, _>>()?;
    let families = inquiry.families_asked_for();
    let total = (grounds.len() * families.len()) as u64;
    let activity = Activity::start(&session.progress, "making selftests ready", Some(total));
    let mut done = 0;
    for index in 0..grounds.len() {
        let mut jobs = BTreeMap::new();
        let against = program::surroundings(&grounds[index].kernel)?;
        for family in &families {
            activity.advance(done, &family.name);
            done += 1;
            let order = job::Order {
                program: program::make(family, &grounds[index].kernel, &against, session)?,
                modules: grounds[index].modules.clone(),
                ground: &grounds[index],
                grounds: &grounds,
            };
            for scenario in inquiry
                .scenarios
                .iter()
                .filter(|one| one.family == family.name)
            {
                let machine = inquiry.plan.machine.as_ref().unwrap_or(&scenario.machine);
                let job = job::of(scenario, rig.machine(machine)?, &order)?;
                jobs.insert(scenario.name.clone(), job);
            }
        }
        grounds[index].jobs = jobs;
    }
    Ok(grounds)
}

/// A kernel with what its guests boot with, and nothing for them to do yet.
fn bare(built: Built, sources: &Sources, rig: &Rig, session: &Session) -> anyhow::Result<Ground> {
    let Built {
        stack,
        profile,
        kernel,
        modules,
    } = built;
    let mut stacks = sources.stacks.iter();
    let from = stacks
        .find(|one| one.name == stack)
        .with_context(|| format!("no stack `{stack}` to run on"))?;
    Ok(Ground {
        guest: find_needs(&profile, session)?,
        contains: from.contains.clone(),
        partly: from.partly.clone(),
        initramfs: pack(&kernel, rig, session)?,
        stack,
        profile,
        kernel,
        modules,
        jobs: BTreeMap::new(),
        in_tree: BTreeMap::new(),
    })
}

/// Makes the archive that all guests of a kernel boot with. It carries the next
/// kernel too, whether or not there will be a kexec, so that all are alike.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn pack(kernel: &Kernel, rig: &Rig, session: &Session) -> anyhow::Result<Utf8PathBuf> {
    let bytes = archive(kernel, rig)?;
    let name = format!("{}.cpio", hex(&Sha256::digest(&bytes)));
    let path = session.cache.dir(&["initramfs"])?.join(&name);
    if fs::read(&path).ok().as_ref() != Some(&bytes) {
        publish(&path, &bytes)?;
    }
    Ok(path)
}

fn archive(kernel: &Kernel, rig: &Rig) -> anyhow::Result<Vec<u8>> {
    let mut archive = Initramfs::for_guest(&rig.guest)?;
    archive.add_next_kernel(&kernel.image())?;
    Ok(archive.to_bytes()?)
}

/// Returns what a mutant's cells run on: what those of its series do, on another kernel.
/// A kexec to the series goes to the mutant again, which stands for it.
///
/// # Errors
/// When what its guests boot with cannot be written beside the kernel.
pub(super) fn mutated(
    series: &Ground,
    stack: String,
    kernel: Kernel,
    modules: Option<&Utf8Path>,
    rig: &Rig,
) -> anyhow::Result<Ground> {
    let initramfs = kernel.dir.join("initramfs.cpio");
    fs::write(&initramfs, archive(&kernel, rig)?)?;
    let mut jobs = series.jobs.clone();
    for stage in jobs.values_mut().flat_map(|job| &mut job.stages) {
        job::load_modules(stage, modules);
        let next = stage.kernel.as_mut();
        if let Some(next) = next.filter(|next| next.image == series.kernel.image()) {
            next.image = kernel.image();
            next.initramfs.clone_from(&initramfs);
        }
    }
    Ok(Ground {
        stack,
        kernel,
        initramfs,
        jobs,
        in_tree: BTreeMap::new(),
        ..short_lived(series)
    })
}

/// Returns a kernel that panics when it breaks. A task that dies of an oops takes its locks
/// along, and whoever waits for them waits until the time is up; of a mutant, nobody wants
/// to know more by then.
pub(super) fn short_lived(ground: &Ground) -> Ground {
    let mut ground = ground.clone();
    ground.guest.kernel_arguments += " oops=panic kasan.fault=panic";
    ground
}
