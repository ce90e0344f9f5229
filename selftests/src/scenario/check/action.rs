// SPDX-License-Identifier: MIT OR Apache-2.0
//! The action of a step, with its arguments.

mod control;
mod device;
mod file;
mod session;

use super::step::Part;
use super::{Checked, Checker};
use crate::input::Place;
use crate::scenario::raw::RawStep;
use crate::scenario::{Action, Returns};
use crate::yaml::At;

/// The key of an action and its value, with the context of the step.
struct Verb<'a> {
    key: &'static str,
    subject: At<String>,
    returns: &'a Returns,
    boot: usize,
}

impl Verb<'_> {
    fn name(&self) -> String {
        self.subject.value.clone()
    }

    const fn place(&self) -> Place {
        self.subject.place
    }
}

impl Checker<'_> {
    /// Removes the action and its arguments from a step.
    pub(super) fn action(
        &mut self,
        raw: &mut RawStep,
        place: Place,
        number: usize,
        boot: usize,
        returns: &Returns,
        part: Part,
    ) -> Checked<Action> {
        self.one_action(raw, place)?;
        if let Some(action) = self.nesting(raw, number, boot, part)? {
            return Ok(action);
        }
        let Some((key, subject)) = plain(raw) else {
            let hint = Some("add an action such as `preserve: dev`, or `observe`".to_owned());
            return Err(self.wrong(place, "the step has no action", hint));
        };
        let verb = Verb {
            key,
            subject,
            returns,
            boot,
        };
        if let Some(action) = self.session_action(&verb, raw)? {
            return Ok(action);
        }
        if let Some(action) = self.device_action(&verb, raw)? {
            return Ok(action);
        }
        match self.file_action(&verb, raw)? {
            Some(action) => Ok(action),
            None => self.control_action(&verb, raw, part),
        }
    }

    /// Rejects a step with two actions, at the second one.
    fn one_action(&self, raw: &RawStep, place: Place) -> Checked<()> {
        let mut copy = raw.clone();
        let mut given: Vec<(&str, Place)> = Vec::new();
        given.extend(copy.race.as_ref().map(|race| ("race", race.place)));
        given.extend(copy.repeat.as_ref().map(|times| ("repeat", times.place)));
        let allocations = copy.fail_allocations.as_ref();
        given.extend(allocations.map(|step| ("fail_allocations", step.place)));
        while let Some((key, subject)) = plain(&mut copy) {
            given.push((key, subject.place));
        }
        given.sort_by_key(|(_, place)| *place);
        let [(first, _), (second, at), ..] = given.as_slice() else {
            return Ok(());
        };
        let at = if *at < place { place } else { *at };
        let message = format!("the step has two actions: `{first}` and `{second}`");
        Err(self.wrong(at, message, Some("split the step".to_owned())))
    }
}

/// Removes the first action whose value is a word.
fn plain(raw: &mut RawStep) -> Option<(&'static str, At<String>)> {
    macro_rules! take {
        ($($key:ident),+ $(,)?) => {
            $(if let Some(subject) = raw.$key.take() {
                return Some((stringify!($key), subject));
            })+
        };
    }
    take!(
        create_session,
        retrieve_session,
        session_name,
        preserve,
        retrieve,
        finish,
        close,
        open_device,
        remove_device,
        remove_bridge,
        plug_device,
        rescan,
        unbind_driver,
        bind_driver,
        expect_device,
        open_file,
        open_again,
        file_size,
        create_memfd,
        write_file,
        read_file,
        check_mapping,
        truncate,
        seal,
        read_seals,
        write_path,
        read_path,
        write_register,
        read_register,
        get_outgoing,
        use_outgoing,
        put_outgoing,
        get_incoming,
        use_incoming,
        put_incoming,
        fail_next,
        start_process,
        kill_process,
        try_kexec,
        check_leaks,
        observe,
    );
    None
}
