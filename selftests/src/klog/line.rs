// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits the bytes of a console into lines: parses the prefix of printk (level and
//! facility, time, caller), removes escape sequences and carriage returns, and assigns
//! each line to a boot and a phase.

use serde::{Deserialize, Serialize};
use vm_images::{boot_begins_marker, boot_ends_marker};

use crate::text::clean;

/// Longer lines are cut, in bytes.
const LINE_BYTES_MAX: usize = 4096;
/// The rest of a log that exceeds these limits is not read, and the log is marked as cut.
pub(super) const LIMITS: Limits = Limits {
    lines: 1_000_000,
    text_bytes: 64 * 1024 * 1024,
};
/// Longer prefixes are not recognised, in bytes.
const PREFIX_BYTES_MAX: usize = 80;
/// Numbers with more digits are not recognised.
const DIGITS_MAX: usize = 10;
/// Microseconds by which a line may be older than the line that it interrupts: a CPU
/// takes the time stamp before it queues for the console.
const DISORDER_US: u64 = 1_000;
/// Microseconds by which it may be newer, because the console is slower than the log.
const LAG_US: u64 = 10_000_000;
/// KERN_ERR
const ERROR: u8 = 3;
/// KERN_WARNING
const WARNING: u8 = 4;

/// The part of its boot in which a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the boot's program started.
    Before,
    /// While the boot's program ran.
    During,
    /// After the boot's program ended.
    After,
}

/// The caller of printk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    /// A task, by PID.
    Task(u32),
    /// An interrupt, by CPU.
    Cpu(u32),
}

/// A line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The number of its line in the console log, from 1.
    pub number: usize,
    /// The text without the prefix of printk.
    pub text: String,
    /// The level (0 to 7), if the console shows it.
    pub level: Option<u8>,
    /// Whether userspace wrote it, through the kernel's log or directly to the console, as
    /// far as the prefix shows that.
    pub from_userspace: bool,
    /// Microseconds since the kernel's start, if the console shows them.
    pub stamp_us: Option<u64>,
    /// The caller of printk, if the console shows it.
    pub caller: Option<Caller>,
    /// The number of the boot, from 1; 0 before the banner of the first kernel.
    pub boot: usize,
    /// The part of its boot in which it was written.
    pub phase: Phase,
}

impl Line {
    /// Returns whether the kernel wrote it at level warning or worse.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        !self.from_userspace && self.level.is_some_and(|level| level <= WARNING)
    }

    /// Returns whether the kernel wrote it at level error or worse.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.is_warning() && self.level.is_some_and(|level| level <= ERROR)
    }
}

/// The parts of a prefix that the console shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Prefix {
    /// 0 to 7.
    level: Option<u8>,
    /// Whether the facility is not the kernel's.
    from_userspace: bool,
    /// Microseconds since the kernel's start.
    stamp_us: Option<u64>,
    caller: Option<Caller>,
}

impl Prefix {
    /// Splits `<4>`, `[    1.234567]`, `[    T1]` and a space off the start of a line.
    fn take(line: &str) -> (Self, &str) {
        let mut prefix = Self::default();
        let mut rest = line;
        if let Some((priority, after)) = priority(rest) {
            prefix.level = Some((priority & 7) as u8);
            prefix.from_userspace = priority >> 3 != 0;
            rest = after;
        }
        if let Some((stamp_us, after)) = stamp(rest) {
            prefix.stamp_us = Some(stamp_us);
            rest = after;
        }
        if prefix == Self::default() {
            return (prefix, line);
        }
        if let Some((caller, after)) = caller(rest) {
            prefix.caller = Some(caller);
            rest = after;
        }
        if prefix.stamp_us.is_some() || prefix.caller.is_some() {
            rest = rest.strip_prefix(' ').unwrap_or(rest);
        }
        (prefix, rest)
    }

    /// Returns the prefix of these bytes if it has a level and a time. It is called for
    /// every `<` of a line, so it reads a bounded number of bytes.
    fn complete(bytes: &[u8]) -> Option<Self> {
        let head = &bytes[..bytes.len().min(PREFIX_BYTES_MAX)];
        let head = head.utf8_chunks().next()?.valid();
        let (prefix, _) = Self::take(head);
        (prefix.level.is_some() && prefix.stamp_us.is_some()).then_some(prefix)
    }

