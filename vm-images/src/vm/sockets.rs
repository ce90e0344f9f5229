// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sockets to which QEMU connects. They have short paths in a temporary folder, because
//! the path of a socket is limited to 107 bytes. The folder is deleted when all are
//! connected.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// Parent of the sockets' folder if the path of the default folder is too long.
const SHORT_TEMP_DIR: &str = "/tmp";

/// Maximum length of the default folder's path with which the sockets' paths fit, in bytes.
const TEMP_DIR_BYTES_MAX: usize = 80;

/// Polling interval for connections.
const INTERVAL: Duration = Duration::from_millis(2);

/// Sockets that listen for QEMU.
#[derive(Debug)]
pub(super) struct Sockets {
    dir: TempDir,
    channel: UnixListener,
    qmp: UnixListener,
    test_port: UnixListener,
}

/// The connections from QEMU.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) channel: UnixStream,
    pub(super) qmp: UnixStream,
    pub(super) test_port: UnixStream,
}

impl Sockets {
    pub(super) fn new() -> io::Result<Self> {
        let default = std::env::temp_dir();
        let is_short = default.as_os_str().len() <= TEMP_DIR_BYTES_MAX;
        let parent = if is_short {
            default
        } else {
            SHORT_TEMP_DIR.into()
        };
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

    /// Waits for QEMU on all sockets while `may_continue` returns true, and deletes the
    /// folder. Returns `None` if it returned false.
    pub(super) fn accept(
        self,
        mut may_continue: impl FnMut() -> bool,
    ) -> io::Result<Option<Connected>> {
        let Some(channel) = accept(&self.channel, &mut may_continue)? else {
            return Ok(None);
        };
        let Some(qmp) = accept(&self.qmp, &mut may_continue)? else {
            return Ok(None);
        };
        let Some(test_port) = accept(&self.test_port, &mut may_continue)? else {
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
    may_continue: &mut impl FnMut() -> bool,
) -> io::Result<Option<UnixStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !may_continue() {
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
    fn accept_deletes_the_folder_when_all_are_connected() {
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
    fn accept_deletes_the_folder_when_it_gives_up() {
        let sockets = Sockets::new().unwrap();
        let dir = sockets.dir.path().to_owned();
        assert!(sockets.accept(|| false).unwrap().is_none());
        assert!(!dir.exists());
    }
}
