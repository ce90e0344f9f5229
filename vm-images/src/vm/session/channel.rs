// SPDX-License-Identifier: GPL-2.0-only
//! What is said over the channel, and what comes of it when that is nonsense.

use std::io::{ErrorKind, Read as _, Write as _};

use patchbed_protocol::{FromGuest, LineError, ToGuest, encode};
use rustix::event::PollFlags;

use super::{Session, Speaker};
use crate::transcript::{End, Phase};

/// Most of a message that an error shows, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Most unread messages; a guest that says more in one go says nonsense.
const INBOX_MAX: usize = 10_000;

impl Session {
    /// Sends an order to the guest.
    pub(in crate::vm) fn send(&mut self, message: &ToGuest) -> Result<(), End> {
        match message {
            // A channel_log tells what was sent, it is no second copy of it.
            ToGuest::Put { path, .. } => {
                self.channel_log.note(Speaker::Host, &format!("put {path}"))
            }
            other => self.channel_log.note(Speaker::Host, other),
        }
        let line = encode(message).map_err(|error| self.broken(error.to_string()))?;
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match self.channel.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.check()?;
                    self.rest(PollFlags::OUT)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // QEMU is going away; how, the next wait tells.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes what the guest has said so far.
    pub(super) fn read_channel(&mut self) -> Result<(), End> {
        let mut buffer = vec![0; 64 * 1024];
        while self.channel_open && self.inbox.len() < INBOX_MAX {
            match self.channel.read(&mut buffer) {
                Ok(0) => self.channel_open = false,
                Ok(count) => {
                    for line in self.decoder.push(&buffer[..count]) {
                        match &line {
                            Ok(message) => self.channel_log.note(Speaker::Guest, message),
                            Err(error) => self.channel_log.note(Speaker::Guest, &error.to_string()),
                        }
                        self.inbox.push_back(line);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.channel_open = false;
                }
                Err(error) => return Err(self.broken(error.to_string())),
            }
        }
        Ok(())
    }

    /// Returns the message of a line, unless it comes to an end.
    pub(super) fn accept(&mut self, line: Result<FromGuest, LineError>) -> Result<FromGuest, End> {
        match line {
            Ok(FromGuest::Trouble { doing, error }) => Err(End::Trouble {
                during: self.phase,
                doing,
                error,
            }),
            Ok(message) => {
                self.goodbye |= message == FromGuest::Goodbye;
                Ok(message)
            }
            // Its last line was cut off by the next kernel's first.
            Err(_) if self.is_over_in_next_kernel() => Err(self.gone_over()),
            Err(error) => Err(self.broken(error.to_string())),
        }
    }

    /// Returns the end that a message out of place comes to.
    pub(in crate::vm) fn unexpected(&self, message: &FromGuest) -> End {
        let mut shown = format!("{message:?}");
        if let Some((end, _)) = shown.char_indices().nth(SHOWN_CHARS_MAX) {
            shown.truncate(end);
        }
        self.broken(format!("unexpected message {shown}"))
    }

    /// Returns the end that nonsense on the channel comes to.
    pub(in crate::vm) fn broken(&self, error: String) -> End {
        End::ChannelBroken {
            during: self.phase,
            error,
        }
    }

    /// Returns the end of a guest that went over to its next kernel unasked.
    pub(in crate::vm) fn gone_over(&self) -> End {
        End::GuestGone {
            during: self.phase,
            reason: "kexec".to_owned(),
        }
    }

    fn is_over_in_next_kernel(&self) -> bool {
        let next = self.inbox.front();
        matches!(self.phase, Phase::Program(_)) && matches!(next, Some(Ok(FromGuest::Hello { .. })))
    }
}
