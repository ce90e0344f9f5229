// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks a machine file and converts it to a [`Machine`].

use camino::Utf8Path;
use patchbed_host::input::{InputError, Place, closest};
use patchbed_host::yaml::At;

use super::raw::DeviceKind;
use super::{Device, Machine, SLOTS_MAX, Slot, VIRTUAL_FUNCTIONS_MAX, raw};

const CPUS_MAX: u32 = 64;
const MEMORY_MIB_MIN: u32 = 128;
const MEMORY_MIB_MAX: u32 = 64 * 1024;

/// Maximum length of a name, in characters.
const NAME_CHARS_MAX: usize = 32;

/// Maximum length of the kernel arguments, in characters.
const ARGUMENTS_CHARS_MAX: usize = 512;

/// Prefix of a port's name, before the name of its slot.
pub(super) const PORT_PREFIX: &str = "port-";

/// Returns the machine, or the first error.
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
    let switches: Vec<&str> = raw
        .switches
        .iter()
        .map(|switch| &*switch.name.value)
        .collect();
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

/// The file, for the position of errors.
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
        let hint = format!("the valid range is {min} to {max}");
        self.wrong(value.place, message, Some(hint))
    }

    /// Checks for one line of printable ASCII, because the arguments are passed to QEMU and
    /// kexec.
    fn kernel_arguments(&self, words: &At<String>) -> Result<(), InputError> {
        let plain = |c: char| c.is_ascii_graphic() || c == ' ';
        if !words.value.chars().all(plain) || words.value.len() > ARGUMENTS_CHARS_MAX {
            let hint = format!(
                "write printable ASCII on one line, at most {ARGUMENTS_CHARS_MAX} characters"
            );
            return self.wrong(
                words.place,
                "invalid characters or too many characters in the kernel arguments",
                Some(hint),
            );
        }
        Ok(())
    }

    fn count(&self, slots: &[raw::Slot]) -> Result<(), InputError> {
        let Some(extra) = slots.get(SLOTS_MAX) else {
            return Ok(());
        };
        let message = format!(
            "too many slots: `{}` is slot {}",
            extra.name.value,
            SLOTS_MAX + 1
        );
        let hint = format!("a machine has at most {SLOTS_MAX} slots");
        self.wrong(extra.name.place, message, Some(hint))
    }

    /// Checks the names of slots and switches, which share a namespace as ids of QEMU's
    /// devices.
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
                "use lowercase letters, digits and `-`, start with a letter, at most {NAME_CHARS_MAX} characters"
            );
            return self.wrong(name.place, format!("invalid name `{value}`"), Some(hint));
        }
        if value.starts_with(PORT_PREFIX) {
            let message = format!("invalid name `{value}`: reserved for ports");
            let hint = format!("names must not start with `{PORT_PREFIX}`");
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
            None if known.is_empty() => "add the switch to `switches:`".to_owned(),
            None => format!("valid names: {}", known.join(", ")),
        };
        self.wrong(
            name.place,
            format!("unknown switch `{}`", name.value),
            Some(hint),
        )
    }

    /// Rejects a switch without slots, which is probably a mistake.
    fn used(&self, raw: &raw::Machine) -> Result<(), InputError> {
        let is_on = |slot: &raw::Slot, name: &str| {
            let switch = slot.switch.as_ref();
            switch.is_some_and(|switch| switch.value == name)
        };
        for switch in &raw.switches {
            let name = &switch.name.value;
            if !raw.slots.iter().any(|slot| is_on(slot, name)) {
                let message = format!("switch `{name}` has no slot");
                let hint = format!("add `switch: {name}` to a slot, or remove the switch");
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
                let message = format!("slot `{}` cannot have virtual functions", slot.name.value);
                let hint = "`virtual_functions` requires `device: nvme`".to_owned();
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
