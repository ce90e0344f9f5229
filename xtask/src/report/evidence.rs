// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the artifacts of a run that are printed in reports: timelines, and kernel reports
//! with the source lines of their frames. All sizes are limited. No result depends on this
//! text, so missing or damaged files are left out.

mod splat;
mod symbols;

use std::collections::BTreeMap;

use patchbed_host::files::read_plain;
use selftests::scenario::Scenario;

pub use splat::SplatEvidence;
#[cfg(test)]
pub(crate) use splat::SplatLine;
use symbols::Symbols;

use crate::engine::record::Record;
use crate::engine::run_folder::RunFolder;
use crate::result::{JobResult, RunResult};

/// Larger files are not read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// At most this many bytes of a timeline are shown.
const TIMELINE_BYTES_MAX: usize = 16 * 1024;

/// The text beside the result of a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The run folder, as printed.
    pub run: String,
    /// Options beyond test, checkout and config that reproduce the run.
    pub options: String,
    /// Scenarios by name.
    pub stories: BTreeMap<String, Story>,
    /// Jobs by the name of their folder.
    pub jobs: BTreeMap<String, JobEvidence>,
}

/// Title and reason of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The tested property, one line.
    pub title: String,
    /// The reason for the test.
    pub why: String,
}

impl Story {
    /// Returns the stories of scenarios, by their names.
    pub fn of_all(scenarios: &[Scenario]) -> BTreeMap<String, Self> {
        let story = |scenario: &Scenario| Self {
            title: scenario.title.clone(),
            why: scenario.why.clone(),
        };
        scenarios
            .iter()
            .map(|scenario| (scenario.name.clone(), story(scenario)))
            .collect()
    }
}

/// The text that a job left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobEvidence {
    pub(crate) timeline: Excerpt,
    pub(crate) splats: Vec<SplatEvidence>,
    /// The number of splats that are left out.
    pub splats_left_out: usize,
}

/// The beginning of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    pub(crate) text: String,
    /// The number of bytes that are left out.
    pub left_out_bytes: usize,
}

impl Excerpt {
    /// Returns at most `bytes_max` bytes of a text, in whole lines if it has any.
    pub fn of(text: &str, bytes_max: usize) -> Self {
        if text.len() <= bytes_max {
            return Self {
                text: text.to_owned(),
                left_out_bytes: 0,
            };
        }
        let head = &text[..text.floor_char_boundary(bytes_max)];
        let head = head.rfind('\n').map_or(head, |end| &head[..=end]);
        Self {
            text: head.to_owned(),
            left_out_bytes: text.len() - head.len(),
        }
    }
}

impl Evidence {
    /// Reads the text that the jobs left in their folders.
    pub fn gather(
        result: &RunResult,
        folder: &RunFolder,
        run: &str,
        options: &str,
        scenarios: &[Scenario],
    ) -> Self {
        let stories = Story::of_all(scenarios);
        let mut symbols = Symbols::default();
        let mut jobs = BTreeMap::new();
        for job in &result.jobs {
            let left = read_job(job, folder, &mut symbols);
            jobs.insert(job.artifacts.clone(), left);
        }
        Self {
            run: run.to_owned(),
            options: options.to_owned(),
            stories,
            jobs,
        }
    }
}

fn read_job(job: &JobResult, folder: &RunFolder, symbols: &mut Symbols) -> JobEvidence {
    let place = folder.path().join(&job.artifacts);
    let text = |name: &str| {
        let bytes = read_plain(&place.join(name), FILE_BYTES_MAX).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (mut splats, splats_left_out) = splat::parse(&text("splats.txt"));
    let record = Record::read(&job.plan(), folder).ok();
    if let Some(record) = record.filter(|_| !splats.is_empty()) {
        for splat in &mut splats {
            if let Some(kernel) = record.binaries.symbols_of(splat.kernel) {
                symbols.explain(splat, kernel);
            }
        }
    }
    JobEvidence {
        timeline: Excerpt::of(&text("timeline.txt"), TIMELINE_BYTES_MAX),
        splats,
        splats_left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_ends_at_a_line_or_character_and_counts_the_rest() {
        assert_eq!(Excerpt::of("a\nb\n", 10).left_out_bytes, 0);
        let cut = Excerpt::of("first\nsecond\n", 8);
        assert_eq!((cut.text.as_str(), cut.left_out_bytes), ("first\n", 7));
        let cut = Excerpt::of("äöü", 3);
        assert_eq!((cut.text.as_str(), cut.left_out_bytes), ("ä", 4));
    }
}
