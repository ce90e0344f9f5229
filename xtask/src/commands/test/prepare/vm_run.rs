// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario has a guest do, boot by boot.

use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use selftests::generate;
use selftests::scenario::Scenario;
use vm_images::machine::Machine;
use vm_images::vm::{BootRun, GuestFile, NextKernel, VmRun};
use vm_images::{KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH};

use super::Build;

/// The one module that tests load.
const SYNC_POINT: &str = "sync_point.ko";

/// What a scenario_file's parallel on a kernel are made of.
#[derive(Debug)]
pub(super) struct Order<'a> {
    /// The program, on the host.
    pub(super) program: Utf8PathBuf,
    /// The folder of the kernel's modules, if any were built.
    pub(super) modules: Option<Utf8PathBuf>,
    /// The kernel.
    pub(super) build: &'a Build,
    /// All kernels, for a kexec may go to another checkout's.
    pub(super) builds: &'a [Build],
}

/// Returns what a scenario has a guest do. Each kernel gets the program anew: a
/// kexec leaves nothing of the first one's files.
///
/// # Errors
/// When a kexec goes to a checkout that has no kernel.
pub(super) fn of(
    scenario: &Scenario,
    machine: &Machine,
    order: &Order<'_>,
) -> anyhow::Result<VmRun> {
    let in_guest = format!("/tests/{}", scenario.identifier());
    let addresses = addresses(scenario, machine);
    let files = files(scenario, &in_guest, order);
    let mut boots = Vec::new();
    let mut running = order.build.checkout.as_str();
    for boot in &scenario.boots {
        let next = boot.kernel.checkout().unwrap_or(running);
        let kernel = (next != running)
            .then(|| landing(next, order))
            .transpose()?;
        running = next;
        let mut env = generate::environment(scenario, boot.number, &addresses);
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
        boots.push(BootRun {
            kernel,
            files: files.clone(),
            program: in_guest.clone(),
            args: generate::arguments(scenario, boot.number),
            env,
            dir: "/".to_owned(),
            timeout: Duration::from_secs(scenario.timeout_secs),
        });
    }
    Ok(VmRun { boots })
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
        source: modules.join(SYNC_POINT),
        path: format!("/tests/{}/{SYNC_POINT}", generate::MODULES),
        mode: 0o644,
    }));
    files
}

/// Has a boot load modules from another folder.
pub(super) fn load_modules(boot: &mut BootRun, folder: Option<&Utf8Path>) {
    let module = format!("/{SYNC_POINT}");
    for file in &mut boot.files {
        if let Some(folder) = folder.filter(|_| file.path.ends_with(&module)) {
            file.source = folder.join(SYNC_POINT);
        }
    }
}

/// Another checkout's kernel of the same config.
fn landing(checkout: &str, order: &Order<'_>) -> anyhow::Result<NextKernel> {
    let is_it = |one: &&Build| one.checkout == checkout && one.config == order.build.config;
    let build = order.builds.iter().find(is_it);
    let build =
        build.with_context(|| format!("no kernel of the checkout `{checkout}` to go to"))?;
    Ok(NextKernel {
        image: build.kernel.image(),
        initramfs: build.initramfs.clone(),
    })
}
