// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of the report, and the details of each test with a config: its jobs, and their
//! timelines side by side.

use std::collections::BTreeSet;

use super::pair::{self, Pair};
use crate::report::evidence::{Evidence, Excerpt, JobEvidence, SplatEvidence};
use crate::report::reproduce;
use crate::result::{BootMode, Group, JobResult, Mark, Matrix, RunResult};
use crate::text::{distinct, duration};
use selftests::expectation::Expected;
use selftests::status::Status;
use vm_images::accel::Accelerator;

/// Limit for the splats of all jobs, in bytes; findings come first.
const SPLATS_BYTES_MAX: usize = 2_000_000;
/// Beyond this limit, at most this many lines of a splat are shown.
const LINES_BEYOND_LIMIT: usize = 12;
/// At most this many bytes of a difference from the snapshot are shown.
const DIFFERENCE_BYTES_MAX: usize = 8 * 1024;
/// At most this many bytes of a sentence are shown.
const SENTENCE_BYTES_MAX: usize = 2000;
/// At most this many repetitions of a job are listed.
const REPETITIONS_MAX: usize = 60;

/// A test with a config.
pub(super) struct Article<'a> {
    pub(super) id: String,
    pub(super) test: &'a str,
    pub(super) config: &'a str,
    pub(super) title: String,
    pub(super) why: String,
    pub(super) needs_attention: bool,
    pub(super) jobs: Vec<JobView<'a>>,
    pub(super) timelines: Vec<Pair>,
}

/// A job with all its repetitions.
pub(super) struct JobView<'a> {
    pub(super) id: String,
    pub(super) checkout: &'a str,
    /// The CSS class of its colour.
    pub(super) class: &'static str,
    /// Its statuses, each once.
    pub(super) statuses: String,
    /// The status; with repetitions, the number of each status.
    pub(super) word: String,
    /// How the status relates to its expectation and snapshot; empty for an expected pass.
    pub(super) mark: &'static str,
    pub(super) needs_attention: bool,
    pub(super) reason: String,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) splats: Vec<SplatEvidence>,
    pub(super) splats_left_out: usize,
    pub(super) difference: Option<Excerpt>,
    pub(super) command: String,
    /// The link from the report to the job's folder.
    pub(super) folder: String,
    pub(super) repetitions: Vec<Repetition<'a>>,
    pub(super) repetitions_left_out: usize,
}

/// One of several runs of a job.
pub(super) struct Repetition<'a> {
    pub(super) job: &'a JobResult,
    pub(super) took: String,
    pub(super) reason: String,
}

/// Returns the articles of a run: configs in the order of the plan, tests by name.
pub(super) fn articles<'a>(
    result: &'a RunResult,
    matrix: &Matrix<'a>,
    evidence: &Evidence,
) -> Vec<Article<'a>> {
    let whole = shown_whole(result, evidence);
    let (tests, mut articles) = (matrix.tests(), Vec::new());
    for config in matrix.configs() {
        let checkouts = matrix.checkouts_of(config);
        for test in &tests {
            let groups = checkouts.iter();
            let groups = groups.filter_map(|checkout| matrix.get(test, config, checkout));
            let groups: Vec<&Group<'a>> = groups.collect();
            if !groups.is_empty() {
                articles.push(article(&groups, evidence, &whole));
            }
        }
    }
    articles
}

/// Returns the folders of jobs whose splats are within the limit.
fn shown_whole<'a>(result: &'a RunResult, evidence: &Evidence) -> BTreeSet<&'a str> {
    let mut jobs: Vec<&JobResult> = result.jobs.iter().collect();
    jobs.sort_by_key(|job| !job.needs_attention());
    let mut bytes = 0;
    let fits = |job: &&JobResult| {
        let left = evidence.jobs.get(&job.artifacts);
        bytes += left.map_or(0, |left| left.splats.iter().map(size).sum());
        bytes <= SPLATS_BYTES_MAX
    };
    let whole = jobs.into_iter().take_while(fits);
    whole.map(|job| job.artifacts.as_str()).collect()
}

fn size(splat: &SplatEvidence) -> usize {
    let shown = |place: &String| place.len() + "<i></i>".len();
    let lines = splat.lines.iter();
    lines
        .map(|line| line.text.len() + line.places.iter().map(shown).sum::<usize>())
        .sum()
}

