// SPDX-License-Identifier: GPL-2.0-only
//! The virtio port to the host. It is opened once and stays open: what the
//! host writes while it is closed would be lost.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use patchbed_protocol::{Decoder, EncodeError, FromGuest, PORT_NAME, ToGuest, encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::program::Programs;

/// Where the kernel lists virtio ports and their names.
const PORTS: &str = "/sys/class/virtio-ports";

/// Time for the driver to find the port; a KASAN kernel under emulation is slow.
const PORT_LIMIT: Duration = Duration::from_secs(30);

/// How often the port is looked for.
const PORT_INTERVAL: Duration = Duration::from_millis(5);

/// How often orphans are reaped while there is no order.
const REAP_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 250_000_000,
};

/// Pause before reading again when the host has hung up.
const HANGUP_PAUSE: Duration = Duration::from_millis(100);

/// A second handle, for words from where the port itself is out of reach.
static LAST_WORDS: OnceLock<File> = OnceLock::new();

/// Why the channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    #[error("no virtio port is named `{PORT_NAME}`")]
    Missing,
    #[error("cannot open `{path}`: {error}")]
    Open { path: String, error: io::Error },
    #[error("the virtio port does not work: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

/// The open port and what came in over it.
#[derive(Debug)]
pub(crate) struct Port {
    file: File,
    decoder: Decoder<ToGuest>,
    orders: VecDeque<ToGuest>,
}

impl Port {
    /// Finds the port by its name and opens it.
    pub(crate) fn open() -> Result<Self, PortError> {
        let path = find(Instant::now() + PORT_LIMIT).ok_or(PortError::Missing)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| PortError::Open { path, error })?;
        if let Ok(second) = file.try_clone() {
            let _ = LAST_WORDS.set(second);
        }
        Ok(Self {
            file,
            decoder: Decoder::new(),
            orders: VecDeque::new(),
        })
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &FromGuest) -> Result<(), PortError> {
        self.file.write_all(&encode(message)?)?;
        Ok(())
    }

    /// Sends the first message of this kernel. The one before may have been cut off
    /// in the middle of a line.
    pub(crate) fn hello(&mut self, message: &FromGuest) -> Result<(), PortError> {
        let mut line = vec![b'\n'];
        line.extend(encode(message)?);
        self.file.write_all(&line)?;
        Ok(())
    }

    /// Returns what tells, by becoming readable, that the host says something.
    pub(crate) fn watched(&self) -> &File {
        &self.file
    }

    /// Takes in what the host has said, without waiting for it to say anything.
    pub(crate) fn take_in(&mut self) -> Result<(), PortError> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(ready) if ready > 0 => self.read(),
            _ => Ok(()),
        }
    }

    /// Returns the answer to what a program asked for, if it has come.
    pub(crate) fn answer(&mut self) -> Option<String> {
        match self.orders.pop_front() {
            Some(ToGuest::Answer { text }) => Some(text),
            other => {
                other
                    .into_iter()
                    .for_each(|other| self.orders.push_front(other));
                None
            }
        }
    }

    /// Returns whether the host said that a program's time is up, once each time.
    pub(crate) fn is_time_up(&mut self) -> bool {
        let is_it = |order: &ToGuest| *order == ToGuest::TimeIsUp;
        let place = self.orders.iter().position(is_it);
        place.and_then(|place| self.orders.remove(place)).is_some()
    }

    /// Tells the host that something it ordered failed.
    pub(crate) fn trouble(&mut self, doing: String, error: &dyn ToString) -> Result<(), PortError> {
        self.send(&FromGuest::Trouble {
            doing,
            error: error.to_string(),
        })
    }

    /// Waits for the next order, without limit (how long is the host's to
    /// say), and meanwhile looks after what programs left behind.
    pub(crate) fn receive(&mut self, programs: &mut Programs) -> Result<ToGuest, PortError> {
        loop {
            if let Some(order) = self.orders.pop_front() {
                return Ok(order);
            }
            programs.tend();
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&REAP_INTERVAL)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), PortError> {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.file.read(&mut buffer)?;
        if count == 0 {
            std::thread::sleep(HANGUP_PAUSE);
            return Ok(());
        }
        for line in self.decoder.push(&buffer[..count]) {
            match line {
                Ok(order) => self.orders.push_back(order),
                Err(error) => self.trouble("understand the host".into(), &error)?,
            }
        }
        Ok(())
    }
}

/// Tells the host, as far as still possible, why PID 1 gives up.
pub(crate) fn last_words(doing: &str, error: &str) {
    let message = FromGuest::Trouble {
        doing: doing.to_owned(),
        error: error.to_owned(),
    };
    if let (Some(mut port), Ok(line)) = (LAST_WORDS.get(), encode(&message)) {
        let _ = port.write_all(&line);
    }
}

fn find(deadline: Instant) -> Option<String> {
    loop {
        if let Some(path) = find_now() {
            return Some(path);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(PORT_INTERVAL);
    }
}

fn find_now() -> Option<String> {
    fs::read_dir(PORTS).ok()?.flatten().find_map(|entry| {
        let name = fs::read(entry.path().join("name")).ok()?;
        let path = format!("/dev/{}", entry.file_name().to_str()?);
        (name.trim_ascii() == PORT_NAME.as_bytes() && fs::exists(&path).ok()?).then_some(path)
    })
}
