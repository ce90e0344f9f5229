// SPDX-License-Identifier: GPL-2.0-only
//! The serial console's bytes to lines, boots and splats. Never fails and never
//! panics: what it cannot read stays a line. Knows no scenario, and so does not
//! know which splats are welcome.

mod class;
mod draft;
mod find;
mod frames;
mod heading;
mod line;
mod noise;
mod prefix;
mod selftest;
mod splat;
mod title;
mod trace;

pub use class::SplatClass;
pub use line::{Line, Phase};
pub use prefix::Caller;
pub use splat::Splat;

/// A serial log, parsed.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// All lines, in order.
    pub lines: Vec<Line>,
    /// All splats, in order of their first lines.
    pub splats: Vec<Splat>,
    /// Whether there was more than is read: nobody knows what it says.
    pub is_cut: bool,
    /// For each line whether a splat explains it.
    explained: Vec<bool>,
}

impl Log {
    /// Parses the bytes of a serial console.
    #[must_use]
    pub fn parse(serial: &[u8]) -> Self {
        let (lines, is_cut) = line::lines(serial, line::LIMITS);
        let found = find::find(&lines);
        let mut explained = vec![false; lines.len()];
        for draft in found.drafts.iter().chain(&found.staged) {
            for index in draft.all_lines() {
                explained[index] = true;
            }
        }
        let splats = found.drafts.into_iter();
        let mut splats: Vec<Splat> = splats.map(|draft| Splat::new(draft, &lines)).collect();
        splats.sort_by_key(|splat| splat.lines[0]);
        Self {
            lines,
            splats,
            is_cut: is_cut || found.is_cut,
            explained,
        }
    }

    /// Returns the lines of a splat of this log.
    pub fn lines_of<'a>(&'a self, splat: &'a Splat) -> impl Iterator<Item = &'a Line> {
        splat
            .lines
            .iter()
            .filter_map(|index| self.lines.get(*index))
    }

    /// Returns how many kernels said that they start.
    #[must_use]
    pub fn boots(&self) -> usize {
        self.lines.last().map_or(0, |line| line.boot)
    }

    /// Returns a line's text without what differs from run to run.
    #[must_use]
    pub fn normalised(line: &Line) -> String {
        title::generic(&line.text)
    }

    /// Returns the splats of one boot, from 1.
    pub fn splats_of(&self, boot: usize) -> impl Iterator<Item = &Splat> {
        self.splats.iter().filter(move |splat| splat.boot == boot)
    }

    /// Returns the kernel's lines at level warning or worse, written while the
    /// program of boot `boot` ran, that belong to no splat and that no busy host
    /// explains. Says nothing where [`shows_levels`](Self::shows_levels) is false.
    pub fn stray_warnings(&self, boot: usize) -> impl Iterator<Item = &Line> {
        self.stray(boot).filter(|line| {
            line.phase == Phase::During
                && line.is_warning()
                && !noise::is_of_surroundings(&line.text)
        })
    }

    /// Returns the kernel's lines at level error or worse, written before the
    /// program of boot `boot` began or after it ended, that belong to no splat and
    /// that not every clean boot says.
    pub fn stray_errors(&self, boot: usize) -> impl Iterator<Item = &Line> {
        self.stray(boot).filter(|line| {
            line.phase != Phase::During
                && line.is_error()
                && !noise::is_of_surroundings(&line.text)
                && !noise::is_of_clean_boot(&line.text)
        })
    }

    /// Returns the line by which a kernel says that it may be wrong about how fast its
    /// time stamp counter counts: the host kept it waiting while it measured, and its
    /// clock runs several times too fast.
    #[must_use]
    pub fn clock_doubt(&self) -> Option<&Line> {
        let mut lines = self.lines.iter();
        lines.find(|line| noise::doubts_clock(&line.text))
    }

    /// Returns whether the console shows levels (as with
    /// `console_msg_format=syslog`): where it does not, warnings are not told from
    /// other lines.
    #[must_use]
    pub fn shows_levels(&self, boot: usize) -> bool {
        let mut of_boot = self.lines.iter().filter(|line| line.boot == boot);
        of_boot.any(|line| line.level.is_some())
    }

    /// Returns whether the console shows where the program of boot `boot` began
    /// and where it ended.
    #[must_use]
    pub fn shows_program(&self, boot: usize) -> bool {
        let has = |phase| {
            let mut lines = self.lines.iter();
            lines.any(|line| line.boot == boot && line.phase == phase)
        };
        has(Phase::During) && has(Phase::After)
    }

    /// The lines of a boot that belong to no splat and say something.
    fn stray(&self, boot: usize) -> impl Iterator<Item = &Line> {
        let lines = self.lines.iter().zip(&self.explained);
        let stray = lines.filter(|(_, explained)| !**explained);
        stray.filter_map(move |(line, _)| {
            (line.boot == boot && !noise::is_decoration(&line.text)).then_some(line)
        })
    }
}

#[cfg(test)]
mod tests;
