// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests of programs to their machine: a program writes a line to a pipe and reads the
//! answer from another. PID 1 holds both pipes open at both ends, so that programs do not
//! block in open() and no line is lost. The host interprets the requests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use patchbed_protocol::{FromGuest, REQUEST_BYTES_MAX, REQUESTS_DIR};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::port::{Port, PortError};

/// Maximum number of bytes of a read.
const READ_BYTES_MAX: usize = 4096;

/// Maximum number of reads to empty a pipe, which holds up to 16 pages.
const PIPE_READS_MAX: usize = 32;

/// The two pipes and the received requests.
#[derive(Debug)]
pub(crate) struct Requests {
    request: File,
    answer: File,
    lines: Lines,
    /// Whether a request was sent to the host and is not answered.
    is_pending: bool,
}

impl Requests {
    /// Creates and opens the pipes.
    pub(crate) fn open() -> io::Result<Self> {
        fs::create_dir_all(REQUESTS_DIR)?;
        Ok(Self {
            request: open_pipe("request")?,
            answer: open_pipe("answer")?,
            lines: Lines::default(),
            is_pending: false,
        })
    }

    /// Discards all requests and answers.
    pub(crate) fn discard(&mut self) {
        let mut discarded = [0; READ_BYTES_MAX];
        for mut pipe in [&self.request, &self.answer] {
            for _ in 0..PIPE_READS_MAX {
                if !matches!(pipe.read(&mut discarded), Ok(count) if count > 0) {
                    break;
                }
            }
        }
        self.lines = Lines::default();
        self.is_pending = false;
    }

    /// Returns the pipe that becomes readable with a request; `None` while a request is
    /// pending.
    pub(crate) fn pollable(&self) -> Option<&File> {
        (!self.is_pending).then_some(&self.request)
    }

    /// Passes a request to the host, or the answer to the program. The port must have been
    /// read before.
    pub(crate) fn serve(&mut self, port: &mut Port) -> Result<(), PortError> {
        if self.is_pending {
            let answer = port.answer();
            self.is_pending = answer.is_none();
            answer.iter().for_each(|text| self.send_answer(text));
        }
        if self.is_pending {
            return Ok(());
        }
        let mut buffer = [0; READ_BYTES_MAX];
        while self.lines.needs_input() {
            match self.request.read(&mut buffer) {
                Ok(count) if count > 0 => self.lines.push(&buffer[..count]),
                _ => break,
            }
        }
        match self.lines.next() {
            Some(Line::Whole(text)) => {
                self.is_pending = true;
                port.send(&FromGuest::Request { text })
            }
            Some(Line::TooLong) => {
                self.send_answer(&format!(
                    "error request too long: the limit is {REQUEST_BYTES_MAX} bytes"
                ));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Writes an answer for the program. If the pipe is full, the program reads no answers,
    /// and this one is dropped.
    fn send_answer(&mut self, text: &str) {
        let _ = self.answer.write_all(format!("{text}\n").as_bytes());
    }
}

fn open_pipe(name: &str) -> io::Result<File> {
    let path = format!("{REQUESTS_DIR}/{name}");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o666), 0)?;
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nonblocking)
        .open(path)
}

/// A received line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(String),
    TooLong,
}

/// Splits received bytes into lines; holds at most two reads.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Whether the rest of a line that is too long is being skipped.
    skipping: bool,
}

impl Lines {
    /// Returns whether there is space for a read, and no complete line yet.
    fn needs_input(&self) -> bool {
        self.bytes.len() <= READ_BYTES_MAX && !self.bytes.contains(&b'\n')
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if !self.bytes.contains(&b'\n') && self.bytes.len() > REQUEST_BYTES_MAX {
            self.bytes.clear();
            self.skipping = true;
        }
    }

    fn next(&mut self) -> Option<Line> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        if std::mem::take(&mut self.skipping) || line.len() > REQUEST_BYTES_MAX + 1 {
            return Some(Line::TooLong);
        }
        let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        Some(Line::Whole(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_returns_lines_for_any_split_of_the_input() {
        let mut lines = Lines::default();
        lines.push(b"unplug 0000:01");
        assert_eq!(lines.next(), None);
        lines.push(b":00.0\nplug x\n\xff");
        let whole = |text: &str| Some(Line::Whole(text.to_owned()));
        assert_eq!(lines.next(), whole("unplug 0000:01:00.0"));
        assert_eq!(lines.next(), whole("plug x"));
        assert_eq!(lines.next(), None);
        lines.push(b"\n");
        assert_eq!(lines.next(), whole("\u{fffd}"));
    }

    #[test]
    fn next_reports_an_endless_line_once_with_bounded_memory() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.needs_input());
            lines.push(&[b'x'; READ_BYTES_MAX]);
            assert_eq!(lines.next(), None);
        }
        lines.push(b"\nplug y\n");
        assert_eq!(lines.next(), Some(Line::TooLong));
        assert_eq!(lines.next(), Some(Line::Whole("plug y".to_owned())));
        lines.push(format!("{}\n", "z".repeat(REQUEST_BYTES_MAX + 1)).as_bytes());
        assert_eq!(lines.next(), Some(Line::TooLong));
    }
}
