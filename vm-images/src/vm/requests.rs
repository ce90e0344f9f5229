// SPDX-License-Identifier: GPL-2.0-only
//! What a program asks its machine for. What is asked comes from a guest, and may be
//! anything; whether it is done, and what is said, is decided here from values alone.

use std::time::{Duration, Instant};

use patchbed_protocol::{FromGuest, ToGuest};

use super::VmSpec;
use super::session::Session;
use crate::machine::{Address, Machine, Slot};
use crate::qemu::Version;
use crate::slot_power::Power;
use crate::transcript::End;

/// Longest answer, in characters; nobody needs to have room for more.
const ANSWER_CHARS_MAX: usize = 200;

/// Longest part of a request that an answer repeats, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// This part of the time that a slot may take to be given up is waited until an
/// indicator that shines on is taken to stay so. Linux takes a second from power to
/// indicator; a guest on a busy host several.
const INDICATOR_PART: u32 = 6;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// In order: the guest is asked to let the device go.
    Unplug,
    /// The device is gone, and nobody asked.
    Surprise,
    /// The slot gets a device of its kind again.
    Plug,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request<'a> {
    verb: Verb,
    slot: &'a Slot,
    /// The port that the slot is.
    port: Address,
}

impl<'a> Request<'a> {
    /// Reads a request; the error is the answer.
    fn parse(text: &str, machine: &'a Machine) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (Some(verb), Some(address), None) = (words.next(), words.next(), words.next()) else {
            return Err("a request is a verb and a PCI address".to_owned());
        };
        let verb = match verb {
            "unplug" => Verb::Unplug,
            "surprise" => Verb::Surprise,
            "plug" => Verb::Plug,
            other => {
                let other = quoted(other);
                return Err(format!("`{other}` is none of unplug, surprise and plug"));
            }
        };
        let name = &machine.name;
        let Some((slot, port)) = machine.slot_at(address) else {
            let address = quoted(address);
            return Err(format!("no slot of `{name}` has a device at `{address}`"));
        };
        if slot.device.is_none() {
            let slot = &slot.name;
            return Err(format!(
                "slot `{slot}` of `{name}` has no device of its own"
            ));
        }
        Ok(Self {
            verb,
            slot,
            port: port.address,
        })
    }
}

fn quoted(text: &str) -> String {
    text.escape_debug().take(QUOTED_CHARS_MAX).collect()
}

/// A slot that is to get a device once the one before is gone.
#[derive(Debug)]
struct Wanted<'a> {
    request: Request<'a>,
    /// In the guest's time, which is the one that the guest's kernel waits in.
    until: Duration,
    /// Since when the slot's power is said to be off and its indicator not.
    going_off: Option<Duration>,
}

impl Wanted<'_> {
    /// Returns whether the slot is free. The guest switches off the power of a slot
    /// that it found empty, a second later the indicator, and QEMU takes that for the
    /// wanted_item to let go of whatever is there by then. A next kernel that finds it so does
    /// not bother about the indicator.
    fn is_ready(
        &mut self,
        is_empty: bool,
        power: Power,
        now: Duration,
        patience: Duration,
    ) -> bool {
        match power {
            Power::GoingOff => {
                let since = *self.going_off.get_or_insert(now);
                is_empty && now.saturating_sub(since) >= patience / INDICATOR_PART
            }
            Power::Off | Power::On => {
                self.going_off = None;
                is_empty && power == Power::Off
            }
        }
    }
}

/// The requests of one program.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    machine: &'a Machine,
    version: Version,
    patience: Duration,
    wanted: Option<Wanted<'a>>,
}

impl<'a> Requests<'a> {
    /// Returns what serves a program in this machine.
    pub(super) fn new(spec: &'a VmSpec) -> Self {
        Self {
            machine: &spec.machine,
            version: spec.qemu.version,
            patience: spec.deadlines.unplug,
            wanted: None,
        }
    }

    /// From 10.0 on, QEMU's NVMe controller fails an assertion of its own when it is
    /// taken out and could have virtual functions; 7.2's does not.
    fn is_deadly(&self, slot: &Slot) -> bool {
        let can_have_some = slot.device.is_some_and(|one| one.virtual_functions() > 0);
        can_have_some && self.version.major >= 10
    }

    /// Waits for the guest's next message but for requests, which are served.
    pub(super) fn wait(&mut self, session: &mut Session) -> Result<FromGuest, End> {
        loop {
            let look = self.wanted.as_ref().map(|_| Instant::now());
            match session.wait_until(look)? {
                Some(FromGuest::Request { text }) => self.serve(session, &text)?,
                Some(message) => return Ok(message),
                None => self.look(session)?,
            }
        }
    }

