// SPDX-License-Identifier: GPL-2.0-only
//! Everything that went over the channel, as a file of one JSON object a line.

use std::io::{self, Write as _};
use std::time::Instant;

use camino::Utf8Path;
use fs_err::File;
use serde::Serialize;

use crate::transcript::millis;

/// Most bytes of channel_log that are kept of one run.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Who said something.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Speaker {
    /// The guest, over the channel.
    Guest,
    /// We, over the channel.
    Host,
    /// QEMU, over its monitor.
    Qemu,
}

#[derive(Serialize)]
struct Entry<'a, M: ?Sized> {
    ms: u64,
    from: Speaker,
    message: &'a M,
}

/// The channel_log of a run. Losing it does not stop the run: the transcript
/// holds all that is judged by.
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

    /// Writes an entry down; after too many bytes a last word, then nothing.
    pub(super) fn note<M: Serialize + ?Sized>(&mut self, from: Speaker, message: &M) {
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
            line = b"{\"from\":\"host\",\"message\":\"the channel_log is full\"}\n".to_vec();
        }
        let _ = self.file.write_all(&line);
    }
}
