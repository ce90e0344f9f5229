// SPDX-License-Identifier: GPL-2.0-only
//! Names for content: SHA-256 over parts that cannot run into one another.

use std::io::Read;

use patchbed_host::cache::hex;
use sha2::{Digest, Sha256};

/// Hashes labelled parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContentId(Sha256);

impl ContentId {
    pub(crate) fn new(kind: &str) -> Self {
        Self::default().part(kind.as_bytes())
    }

    /// Adds a part; its length goes in first, so that parts do not run together.
    #[must_use]
    pub(crate) fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds what a reader gives as a part of `bytes` bytes, of which few are held at once.
    /// Where it gives fewer, the name is that of no whole part.
    pub(crate) fn part_from(mut self, reader: impl Read, bytes: u64) -> std::io::Result<Self> {
        self.0.update(bytes.to_le_bytes());
        std::io::copy(&mut reader.take(bytes), &mut self.0)?;
        Ok(self)
    }

    /// Returns the first 128 bits in hexadecimal, enough to name things by.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let one = ContentId::new("t").part(b"ab").part(b"c").finish();
        let other = ContentId::new("t").part(b"a").part(b"bc").finish();
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
    }

    #[test]
    fn a_part_that_is_read_has_the_name_of_its_bytes() {
        let bytes = vec![7; 100_000];
        let read = |reader: &[u8], bytes| ContentId::new("t").part_from(reader, bytes);
        let whole = ContentId::new("t").part(&bytes).finish();
        assert_eq!(read(&bytes, 100_000).unwrap().finish(), whole);
        assert_ne!(read(&bytes[1..], 100_000).unwrap().finish(), whole);
        let longer = [&bytes[..], b"more"].concat();
        assert_eq!(read(&longer, 100_000).unwrap().finish(), whole);
    }
}
