// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests of a program to its machine. They come from the guest and are not trusted.

use std::time::{Duration, Instant};

use patchbed_protocol::{FromGuest, ToGuest};

use super::session::Session;
use crate::machine::{Address, Machine, Slot};
use crate::pci::Power;
use crate::qemu::Version;
use crate::spec::VmSpec;
use crate::transcript::End;

/// Maximum length of an answer, in characters.
const ANSWER_CHARS_MAX: usize = 200;

/// Maximum length of a quoted part of a request in an answer, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// Fraction of the unplug limit after which a power indicator that is still on is assumed
/// to stay on. Linux switches it off a second after the power; a guest on a busy host takes
/// several seconds.
const INDICATOR_FRACTION: u32 = 6;

/// The action of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// Orderly removal: the guest is asked to release the device.
    Unplug,
    /// Surprise removal.
    Surprise,
    /// A new device of the slot's kind is plugged in.
    Plug,
}

/// A valid request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request<'a> {
    verb: Verb,
    slot: &'a Slot,
    /// The port of the slot.
    port: Address,
}

impl<'a> Request<'a> {
    /// Parses a request; an error is the answer to the guest.
    fn parse(text: &str, machine: &'a Machine) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (Some(verb), Some(address), None) = (words.next(), words.next(), words.next()) else {
            return Err("invalid request: expected a verb and a PCI address".to_owned());
        };
        let verb = match verb {
            "unplug" => Verb::Unplug,
            "surprise" => Verb::Surprise,
            "plug" => Verb::Plug,
            other => {
                let other = quoted(other);
                return Err(format!(
                    "unknown request `{other}`: expected unplug, surprise or plug"
                ));
            }
        };
        let name = &machine.name;
        let Some((slot, port)) = machine.slot_at(address) else {
            let address = quoted(address);
            return Err(format!(
                "no slot of machine `{name}` has its device at `{address}`"
            ));
        };
        if slot.device.is_none() {
            let slot = &slot.name;
            return Err(format!("slot `{slot}` of machine `{name}` has no device"));
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

/// A plug request that waits until the slot's previous device is removed.
#[derive(Debug)]
struct Pending<'a> {
    request: Request<'a>,
    /// Deadline in the guest's time, because the guest's kernel waits in it.
    until: Duration,
    /// Start of the state with power off and indicator on.
    going_off: Option<Duration>,
}

impl Pending<'_> {
    /// Returns whether the slot accepts a device. The guest switches off the power of an empty
    /// slot, and a second later the indicator. On the latter QEMU removes the device that is in
    /// the slot by then, so a new device must wait for it. After a kexec, the next kernel does
    /// not switch off the indicator, so the wait is limited.
    fn is_ready(
        &mut self,
        is_empty: bool,
        power: Power,
        now: Duration,
        unplug_limit: Duration,
    ) -> bool {
        match power {
            Power::GoingOff => {
                let since = *self.going_off.get_or_insert(now);
                is_empty && now.saturating_sub(since) >= unplug_limit / INDICATOR_FRACTION
            }
            Power::Off | Power::On => {
                self.going_off = None;
                is_empty && power == Power::Off
            }
        }
    }
}

/// Serves the requests of a program.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    machine: &'a Machine,
    version: Version,
    unplug_limit: Duration,
    pending: Option<Pending<'a>>,
}

impl<'a> Requests<'a> {
    /// Returns a server for the requests of a program in this machine.
    pub(super) fn new(spec: &'a VmSpec) -> Self {
        Self {
            machine: &spec.machine,
            version: spec.qemu.version,
            unplug_limit: spec.deadlines.unplug,
            pending: None,
        }
    }

    /// Returns whether removal of the device would kill QEMU. Since version 10.0, QEMU's
    /// NVMe controller fails an assertion when it is removed with virtual functions;
    /// version 7.2 does not.
    fn removal_kills_qemu(&self, slot: &Slot) -> bool {
        let has_functions = slot
            .device
            .is_some_and(|device| device.virtual_functions() > 0);
        has_functions && self.version.major >= 10
    }

    /// Waits for the next message of the guest that is not a request, and serves requests
    /// meanwhile.
    pub(super) fn wait(&mut self, session: &mut Session) -> Result<FromGuest, End> {
        loop {
            let until = self.pending.as_ref().map(|_| Instant::now());
            match session.wait_until(until)? {
                Some(FromGuest::Request { text }) => self.serve(session, &text)?,
                Some(message) => return Ok(message),
                None => self.try_plug(session)?,
            }
        }
    }

