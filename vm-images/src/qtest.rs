// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client for QEMU's test port, which accesses the guest's physical addresses like a
//! processor, also while the guest is stopped. The guest cannot detect it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Time limit for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Maximum number of bytes of a read.
const READ_BYTES_MAX: usize = 4096;

/// Maximum length of an answer in bytes: two digits for each byte, and a few words.
const ANSWER_BYTES_MAX: u64 = 2 * READ_BYTES_MAX as u64 + 64;

/// A connection to the test port.
#[derive(Debug)]
pub(crate) struct Qtest {
    stream: BufReader<UnixStream>,
}

impl Qtest {
    /// Returns a client for a new connection.
    pub(crate) fn connect(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Reads up to 4096 bytes from an address.
    pub(crate) fn read(&mut self, address: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let answer = self.ask(&format!("read {address:#x} {bytes:#x}"))?;
        let found = answer.strip_prefix("0x").and_then(from_hex);
        found
            .filter(|found| found.len() == bytes)
            .ok_or_else(|| invalid(&answer))
    }

    /// Reads 32 bits from an address in one access.
    pub(crate) fn read_u32(&mut self, address: u64) -> io::Result<u32> {
        let answer = self.ask(&format!("readl {address:#x}"))?;
        let digits = answer.strip_prefix("0x").unwrap_or(&answer);
        u32::from_str_radix(digits.trim_start_matches('0'), 16)
            .or_else(|error| match digits.bytes().all(|byte| byte == b'0') {
                true => Ok(0),
                false => Err(error),
            })
            .map_err(|_| invalid(&answer))
    }

    /// Writes 16 bits to an address in one access.
    pub(crate) fn write_u16(&mut self, address: u64, value: u16) -> io::Result<()> {
        self.ask(&format!("writew {address:#x} {value:#x}"))
            .map(drop)
    }

    /// Writes 32 bits to an address in one access.
    pub(crate) fn write_u32(&mut self, address: u64, value: u32) -> io::Result<()> {
        self.ask(&format!("writel {address:#x} {value:#x}"))
            .map(drop)
    }

    /// Sends a command and returns the text after `OK` in the answer.
    fn ask(&mut self, command: &str) -> io::Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{command}\n").as_bytes())?;
        let mut line = String::new();
        (&mut self.stream)
            .take(ANSWER_BYTES_MAX)
            .read_line(&mut line)?;
        match line
            .strip_suffix('\n')
            .and_then(|line| line.strip_prefix("OK"))
        {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(invalid(&line)),
        }
    }
}

fn invalid(answer: &str) -> io::Error {
    io::Error::other(format!(
        "QEMU's test port sent the invalid answer `{}`",
        answer.escape_debug()
    ))
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(answers: &str) -> (Qtest, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answers.as_bytes()).unwrap();
        (Qtest::connect(ours).unwrap(), theirs)
    }

    #[test]
    fn reads_and_writes_send_commands_and_parse_answers() {
        let (mut port, theirs) =
            port("OK 0x0a10\nOK 0x00000000010000ed\nOK 0x0000000000000000\nOK\n");
        assert_eq!(port.read(0xb000_0000, 2).unwrap(), [0x0a, 0x10]);
        assert_eq!(port.read_u32(0xfe00_0000).unwrap(), 0x0100_00ed);
        assert_eq!(port.read_u32(0xfe00_0000).unwrap(), 0);
        port.write_u16(4, 0x103).unwrap();
        let mut asked = BufReader::new(theirs).lines();
        assert_eq!(asked.next().unwrap().unwrap(), "read 0xb0000000 0x2");
        assert_eq!(asked.nth(2).unwrap().unwrap(), "writew 0x4 0x103");
    }

    #[test]
    fn read_rejects_invalid_answers() {
        for answer in ["FAIL Unknown command\n", "OK 0x0\n", "OK 0xzz\n", "OK"] {
            let (mut port, theirs) = port(answer);
            drop(theirs);
            assert!(port.read(0, 1).is_err(), "{answer:?}");
        }
    }
}
