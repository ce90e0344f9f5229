// SPDX-License-Identifier: GPL-2.0-only
//! What programs ask their machine for: they write a line into one pipe and read one
//! from another. Both are kept open here at both ends, so that nobody waits for
//! somebody to open the other end and no line is lost. What a line means is the host's
//! to know.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use patchbed_protocol::{FromGuest, REQUEST_BYTES_MAX, REQUESTS_DIR};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::port::{Port, PortError};

/// Most bytes that are taken from a pipe at once.
const READ_BYTES_MAX: usize = 4096;

/// Most reads that empty a pipe; the kernel's hold no more than 16 pages.
const PIPE_READS_MAX: usize = 32;

/// The two pipes, and what came in by the first.
#[derive(Debug)]
pub(crate) struct Requests {
    request: File,
    answer: File,
    lines: Lines,
    /// Whether the host has been asked and has not answered.
    asked: bool,
}

impl Requests {
    /// Makes the pipes and opens them.
    pub(crate) fn open() -> io::Result<Self> {
        fs::create_dir_all(REQUESTS_DIR)?;
        Ok(Self {
            request: open_pipe("request")?,
            answer: open_pipe("answer")?,
            lines: Lines::default(),
            asked: false,
        })
    }

    /// Throws away what was asked and answered up to now.
    pub(crate) fn forget(&mut self) {
        let mut waste = [0; READ_BYTES_MAX];
        for mut pipe in [&self.request, &self.answer] {
            for _ in 0..PIPE_READS_MAX {
                if !matches!(pipe.read(&mut waste), Ok(count) if count > 0) {
                    break;
                }
            }
        }
        self.lines = Lines::default();
        self.asked = false;
    }

    /// Returns what tells, by becoming readable, that a program asks for something;
    /// nothing while what it asked before has no answer.
    pub(crate) fn watched(&self) -> Option<&File> {
        (!self.asked).then_some(&self.request)
    }

    /// Passes on what has come: a request to the host, or its answer to the program,
    /// which the port must have taken in.
    pub(crate) fn serve(&mut self, port: &mut Port) -> Result<(), PortError> {
        if self.asked {
            let answer = port.answer();
            self.asked = answer.is_none();
            answer.iter().for_each(|text| self.tell(text));
        }
        if self.asked {
            return Ok(());
        }
        let mut buffer = [0; READ_BYTES_MAX];
        while self.lines.is_hungry() {
            match self.request.read(&mut buffer) {
                Ok(count) if count > 0 => self.lines.push(&buffer[..count]),
                _ => break,
            }
        }
        match self.lines.next() {
            Some(Line::Whole(text)) => {
                self.asked = true;
                port.send(&FromGuest::Request { text })
            }
            Some(Line::TooLong) => {
                self.tell(&format!(
                    "error a request has at most {REQUEST_BYTES_MAX} bytes"
                ));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A pipe that is full has answers enough that nobody reads.
    fn tell(&mut self, text: &str) {
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

/// A line that came in.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(String),
    TooLong,
}

/// Bytes on their way to lines; never more than two reads of them.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// In the middle of a line that is too long.
    skipping: bool,
}

impl Lines {
    /// Returns whether there is room, and no whole line yet.
    fn is_hungry(&self) -> bool {
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
    fn lines_come_one_by_one_however_they_were_written() {
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
    fn an_endless_line_is_one_report_and_takes_no_room() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.is_hungry());
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