fn article<'a>(groups: &[&Group<'a>], evidence: &Evidence, whole: &BTreeSet<&str>) -> Article<'a> {
    let JobResult { test, config, .. } = groups[0].first();
    let story = evidence.stories.get(test).cloned().unwrap_or_default();
    let timeline = |group: &&Group<'a>| {
        let shown = group.most_relevant();
        let timeline = &evidence.jobs.get(&shown.artifacts)?.timeline;
        (!timeline.text.is_empty()).then_some((shown.checkout.as_str(), timeline))
    };
    let timelines: Vec<(&str, &Excerpt)> = groups.iter().filter_map(timeline).collect();
    Article {
        id: id(&[config, test]),
        test,
        config,
        title: sentence(&story.title),
        why: sentence(&story.why),
        needs_attention: groups
            .iter()
            .any(|group| group.any(JobResult::needs_attention)),
        timelines: pair::pairs(&timelines),
        jobs: groups
            .iter()
            .map(|group| view(group, evidence, whole))
            .collect(),
    }
}

fn view<'a>(group: &Group<'a>, evidence: &Evidence, whole: &BTreeSet<&str>) -> JobView<'a> {
    let job = group.most_relevant();
    let empty = JobEvidence::default();
    let left = evidence.jobs.get(&job.artifacts).unwrap_or(&empty);
    let mut splats = left.splats.clone();
    if !whole.contains(job.artifacts.as_str()) {
        splats.iter_mut().for_each(shorten);
    }
    let mark = group.mark();
    let repetitions = match group.jobs() {
        [_] => &[],
        all => all,
    };
    let difference = job.snapshot_difference.as_ref();
    JobView {
        id: job_id(&job.config, &job.test, &job.checkout),
        checkout: &job.checkout,
        class: class(mark, group),
        statuses: distinct(group.jobs().iter().map(|job| job.status.word())).join(" "),
        word: group.words(|job| job.status.to_string()),
        mark: mark.word(),
        needs_attention: mark.needs_attention(),
        reason: sentence(&job.reason),
        facts: facts(job),
        splats,
        splats_left_out: left.splats_left_out,
        difference: difference.map(|text| Excerpt::of(text, DIFFERENCE_BYTES_MAX)),
        command: reproduce::of_job(job, &evidence.options),
        folder: folder(&job.artifacts),
        repetitions: repetitions
            .iter()
            .take(REPETITIONS_MAX)
            .map(|job| repetition(job))
            .collect(),
        repetitions_left_out: repetitions.len().saturating_sub(REPETITIONS_MAX),
    }
}

fn shorten(splat: &mut SplatEvidence) {
    let more = splat.lines.len().saturating_sub(LINES_BEYOND_LIMIT);
    splat.lines.truncate(LINES_BEYOND_LIMIT);
    splat.lines_left_out += more;
}

fn repetition(job: &JobResult) -> Repetition<'_> {
    Repetition {
        job,
        took: duration(job.duration_ms),
        reason: sentence(&job.reason),
    }
}

fn class(mark: Mark, group: &Group<'_>) -> &'static str {
    match mark {
        Mark::Unexpected | Mark::Xpass => "bad",
        Mark::Inconclusive => "open",
        Mark::Changed => "changed",
        Mark::Xfail | Mark::NotAsserted => "xfail",
        Mark::None if group.any(|job| job.status == Status::Skip) => "skip",
        Mark::None => "good",
    }
}

fn facts(job: &JobResult) -> Vec<(&'static str, String)> {
    let mut facts = vec![("expected", job.expectation.to_string())];
    if let Some(cause) = job.cause {
        facts.push(("cause", cause.word().to_owned()));
    }
    facts.push(("took", duration(job.duration_ms)));
    if let Some(boot_mode) = job.boot_mode {
        let how = match boot_mode {
            BootMode::Restore => "restored from a checkpoint",
            BootMode::Cold => "cold boot",
            BootMode::ColdInstead => "cold boot, because the restore failed",
        };
        let ready = duration(job.boot_ms);
        facts.push(("boot", format!("{how}, ready after {ready}")));
    }
    let accelerator = match job.accel {
        None => "",
        Some(Accelerator::Kvm) => " under KVM",
        Some(Accelerator::Tcg) => " under emulation",
    };
    let shared = match job.shared {
        true => ", guest shared with other jobs",
        false => "",
    };
    facts.push(("machine", format!("{}{accelerator}{shared}", job.machine)));
    if let Some(cached) = &job.cached {
        facts.push(("cached from", format!("{} at {}", cached.run, cached.at)));
    }
    facts
}

/// Results by test and checkout.
pub(super) struct Table<'a> {
    pub(super) configs: Vec<Config<'a>>,
    pub(super) rows: Vec<Row<'a>>,
    /// Every status in the table, for the filter.
    pub(super) statuses: Vec<&'static str>,
    pub(super) any_expected_failure: bool,
}

