// SPDX-License-Identifier: MIT OR Apache-2.0
//! The virtio port to the host. It stays open, because data that the host sends while it is
//! closed is lost.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use patchbed_protocol::{Decoder, EncodeError, FromGuest, PORT_NAME, ToGuest, encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The kernel's list of virtio ports and their names.
const PORTS: &str = "/sys/class/virtio-ports";

/// Time limit until the port exists; a KASAN kernel under emulation is slow.
const PORT_LIMIT: Duration = Duration::from_secs(30);

/// Polling interval for the port.
const PORT_INTERVAL: Duration = Duration::from_millis(5);

/// Interval of clean-ups while there is no order.
const CLEAN_UP_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 250_000_000,
};

/// Pause before the next read after the host closed the port.
const HANGUP_PAUSE: Duration = Duration::from_millis(100);

/// A second handle, for failure messages of code that cannot access the [`Port`].
static PORT_COPY: OnceLock<File> = OnceLock::new();

/// Why the channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    #[error("cannot open the virtio port: there is no port `{PORT_NAME}`")]
    Missing,
    #[error("cannot open `{path}`: {error}")]
    Open { path: String, error: io::Error },
    #[error("cannot use the virtio port: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

/// The open port and the received orders.
#[derive(Debug)]
pub(crate) struct Port {
    file: File,
    decoder: Decoder,
    orders: VecDeque<ToGuest>,
}

impl Port {
    /// Finds the port by its name and opens it.
    pub(crate) fn open() -> Result<Self, PortError> {
        let deadline = Instant::now() + PORT_LIMIT;
        let path = loop {
            match find() {
                Some(path) => break path,
                None if Instant::now() >= deadline => return Err(PortError::Missing),
                None => std::thread::sleep(PORT_INTERVAL),
            }
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| PortError::Open { path, error })?;
        if let Ok(second) = file.try_clone() {
            let _ = PORT_COPY.set(second);
        }
        Ok(Self {
            file,
            decoder: Decoder::default(),
            orders: VecDeque::new(),
        })
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &FromGuest) -> Result<(), PortError> {
        self.file.write_all(&encode(message)?)?;
        Ok(())
    }

    /// Sends the first message of this kernel. It starts with a newline, because the last
    /// message of the kernel before may be incomplete.
    pub(crate) fn hello(&mut self, message: &FromGuest) -> Result<(), PortError> {
        self.file.write_all(b"\n")?;
        self.send(message)
    }

    /// Returns the file that becomes readable when the host sends data.
    pub(crate) fn pollable(&self) -> &File {
        &self.file
    }

    /// Reads the available data, without waiting.
    pub(crate) fn read_available(&mut self) -> Result<(), PortError> {
        self.read_within(&Timespec::default())
    }

    /// Returns the answer to a program's request, if it has arrived.
    pub(crate) fn answer(&mut self) -> Option<String> {
        let is_answer = |order: &mut ToGuest| matches!(order, ToGuest::Answer { .. });
        match self.orders.pop_front_if(is_answer)? {
            ToGuest::Answer { text } => Some(text),
            _ => None,
        }
    }

    /// Removes an order to kill the program, and returns whether there was one.
    pub(crate) fn is_time_up(&mut self) -> bool {
        let is_order = |order: &ToGuest| *order == ToGuest::TimeIsUp;
        let index = self.orders.iter().position(is_order);
        index.and_then(|index| self.orders.remove(index)).is_some()
    }

    /// Reports to the host that an order failed.
    pub(crate) fn trouble(&mut self, doing: String, error: &dyn ToString) -> Result<(), PortError> {
        self.send(&FromGuest::Trouble {
            doing,
            error: error.to_string(),
        })
    }

    /// Waits for the next order, without a limit, and calls `clean_up` meanwhile.
    pub(crate) fn receive(&mut self, clean_up: &mut dyn FnMut()) -> Result<ToGuest, PortError> {
        loop {
            if let Some(order) = self.orders.pop_front() {
                return Ok(order);
            }
            clean_up();
            self.read_within(&CLEAN_UP_INTERVAL)?;
        }
    }

    /// Reads the available data, after a wait of at most `limit`.
    fn read_within(&mut self, limit: &Timespec) -> Result<(), PortError> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut fds, Some(limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let mut buffer = vec![0; 64 * 1024];
        let count = self.file.read(&mut buffer)?;
        if count == 0 {
            std::thread::sleep(HANGUP_PAUSE);
            return Ok(());
        }
        for line in self.decoder.push(&buffer[..count]) {
            match line {
                Ok(order) => self.orders.push_back(order),
                Err(error) => self.trouble("parse an order".into(), &error)?,
            }
        }
        Ok(())
    }
}

/// Reports to the host, if the port is open, why PID 1 cannot continue.
pub(crate) fn send_failure(doing: &str, error: &str) {
    let message = FromGuest::Trouble {
        doing: doing.to_owned(),
        error: error.to_owned(),
    };
    if let (Some(mut port), Ok(line)) = (PORT_COPY.get(), encode(&message)) {
        let _ = port.write_all(&line);
    }
}

fn find() -> Option<String> {
    fs::read_dir(PORTS).ok()?.flatten().find_map(|entry| {
        let name = fs::read(entry.path().join("name")).ok()?;
        let path = format!("/dev/{}", entry.file_name().to_str()?);
        (name.trim_ascii() == PORT_NAME.as_bytes() && fs::exists(&path).ok()?).then_some(path)
    })
}