    fn serve(&mut self, session: &mut Session, text: &str) -> Result<(), End> {
        if self.wanted.is_some() {
            let why = "the request before has no answer yet";
            return answer(session, Err(why.to_owned()));
        }
        let request = match Request::parse(text, self.machine) {
            Ok(request) => request,
            Err(why) => return answer(session, Err(why)),
        };
        let name = &request.slot.name;
        let came = match request.verb {
            Verb::Plug => {
                self.wanted = Some(Wanted {
                    request,
                    until: session.guest_time() + self.patience,
                    going_off: None,
                });
                return Ok(());
            }
            _ if session.is_empty(name) => Err(format!("slot `{name}` is empty")),
            _ if self.is_deadly(request.slot) => Err(format!(
                "QEMU {} dies when a device with virtual functions is taken out",
                self.version
            )),
            Verb::Unplug => session.unplug(name)?,
            Verb::Surprise => session.pull_out(name, request.port)?,
        };
        answer(session, came)
    }

    /// Plugs in what is wanted if the slot is free, or says that it does not get free.
    fn look(&mut self, session: &mut Session) -> Result<(), End> {
        let Some(wanted) = &mut self.wanted else {
            return Ok(());
        };
        let Request { slot, port, .. } = wanted.request;
        let is_empty = session.is_empty(&slot.name);
        let now = session.guest_time();
        let came = match session.power(port) {
            Err(why) => Err(why),
            Ok(power) if wanted.is_ready(is_empty, power, now, self.patience) => {
                session.plug(slot)?
            }
            Ok(_) if now < wanted.until => return Ok(()),
            Ok(power) => Err(format!(
                "slot `{}` was not given up within {:?} (deadline `unplug`; {}, power {power:?})",
                slot.name,
                self.patience,
                if is_empty { "empty" } else { "not empty" },
            )),
        };
        self.wanted = None;
        answer(session, came)
    }
}

fn answer(session: &mut Session, came: Result<(), String>) -> Result<(), End> {
    let text = came.map_or_else(|why| format!("error {why}"), |()| "ok".to_owned());
    let line = text.replace(['\n', '\r'], " ");
    session.send(&ToGuest::Answer {
        text: line.chars().take(ANSWER_CHARS_MAX).collect(),
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::machine::parse;

    fn machine() -> Machine {
        let text = "type: q35\ncpus: 2\nmemory_mib: 512\nswitches: [{name: switch0}]\n\
                    slots: [{name: a, device: edu}, {name: b, switch: switch0, device: edu}, {name: c}]\n";
        parse(Utf8Path::new("m.yaml"), text).unwrap()
    }

    #[test]
    fn a_request_is_a_verb_and_where_the_slot_is() {
        let machine = machine();
        let parsed = |text| {
            let request = Request::parse(text, &machine).unwrap();
            let place = request.port.to_string();
            (request.verb, request.slot.name.clone(), place)
        };
        assert_eq!(
            parsed("unplug 0000:01:00.0"),
            (Verb::Unplug, "a".to_owned(), "0000:00:04.0".to_owned())
        );
        assert_eq!(
            parsed(" surprise  0000:04:00.0 "),
            (Verb::Surprise, "b".to_owned(), "0000:03:00.0".to_owned())
        );
        assert_eq!(parsed("plug 0000:04:00.0").0, Verb::Plug);
    }

    #[test]
    fn a_slot_is_free_when_nobody_will_switch_it_off_any_more() {
        let machine = machine();
        let now = Duration::from_secs(1);
        let mut wanted = Wanted {
            request: Request::parse("plug 0000:01:00.0", &machine).unwrap(),
            until: now,
            going_off: None,
        };
        let patience = Duration::from_secs(30);
        let mut ready = |is_empty, power, secs| {
            let at = now + Duration::from_secs(secs);
            wanted.is_ready(is_empty, power, at, patience)
        };
        assert!(!ready(true, Power::On, 0));
        assert!(!ready(false, Power::Off, 0));
        assert!(ready(true, Power::Off, 0));
        assert!(!ready(true, Power::GoingOff, 0));
        assert!(!ready(true, Power::GoingOff, 4));
        assert!(ready(true, Power::GoingOff, 5));
        assert!(!ready(true, Power::On, 6));
        assert!(!ready(true, Power::GoingOff, 7));
    }

    #[test]
    fn whatever_else_a_guest_says_is_answered() {
        let machine = machine();
        let long = format!("{} 0000:01:00.0", "\u{1b}x".repeat(50));
        let said = [
            "",
            "unplug",
            "unplug 0000:01:00.0 now",
            "pull 0000:01:00.0",
            "unplug 01:00.0",
            "unplug 0000:00:04.0",
            "plug 0000:05:00.0",
            &long,
        ];
        let answers = said.map(|text| Request::parse(text, &machine).unwrap_err());
        insta::assert_snapshot!(answers.join("\n"), @r"
        a request is a verb and a PCI address
        a request is a verb and a PCI address
        a request is a verb and a PCI address
        `pull` is none of unplug, surprise and plug
        no slot of `m` has a device at `01:00.0`
        no slot of `m` has a device at `0000:00:04.0`
        slot `c` of `m` has no device of its own
        `\u{1b}x\u{1b}x\u{1b}x\u{1b}x\u{1b}x\u{1b` is none of unplug, surprise and plug
        ");
    }
}
