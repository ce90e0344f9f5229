// SPDX-License-Identifier: GPL-2.0-only
//! Bytes of a console to lines: what printk put before the text is taken off and
//! kept, colours and carriage returns go, and each line knows its boot.

use vm_images::{stage_begins_marker, stage_ends_marker};

use crate::text::clean;

/// Bytes of a line that are kept.
const LINE_BYTES_MAX: usize = 4096;
/// Lines of a log that are read; one with more is not read whole, and says so.
pub(super) const LINES_MAX: usize = 2_000_000;
/// KERN_ERR
const ERROR: u8 = 3;
/// KERN_WARNING
const WARNING: u8 = 4;

/// When in its boot a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the stage's program began.
    Before,
    /// While the stage's program ran.
    During,
    /// After the stage's program ended.
    After,
}

/// A line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text without what printk puts before it.
    pub text: String,
    /// Level (0 to 7), when the console shows it.
    pub level: Option<u8>,
    /// Whether userspace wrote it, when the console shows that.
    pub from_userspace: bool,
    /// Microseconds since the kernel's start, when the console shows them.
    pub stamp_us: Option<u64>,
    /// Which kernel wrote it, from 1; 0 is before the first one's banner.
    pub boot: usize,
    /// When in its boot it was written.
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

/// Splits a console's bytes into lines.
pub(super) fn lines(serial: &[u8]) -> Vec<Line> {
    let mut boot = 0;
    let mut phase = Phase::Before;
    let mut lines = Vec::new();
    for bytes in serial.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let text = clean(bytes, LINE_BYTES_MAX);
        let (prefix, text) = Prefix::take(&text);
        // Only a kernel that starts has the banner at time zero.
        if text.starts_with("Linux version ")
            && !prefix.from_userspace
            && prefix.stamp_us.is_none_or(|stamp| stamp < 100_000)
        {
            boot += 1;
            phase = Phase::Before;
        }
        phase = phase_at(phase, boot, &prefix, text);
        if text.is_empty() && prefix == Prefix::default() {
            continue;
        }
        lines.push(Line {
            text: text.to_owned(),
            level: prefix.level,
            from_userspace: prefix.from_userspace,
            stamp_us: prefix.stamp_us,
            boot,
            phase,
        });
    }
    lines
}

/// The phase from this line on: a boot's own marks turn it on, in their order, and
/// only where the guest's own PID 1 can have written them.
fn phase_at(phase: Phase, boot: usize, prefix: &Prefix, text: &str) -> Phase {
    let kernel_wrote_it = prefix.level.is_some() && !prefix.from_userspace;
    let Some(stage) = u32::try_from(boot).ok().filter(|_| !kernel_wrote_it) else {
        return phase;
    };
    match phase {
        Phase::Before if text == stage_begins_marker(stage) => Phase::During,
        Phase::During if text == stage_ends_marker(stage) => Phase::After,
        same => same,
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Prefix {
    level: Option<u8>,
    from_userspace: bool,
    stamp_us: Option<u64>,
}

impl Prefix {
    /// Takes `<4>`, `[    1.234567]` and `[    T1]` off the front of a line.
    fn take(line: &str) -> (Self, &str) {
        let mut prefix = Self::default();
        let mut rest = line;
        if let Some((number, after)) = bracketed(rest, '<', '>')
            && let Ok(priority) = number.parse::<u16>()
        {
            prefix.level = Some((priority & 7) as u8);
            prefix.from_userspace = priority >> 3 != 0;
            rest = after;
        }
        let Some((stamp, after)) =
            bracketed(rest, '[', ']').and_then(|(text, after)| Some((stamp(text)?, after)))
        else {
            return (prefix, rest);
        };
        prefix.stamp_us = Some(stamp);
        rest = after;
        if let Some((caller, after)) = bracketed(rest, '[', ']')
            && is_caller(caller)
        {
            rest = after;
        }
        (prefix, rest.strip_prefix(' ').unwrap_or(rest))
    }
}

fn bracketed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    text.strip_prefix(open)?.split_once(close)
}

/// "    1.234567" to microseconds.
fn stamp(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.trim_start().split_once('.')?;
    if fraction.len() != 6 || seconds.len() > 10 {
        return None;
    }
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?)
}

/// "    T1" for a task, "    C0" for a processor.
fn is_caller(text: &str) -> bool {
    let id = text.trim_start();
    let number = id.strip_prefix(['T', 'C']);
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_printk_puts_before_the_text_is_taken_off() {
        let serial = b"<4>[   12.345678][  T101] pci 0000:01:00.0: gone\r\n\
            [    0.000000][    T0] \x1b[32mhello\x1b[0m\nplain [no stamp] text\n";
        let lines = lines(serial);
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
    fn boots_and_phases_are_told_apart() {
        let serial = b"SeaBIOS\n[    0.000000][    T0] Linux version 7.3.4 (x)\n\
            <12>[    1.000000][    T1] testbed: stage 1 begins\nsplat\n\
            <12>[    1.100000][    T1] testbed: stage 1 ends\n[    1.2][ T1] odd\n\
            [    5.000000][   T9] Linux version fake\n\
            [    0.000000][    T0] Linux version 7.3.4 (x)\n";
        let lines = lines(serial);
        let seen: Vec<_> = lines.iter().map(|line| (line.boot, line.phase)).collect();
        assert_eq!(seen[0], (0, Phase::Before));
        assert_eq!(seen[1], (1, Phase::Before));
        assert_eq!(seen[3], (1, Phase::During));
        assert_eq!(seen[5], (1, Phase::After));
        assert_eq!(
            seen[6].0, 1,
            "a banner in the middle of a boot is somebody's joke"
        );
        assert_eq!(seen[7], (2, Phase::Before));
        assert!(lines[2].from_userspace && !lines[2].is_warning());
    }

    #[test]
    fn the_markers_are_those_that_the_guest_writes() {
        let begins = vm_images::stage_begins_marker(2);
        let ends = vm_images::stage_ends_marker(2);
        let serial = format!("Linux version 1\nLinux version 1\n{begins}\n{ends}\n");
        let seen: Vec<_> = lines(serial.as_bytes())
            .iter()
            .map(|line| line.phase)
            .collect();
        let before = Phase::Before;
        assert_eq!(seen, [before, before, Phase::During, Phase::After]);
    }

    #[test]
    fn nobody_else_writes_a_marker() {
        let phase_after = |marks: &str| {
            let serial = format!("Linux version 1\n{marks}\nlast\n");
            lines(serial.as_bytes()).last().unwrap().phase
        };
        let begins = "<13>[    1.000000][    T1] testbed: stage 1 begins";
        assert_eq!(phase_after(begins), Phase::During);
        for forged in [
            "<4>[    1.000000][    T1] testbed: stage 1 ends",
            "<13>[    1.000000][    T1] testbed: stage 1 ends here",
            "<13>[    1.000000][    T1] testbed: stage 2 ends",
            "<13>[    1.000000][    T1] testbed: stage of a rocket",
        ] {
            assert_eq!(phase_after(&format!("{begins}\n{forged}")), Phase::During);
        }
        let ends = begins.replace("begins", "ends");
        assert_eq!(
            phase_after(&format!("{begins}\n{ends}\n{begins}")),
            Phase::After
        );
        assert_eq!(phase_after("testbed: stage 1 ends"), Phase::Before);
    }
}