    fn serve(&mut self, session: &mut Session, text: &str) -> Result<(), End> {
        if self.pending.is_some() {
            let error = "the previous request is not finished";
            return answer(session, Err(error.to_owned()));
        }
        let request = match Request::parse(text, self.machine) {
            Ok(request) => request,
            Err(error) => return answer(session, Err(error)),
        };
        let name = &request.slot.name;
        let result = match request.verb {
            Verb::Plug => {
                self.pending = Some(Pending {
                    request,
                    until: session.guest_time() + self.unplug_limit,
                    going_off: None,
                });
                return Ok(());
            }
            _ if session.is_empty(name) => Err(format!("slot `{name}` is empty")),
            _ if self.removal_kills_qemu(request.slot) => Err(format!(
                "refused: QEMU {} aborts when a device with virtual functions is removed",
                self.version
            )),
            Verb::Unplug => session.unplug(name)?,
            Verb::Surprise => session.surprise_remove(name, request.port)?,
        };
        answer(session, result)
    }

    /// Plugs in the requested device if the slot is free, and fails the request at its
    /// deadline.
    fn try_plug(&mut self, session: &mut Session) -> Result<(), End> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let Request { slot, port, .. } = pending.request;
        let is_empty = session.is_empty(&slot.name);
        let now = session.guest_time();
        let result = match session.power(port) {
            Err(error) => Err(error),
            Ok(power) if pending.is_ready(is_empty, power, now, self.unplug_limit) => {
                session.plug(slot)?
            }
            Ok(_) if now < pending.until => return Ok(()),
            Ok(power) => Err(format!(
                "slot `{}` was not released within {:?} (deadline `unplug`; {}, power {power:?})",
                slot.name,
                self.unplug_limit,
                if is_empty { "empty" } else { "not empty" },
            )),
        };
        self.pending = None;
        answer(session, result)
    }
}

fn answer(session: &mut Session, result: Result<(), String>) -> Result<(), End> {
    let text = result.map_or_else(|error| format!("error {error}"), |()| "ok".to_owned());
    let line = text.replace(['\n', '\r'], " ");
    session.send(&ToGuest::Answer {
        text: line.chars().take(ANSWER_CHARS_MAX).collect(),
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::machine_file::parse;

    fn machine() -> Machine {
        let text = "type: q35\ncpus: 2\nmemory_mib: 512\nswitches: [{name: switch0}]\n\
                    slots: [{name: a, device: edu}, {name: b, switch: switch0, device: edu}, {name: c}]\n";
        parse(Utf8Path::new("m.yaml"), text).unwrap()
    }

    #[test]
    fn parse_accepts_a_verb_and_the_address_of_a_device() {
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
    fn is_ready_waits_for_power_and_indicator() {
        let machine = machine();
        let now = Duration::from_secs(1);
        let mut pending = Pending {
            request: Request::parse("plug 0000:01:00.0", &machine).unwrap(),
            until: now,
            going_off: None,
        };
        let limit = Duration::from_secs(30);
        let mut ready = |is_empty, power, secs| {
            let at = now + Duration::from_secs(secs);
            pending.is_ready(is_empty, power, at, limit)
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
    fn parse_rejects_invalid_requests_with_an_answer() {
        let machine = machine();
        let long = format!("{} 0000:01:00.0", "\u{1b}x".repeat(50));
        let requests = [
            "",
            "unplug",
            "unplug 0000:01:00.0 now",
            "pull 0000:01:00.0",
            "unplug 01:00.0",
            "unplug 0000:00:04.0",
            "plug 0000:05:00.0",
            &long,
        ];
        let answers = requests.map(|text| Request::parse(text, &machine).unwrap_err());
        insta::assert_snapshot!(answers.join("\n"), @r"
        invalid request: expected a verb and a PCI address
        invalid request: expected a verb and a PCI address
        invalid request: expected a verb and a PCI address
        unknown request `pull`: expected unplug, surprise or plug
        no slot of machine `m` has its device at `01:00.0`
        no slot of machine `m` has its device at `0000:00:04.0`
        slot `c` of machine `m` has no device
        unknown request `\u{1b}x\u{1b}x\u{1b}x\u{1b}x\u{1b}x\u{1b`: expected unplug, surprise or plug
        ");
    }
}
