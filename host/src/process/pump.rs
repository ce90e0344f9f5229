// SPDX-License-Identifier: MIT OR Apache-2.0
//! Passes a child's output to its receiver, with limits on bytes and time.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::child::Child;
use crate::cancel::Cancel;

const CHUNK_BYTES: usize = 16 * 1024;
const POLL: Duration = Duration::from_millis(10);
/// Time for which the pipes of an ended child are read while a grandchild holds them open.
const DRAIN: Duration = Duration::from_secs(2);
/// Time for a child to clean up after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// Longer lines are passed on in pieces.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// An output stream of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

pub(super) struct Chunk {
    pub(super) stream: Stream,
    pub(super) bytes: Vec<u8>,
}

/// Why pumping ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exited(std::process::ExitStatus),
    Deadline,
    Cancelled,
    Stopped,
}

/// Whether the receiver accepts more chunks.
pub(super) enum Flow {
    On,
    Stop,
}

/// Starts threads that read the child's pipes and feed its standard input.
pub(super) fn attach(child: &mut Child, stdin: Option<Vec<u8>>) -> Receiver<Chunk> {
    let (sender, receiver) = sync_channel(64);
    if let Some(pipe) = child.inner.stdout.take() {
        read_into(pipe, Stream::Out, sender.clone());
    }
    if let Some(pipe) = child.inner.stderr.take() {
        read_into(pipe, Stream::Err, sender);
    }
    if let (Some(mut pipe), Some(bytes)) = (child.inner.stdin.take(), stdin) {
        // A child may end without reading its input, so write errors are ignored.
        std::thread::spawn(move || pipe.write_all(&bytes));
    }
    receiver
}

fn read_into(mut pipe: impl Read + Send + 'static, stream: Stream, sender: SyncSender<Chunk>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender
                .send(Chunk {
                    stream,
                    bytes: buffer[..count].to_vec(),
                })
                .is_err()
            {
                break;
            }
        }
    });
}

/// Passes chunks to `take` until the child has ended and its pipes are empty.
pub(super) fn pump(
    child: &mut Child,
    chunks: &Receiver<Chunk>,
    deadline: Instant,
    cancel: &Cancel,
    take: &mut dyn FnMut(Chunk) -> Flow,
) -> Ended {
    let mut exited: Option<(std::process::ExitStatus, Instant)> = None;
    let mut open = true;
    loop {
        if open {
            match chunks.recv_timeout(POLL) {
                Ok(chunk) => {
                    if matches!(take(chunk), Flow::Stop) {
                        child.kill();
                        return Ended::Stopped;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        } else if exited.is_none() {
            std::thread::sleep(POLL);
        }
        if exited.is_none()
            && let Some(status) = child.try_wait()
        {
            // Grandchildren must not survive or hold the pipes open.
            child.kill_group();
            exited = Some((status, Instant::now() + DRAIN));
        }
        if let Some((status, drained)) = exited {
            if !open || Instant::now() >= drained {
                return Ended::Exited(status);
            }
            continue;
        }
        if cancel.is_cancelled() {
            child.end(GRACE);
            return Ended::Cancelled;
        }
        if Instant::now() >= deadline {
            child.end(GRACE);
            return Ended::Deadline;
        }
    }
}

/// Splits a byte stream into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Adds bytes and passes every complete line to `line`, without its line end.
    pub(super) fn push(&mut self, bytes: &[u8], line: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' || self.partial.len() >= LINE_BYTES_MAX {
                self.flush(line);
            }
            if byte != b'\n' {
                self.partial.push(byte);
            }
        }
    }

    /// Passes on the remaining text that has no line end.
    pub(super) fn flush(&mut self, line: &mut dyn FnMut(&str)) {
        if !self.partial.is_empty() {
            let text = String::from_utf8_lossy(&self.partial);
            line(text.trim_end_matches('\r'));
            self.partial.clear();
        }
    }
}

/// The last lines of a child's output, for error messages.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<String>);

impl Tail {
    const LINES_MAX: usize = 30;

    pub(super) fn push(&mut self, line: &str) {
        if self.0.len() == Self::LINES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    pub(super) fn into_text(self) -> String {
        Vec::from(self.0).join("\n")
    }
}
