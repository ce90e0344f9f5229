// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files sent by the host.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use patchbed_protocol::Content;

/// Writes or replaces a file, and creates its folders.
pub(crate) fn put(path: &str, mode: u32, content: Content) -> io::Result<()> {
    let data = content.unpack().map_err(io::Error::other)?;
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(&data)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}