    /// Returns whether a line with the prefix `inside` can have interrupted a line with
    /// this prefix. A quoted line of an old log has an older time.
    fn is_interrupted_by(&self, inside: &Self) -> bool {
        let (Some(outside), Some(inside)) = (self.stamp_us, inside.stamp_us) else {
            return true;
        };
        let disorder = if self.from_userspace { 0 } else { DISORDER_US };
        let earliest = outside.saturating_sub(disorder);
        (earliest..=outside.saturating_add(LAG_US)).contains(&inside)
    }
}

fn priority(text: &str) -> Option<(u16, &str)> {
    let (priority, rest) = number(text.strip_prefix('<')?)?;
    Some((u16::try_from(priority).ok()?, rest.strip_prefix('>')?))
}

fn stamp(text: &str) -> Option<(u64, &str)> {
    let (seconds, rest) = number(text.strip_prefix('[')?.trim_start_matches(' '))?;
    let fraction = rest.strip_prefix('.')?;
    let (micros, rest) = number(fraction)?;
    let has_micros = fraction.len() - rest.len() == 6;
    has_micros.then_some((seconds * 1_000_000 + micros, rest.strip_prefix(']')?))
}

fn caller(text: &str) -> Option<(Caller, &str)> {
    let text = text.strip_prefix('[')?.trim_start_matches(' ');
    let (id, rest) = number(text.strip_prefix(['T', 'C'])?)?;
    let id = u32::try_from(id).ok()?;
    let caller = match text.starts_with('T') {
        true => Caller::Task(id),
        false => Caller::Cpu(id),
    };
    Some((caller, rest.strip_prefix(']')?))
}

fn number(text: &str) -> Option<(u64, &str)> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let digits = &text[..text.len() - rest.len()];
    let number = (digits.len() <= DIGITS_MAX).then(|| digits.parse().ok())??;
    Some((number, rest))
}

/// The parts of the prefix that a kernel prints. They are taken from its banner; lines
/// with fewer parts are not from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Format {
    Bare,
    Stamps,
    Levels,
}

impl Format {
    fn of(prefix: &Prefix) -> Self {
        match (prefix.level, prefix.stamp_us) {
            (Some(_), _) => Self::Levels,
            (None, Some(_)) => Self::Stamps,
            (None, None) => Self::Bare,
        }
    }
}

/// Limits of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Number of lines.
    pub(super) lines: usize,
    /// Total length of the texts of all lines, in bytes.
    pub(super) text_bytes: usize,
}

/// Splits the bytes of a console into lines. The second value is whether the log exceeds
/// the limits.
pub(super) fn lines(serial: &[u8], limits: Limits) -> (Vec<Line>, bool) {
    let mut reader = Reader::new(limits);
    for bytes in serial.split(|byte| *byte == b'\n') {
        reader.bytes(bytes);
        if reader.is_cut {
            break;
        }
    }
    (reader.lines, reader.is_cut)
}

struct Reader {
    limits: Limits,
    /// The number of the current line of the console.
    number: usize,
    lines: Vec<Line>,
    text_bytes: usize,
    is_cut: bool,
    boot: usize,
    phase: Phase,
    format: Format,
}

impl Reader {
    const fn new(limits: Limits) -> Self {
        Self {
            limits,
            number: 0,
            lines: Vec::new(),
            text_bytes: 0,
            is_cut: false,
            boot: 0,
            phase: Phase::Before,
            format: Format::Bare,
        }
    }

