// SPDX-License-Identifier: MIT OR Apache-2.0
//! The test environment: QEMU, machines, PID 1 and accelerator.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::events::Event;
use selftests::catalogue::Manifest;
use vm_images::accel::Accelerator;
use vm_images::arch::Arch;
use vm_images::checkpoints::Checkpoints;
use vm_images::guest;
use vm_images::machine::Machine;
use vm_images::machine_file::MachineError;
use vm_images::needs::{GuestNeeds, NeedsError};
use vm_images::probe::{self, Choice};
use vm_images::qemu::Qemu;
use vm_images::spec::Deadlines;
use vm_images::vm::VmSpec;

use crate::engine::builtin;
use crate::engine::session::Session;
use crate::exit::bad_input;

/// The parts that all VMs of a run share.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(crate) qemu: Qemu,
    /// The machines in use, by name.
    machines: BTreeMap<String, Machine>,
    /// Path of the static PID 1 on the host.
    pub guest: Utf8PathBuf,
    /// Set by [`Environment::choose_accelerator`].
    accelerator: OnceLock<Accelerator>,
    pub(crate) checkpoints: Checkpoints,
    /// Whether the memory of hung guests is dumped to a file.
    pub keep_dumps: bool,
}

impl Environment {
    /// Finds QEMU, reads the machines, and builds or unpacks PID 1.
    ///
    /// # Errors
    /// When QEMU or a machine is missing or invalid, or PID 1 cannot be built.
    pub fn set_up<'a>(
        machines: impl IntoIterator<Item = &'a str>,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let named = |name: &'a str| Ok((name.to_owned(), find_machine(name, session)?));
        Ok(Self {
            machines: machines
                .into_iter()
                .map(named)
                .collect::<anyhow::Result<_>>()?,
            qemu: Qemu::find(Arch::default(), &session.cancel)?,
            guest: match session.layout.own_checkout() {
                Some(root) => guest::build(root, &session.context())?,
                None => builtin::guest(&session.cache)?,
            },
            accelerator: OnceLock::new(),
            checkpoints: Checkpoints::at(&session.cache.dir(&["checkpoints"])?)?,
            keep_dumps: false,
        })
    }

    /// Returns a machine by name.
    ///
    /// # Errors
    /// When the environment was set up without this machine.
    pub fn machine(&self, name: &str) -> anyhow::Result<&Machine> {
        let machine = self.machines.get(name);
        machine.with_context(|| format!("machine `{name}` was not set up"))
    }

    /// Returns the selected accelerator; TCG until one is selected.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator.get().copied().unwrap_or(Accelerator::Tcg)
    }

    /// Selects the faster accelerator that boots `kernel` on a machine, at the first call. A note
    /// gives the reason if KVM is not used.
    ///
    /// # Errors
    /// When the environment was set up without this machine.
    pub fn choose_accelerator(
        &self,
        machine: &str,
        kernel: &Utf8Path,
        initramfs: &Utf8Path,
        needs: &GuestNeeds,
        session: &Session,
    ) -> anyhow::Result<()> {
        if self.accelerator.get().is_some() {
            return Ok(());
        }
        let machine = self.machine(machine)?;
        let spec = self.spec("", machine, kernel, initramfs, needs, Utf8Path::new(""));
        let Choice {
            accelerator,
            reason,
        } = probe::choose(&spec, needs.slowness, &session.context())?;
        if let Some(text) = reason {
            session.observer.event(Event::Note { text });
        }
        let _ = self.accelerator.set(accelerator);
        Ok(())
    }

    /// Returns the memory of a guest with these needs on the largest machine, in MiB.
    pub fn memory_mib(&self, needs: &GuestNeeds) -> u32 {
        let machines = self.machines.values();
        let largest = machines.map(|machine| memory_mib(machine, needs)).max();
        largest.unwrap_or(needs.memory_mib)
    }

    /// Returns the spec of a VM that boots `kernel` on a machine; `name` appears in messages.
    pub fn spec(
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
            accelerator: self.accelerator(),
            memory_mib: Some(memory_mib(machine, needs)),
            cmdline: needs.kernel_arguments.clone(),
            checkpoint: None,
            artifacts: artifacts.to_owned(),
            deadlines: Deadlines::new(self.accelerator(), needs.slowness),
            keep_dump: self.keep_dumps,
        }
    }
}

fn memory_mib(machine: &Machine, needs: &GuestNeeds) -> u32 {
    needs.memory_mib.max(machine.memory_mib)
}

/// Reads the memory, kernel arguments and slowness of a config, and adds the kernel arguments
/// of the catalogue.
///
/// # Errors
/// When the file of the config is unreadable or invalid.
pub fn find_needs(
    config: &str,
    manifest: &Manifest,
    session: &Session,
) -> anyhow::Result<GuestNeeds> {
    let path = session.layout.configs().join(format!("{config}.yaml"));
    let needs = GuestNeeds::load(&path).map_err(|error| match error {
        NeedsError::Input(error) => error.into(),
        NeedsError::Read(error) => unreadable(&path, &error),
    })?;
    let words = [manifest.kernel_arguments(), &needs.kernel_arguments];
    let words = words.iter().flat_map(|words| words.split_whitespace());
    Ok(GuestNeeds {
        kernel_arguments: words.collect::<Vec<_>>().join(" "),
        ..needs
    })
}

/// Reads a machine by name.
///
/// # Errors
/// When the machine does not exist, or its file is unreadable or invalid.
pub fn find_machine(name: &str, session: &Session) -> anyhow::Result<Machine> {
    let folder = session.layout.machines();
    let mut known: Vec<String> = folder
        .read_dir_utf8()?
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().strip_suffix(".yaml").map(str::to_owned))
        .collect();
    known.sort();
    if !known.iter().any(|one| one == name) {
        return Err(bad_input(
            format!("unknown machine `{name}`"),
            format!("known machines: {}", known.join(", ")),
        ));
    }
    let path = folder.join(format!("{name}.yaml"));
    Machine::load(&path).map_err(|error| match error {
        MachineError::Input(error) => error.into(),
        MachineError::Read(error) => unreadable(&path, &error),
    })
}

fn unreadable(path: &Utf8Path, error: &std::io::Error) -> anyhow::Error {
    bad_input(
        format!("cannot read `{path}`: {error}"),
        "check its type and permissions",
    )
}
