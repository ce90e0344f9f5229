// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads files whose type and size are not trusted, and reads and writes JSON files.

use std::collections::HashMap;
use std::fs::FileType;
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::publish;

/// Returns the content of a regular file of at most `limit` bytes. Pipes, devices and
/// folders are refused before any read. Fails when the path is no regular file, the file is
/// too large, or it cannot be read.
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

/// Returns the text of a regular file of at most `limit` bytes. Fails as [`read_plain`],
/// and when it is not UTF-8; the error names the file.
pub fn read_text(path: &Utf8Path, limit: u64) -> std::io::Result<String> {
    String::from_utf8(read_plain(path, limit)?).map_err(|error| {
        let after = error.utf8_error().valid_up_to();
        let message = format!("`{path}` is not UTF-8 from byte {after} on");
        Error::new(ErrorKind::InvalidData, message)
    })
}

/// Returns the paths of the entries of a folder, sorted. Entries that cannot be read or whose
/// names are not UTF-8 are skipped.
///
/// # Errors
/// When the folder cannot be read.
pub fn listing(folder: &Utf8Path) -> std::io::Result<Vec<Utf8PathBuf>> {
    let entries = folder.read_dir_utf8()?.filter_map(Result::ok);
    let mut paths: Vec<Utf8PathBuf> = entries.map(|entry| entry.into_path()).collect();
    paths.sort();
    Ok(paths)
}

/// Walks a folder in the order of file names; returns its entries with their paths relative to
/// it. Links are not followed, and paths that are not UTF-8 are skipped.
pub fn walk(root: &Utf8Path) -> impl Iterator<Item = std::io::Result<(Utf8PathBuf, FileType)>> {
    let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
    entries.filter_map(move |entry| match entry {
        Ok(entry) => {
            let path = Utf8Path::from_path(entry.path())?.strip_prefix(root).ok()?;
            Some(Ok((path.to_owned(), entry.file_type())))
        }
        Err(error) => Some(Err(error.into())),
    })
}

/// Returns whether a file has an executable bit.
pub fn is_executable(meta: &std::fs::Metadata) -> bool {
    meta.permissions().mode() & 0o111 != 0
}

/// Returns the value in a JSON file of at most `limit` bytes; `None` for a missing, damaged or
/// foreign file.
pub fn read_json<T: DeserializeOwned>(path: &Utf8Path, limit: u64) -> Option<T> {
    serde_json::from_slice(&read_plain(path, limit).ok()?).ok()
}

/// Writes a value to a JSON file atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json<T: Serialize>(path: &Utf8Path, value: &T) -> std::io::Result<()> {
    publish(path, &serde_json::to_vec(value)?)
}

/// Returns the result of a removal as success if the file or folder did not exist.
///
/// # Errors
/// All other errors.
pub fn missing_is_removed(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Skips lines or words that occurred before in any of several texts.
///
/// It is not generic, so that it is compiled in this crate, which is optimised also in
/// development builds: it reads the 80 MB of a kernel build's dependency files.
#[derive(Debug)]
pub struct Distinct {
    parts: Vec<Box<str>>,
    ids: HashMap<Box<str>, usize>,
    /// The part that followed each part last time. Texts repeat runs of parts, and comparing
    /// a part with this one is cheaper than hashing it.
    next: Vec<usize>,
    last: usize,
}

impl Default for Distinct {
    fn default() -> Self {
        Self {
            // A part that no line or word is equal to.
            parts: vec!["\n".into()],
            ids: HashMap::new(),
            next: vec![0],
            last: 0,
        }
    }
}

impl Distinct {
    /// Returns the lines of `text` that were not in `text` or an earlier text before.
    pub fn new_lines<'t>(&mut self, text: &'t str) -> Vec<&'t str> {
        text.split('\n').filter(|line| self.is_new(line)).collect()
    }

    /// Returns the words of `text` that were not in `text` or an earlier text before.
    pub fn new_words<'t>(&mut self, text: &'t str) -> Vec<&'t str> {
        let words = text.split_ascii_whitespace();
        words.filter(|word| self.is_new(word)).collect()
    }

    fn is_new(&mut self, part: &str) -> bool {
        let guess = self.next[self.last];
        if *self.parts[guess] == *part {
            self.last = guess;
            return false;
        }
        let known = self.ids.get(part).copied();
        let id = known.unwrap_or(self.parts.len());
        if known.is_none() {
            self.parts.push(part.into());
            self.ids.insert(part.into(), id);
            self.next.push(0);
        }
        self.next[self.last] = id;
        self.last = id;
        known.is_none()
    }
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

    #[test]
    fn distinct_returns_each_part_of_all_texts_once() {
        let mut lines = Distinct::default();
        assert_eq!(lines.new_lines("a\nb\na\n"), ["a", "b", ""]);
        assert_eq!(lines.new_lines("b\nc"), ["c"]);
        let mut words = Distinct::default();
        assert_eq!(words.new_words(" a b\ta "), ["a", "b"]);
        assert!(words.new_words("b a").is_empty());
    }
}
