// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control channel log: a file with one JSON object for each message.

use std::io::{self, Write as _};
use std::time::Instant;

use camino::Utf8Path;
use fs_err::File;
use serde::Serialize;

use crate::transcript::millis;

/// Maximum size of the log, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The sender of a message.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sender {
    /// The guest, over the channel.
    Guest,
    /// The host, over the channel.
    Host,
    /// QEMU, over its monitor.
    Qemu,
}

#[derive(Serialize)]
struct Entry<'a, M: ?Sized> {
    ms: u64,
    from: Sender,
    message: &'a M,
}

/// The control channel log of a run. Write errors are ignored, because results depend on
/// the transcript only.
#[derive(Debug)]
pub(super) struct ChannelLog {
    file: File,
    begin: Instant,
    bytes: usize,
}

impl ChannelLog {
    pub(super) fn create(path: &Utf8Path, begin: Instant) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            begin,
            bytes: 0,
        })
    }

    /// Appends an entry; beyond the limit a final entry, then no more.
    pub(super) fn note<M: Serialize + ?Sized>(&mut self, from: Sender, message: &M) {
        if self.bytes > BYTES_MAX {
            return;
        }
        let entry = Entry {
            ms: millis(self.begin.elapsed()),
            from,
            message,
        };
        let Ok(mut line) = serde_json::to_vec(&entry) else {
            return;
        };
        line.push(b'\n');
        self.bytes += line.len();
        if self.bytes > BYTES_MAX {
            line = b"{\"from\":\"host\",\"message\":\"the log has reached its maximum size\"}\n"
                .to_vec();
        }
        let _ = self.file.write_all(&line);
    }
}
