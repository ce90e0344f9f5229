// SPDX-License-Identifier: GPL-2.0-only
//! From a machine's file as it is written to a machine, or to the first mistake.

use camino::Utf8Path;
use patchbed_host::input::{InputError, Place, closest};
use patchbed_host::yaml::At;

use super::raw::DeviceKind;
use super::{Device, Machine, SLOTS_MAX, Slot, VIRTUAL_FUNCTIONS_MAX, raw};

const CPUS_MAX: u32 = 64;
const MEMORY_MIB_MIN: u32 = 128;
const MEMORY_MIB_MAX: u32 = 64 * 1024;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 32;

/// Longest addition to the kernel's command line, in characters.
const ARGUMENTS_CHARS_MAX: usize = 512;

/// What ports are called, before the name of their slot.
pub(super) const PORT_PREFIX: &str = "port-";

/// Returns the machine, or the first mistake.
pub(super) fn machine(
    raw: raw::Machine,
    path: &Utf8Path,
    text: &str,
) -> Result<Machine, InputError> {
    let file = File { path, text };
    file.range("cpus", &raw.cpus, 1, CPUS_MAX)?;
    file.range(
        "memory_mib",
        &raw.memory_mib,
        MEMORY_MIB_MIN,
        MEMORY_MIB_MAX,
    )?;
    if let Some(words) = &raw.kernel_arguments {
        file.kernel_arguments(words)?;
    }
    file.count(&raw.slots)?;
    file.names(&raw)?;
    let switches: Vec<&str> = raw.switches.iter().map(|one| &*one.name.value).collect();
    for slot in &raw.slots {
        file.switch(slot, &switches)?;
    }
    file.used(&raw)?;
    let slots = raw.slots.iter().map(|slot| file.slot(slot));
    Ok(Machine {
        name: path.file_stem().unwrap_or_default().to_owned(),
        slots: slots.collect::<Result<_, _>>()?,
        switches: switches.into_iter().map(str::to_owned).collect(),
        description: raw.description,
        kind: raw.kind,
        cpus: raw.cpus.value,
        memory_mib: raw.memory_mib.value,
        kernel_arguments: raw.kernel_arguments.map_or_else(String::new, |at| at.value),
        iommu: raw.iommu,
    })
}

/// The file that mistakes are in.
struct File<'a> {
    path: &'a Utf8Path,
    text: &'a str,
}

impl File<'_> {
    fn wrong<T>(
        &self,
        place: Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Result<T, InputError> {
        let file = self.path.as_str();
        Err(InputError::new(file, self.text, place, message, hint))
    }

    fn range(&self, name: &str, value: &At<u32>, min: u32, max: u32) -> Result<(), InputError> {
        if (min..=max).contains(&value.value) {
            return Ok(());
        }
        let message = format!("`{name}` is {}", value.value);
        let hint = format!("it must be from {min} to {max}");
        self.wrong(value.place, message, Some(hint))
    }

    /// They are one line of words, and patchbed's own are not theirs to give.
    fn kernel_arguments(&self, words: &At<String>) -> Result<(), InputError> {
        let plain = |c: char| c.is_ascii_graphic() || c == ' ';
        if !words.value.chars().all(plain) || words.value.len() > ARGUMENTS_CHARS_MAX {
            let hint = format!(
                "write printable ASCII on one line, at most {ARGUMENTS_CHARS_MAX} characters"
            );
            return self.wrong(
                words.place,
                "these words are none for a kernel's command line",
                Some(hint),
            );
        }
        Ok(())
    }

    fn count(&self, slots: &[raw::Slot]) -> Result<(), InputError> {
        let Some(one) = slots.get(SLOTS_MAX) else {
            return Ok(());
        };
        let message = format!("slot `{}` is one too many", one.name.value);
        let hint = format!("a machine may have {SLOTS_MAX}");
        self.wrong(one.name.place, message, Some(hint))
    }

    /// Slots, their ports and switches are devices to QEMU, with ids of one space.
    fn names(&self, raw: &raw::Machine) -> Result<(), InputError> {
        let switches = raw.switches.iter().map(|switch| &switch.name);
        let all: Vec<&At<String>> = switches
            .chain(raw.slots.iter().map(|slot| &slot.name))
            .collect();
        for (index, name) in all.iter().enumerate() {
            self.name(name)?;
            if all[..index].iter().any(|other| other.value == name.value) {
                let message = format!("two slots or switches have the name `{}`", name.value);
                return self.wrong(name.place, message, None);
            }
        }
        Ok(())
    }

    fn name(&self, name: &At<String>) -> Result<(), InputError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let value = &name.value;
        if !value.starts_with(|first: char| first.is_ascii_lowercase())
            || !value.chars().all(plain)
            || value.len() > NAME_CHARS_MAX
        {
            let hint = format!(
                "use small letters, digits and `-`, first a letter, at most {NAME_CHARS_MAX}"
            );
            return self.wrong(name.place, format!("`{value}` is no name"), Some(hint));
        }
        if value.starts_with(PORT_PREFIX) {
            let message = format!("`{value}` could be the name of a port");
            let hint = format!("only the ports of slots begin with `{PORT_PREFIX}`");
            return self.wrong(name.place, message, Some(hint));
        }
        Ok(())
    }

    fn switch(&self, slot: &raw::Slot, known: &[&str]) -> Result<(), InputError> {
        let Some(name) = &slot.switch else {
            return Ok(());
        };
        if known.contains(&name.value.as_str()) {
            return Ok(());
        }
        let hint = match closest(&name.value, known.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None if known.is_empty() => "name it below `switches:` first".to_owned(),
            None => format!("switches are: {}", known.join(", ")),
        };
        self.wrong(
            name.place,
            format!("there is no switch `{}`", name.value),
            Some(hint),
        )
    }

    /// A switch with nothing behind it is most likely a slot gone astray.
    fn used(&self, raw: &raw::Machine) -> Result<(), InputError> {
        let is_on = |slot: &raw::Slot, name: &str| {
            let switch = slot.switch.as_ref();
            switch.is_some_and(|switch| switch.value == name)
        };
        for switch in &raw.switches {
            let name = &switch.name.value;
            if !raw.slots.iter().any(|slot| is_on(slot, name)) {
                let message = format!("no slot is on switch `{name}`");
                let hint = format!("say `switch: {name}` in a slot, or leave it out");
                return self.wrong(switch.name.place, message, Some(hint));
            }
        }
        Ok(())
    }

    fn slot(&self, slot: &raw::Slot) -> Result<Slot, InputError> {
        let device = match (slot.device, &slot.virtual_functions) {
            (Some(DeviceKind::Nvme), virtual_functions) => {
                let number = virtual_functions.as_ref();
                if let Some(number) = number {
                    self.range("virtual_functions", number, 1, VIRTUAL_FUNCTIONS_MAX)?;
                }
                Some(Device::Nvme {
                    virtual_functions: number.map_or(0, |number| number.value),
                })
            }
            (Some(DeviceKind::Edu) | None, Some(number)) => {
                let message = format!("slot `{}` can have no virtual functions", slot.name.value);
                let hint = "only `device: nvme` has some".to_owned();
                return self.wrong(number.place, message, Some(hint));
            }
            (Some(DeviceKind::Edu), None) => Some(Device::Edu),
            (None, None) => None,
        };
        Ok(Slot {
            name: slot.name.value.clone(),
            switch: slot.switch.as_ref().map(|name| name.value.clone()),
            device,
        })
    }
}
