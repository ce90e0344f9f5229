// SPDX-License-Identifier: MIT OR Apache-2.0
//! The prefix of printk before the text of a console line: level and facility, time, and
//! caller. Reads a bounded number of bytes of each line.

/// Microseconds by which a line may be older than the line that it interrupts: a CPU
/// takes the time stamp before it queues for the console.
const DISORDER_US: u64 = 1_000;
/// Microseconds by which it may be newer, because the console is slower than the log.
const LAG_US: u64 = 10_000_000;
/// Largest number of digits of a number, and of spaces before a number.
const DIGITS_MAX: usize = 10;
const SPACES_MAX: usize = 12;

/// The caller of printk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    /// A task, by PID.
    Task(u32),
    /// An interrupt, by CPU.
    Cpu(u32),
}

/// The parts of a prefix that the console shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    /// 0 to 7.
    pub(super) level: Option<u8>,
    /// Whether the facility is not the kernel's.
    pub(super) from_userspace: bool,
    /// Microseconds since the kernel's start.
    pub(super) stamp_us: Option<u64>,
    pub(super) caller: Option<Caller>,
}

impl Prefix {
    /// Splits `<4>`, `[    1.234567]`, `[    T1]` and a space off the start of a line.
    pub(super) fn take(line: &str) -> (Self, &str) {
        let (prefix, length) = Self::read(line.as_bytes());
        // The prefix is ASCII, so `length` is a character boundary.
        (prefix, line.get(length..).unwrap_or_default())
    }

    /// Returns the prefix of these bytes if it has a level and a time.
    pub(super) fn complete(bytes: &[u8]) -> Option<Self> {
        let (prefix, _) = Self::read(bytes);
        (prefix.level.is_some() && prefix.stamp_us.is_some()).then_some(prefix)
    }

    /// Returns whether a line with the prefix `inside` can have interrupted a line with
    /// this prefix. A quoted line of an old log has an older time.
    pub(super) fn is_interrupted_by(&self, inside: &Self) -> bool {
        let (Some(outside), Some(inside)) = (self.stamp_us, inside.stamp_us) else {
            return true;
        };
        let disorder = if self.from_userspace { 0 } else { DISORDER_US };
        let earliest = outside.saturating_sub(disorder);
        (earliest..=outside.saturating_add(LAG_US)).contains(&inside)
    }

    fn read(bytes: &[u8]) -> (Self, usize) {
        let mut prefix = Self::default();
        let mut reader = Reader { bytes, at: 0 };
        if let Some(priority) = reader.attempt(Reader::priority) {
            prefix.level = Some((priority & 7) as u8);
            prefix.from_userspace = priority >> 3 != 0;
        }
        prefix.stamp_us = reader.attempt(Reader::stamp);
        if prefix == Self::default() {
            return (prefix, 0);
        }
        prefix.caller = reader.attempt(Reader::caller);
        if prefix.stamp_us.is_some() || prefix.caller.is_some() {
            reader.attempt(|reader| reader.byte(b' '));
        }
        (prefix, reader.at)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Applies `read`, and restores the position if it fails.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let value = read(self);
        if value.is_none() {
            self.at = start;
        }
        value
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn spaces(&mut self) {
        let start = self.at;
        while self.at < start + SPACES_MAX && self.byte(b' ').is_some() {}
    }

    fn number(&mut self) -> Option<(u64, usize)> {
        let rest = self.bytes.get(self.at..)?;
        let digits = rest.iter().take(DIGITS_MAX + 1);
        let digits = digits.take_while(|byte| byte.is_ascii_digit());
        let (value, count) = digits.fold((0u64, 0), |(value, count), digit| {
            (value * 10 + u64::from(digit - b'0'), count + 1)
        });
        if count == 0 || count > DIGITS_MAX {
            return None;
        }
        self.at += count;
        Some((value, count))
    }

    fn priority(&mut self) -> Option<u16> {
        self.byte(b'<')?;
        let (value, _) = self.number()?;
        self.byte(b'>')?;
        u16::try_from(value).ok()
    }

    fn stamp(&mut self) -> Option<u64> {
        self.byte(b'[')?;
        self.spaces();
        let (seconds, _) = self.number()?;
        self.byte(b'.')?;
        let (micros, digits) = self.number()?;
        self.byte(b']')?;
        (digits == 6).then_some(seconds * 1_000_000 + micros)
    }

    fn caller(&mut self) -> Option<Caller> {
        self.byte(b'[')?;
        self.spaces();
        let make = match self.byte(b'T') {
            Some(()) => Caller::Task,
            None => {
                self.byte(b'C')?;
                Caller::Cpu
            }
        };
        let (id, _) = self.number()?;
        self.byte(b']')?;
        u32::try_from(id).ok().map(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_accepts_missing_parts() {
        let (prefix, text) = Prefix::take("<4>[   12.345678][  T101] pci: gone");
        assert_eq!(
            prefix,
            Prefix {
                level: Some(4),
                from_userspace: false,
                stamp_us: Some(12_345_678),
                caller: Some(Caller::Task(101)),
            }
        );
        assert_eq!(text, "pci: gone");
        let (prefix, text) = Prefix::take("[    0.000000][    C3]  indented");
        assert_eq!(
            (prefix.caller, text),
            (Some(Caller::Cpu(3)), " indented"),
            "the second space belongs to the text"
        );
        for text in [
            "[    1.2][ T1] odd",
            "[T1] x",
            "<x>y",
            "[ 1.123456",
            "<4",
            "",
        ] {
            assert_eq!(Prefix::take(text), (Prefix::default(), text));
        }
        assert_eq!(Prefix::take("<12>x").1, "x");
        assert!(Prefix::take("<12>x").0.from_userspace);
        let huge = "<4>[99999999999.000000] x";
        assert_eq!(Prefix::take(huge).1, "[99999999999.000000] x");
    }

    #[test]
    fn is_interrupted_by_rejects_older_lines() {
        let at = |text| Prefix::take(text).0;
        let kernel = at("<4>[   10.000000][    T1] x");
        let user = at("<12>[   10.000000][    T1] x");
        let interrupts = |outside: Prefix, inside| outside.is_interrupted_by(&at(inside));
        assert!(interrupts(kernel, "<0>[    9.999900][    T2] y"));
        assert!(!interrupts(user, "<0>[    9.999900][    T2] y"));
        assert!(!interrupts(kernel, "<0>[    2.000000][    T2] y"));
        assert!(interrupts(user, "<0>[   10.000001][    T2] y"));
        assert!(!interrupts(user, "<0>[   99.000000][    T2] y"));
        assert!(interrupts(Prefix::default(), "<0>[    2.000000][    T2] y"));
    }
}
