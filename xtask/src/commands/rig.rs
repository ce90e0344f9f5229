// SPDX-License-Identifier: GPL-2.0-only
//! The rig that guests run on: QEMU, machine, PID 1 and accelerator.

use camino::{Utf8Path, Utf8PathBuf};
use vm_images::accel::Accelerator;
use vm_images::deadlines::Deadlines;
use vm_images::guest;
use vm_images::machine::Machine;
use vm_images::needs::GuestNeeds;
use vm_images::probe::{Choice, Probe};
use vm_images::qemu::Qemu;
use vm_images::vm::VmSpec;

use crate::exit::bad_input;
use crate::session::Session;

/// What every guest of a run has in common.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) qemu: Qemu,
    pub(crate) machine: Machine,
    /// The static PID 1, on the host.
    pub(crate) guest: Utf8PathBuf,
    cache: Utf8PathBuf,
}

impl Rig {
    /// Finds QEMU, reads the machine and builds PID 1.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub(crate) fn set_up(machine: &str, session: &Session) -> anyhow::Result<Self> {
        Ok(Self {
            machine: find_machine(machine, session)?,
            qemu: Qemu::find(&session.cancel)?,
            guest: guest::build(session.layout.root(), &session.cancel, &session.progress)?,
            cache: session.cache.dir(&["accelerators"])?,
        })
    }

    /// Returns the first accelerator that boots `kernel`.
    pub(crate) fn choose_accelerator(
        &self,
        kernel: &Utf8Path,
        initramfs: &Utf8Path,
        needs: &GuestNeeds,
        session: &Session,
    ) -> Choice {
        let probe = Probe {
            memory_mib: self.memory_mib(needs),
            cmdline: &needs.kernel_arguments,
            slowness: needs.slowness,
            qemu: &self.qemu,
            machine: &self.machine,
            kernel,
            initramfs,
            cache: &self.cache,
        };
        probe.choose(&session.cancel, &session.progress)
    }

    /// Returns the memory of a guest with these needs, in MiB.
    pub(crate) fn memory_mib(&self, needs: &GuestNeeds) -> u32 {
        needs.memory_mib.max(self.machine.memory_mib)
    }

    /// Returns the VM that runs `kernel` for `name`.
    pub(crate) fn spec(
        &self,
        name: &str,
        kernel: &Utf8Path,
        initramfs: &Utf8Path,
        needs: &GuestNeeds,
        accelerator: Accelerator,
        artifacts: &Utf8Path,
    ) -> VmSpec {
        VmSpec {
            name: name.to_owned(),
            qemu: self.qemu.clone(),
            kernel: kernel.to_owned(),
            initramfs: initramfs.to_owned(),
            machine: self.machine.clone(),
            accelerator,
            memory_mib: Some(self.memory_mib(needs)),
            cmdline: needs.kernel_arguments.clone(),
            artifacts: artifacts.to_owned(),
            deadlines: Deadlines::new(accelerator, needs.slowness),
        }
    }
}

/// Reads what the guests of a profile need.
///
/// # Errors
/// When the profile's file holds a mistake.
pub(crate) fn find_needs(profile: &str, session: &Session) -> anyhow::Result<GuestNeeds> {
    let path = session.layout.profiles().join(format!("{profile}.yaml"));
    GuestNeeds::load(&path).map_err(|error| bad_input(error.to_string(), "mend the file"))
}

/// Reads a machine by name.
///
/// # Errors
/// When there is none of that name, or its file holds a mistake.
pub(crate) fn find_machine(name: &str, session: &Session) -> anyhow::Result<Machine> {
    let folder = session.layout.machines();
    let mut known: Vec<String> = folder
        .read_dir_utf8()?
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().strip_suffix(".yaml").map(str::to_owned))
        .collect();
    known.sort();
    if !known.iter().any(|one| one == name) {
        return Err(bad_input(
            format!("there is no machine `{name}`"),
            format!("machines are: {}", known.join(", ")),
        ));
    }
    Machine::load(&folder.join(format!("{name}.yaml")))
        .map_err(|error| bad_input(error.to_string(), "mend the file"))
}
