// SPDX-License-Identifier: GPL-2.0-only
//! The names of a scenario: what each stands for, and in which stage it is known.

use super::{Checked, Checker};
use crate::input::Place;
use crate::scenario::names::{bad_identifier, slot_index};
use crate::scenario::{Action, Slot, UserAct};
use crate::yaml::At;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    DeviceFile,
    Memfd,
    Session,
    User,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::DeviceFile => "device file",
            Self::Memfd => "memfd",
            Self::Session => "session",
            Self::User => "user",
        }
    }
}

impl Checker<'_> {
    pub(super) fn declare_slot(&self, name: &At<String>) -> Checked<Slot> {
        let Some(index) = slot_index(&name.value) else {
            let hint =
                "slots are named `endpoint0` to `endpoint7`, in the order of their addresses";
            return Err(self.wrong(
                name.place,
                format!("unknown device `{}`", name.value),
                Some(hint.to_owned()),
            ));
        };
        Ok(Slot {
            name: name.value.clone(),
            index,
        })
    }

    pub(super) fn slot(&self, name: &At<String>) -> Checked<Slot> {
        let known = self.slots.iter().map(|slot| slot.name.as_str());
        self.slots
            .iter()
            .find(|slot| slot.name == name.value)
            .cloned()
            .ok_or_else(|| self.unknown("device", name, known))
    }

    pub(super) fn make(
        &mut self,
        name: Option<At<String>>,
        place: Place,
        kind: Kind,
    ) -> Checked<String> {
        let name = self.need(name, place, "as")?;
        if let Some(reason) = bad_identifier(&name.value) {
            return Err(self.wrong(name.place, reason, None));
        }
        if self.objects.contains_key(&name.value) {
            let hint = Some("give each object of the scenario a name of its own".to_owned());
            return Err(self.wrong(
                name.place,
                format!("`{}` is already the name of something", name.value),
                hint,
            ));
        }
        self.objects.insert(name.value.clone(), kind);
        self.in_stage.push(name.value.clone());
        Ok(name.value)
    }

    /// An object that exists in this stage and is of one of `kinds`.
    pub(super) fn object(&self, name: &At<String>, kinds: &[Kind]) -> Checked<String> {
        let fits = |known: &&String| {
            self.objects
                .get(*known)
                .is_some_and(|kind| kinds.contains(kind))
        };
        if self
            .in_stage
            .iter()
            .filter(fits)
            .any(|known| *known == name.value)
        {
            return Ok(name.value.clone());
        }
        let what: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
        let what = what.join(" or ");
        match self.objects.get(&name.value) {
            Some(kind) if !kinds.contains(kind) => {
                let message = format!("`{}` is a {}, not a {what}", name.value, kind.word());
                return Err(self.wrong(name.place, message, None));
            }
            Some(_) => {
                let hint = Some("retrieve it in this stage first".to_owned());
                let message = format!("`{}` belongs to an earlier stage", name.value);
                return Err(self.wrong(name.place, message, hint));
            }
            None => {}
        }
        let known: Vec<&str> = self
            .in_stage
            .iter()
            .filter(fits)
            .map(String::as_str)
            .collect();
        Err(self.unknown(&what, name, known))
    }

    pub(super) fn file(&self, name: &At<String>) -> Checked<String> {
        self.object(name, &[Kind::DeviceFile, Kind::Memfd])
    }

    pub(super) fn session(
        &self,
        name: Option<At<String>>,
        place: Place,
        key: &str,
    ) -> Checked<String> {
        let name = self.need(name, place, key)?;
        self.object(&name, &[Kind::Session])
    }

    /// An object that an earlier stage made and this one takes over.
    pub(super) fn handed_over(
        &mut self,
        name: &At<String>,
        stage: usize,
        kinds: &[Kind],
    ) -> Checked<()> {
        if stage == 1 {
            return Err(self.wrong(
                name.place,
                "nothing was handed over to the first stage",
                None,
            ));
        }
        if self
            .objects
            .get(&name.value)
            .is_none_or(|kind| !kinds.contains(kind))
        {
            let known: Vec<&str> = self
                .objects
                .iter()
                .filter(|(_, kind)| kinds.contains(kind))
                .map(|(name, _)| name.as_str())
                .collect();
            return Err(self.unknown("object of an earlier stage", name, known));
        }
        self.in_stage.push(name.value.clone());
        Ok(())
    }

    pub(super) fn user(&mut self, name: &At<String>, act: UserAct) -> Checked<Action> {
        if !self.objects.contains_key(&name.value) && act == UserAct::Get {
            self.make(Some(name.clone()), name.place, Kind::User)?;
        }
        let user = self.object(name, &[Kind::User])?;
        Ok(Action::User { user, act })
    }

    /// The token under which a file is preserved and retrieved: its name's rank.
    pub(super) fn token(&mut self, file: &str) -> u64 {
        let rank = self
            .tokens
            .iter()
            .position(|known| known == file)
            .unwrap_or_else(|| {
                self.tokens.push(file.to_owned());
                self.tokens.len() - 1
            });
        rank as u64 + 1
    }
}
