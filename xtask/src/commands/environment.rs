// SPDX-License-Identifier: GPL-2.0-only
//! The environment that guests run on: QEMU, machines, PID 1 and accelerator.

use std::collections::BTreeMap;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::events::{Event, Observer};
use vm_images::accel::Accelerator;
use vm_images::checkpoint::Checkpoints;
use vm_images::deadlines::Deadlines;
use vm_images::guest;
use vm_images::machine::{Machine, MachineError};
use vm_images::needs::{GuestNeeds, NeedsError};
use vm_images::probe::{Choice, Probe};
use vm_images::qemu::Qemu;
use vm_images::vm::VmSpec;

use crate::builtin;
use crate::exit::bad_input;
use crate::session::Session;

/// What every guest of a run has in common.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) qemu: Qemu,
    /// By name, those that are used.
    machines: BTreeMap<String, Machine>,
    /// The static PID 1, on the host.
    pub(crate) guest: Utf8PathBuf,
    /// What runs the guests' instructions; KVM has to prove itself first.
    pub(crate) accelerator: Accelerator,
    pub(crate) checkpoints: Checkpoints,
    /// Whether the memory of guests that hang is cached.
    pub(crate) keep_dumps: bool,
    accelerators: Utf8PathBuf,
}

impl Environment {
    /// Finds QEMU, reads the machines, and builds or unpacks PID 1.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub(crate) fn set_up<'a>(
        machines: impl IntoIterator<Item = &'a str>,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let named = |name: &'a str| Ok((name.to_owned(), find_machine(name, session)?));
        Ok(Self {
            machines: machines
                .into_iter()
                .map(named)
                .collect::<anyhow::Result<_>>()?,
            qemu: Qemu::find(&session.cancel)?,
            guest: match session.layout.own_checkout() {
                Some(root) => guest::build(root, &session.cancel, &session.progress)?,
                None => builtin::guest(&session.cache)?,
            },
            accelerator: Accelerator::Tcg,
            checkpoints: Checkpoints::at(&session.cache.dir(&["checkpoints"])?)?,
            accelerators: session.cache.dir(&["accelerators"])?,
            keep_dumps: false,
        })
    }

    /// Returns a machine by name.
    ///
    /// # Errors
    /// When it is none of those that the environment was set up with.
    pub(crate) fn machine(&self, name: &str) -> anyhow::Result<&Machine> {
        let machine = self.machines.get(name);
        machine.with_context(|| format!("the machine `{name}` was not set up"))
    }

    /// From now on uses the first accelerator that boots `kernel` on a machine, and
    /// says why if that is not the fastest.
    ///
    /// # Errors
    /// When the environment has no machine of that name.
    pub(crate) fn choose_accelerator(
        &mut self,
        machine: &str,
        kernel: &Utf8Path,
        initramfs: &Utf8Path,
        needs: &GuestNeeds,
        session: &Session,
    ) -> anyhow::Result<()> {
        let machine = self.machine(machine)?;
        let probe = Probe {
            memory_mib: memory_mib(machine, needs),
            cmdline: &needs.kernel_arguments,
            slowness: needs.slowness,
            qemu: &self.qemu,
            machine,
            kernel,
            initramfs,
            cache: &self.accelerators,
        };
        let Choice {
            accelerator,
            reason,
        } = probe.choose(&session.cancel, &session.progress);
        if let Some(text) = reason {
            session.progress.event(Event::Note { text });
        }
        self.accelerator = accelerator;
        Ok(())
    }

    /// Returns the memory of the largest machine for a guest with these needs, in MiB.
    pub(crate) fn memory_mib(&self, needs: &GuestNeeds) -> u32 {
        let machines = self.machines.values();
        let largest = machines.map(|machine| memory_mib(machine, needs)).max();
        largest.unwrap_or(needs.memory_mib)
    }

    /// Returns the VM that runs `kernel` for `name` on a machine.
    pub(crate) fn spec(
        &self,
        name: &str,
        machine: &Machine,
        kernel: &Utf8Path,
        initramfs: &Utf8Path,
        needs: &GuestNeeds,
        artifacts: &Utf8Path,
    ) -> VmSpec {
        VmSpec {
            name: name.to_owned(),
            qemu: self.qemu.clone(),
            kernel: kernel.to_owned(),
            initramfs: initramfs.to_owned(),
            machine: machine.clone(),
            accelerator: self.accelerator,
            memory_mib: Some(memory_mib(machine, needs)),
            cmdline: needs.kernel_arguments.clone(),
            checkpoint: None,
            artifacts: artifacts.to_owned(),
            deadlines: Deadlines::new(self.accelerator, needs.slowness),
            keep_dump: self.keep_dumps,
        }
    }
}

fn memory_mib(machine: &Machine, needs: &GuestNeeds) -> u32 {
    needs.memory_mib.max(machine.memory_mib)
}

/// Reads what the guests of a config need.
///
/// # Errors
/// When the config's file holds a mistake.
pub(crate) fn find_needs(config: &str, session: &Session) -> anyhow::Result<GuestNeeds> {
    let path = session.layout.configs().join(format!("{config}.yaml"));
    GuestNeeds::load(&path).map_err(|error| match error {
        NeedsError::Input(mistake) => mistake.into(),
        NeedsError::Read(error) => bad_input(error.to_string(), "fix the file"),
    })
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
    Machine::load(&folder.join(format!("{name}.yaml"))).map_err(|error| match error {
        MachineError::Input(mistake) => mistake.into(),
        MachineError::Read(error) => bad_input(error.to_string(), "fix the file"),
    })
}
