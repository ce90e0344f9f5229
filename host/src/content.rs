// SPDX-License-Identifier: MIT OR Apache-2.0
//! Content ids: SHA-256 over length-prefixed parts.

use std::io::Read;

use sha2::{Digest, Sha256};

use crate::cache::hex;

/// Hashes labelled parts.
#[derive(Clone, Debug, Default)]
pub struct ContentId(Sha256);

impl ContentId {
    /// Starts an id; ids of different kinds differ.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self::default().part(kind)
    }

    /// Adds a part. Its length is hashed first, so that `ab`, `c` and `a`, `bc` differ.
    #[must_use]
    pub fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a part of `bytes` bytes from a reader, in chunks. If the reader returns fewer
    /// bytes, the id differs from the id of every complete part.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn part_from(mut self, reader: impl Read, bytes: u64) -> std::io::Result<Self> {
        self.0.update(bytes.to_le_bytes());
        std::io::copy(&mut reader.take(bytes), &mut self.0)?;
        Ok(self)
    }

    /// Returns the first 128 bits in hexadecimal.
    #[must_use]
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_separates_adjacent_parts() {
        let first = ContentId::new("t").part("ab").part("c").finish();
        let second = ContentId::new("t").part("a").part("bc").finish();
        assert_ne!(first, second);
        assert_eq!(first.len(), 32);
    }

    #[test]
    fn part_from_gives_the_same_id_as_part() {
        let bytes = vec![7; 100_000];
        let read = |reader: &[u8], bytes| ContentId::new("t").part_from(reader, bytes);
        let whole = ContentId::new("t").part(&bytes).finish();
        assert_eq!(read(&bytes, 100_000).unwrap().finish(), whole);
        assert_ne!(read(&bytes[1..], 100_000).unwrap().finish(), whole);
        let longer = [&bytes[..], b"more"].concat();
        assert_eq!(read(&longer, 100_000).unwrap().finish(), whole);
    }
}
