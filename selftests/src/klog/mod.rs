// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the bytes of a serial console into lines, boots and splats. The parser never
//! fails and never panics; input that it does not recognise stays an ordinary line. Which
//! splats are expected is decided in `status`.

mod class;
mod draft;
mod find;
mod heading;
mod line;
mod selftest;
mod splat;

pub use class::SplatClass;
pub use line::{Caller, Line, Phase};
pub use splat::Splat;

/// A parsed serial log.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// All lines, in order.
    pub lines: Vec<Line>,
    /// All splats, in order of their first lines.
    pub splats: Vec<Splat>,
    /// Whether the log exceeds the limits, so that its end was not parsed.
    pub is_cut: bool,
    /// For each line whether it belongs to a splat.
    in_splat: Vec<bool>,
}

impl Log {
    /// Parses the bytes of a serial console.
    #[must_use]
    pub fn parse(serial: &[u8]) -> Self {
        let (lines, is_cut) = line::lines(serial, line::LIMITS);
        let found = find::find(&lines);
        let mut in_splat = vec![false; lines.len()];
        for draft in found.drafts.iter().chain(&found.provoked) {
            for index in draft.all_lines() {
                in_splat[index] = true;
            }
        }
        let splats = found.drafts.into_iter();
        let mut splats: Vec<Splat> = splats.map(|draft| Splat::new(draft, &lines)).collect();
        splats.sort_by_key(|splat| splat.lines[0]);
        Self {
            lines,
            splats,
            is_cut: is_cut || found.is_cut,
            in_splat,
        }
    }

    /// Returns the lines of a splat of this log.
    pub fn lines_of<'a>(&'a self, splat: &'a Splat) -> impl Iterator<Item = &'a Line> {
        splat
            .lines
            .iter()
            .filter_map(|index| self.lines.get(*index))
    }

    /// Returns the number of kernels that printed their banner.
    #[must_use]
    pub fn boots(&self) -> usize {
        self.lines.last().map_or(0, |line| line.boot)
    }

    /// Returns a line's text without the parts that differ from run to run.
    #[must_use]
    pub fn normalised(line: &Line) -> String {
        splat::generic(&line.text)
    }

    /// Returns the splats of one boot, from 1.
    pub fn splats_of(&self, boot: usize) -> impl Iterator<Item = &Splat> {
        self.splats.iter().filter(move |splat| splat.boot == boot)
    }

    /// Returns the kernel's lines at level warning or worse that were written while the
    /// program of boot `boot` ran, except lines of splats and lines caused by a busy
    /// host. Returns no lines where [`shows_levels`](Self::shows_levels) is false.
    pub fn stray_warnings(&self, boot: usize) -> impl Iterator<Item = &Line> {
        self.stray(boot).filter(|line| {
            line.phase == Phase::During && line.is_warning() && !is_environment_noise(&line.text)
        })
    }

    /// Returns the kernel's lines at level error or worse that were written before the
    /// program of boot `boot` started or after it ended, except lines of splats and
    /// lines of every clean boot.
    pub fn stray_errors(&self, boot: usize) -> impl Iterator<Item = &Line> {
        self.stray(boot).filter(|line| {
            line.phase != Phase::During
                && line.is_error()
                && !is_environment_noise(&line.text)
                && !is_clean_boot_message(&line.text)
        })
    }

    /// Returns the line by which a kernel reports an unreliable calibration of its time
    /// stamp counter. The host stopped the guest during the calibration, so the guest's
    /// clock may run several times too fast.
    #[must_use]
    pub fn clock_doubt(&self) -> Option<&Line> {
        let mut lines = self.lines.iter();
        lines.find(|line| is_tsc_calibration_warning(&line.text))
    }

    /// Returns whether the console shows levels, as with `console_msg_format=syslog`.
    /// Without levels, warnings cannot be distinguished from other lines.
    #[must_use]
    pub fn shows_levels(&self, boot: usize) -> bool {
        let mut of_boot = self.lines.iter().filter(|line| line.boot == boot);
        of_boot.any(|line| line.level.is_some())
    }

    /// Returns whether the console has the markers of the start and of the end of the
    /// program of boot `boot`.
    #[must_use]
    pub fn shows_program(&self, boot: usize) -> bool {
        let has = |phase| {
            let mut lines = self.lines.iter();
            lines.any(|line| line.boot == boot && line.phase == phase)
        };
        has(Phase::During) && has(Phase::After)
    }

    /// Returns the lines of a boot that belong to no splat and are not separators.
    fn stray(&self, boot: usize) -> impl Iterator<Item = &Line> {
        let lines = self.lines.iter().zip(&self.in_splat);
        let stray = lines.filter(|(_, in_splat)| !**in_splat);
        stray.filter_map(move |(line, _)| {
            (line.boot == boot && !is_separator(&line.text)).then_some(line)
        })
    }
}

/// The start of a line, and why it is not a finding.
type Excuse = (&'static str, &'static str);

// The kernel under test does not cause the lines of these lists; all other warnings are
// findings. RCU stalls must not be listed, because a lost wakeup cannot be distinguished
// from a busy host.

/// Warnings of a guest whose virtual CPUs the host did not run for some time.
const HOST_NOISE: &[Excuse] = &[
    (
        "hrtimer: interrupt took ",
        "timers of a virtual CPU that does not run are late",
    ),
    (
        "perf: interrupt took too long",
        "the same, reported by event sampling",
    ),
    (
        "clocksource: ",
        "the clocksource watchdog measures the wait between its two readings",
    ),
    ("TSC found unstable", "printed after such a comparison"),
    ("Marking TSC unstable", "printed after such a comparison"),
    (
        "sched_clock: Marking unstable",
        "printed after such a comparison",
    ),
    (
        "sched: DL replenish lagged too much",
        "a deadline passed while the virtual CPU did not run",
    ),
];

/// Warnings caused by modules that tests load.
const MODULE_NOISE: &[Excuse] = &[(
    "sync_point: loading out-of-tree module taints kernel.",
    "the module that holds tasks at sync points",
)];

/// Lines at level error or worse of every clean boot or shutdown.
const CLEAN_BOOT: &[Excuse] = &[(
    "reboot: Power down",
    "printed at level emergency at every power-off",
)];

/// Returns whether a busy host, or a module that a test loads, causes this line.
fn is_environment_noise(text: &str) -> bool {
    // The name of the work function is in the middle of the line.
    let hogged = text.starts_with("workqueue: ") && text.contains(" hogged CPU for ");
    hogged || starts_with_any(text, HOST_NOISE) || starts_with_any(text, MODULE_NOISE)
}

/// Returns whether two calibrations of the time stamp counter gave different results.
/// The host stopped the guest during one of them.
fn is_tsc_calibration_warning(text: &str) -> bool {
    text.starts_with("tsc: PIT calibration deviates from ")
}

/// Returns whether every clean boot or shutdown prints this line at level error or worse.
fn is_clean_boot_message(text: &str) -> bool {
    starts_with_any(text, CLEAN_BOOT)
}

/// Returns whether a line only surrounds splats.
fn is_separator(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'=' | b'-' | b' '))
        || text == "Disabling lock debugging due to kernel taint"
}

fn starts_with_any(text: &str, excuses: &[Excuse]) -> bool {
    excuses.iter().any(|(start, _)| text.starts_with(start))
}

#[cfg(test)]
mod tests;
