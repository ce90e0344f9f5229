// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario has a guest do, stage by stage.

use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use selftests::generate;
use selftests::scenario::Scenario;
use vm_images::machine::Machine;
use vm_images::vm::{GuestFile, Job, NextKernel, StageJob};
use vm_images::{KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH};

use super::Ground;

/// The one module that tests load.
const HOLD_POINT: &str = "hold_point.ko";

/// What a family's parallel on a kernel are made of.
#[derive(Debug)]
pub(super) struct Order<'a> {
    /// The program, on the host.
    pub(super) program: Utf8PathBuf,
    /// The folder of the kernel's modules, if any were built.
    pub(super) modules: Option<Utf8PathBuf>,
    /// The kernel.
    pub(super) ground: &'a Ground,
    /// All kernels, for a kexec may go to another stack's.
    pub(super) grounds: &'a [Ground],
}

/// Returns what a scenario has a guest do. Each kernel gets the program anew: a
/// kexec leaves nothing of the first one's files.
///
/// # Errors
/// When a kexec goes to a stack that has no kernel.
pub(super) fn of(scenario: &Scenario, machine: &Machine, order: &Order<'_>) -> anyhow::Result<Job> {
    let in_guest = format!("/tests/{}", scenario.identifier());
    let addresses = addresses(scenario, machine);
    let files = files(scenario, &in_guest, order);
    let mut stages = Vec::new();
    let mut running = order.ground.stack.as_str();
    for stage in &scenario.stages {
        let next = stage.kernel.stack().unwrap_or(running);
        let kernel = (next != running)
            .then(|| landing(next, order))
            .transpose()?;
        running = next;
        let mut env = generate::environment(scenario, stage.number, &addresses);
        env.extend([
            (
                "LIVEUPDATE_TEST_KERNEL".to_owned(),
                KEXEC_KERNEL_PATH.to_owned(),
            ),
            (
                "LIVEUPDATE_TEST_INITRD".to_owned(),
                KEXEC_INITRD_PATH.to_owned(),
            ),
        ]);
        stages.push(StageJob {
            kernel,
            files: files.clone(),
            program: in_guest.clone(),
            args: generate::arguments(scenario, stage.number),
            env,
            dir: "/".to_owned(),
            timeout: Duration::from_secs(scenario.timeout_secs),
        });
    }
    Ok(Job { stages })
}

/// The addresses of the slots that a scenario uses, in the order of its list.
fn addresses(scenario: &Scenario, machine: &Machine) -> Vec<String> {
    let mut slots: Vec<(usize, &str)> = scenario
        .devices
        .iter()
        .map(|device| (device.index, device.slot.as_str()))
        .collect();
    slots.sort_unstable();
    slots.dedup();
    let slots = slots.into_iter();
    slots
        .filter_map(|(_, slot)| machine.pci_address(slot))
        .collect()
}

fn files(scenario: &Scenario, in_guest: &str, order: &Order<'_>) -> Vec<GuestFile> {
    let mut files = vec![GuestFile {
        source: order.program.clone(),
        path: in_guest.to_owned(),
        mode: 0o755,
    }];
    let modules = order
        .modules
        .iter()
        .filter(|_| generate::needs_modules(scenario));
    files.extend(modules.map(|modules| GuestFile {
        source: modules.join(HOLD_POINT),
        path: format!("/tests/{}/{HOLD_POINT}", generate::MODULES),
        mode: 0o644,
    }));
    files
}

/// Has a stage load modules from another folder.
pub(super) fn load_modules(stage: &mut StageJob, folder: Option<&Utf8Path>) {
    let module = format!("/{HOLD_POINT}");
    for file in &mut stage.files {
        if let Some(folder) = folder.filter(|_| file.path.ends_with(&module)) {
            file.source = folder.join(HOLD_POINT);
        }
    }
}

/// Another stack's kernel of the same profile.
fn landing(stack: &str, order: &Order<'_>) -> anyhow::Result<NextKernel> {
    let is_it = |one: &&Ground| one.stack == stack && one.profile == order.ground.profile;
    let ground = order.grounds.iter().find(is_it);
    let ground = ground.with_context(|| format!("no kernel of the stack `{stack}` to go to"))?;
    Ok(NextKernel {
        image: ground.kernel.image(),
        initramfs: ground.initramfs.clone(),
    })
}
