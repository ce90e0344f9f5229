// SPDX-License-Identifier: GPL-2.0-only
//! The sockets that QEMU connects to. They have short paths in a folder of
//! their own (a socket's path may have 107 bytes), which is gone as soon as
//! all are connected.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// Where folders for sockets are made when the usual place has too long a name.
const SHORT_TEMP_DIR: &str = "/tmp";

/// Longest name of the usual place with which the sockets' paths still fit.
const TEMP_DIR_BYTES_MAX: usize = 80;

/// How often we look whether QEMU has connected.
const INTERVAL: Duration = Duration::from_millis(2);

/// Sockets that wait for QEMU.
#[derive(Debug)]
pub(super) struct Sockets {
    dir: TempDir,
    channel: UnixListener,
    qmp: UnixListener,
    test_port: UnixListener,
}

/// QEMU's ends of them.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) channel: UnixStream,
    pub(super) qmp: UnixStream,
    pub(super) test_port: UnixStream,
}

impl Sockets {
    pub(super) fn new() -> io::Result<Self> {
        let usual = std::env::temp_dir();
        let short = usual.as_os_str().len() <= TEMP_DIR_BYTES_MAX;
        let parent = if short { usual } else { SHORT_TEMP_DIR.into() };
        let dir = tempfile::Builder::new()
            .prefix("patchbed-")
            .tempdir_in(parent)?;
        let bind = |name: &str| {
            let listener = UnixListener::bind(dir.path().join(name))?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        };
        Ok(Self {
            channel: bind("channel")?,
            qmp: bind("qmp")?,
            test_port: bind("qtest")?,
            dir,
        })
    }

    pub(super) fn channel_path(&self) -> io::Result<Utf8PathBuf> {
        self.path("channel")
    }

    pub(super) fn qmp_path(&self) -> io::Result<Utf8PathBuf> {
        self.path("qmp")
    }

    pub(super) fn test_port_path(&self) -> io::Result<Utf8PathBuf> {
        self.path("qtest")
    }

    fn path(&self, name: &str) -> io::Result<Utf8PathBuf> {
        let dir = Utf8Path::from_path(self.dir.path())
            .ok_or_else(|| io::Error::other("the folder for temporary files is not UTF-8"))?;
        Ok(dir.join(name))
    }

    /// Waits for QEMU on all sockets, as long as `go_on` allows, and removes the
    /// folder. Returns none when it gave up.
    pub(super) fn accept(self, mut go_on: impl FnMut() -> bool) -> io::Result<Option<Connected>> {
        let Some(channel) = accept(&self.channel, &mut go_on)? else {
            return Ok(None);
        };
        let Some(qmp) = accept(&self.qmp, &mut go_on)? else {
            return Ok(None);
        };
        let Some(test_port) = accept(&self.test_port, &mut go_on)? else {
            return Ok(None);
        };
        Ok(Some(Connected {
            channel,
            qmp,
            test_port,
        }))
    }
}

fn accept(
    listener: &UnixListener,
    go_on: &mut impl FnMut() -> bool,
) -> io::Result<Option<UnixStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !go_on() {
            return Ok(None);
        }
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_folder_goes_once_all_are_connected() {
        let sockets = Sockets::new().unwrap();
        let dir = sockets.dir.path().to_owned();
        let _channel = UnixStream::connect(sockets.channel_path().unwrap()).unwrap();
        let _qmp = UnixStream::connect(sockets.qmp_path().unwrap()).unwrap();
        let _test_port = UnixStream::connect(sockets.test_port_path().unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        assert!(
            sockets
                .accept(|| Instant::now() < deadline)
                .unwrap()
                .is_some()
        );
        assert!(!dir.exists());
    }

    #[test]
    fn giving_up_leaves_nothing_behind() {
        let sockets = Sockets::new().unwrap();
        let dir = sockets.dir.path().to_owned();
        assert!(sockets.accept(|| false).unwrap().is_none());
        assert!(!dir.exists());
    }
}
