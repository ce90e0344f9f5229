// SPDX-License-Identifier: GPL-2.0-only
//! What the jobs of a run left behind for people, read and bounded: timelines, and
//! reports of the kernel with the source lines of their frames. Decides nothing,
//! and what is missing or damaged is left out: a verdict never rests on it.

mod splat;
mod symbols;

use std::collections::BTreeMap;

use patchbed_host::files::read_plain;
use selftests::scenario::Scenario;

pub(crate) use splat::SplatEvidence;
#[cfg(test)]
pub(crate) use splat::SplatLine;
use symbols::Symbols;

use crate::record::Record;
use crate::result::{JobResult, RunResult};
use crate::run_folder::RunFolder;

/// No file that is read here is larger, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Of a timeline, so many bytes are cached.
const TIMELINE_BYTES_MAX: usize = 16 * 1024;

/// What there is to read beside the result of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// The run folder, for people.
    pub(crate) run: String,
    /// Options beyond scenario, checkout and config that make the same run again.
    pub(crate) again: String,
    /// Scenarios by name.
    pub(crate) stories: BTreeMap<String, Story>,
    /// Jobs by the name of their folder.
    pub(crate) jobs: BTreeMap<String, JobEvidence>,
}

/// What a scenario is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Story {
    /// The property under test, one line.
    pub(crate) title: String,
    /// Why it matters.
    pub(crate) why: String,
}

impl Story {
    /// Returns the stories of scenarios, by their names.
    pub(crate) fn of_all(scenarios: &[Scenario]) -> BTreeMap<String, Self> {
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

/// What a job left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobEvidence {
    pub(crate) timeline: Excerpt,
    pub(crate) splats: Vec<SplatEvidence>,
    /// How many more splats there are.
    pub(crate) splats_left_out: usize,
}

/// The beginning of a text, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) text: String,
    /// How many bytes follow that are left out.
    pub(crate) left_out_bytes: usize,
}

impl Excerpt {
    /// Returns at most `bytes_max` bytes of a text, in whole lines if it has any.
    pub(crate) fn of(text: &str, bytes_max: usize) -> Self {
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
    /// Reads what the jobs of a result left in their folders.
    pub(crate) fn gather(
        result: &RunResult,
        folder: &RunFolder,
        run: &str,
        again: &str,
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
            again: again.to_owned(),
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
    fn an_excerpt_ends_with_a_line_and_says_what_is_left_out() {
        assert_eq!(Excerpt::of("a\nb\n", 10).left_out_bytes, 0);
        let cut = Excerpt::of("first\nsecond\n", 8);
        assert_eq!((cut.text.as_str(), cut.left_out_bytes), ("first\n", 7));
        let cut = Excerpt::of("äöü", 3);
        assert_eq!((cut.text.as_str(), cut.left_out_bytes), ("ä", 4));
    }
}
