// SPDX-License-Identifier: MIT OR Apache-2.0
//! Returns the boots of a scenario with their files, arguments and environment.

use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use selftests::generate;
use selftests::scenario::Scenario;
use vm_images::machine::Machine;
use vm_images::vm::{BootRun, GuestFile, NextKernel, VmRun};
use vm_images::{KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH};

use super::Build;

/// The only module that scenarios load.
const SYNC_POINT: &str = "sync_point.ko";

/// The files for the scenarios of a scenario file on a kernel.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    /// The program, on the host.
    pub(super) program: Utf8PathBuf,
    /// The folder of the test modules, if any were built.
    pub(super) modules: Option<Utf8PathBuf>,
    pub(super) build: &'a Build,
    /// All builds; a scenario may kexec into another checkout.
    pub(super) builds: &'a [Build],
}

/// Returns the boots of a scenario. Each boot gets all files, because a kexec discards the
/// initramfs.
///
/// # Errors
/// When a scenario uses a checkout that was not built.
pub(super) fn of(
    scenario: &Scenario,
    machine: &Machine,
    inputs: &Inputs<'_>,
) -> anyhow::Result<VmRun> {
    let in_guest = format!("/tests/{}", scenario.identifier());
    let addresses = addresses(scenario, machine);
    let files = files(scenario, &in_guest, inputs);
    let mut boots = Vec::new();
    let mut running = inputs.build.checkout.as_str();
    for boot in &scenario.boots {
        let next = boot.kernel.checkout().unwrap_or(running);
        let kernel = (next != running)
            .then(|| next_kernel(next, inputs))
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

/// Returns the PCI addresses of the slots that a scenario uses, in the order of its list.
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

fn files(scenario: &Scenario, in_guest: &str, inputs: &Inputs<'_>) -> Vec<GuestFile> {
    let mut files = vec![GuestFile {
        source: inputs.program.clone(),
        path: in_guest.to_owned(),
        mode: 0o755,
    }];
    let modules = inputs
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

/// Replaces the test modules of a boot by the modules in another folder.
pub(super) fn replace_modules(boot: &mut BootRun, folder: Option<&Utf8Path>) {
    let module = format!("/{SYNC_POINT}");
    for file in &mut boot.files {
        if let Some(folder) = folder.filter(|_| file.path.ends_with(&module)) {
            file.source = folder.join(SYNC_POINT);
        }
    }
}

/// Returns the kernel of a checkout with the same config.
fn next_kernel(checkout: &str, inputs: &Inputs<'_>) -> anyhow::Result<NextKernel> {
    let matches =
        |build: &&Build| build.checkout == checkout && build.config == inputs.build.config;
    let build = inputs.builds.iter().find(matches);
    let build =
        build.with_context(|| format!("no kernel of the checkout `{checkout}` for a kexec"))?;
    Ok(NextKernel {
        image: build.kernel.image(),
        initramfs: build.initramfs.clone(),
    })
}
