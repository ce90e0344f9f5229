// SPDX-License-Identifier: GPL-2.0-only
//! The one action of a step: which key names it, and which others it needs.

use super::objects::Kind;
use super::{Checked, Checker};
use crate::input::Place;
use crate::scenario::raw::RawStep;
use crate::scenario::{Action, UserAct};
use crate::yaml::At;

/// Characters that an observation can have.
const OBSERVATION_MAX: usize = 60;

impl Checker<'_> {
    /// Takes the one action out of a step, with the keys that belong to it.
    pub(super) fn action(
        &mut self,
        raw: &mut RawStep,
        place: Place,
        stage: usize,
    ) -> Checked<Action> {
        let mut taken = [
            ("open_device", raw.open_device.take()),
            ("create_memfd", raw.create_memfd.take()),
            ("create_session", raw.create_session.take()),
            ("preserve", raw.preserve.take()),
            ("retrieve_session", raw.retrieve_session.take()),
            ("retrieve", raw.retrieve.take()),
            ("finish", raw.finish.take()),
            ("close", raw.close.take()),
            ("remove_device", raw.remove_device.take()),
            ("rescan", raw.rescan.take()),
            ("get_outgoing", raw.get_outgoing.take()),
            ("use_outgoing", raw.use_outgoing.take()),
            ("put_outgoing", raw.put_outgoing.take()),
            ("write_register", raw.write_register.take()),
            ("read_register", raw.read_register.take()),
            ("read_file", raw.read_file.take()),
            ("observe", raw.observe.take()),
        ]
        .into_iter()
        .filter_map(|(verb, value)| value.map(|value| (verb, value)));
        let Some((verb, subject)) = taken.next() else {
            let hint = Some("name an action, such as `preserve: dev`, or `observe:`".to_owned());
            return Err(self.wrong(place, "a step that does nothing", hint));
        };
        if let Some((second, value)) = taken.next() {
            let hint = Some("make two steps of it".to_owned());
            return Err(self.wrong(
                value.place,
                format!("a step that does both `{verb}` and `{second}`"),
                hint,
            ));
        }
        match self.session_action(verb, &subject, raw, stage)? {
            Some(action) => Ok(action),
            None => self.other_action(verb, &subject, raw),
        }
    }

    /// What is done with sessions and with files in them.
    fn session_action(
        &mut self,
        verb: &str,
        subject: &At<String>,
        raw: &mut RawStep,
        stage: usize,
    ) -> Checked<Option<Action>> {
        let name = subject.value.clone();
        Ok(Some(match verb {
            "create_session" => Action::CreateSession {
                session: self.make(Some(subject.clone()), subject.place, Kind::Session)?,
            },
            "preserve" => {
                let file = self.file(subject)?;
                let session = self.session(raw.into.take(), subject.place, "into")?;
                Action::Preserve {
                    token: self.token(&file),
                    file,
                    session,
                }
            }
            "retrieve_session" => {
                self.handed_over(subject, stage, &[Kind::Session])?;
                Action::RetrieveSession { session: name }
            }
            "retrieve" => {
                self.handed_over(subject, stage, &[Kind::DeviceFile, Kind::Memfd])?;
                let session = self.session(raw.from.take(), subject.place, "from")?;
                Action::Retrieve {
                    token: self.token(&name),
                    file: name,
                    session,
                }
            }
            "finish" => Action::Finish {
                session: self.object(subject, &[Kind::Session])?,
            },
            "close" => {
                let kinds = [Kind::DeviceFile, Kind::Memfd, Kind::Session, Kind::User];
                Action::Close {
                    object: self.object(subject, &kinds)?,
                }
            }
            _ => return Ok(None),
        }))
    }

    /// What is done with devices, memory and users, and nothing at all.
    fn other_action(
        &mut self,
        verb: &str,
        subject: &At<String>,
        raw: &mut RawStep,
    ) -> Checked<Action> {
        let name = subject.value.clone();
        Ok(match verb {
            "open_device" => {
                let slot = self.slot(subject)?;
                let file = self.make(raw.name.take(), subject.place, Kind::DeviceFile)?;
                Action::OpenDevice { slot, file }
            }
            "create_memfd" => {
                self.memfd_contents(subject)?;
                let file = self.make(raw.name.take(), subject.place, Kind::Memfd)?;
                Action::CreateMemfd {
                    file,
                    contents: name,
                }
            }
            "remove_device" => Action::RemoveDevice {
                slot: self.slot(subject)?,
            },
            "rescan" if name == "pci" => Action::Rescan,
            "rescan" => return Err(self.unknown("bus", subject, ["pci"])),
            "get_outgoing" => self.user(subject, UserAct::Get)?,
            "use_outgoing" => self.user(subject, UserAct::Use)?,
            "put_outgoing" => self.user(subject, UserAct::Put)?,
            "write_register" => {
                let (file, at) = self.register(subject, raw)?;
                let value = self.need(raw.value.take(), subject.place, "value")?.value;
                Action::WriteRegister { file, at, value }
            }
            "read_register" => {
                let (file, at) = self.register(subject, raw)?;
                Action::ReadRegister {
                    file,
                    at,
                    value: raw.value.take().map(|value| value.value),
                }
            }
            "read_file" => {
                let file = self.object(subject, &[Kind::Memfd])?;
                let contents = self
                    .need(raw.contents.take(), subject.place, "contents")?
                    .value;
                Action::ReadFile { file, contents }
            }
            _ => {
                if name.trim().is_empty() || name.contains('\n') || name.len() > OBSERVATION_MAX {
                    let message = format!(
                        "an observation is one line of at most {OBSERVATION_MAX} characters"
                    );
                    return Err(self.wrong(subject.place, message, None));
                }
                Action::Observe { what: name }
            }
        })
    }

    fn register(&self, file: &At<String>, raw: &mut RawStep) -> Checked<(String, u64)> {
        let file_name = self.object(file, &[Kind::DeviceFile])?;
        let at = self.need(raw.at.take(), file.place, "at")?;
        let size = if at.value < 0x80 { 4 } else { 8 };
        if at.value % size != 0 || at.value >= 0x10_0000 {
            return Err(self.wrong(
                at.place,
                format!("no register of {size} bytes can be at {:#x}", at.value),
                None,
            ));
        }
        Ok((file_name, at.value))
    }

    fn memfd_contents(&self, contents: &At<String>) -> Checked<()> {
        if contents.value.is_empty() || contents.value.len() > 1024 || contents.value.contains('\0')
        {
            return Err(self.wrong(
                contents.place,
                "a memfd has 1 to 1024 bytes, none of them zero",
                None,
            ));
        }
        Ok(())
    }
}
