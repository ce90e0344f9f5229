// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads files whose type and size are not trusted.

use std::io::{Error, ErrorKind, Read};

use camino::Utf8Path;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;

/// Returns the content of a regular file of at most `limit` bytes. Pipes, devices and
/// folders are refused before any read.
///
/// # Errors
/// When the path is no regular file, the file is too large, or it cannot be read.
pub fn read_plain(path: &Utf8Path, limit: u64) -> std::io::Result<Vec<u8>> {
    // Without O_NONBLOCK, opening a pipe for reading blocks until a writer opens it.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        let message = format!("`{path}` is not a regular file");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("`{path}` has more than {limit} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Returns the text of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`read_plain`], and when it is not UTF-8; the error names the file.
pub fn read_text(path: &Utf8Path, limit: u64) -> std::io::Result<String> {
    String::from_utf8(read_plain(path, limit)?).map_err(|error| {
        let after = error.utf8_error().valid_up_to();
        let message = format!("`{path}` is not UTF-8 from byte {after} on");
        Error::new(ErrorKind::InvalidData, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_accepts_regular_files_within_the_limit_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(root.join("f"), "12345").unwrap();
        assert_eq!(read_plain(&root.join("f"), 5).unwrap(), b"12345");
        assert!(read_plain(&root.join("f"), 4).is_err());
        assert!(read_plain(root, 5).is_err());
        assert!(read_plain(Utf8Path::new("/dev/zero"), 5).is_err());
        assert_eq!(read_text(&root.join("f"), 5).unwrap(), "12345");
        fs::write(root.join("bytes"), b"12\xff").unwrap();
        let error = read_text(&root.join("bytes"), 5).unwrap_err().to_string();
        assert!(
            error.ends_with("bytes` is not UTF-8 from byte 2 on"),
            "{error}"
        );
        let pipe = root.join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        assert!(read_plain(&pipe, 5).is_err());
    }
}