    /// Reads the bytes of one console line. It may contain two lines, because a panic
    /// writes while another CPU is writing, and a program may omit the newline.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number += 1;
        if bytes.is_empty() {
            return;
        }
        let mut start = 0;
        let mut outside = Prefix::complete(bytes).unwrap_or_default();
        let mut next = 1;
        while self.format == Format::Levels
            && let Some(step) = bytes.get(next..).and_then(|rest| find(rest, b'<'))
        {
            let at = next + step;
            if let Some(inside) = Prefix::complete(&bytes[at..])
                && outside.is_interrupted_by(&inside)
            {
                self.line(&bytes[start..at]);
                (start, outside) = (at, inside);
            }
            next = at + 1;
        }
        self.line(&bytes[start..]);
    }

    fn line(&mut self, bytes: &[u8]) {
        let text = clean(bytes, LINE_BYTES_MAX);
        let (prefix, text) = Prefix::take(&text);
        if text.is_empty() && prefix == Prefix::default() || self.is_cut {
            return;
        }
        let text_bytes = self.text_bytes + text.len();
        if self.lines.len() == self.limits.lines || text_bytes > self.limits.text_bytes {
            self.is_cut = true;
            return;
        }
        let format = Format::of(&prefix);
        // A real banner has a time stamp close to zero.
        if text.starts_with("Linux version ")
            && !prefix.from_userspace
            && format >= self.format
            && prefix.stamp_us.is_none_or(|stamp| stamp < 100_000)
        {
            self.boot += 1;
            self.phase = Phase::Before;
            self.format = format;
        }
        let is_logged = format >= self.format;
        self.phase = self.phase_at(&prefix, is_logged, text);
        self.text_bytes = text_bytes;
        self.lines.push(Line {
            number: self.number,
            text: text.to_owned(),
            level: prefix.level,
            from_userspace: prefix.from_userspace || !is_logged,
            stamp_us: prefix.stamp_us,
            caller: prefix.caller,
            boot: self.boot,
            phase: self.phase,
        });
    }

    /// Returns the phase from this line on. It changes at the markers of the boot, in
    /// their order, and only if userspace (the guest's PID 1) wrote them.
    fn phase_at(&self, prefix: &Prefix, is_logged: bool, text: &str) -> Phase {
        let kernel_wrote_it = prefix.level.is_some() && !prefix.from_userspace;
        let may_be_marker = is_logged && !kernel_wrote_it;
        let Some(boot) = u32::try_from(self.boot).ok().filter(|_| may_be_marker) else {
            return self.phase;
        };
        match self.phase {
            Phase::Before if text == boot_begins_marker(boot) => Phase::During,
            Phase::During if text == boot_ends_marker(boot) => Phase::After,
            same => same,
        }
    }
}

fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    bytes.iter().position(|other| *other == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(serial: &[u8]) -> (Vec<Line>, bool) {
        super::lines(serial, LIMITS)
    }

    #[test]
    fn lines_removes_the_prefix_of_printk() {
        let serial = b"<4>[   12.345678][  T101] pci 0000:01:00.0: gone\r\n\
            [    0.000000][    T0] \x1b[32mhello\x1b[0m\nplain [no stamp] text\n";
        let (lines, _) = lines(serial);
        assert_eq!(lines[0].text, "pci 0000:01:00.0: gone");
        assert_eq!(
            (lines[0].level, lines[0].stamp_us),
            (Some(4), Some(12_345_678))
        );
        assert!(lines[0].is_warning());
        assert_eq!(lines[1].text, "hello");
        assert_eq!(lines[2].text, "plain [no stamp] text");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn lines_assigns_boots_and_phases() {
        let serial = b"SeaBIOS\n[    0.000000][    T0] Linux version 7.3.4 (x)\n\
            <12>[    1.000000][    T1] patchbed: boot 1 begins\nsplat\n\
            <12>[    1.100000][    T1] patchbed: boot 1 ends\n[    1.2][ T1] odd\n\
            [    5.000000][   T9] Linux version fake\n\
            [    0.000000][    T0] Linux version 7.3.4 (x)\n";
        let (lines, _) = lines(serial);
        let places: Vec<_> = lines.iter().map(|line| (line.boot, line.phase)).collect();
        assert_eq!(places[0], (0, Phase::Before));
        assert_eq!(places[1], (1, Phase::Before));
        assert_eq!(places[3], (1, Phase::During));
        assert_eq!(places[5], (1, Phase::After));
        assert_eq!(places[6].0, 1, "a banner in the middle of a boot is forged");
        assert_eq!(places[7], (2, Phase::Before));
        assert!(lines[2].from_userspace && !lines[2].is_warning());
    }

    #[test]
    fn lines_recognises_the_markers_of_the_guest() {
        let begins = vm_images::boot_begins_marker(2);
        let ends = vm_images::boot_ends_marker(2);
        let serial = format!("Linux version 1\nLinux version 1\n{begins}\n{ends}\n");
        let places: Vec<_> = lines(serial.as_bytes())
            .0
            .iter()
            .map(|line| line.phase)
            .collect();
        let before = Phase::Before;
        assert_eq!(places, [before, before, Phase::During, Phase::After]);
    }

    #[test]
    fn lines_ignores_forged_markers() {
        let phase_after = |markers: &str| {
            let serial = format!("Linux version 1\n{markers}\nlast\n");
            lines(serial.as_bytes()).0.last().unwrap().phase
        };
        let begins = "<13>[    1.000000][    T1] patchbed: boot 1 begins";
        assert_eq!(phase_after(begins), Phase::During);
        for forged in [
            "<4>[    1.000000][    T1] patchbed: boot 1 ends",
            "<13>[    1.000000][    T1] patchbed: boot 1 ends here",
            "<13>[    1.000000][    T1] patchbed: boot 2 ends",
            "<13>[    1.000000][    T1] patchbed: boot of a rocket",
        ] {
            assert_eq!(phase_after(&format!("{begins}\n{forged}")), Phase::During);
        }
        let ends = begins.replace("begins", "ends");
        assert_eq!(
            phase_after(&format!("{begins}\n{ends}\n{begins}")),
            Phase::After
        );
        assert_eq!(phase_after("patchbed: boot 1 ends"), Phase::Before);
    }

    #[test]
    fn lines_splits_a_line_that_starts_in_the_middle_of_another() {
        let banner = "<5>[    0.000000][    T0] Linux version 7.3.4\n";
        let texts = |rest: &str| {
            let (lines, _) = lines(format!("{banner}{rest}").as_bytes());
            let shown = |line: &Line| (line.text.clone(), line.from_userspace);
            lines[1..].iter().map(shown).collect::<Vec<_>>()
        };
        let both = |front: &str, user, back: &str| {
            vec![(front.to_owned(), user), (back.to_owned(), false)]
        };
        assert_eq!(
            texts("<4>[    1.000000][    T5] pci 0000<0>[    1.100000][    T6] Kernel panic\n"),
            both("pci 0000", false, "Kernel panic")
        );
        assert_eq!(
            texts("a program prints <0>[    1.100000][    T6] Kernel panic\n"),
            both("a program prints", true, "Kernel panic")
        );
        let far = format!("{}<0>[    1.100000][    T6] far", "x".repeat(10_000));
        assert_eq!(texts(&far)[1].0, "far");
        let quote = "<12>[    5.000000][    T7] old: <0>[    1.100000][    T6] Kernel panic\n";
        assert_eq!(texts(quote).len(), 1, "a quoted line is older");
    }

    #[test]
    fn lines_marks_output_that_bypasses_printk_as_userspace() {
        let serial = b"<5>[    0.000000][    T0] Linux version 7.3.4\nBUG: KASAN: fake\n\
            [    1.000000][    T1] BUG: KASAN: fake, from dmesg\n\
            Linux version 7.3.4, from /proc/version\n\
            patchbed: boot 1 begins\n<4>[    1.000000][    T9] true\n";
        let (lines, is_cut) = lines(serial);
        let user: Vec<bool> = lines.iter().map(|line| line.from_userspace).collect();
        assert_eq!(user, [false, true, true, true, true, false]);
        assert!(
            lines
                .iter()
                .all(|line| (line.boot, line.phase) == (1, Phase::Before))
        );
        assert_eq!(lines[5].caller, Some(Caller::Task(9)));
        assert!(!is_cut);
    }

    #[test]
    fn lines_stops_at_the_limits() {
        let limits = Limits {
            lines: 10,
            text_bytes: 100,
        };
        let count = |serial: &[u8]| {
            let (lines, is_cut) = super::lines(serial, limits);
            (lines.len(), is_cut)
        };
        let serial = "x\n".repeat(10);
        assert_eq!(count(serial.as_bytes()), (10, false));
        assert_eq!(count(format!("{serial}y").as_bytes()), (10, true));
        let long = format!("{}\n", "y".repeat(50));
        assert_eq!(count(long.repeat(2).as_bytes()), (2, false));
        assert_eq!(count(long.repeat(3).as_bytes()), (2, true));
        assert_eq!(
            count(&[b'\n'; 1000]),
            (0, false),
            "empty lines do not count"
        );
    }

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