/// The columns of a config.
pub(super) struct Config<'a> {
    pub(super) name: &'a str,
    pub(super) checkouts: Vec<&'a str>,
}

/// A test.
pub(super) struct Row<'a> {
    pub(super) test: &'a str,
    pub(super) title: &'a str,
    pub(super) fails_without_series: bool,
    pub(super) places: Vec<Place<'a>>,
}

/// The entry of a test, a checkout and a config.
pub(super) struct Place<'a> {
    pub(super) config: &'a str,
    pub(super) checkout: &'a str,
    /// `None` without a job.
    pub(super) job: Option<&'a JobView<'a>>,
}

impl<'a> Table<'a> {
    pub(super) fn of(
        result: &'a RunResult,
        matrix: &Matrix<'a>,
        articles: &'a [Article<'a>],
    ) -> Self {
        let config = |name| Config {
            name,
            checkouts: matrix.checkouts_of(name),
        };
        let fails_without_series = |name: &str| {
            let mut tests = result.tests.iter();
            tests.any(|test| test.name == name && test.fails_without_series)
        };
        let kernels: Vec<(&str, &str)> = matrix
            .configs()
            .into_iter()
            .flat_map(|config| {
                matrix
                    .checkouts_of(config)
                    .into_iter()
                    .map(move |one| (one, config))
            })
            .collect();
        let row = |test: &'a str| {
            let of_test: Vec<&Article<'a>> = articles
                .iter()
                .filter(|article| article.test == test)
                .collect();
            let place = |(checkout, config): &(&'a str, &'a str)| Place {
                config,
                checkout,
                job: job(&of_test, config, checkout),
            };
            Row {
                test,
                title: of_test.first().map_or("", |article| &article.title),
                fails_without_series: fails_without_series(test),
                places: kernels.iter().map(place).collect(),
            }
        };
        Self {
            rows: matrix.tests().into_iter().map(row).collect(),
            statuses: distinct(result.jobs.iter().map(|job| job.status.word())),
            any_expected_failure: result.count(|job| job.expectation == Expected::Fail) > 0,
            configs: matrix.configs().into_iter().map(config).collect(),
        }
    }
}

fn job<'a>(articles: &[&'a Article<'a>], config: &str, checkout: &str) -> Option<&'a JobView<'a>> {
    let article = articles.iter().find(|article| article.config == config)?;
    article.jobs.iter().find(|job| job.checkout == checkout)
}

pub(super) fn sentence(text: &str) -> String {
    let end = text.floor_char_boundary(SENTENCE_BYTES_MAX);
    if end == text.len() {
        return text.to_owned();
    }
    format!("{} ... (cut)", &text[..end])
}

pub(super) fn job_id(config: &str, test: &str, checkout: &str) -> String {
    id(&[config, test, checkout])
}

/// Returns a unique id for these names, without characters that have a meaning in a link.
fn id(names: &[&str]) -> String {
    let name = |name: &&str| format!("/{}", escape(name, b"-_.:", |byte| format!("~{byte:02x}")));
    format!("c{}", names.iter().map(name).collect::<String>())
}

/// Returns the link to a folder beside the report. It begins with a dot, so that a browser
/// never reads the beginning of the path as a scheme.
fn folder(path: &str) -> String {
    format!(
        "./{}/",
        escape(path, b"-_./", |byte| format!("%{byte:02X}"))
    )
}

/// Returns a text in which bytes other than letters, digits and `plain` are escaped.
fn escape(text: &str, plain: &[u8], escaped: impl Fn(u8) -> String) -> String {
    let escape = |byte: u8| match byte.is_ascii_alphanumeric() || plain.contains(&byte) {
        true => char::from(byte).to_string(),
        false => escaped(byte),
    };
    text.bytes().map(escape).collect()
}
