// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control channel: orders, messages and invalid data.

use std::io::{ErrorKind, Read as _, Write as _};

use patchbed_protocol::{FromGuest, LineError, ToGuest, encode};
use rustix::event::PollFlags;

use super::{Sender, Session};
use crate::transcript::{End, Phase};

/// Maximum length of a message in an error, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Maximum number of unread messages. A guest that sends more is invalid.
const INBOX_MAX: usize = 10_000;

impl Session {
    /// Sends an order to the guest.
    pub(in crate::vm) fn send(&mut self, message: &ToGuest) -> Result<(), End> {
        match message {
            // The log names a file without its content.
            ToGuest::Put { path, .. } => {
                self.channel_log.note(Sender::Host, &format!("put {path}"));
            }
            other => self.channel_log.note(Sender::Host, other),
        }
        let line = encode(message).map_err(|error| self.broken(error.to_string()))?;
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match self.channel.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.check()?;
                    self.sleep(PollFlags::OUT)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // QEMU is about to exit; the next wait finds the cause.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads the available messages.
    pub(super) fn read_channel(&mut self) -> Result<(), End> {
        let mut buffer = vec![0; 64 * 1024];
        while self.channel_open && self.inbox.len() < INBOX_MAX {
            match self.channel.read(&mut buffer) {
                Ok(0) => self.channel_open = false,
                Ok(count) => {
                    for line in self.decoder.push(&buffer[..count]) {
                        match &line {
                            Ok(message) => self.channel_log.note(Sender::Guest, message),
                            Err(error) => self.channel_log.note(Sender::Guest, &error.to_string()),
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

    /// Returns the message of a line, unless it ends the run.
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
            // The next kernel's first message cut off the last line of this kernel.
            Err(_) if self.next_is_hello() => Err(self.unexpected_kexec()),
            Err(error) => Err(self.broken(error.to_string())),
        }
    }

    /// Returns the end of a run after an unexpected message.
    pub(in crate::vm) fn unexpected(&self, message: &FromGuest) -> End {
        let mut shown = format!("{message:?}");
        if let Some((end, _)) = shown.char_indices().nth(SHOWN_CHARS_MAX) {
            shown.truncate(end);
        }
        self.broken(format!("unexpected message {shown}"))
    }

    /// Returns the end of a run after invalid data on the channel.
    pub(in crate::vm) fn broken(&self, error: String) -> End {
        End::ChannelBroken {
            during: self.phase,
            error,
        }
    }

    /// Returns the end of a run whose guest executed a kexec without an order.
    pub(in crate::vm) fn unexpected_kexec(&self) -> End {
        End::GuestGone {
            during: self.phase,
            reason: "kexec".to_owned(),
        }
    }

    fn next_is_hello(&self) -> bool {
        let next = self.inbox.front();
        matches!(self.phase, Phase::Program(_)) && matches!(next, Some(Ok(FromGuest::Hello { .. })))
    }
}
