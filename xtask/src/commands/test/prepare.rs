// SPDX-License-Identifier: GPL-2.0-only
//! Makes ready what cells run: kernels with their initramfs, and jobs for guests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Kernel;
use selftests::generate::{self, Compile};
use selftests::scenario::{Family, Scenario};
use sha2::{Digest, Sha256};
use testbed_host::cache::publish;
use testbed_host::events::Activity;
use vm_images::initramfs::Initramfs;
use vm_images::machine::Machine;
use vm_images::needs::GuestNeeds;
use vm_images::vm::{GuestFile, Job, StageJob};

use super::Inquiry;
use super::kselftest::InTree;
use crate::commands::build::Built;
use crate::commands::rig::{Rig, find_needs};
use crate::commands::sources::Sources;
use crate::session::Session;

/// Changes when programs are compiled in another way.
const PROGRAM_FORMAT: &[u8] = b"2";

/// The one module that tests load.
const HOLD_POINT: &str = "hold_point.ko";

/// A kernel to run cells on, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) stack: String,
    pub(crate) profile: String,
    pub(crate) kernel: Kernel,
    pub(crate) guest: GuestNeeds,
    /// Names of the series in it.
    pub(crate) contains: BTreeSet<String>,
    /// What all its guests boot with.
    pub(crate) initramfs: Utf8PathBuf,
    /// By scenario or `TARGET:TEST`, what its guest is to do.
    pub(crate) jobs: BTreeMap<String, Job>,
    /// By `TARGET:TEST`, the tree's own tests.
    pub(crate) in_tree: BTreeMap<String, InTree>,
}

/// Compiles the scenarios' programs for every kernel.
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
    let scenarios = &inquiry.scenarios;
    let is_wanted = |family: &&Family| scenarios.iter().any(|one| one.family == family.name);
    let families: Vec<&Family> = inquiry.families.iter().filter(is_wanted).collect();
    let total = (built.len() * families.len()) as u64;
    let activity = Activity::start(&session.progress, "making selftests ready", Some(total));
    let mut grounds = Vec::new();
    let mut done = 0;
    for Built {
        stack,
        profile,
        kernel,
        modules,
    } in built
    {
        let mut jobs = BTreeMap::new();
        for family in &families {
            activity.advance(done, &family.name);
            done += 1;
            let program = program(family, &kernel, session)?;
            for scenario in scenarios.iter().filter(|one| one.family == family.name) {
                let machine = inquiry.plan.machine.as_ref().unwrap_or(&scenario.machine);
                let machine = rig.machine(machine)?;
                let job = job(scenario, &program, modules.as_deref(), machine);
                jobs.insert(scenario.name.clone(), job);
            }
        }
        let from = sources
            .stacks
            .iter()
            .find(|one| one.name == stack)
            .with_context(|| format!("no stack `{stack}` to run on"))?;
        grounds.push(Ground {
            guest: find_needs(&profile, session)?,
            contains: from.contains.clone(),
            initramfs: pack(&kernel, rig, session)?,
            stack,
            profile,
            kernel,
            jobs,
            in_tree: BTreeMap::new(),
        });
    }
    Ok(grounds)
}

/// Returns the binary of a family's program for a kernel, kept in the cache by
/// content. One that is no whole ELF file was damaged, and is made anew.
fn program(family: &Family, kernel: &Kernel, session: &Session) -> anyhow::Result<Utf8PathBuf> {
    let files = generate::files(std::slice::from_ref(family));
    let mut id = Sha256::new();
    let mut part = |bytes: &[u8]| {
        id.update((bytes.len() as u64).to_le_bytes());
        id.update(bytes);
    };
    part(PROGRAM_FORMAT);
    part(kernel.id.as_bytes());
    for (name, text) in files {
        part(name.as_bytes());
        part(text.as_bytes());
    }
    let kept = session.cache.dir(&["programs", &hex(&id.finalize())])?;
    let name = family.first().identifier();
    let target = kept.join(&name);
    let binary = fs::read(&target).unwrap_or_default();
    let sum = kept.join(format!("{name}.sha256"));
    if !binary.is_empty() && fs::read_to_string(&sum).ok() == Some(hex(&Sha256::digest(&binary))) {
        return Ok(target);
    }
    let binary = compile(family, kernel, &kept, session)?;
    publish(&target, &binary)?;
    publish(&sum, hex(&Sha256::digest(&binary)).as_bytes())?;
    Ok(target)
}

/// Compiles a family's program in a folder of this run alone.
fn compile(
    family: &Family,
    kernel: &Kernel,
    place: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Vec<u8>> {
    let sources = tempfile::Builder::new()
        .prefix(".sources-")
        .tempdir_in(place)?;
    let folder = Utf8Path::from_path(sources.path()).context("the cache's path is not UTF-8")?;
    generate::write(std::slice::from_ref(family), folder)?;
    let name = family.first().identifier();
    let output = folder.join(format!("{name}.out"));
    let compile = Compile {
        program: &name,
        folder,
        kselftest: &kernel.selftests(),
        headers: &kernel.headers(),
        output: &output,
    };
    generate::compile(&compile, &session.cancel)?;
    Ok(fs::read(&output)?)
}

/// Returns what a scenario has a guest do. Each kernel gets the program anew: a
/// kexec leaves nothing of the first one's files.
fn job(
    scenario: &Scenario,
    program: &Utf8Path,
    modules: Option<&Utf8Path>,
    machine: &Machine,
) -> Job {
    let in_guest = format!("/tests/{}", scenario.identifier());
    let mut slots: Vec<_> = scenario
        .devices
        .iter()
        .map(|one| (one.index, &one.slot))
        .collect();
    slots.sort_unstable();
    slots.dedup();
    let addresses: Vec<String> = slots
        .iter()
        .filter_map(|(_, slot)| machine.pci_address(slot))
        .collect();
    let mut files = vec![GuestFile {
        source: program.to_owned(),
        path: in_guest.clone(),
        mode: 0o755,
    }];
    let modules = modules.filter(|_| generate::needs_modules(scenario));
    files.extend(modules.map(|modules| GuestFile {
        source: modules.join(HOLD_POINT),
        path: format!("/tests/{}/{HOLD_POINT}", generate::MODULES),
        mode: 0o644,
    }));
    let stages = scenario.stages.iter().map(|stage| StageJob {
        kernel: None,
        files: files.clone(),
        program: in_guest.clone(),
        args: generate::arguments(scenario, stage.number),
        env: generate::environment(scenario, stage.number, &addresses),
        dir: "/".to_owned(),
        timeout: Duration::from_secs(scenario.timeout_secs),
    });
    Job {
        stages: stages.collect(),
    }
}

/// Makes the archive that all guests of a kernel boot with. It carries the next
/// kernel too, whether or not there will be a kexec, so that all are alike.
fn pack(kernel: &Kernel, rig: &Rig, session: &Session) -> anyhow::Result<Utf8PathBuf> {
    let mut archive = Initramfs::for_guest(&rig.guest)?;
    archive.add_next_kernel(&kernel.image())?;
    let bytes = archive.to_bytes()?;
    let name = format!("{}.cpio", hex(&Sha256::digest(&bytes)));
    let path = session.cache.dir(&["initramfs"])?.join(&name);
    if fs::read(&path).ok().as_ref() != Some(&bytes) {
        publish(&path, &bytes)?;
    }
    Ok(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
