// SPDX-License-Identifier: MIT OR Apache-2.0
//! Actions on devices and their registers.

use super::super::objects::Kind;
use super::super::{Checked, Checker};
use super::Verb;
use crate::scenario::raw::RawStep;
use crate::scenario::{Action, Device, DeviceState, Removal};
use crate::yaml::At;

/// The default driver of `bind_driver`.
const DRIVER: &str = "liveupdate-test";

/// Maximal number of bridges above a device.
const LEVELS_MAX: u64 = 4;

impl Checker<'_> {
    pub(super) fn device_action(
        &mut self,
        verb: &Verb<'_>,
        raw: &mut RawStep,
    ) -> Checked<Option<Action>> {
        let (subject, place) = (&verb.subject, verb.place());
        Ok(Some(match verb.key {
            "open_device" => Action::OpenDevice {
                device: self.device(subject)?,
                file: self.make(raw.name.take(), place, Kind::DeviceFile, verb.returns)?,
            },
            "remove_device" => Action::RemoveDevice {
                device: self.device(subject)?,
                how: self.removal(raw.how.take().as_ref())?,
            },
            "remove_bridge" => Action::RemoveBridge {
                device: self.device(subject)?,
                levels: self.levels(raw.levels.take().as_ref())?,
            },
            "plug_device" => Action::PlugDevice {
                device: self.slot(subject)?,
            },
            "rescan" if subject.value == "pci" => Action::Rescan,
            "rescan" => return Err(self.unknown("bus", subject, ["pci"])),
            "unbind_driver" => Action::UnbindDriver {
                device: self.device(subject)?,
            },
            "bind_driver" => Action::BindDriver {
                device: self.device(subject)?,
                driver: self.driver(raw.driver.take().as_ref())?,
            },
            "expect_device" => {
                let device = self.device(subject)?;
                let word = self.need(raw.state.take(), place, "state")?;
                let state = DeviceState::from_word(&word.value).ok_or_else(|| {
                    let known = DeviceState::ALL.iter().map(|state| state.word());
                    self.unknown("device state", &word, known)
                })?;
                Action::ExpectDevice { device, state }
            }
            "write_register" => {
                let (file, at) = self.register(subject, raw)?;
                let value = self.need(raw.value.take(), place, "value")?.value;
                Action::WriteRegister { file, at, value }
            }
            "read_register" => {
                let (file, at) = self.register(subject, raw)?;
                let value = raw.value.take().map(|value| value.value);
                Action::ReadRegister { file, at, value }
            }
            _ => return Ok(None),
        }))
    }

    /// A device that is not a virtual function.
    fn slot(&self, name: &At<String>) -> Checked<Device> {
        let device = self.device(name)?;
        if device.function.is_some() {
            let message = format!("`{device}` is a virtual function: use a slot");
            return Err(self.wrong(name.place, message, None));
        }
        Ok(device)
    }

    fn removal(&self, word: Option<&At<String>>) -> Checked<Removal> {
        let Some(word) = word else {
            return Ok(Removal::Sysfs);
        };
        Removal::from_word(&word.value).ok_or_else(|| {
            let known = Removal::ALL.iter().map(|how| how.word());
            self.unknown("method of removal", word, known)
        })
    }

    fn levels(&self, levels: Option<&At<u64>>) -> Checked<u64> {
        match levels {
            None => Ok(1),
            Some(levels) if (1..=LEVELS_MAX).contains(&levels.value) => Ok(levels.value),
            Some(levels) => {
                let message = format!("`levels` is out of range: use 1 to {LEVELS_MAX}");
                Err(self.wrong(levels.place, message, None))
            }
        }
    }

    fn driver(&self, name: Option<&At<String>>) -> Checked<String> {
        let Some(name) = name else {
            return Ok(DRIVER.to_owned());
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.value.is_empty() || name.value.len() > 60 || !name.value.chars().all(fits) {
            let message = format!("`{}` is not a valid driver name", name.value);
            return Err(self.wrong(name.place, message, None));
        }
        Ok(name.value.clone())
    }

    fn register(&self, file: &At<String>, raw: &mut RawStep) -> Checked<(String, u64)> {
        let file_name = self.object(file, &[Kind::DeviceFile])?;
        let at = self.need(raw.at.take(), file.place, "at")?;
        let size = if at.value < 0x80 { 4 } else { 8 };
        if at.value % size != 0 || at.value >= 0x10_0000 {
            let message = format!("invalid offset {:#x} of a {size}-byte register", at.value);
            return Err(self.wrong(at.place, message, None));
        }
        Ok((file_name, at.value))
    }
}
