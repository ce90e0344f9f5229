// SPDX-License-Identifier: MIT OR Apache-2.0
//! The details of a test with a config: its jobs, and their timelines side by side.

use std::collections::{BTreeMap, BTreeSet};

use super::pair::{self, Pair};
use super::sentence;
use crate::report::evidence::{Evidence, Excerpt, JobEvidence, SplatEvidence};
use crate::report::reproduce;
use crate::result::{BootMode, JobResult, RunResult};
use selftests::expectation::Expected;
use selftests::status::Status;
use vm_images::accel::Accelerator;

/// Limit for the splats of all jobs, in bytes; findings come first.
const SPLATS_BYTES_MAX: usize = 2_000_000;
/// Beyond this limit, at most this many lines of a splat are shown.
const LINES_BEYOND_LIMIT: usize = 12;
/// At most this many bytes of a difference from the snapshot are shown.
const DIFFERENCE_BYTES_MAX: usize = 8 * 1024;
/// At most this many repetitions of a job are listed.
const REPETITIONS_MAX: usize = 60;

/// A test with a config.
pub(super) struct Article {
    pub(super) id: String,
    pub(super) test: String,
    pub(super) config: String,
    pub(super) title: String,
    pub(super) why: String,
    pub(super) needs_attention: bool,
    pub(super) jobs: Vec<JobView>,
    pub(super) timelines: Vec<Pair>,
}

/// A job with all its repetitions.
pub(super) struct JobView {
    pub(super) id: String,
    pub(super) checkout: String,
    /// The CSS class of its colour.
    pub(super) class: &'static str,
    /// Its statuses, each once.
    pub(super) statuses: Vec<String>,
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
    pub(super) repetitions: Vec<Repetition>,
    pub(super) repetitions_left_out: usize,
}

/// One of several runs of a job.
pub(super) struct Repetition {
    pub(super) number: u32,
    pub(super) status: String,
    pub(super) needs_attention: bool,
    pub(super) took: String,
    pub(super) reason: String,
}

/// Returns the articles of a run: configs in the order of the plan, tests by name.
pub(super) fn articles(result: &RunResult, evidence: &Evidence) -> Vec<Article> {
    let whole = shown_whole(result, evidence);
    let mut articles = Vec::new();
    for config in distinct(result.jobs.iter().map(|job| job.config.as_str())) {
        let mut by_name: BTreeMap<&str, Vec<&JobResult>> = BTreeMap::new();
        for job in result.jobs.iter().filter(|job| job.config == config) {
            by_name.entry(&job.test).or_default().push(job);
        }
        for (name, jobs) in by_name {
            articles.push(article(name, config, &jobs, evidence, &whole));
        }
    }
    articles
}

/// Returns each value once, in the order of its first appearance.
pub(super) fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    values.filter(|value| seen.insert(*value)).collect()
}

/// Returns the jobs whose splats are within the limit.
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

fn article(
    test: &str,
    config: &str,
    jobs: &[&JobResult],
    evidence: &Evidence,
    whole: &BTreeSet<&str>,
) -> Article {
    let story = evidence.stories.get(test).cloned().unwrap_or_default();
    let checkouts = distinct(jobs.iter().map(|job| job.checkout.as_str()));
    let of_checkout = |checkout: &str| -> Vec<&JobResult> {
        let jobs = jobs.iter().filter(|job| job.checkout == checkout);
        jobs.copied().collect()
    };
    let shown: Vec<(&str, &JobResult)> = checkouts
        .iter()
        .filter_map(|checkout| Some((*checkout, most_relevant(&of_checkout(checkout))?)))
        .collect();
    let timelines: Vec<(&str, &Excerpt)> = shown
        .iter()
        .filter_map(|(checkout, job)| {
            Some((*checkout, &evidence.jobs.get(&job.artifacts)?.timeline))
        })
        .filter(|(_, timeline)| !timeline.text.is_empty())
        .collect();
    let views = shown
        .iter()
        .map(|(checkout, job)| view(job, &of_checkout(checkout), evidence, whole));
    Article {
        id: id(&[config, test]),
        test: test.to_owned(),
        config: config.to_owned(),
        title: sentence(&story.title),
        why: sentence(&story.why),
        needs_attention: jobs.iter().any(|job| job.needs_attention()),
        timelines: pair::pairs(&timelines),
        jobs: views.collect(),
    }
}

/// Returns the first repetition that needs attention, else the first that did not pass, else
/// the first.
fn most_relevant<'a>(jobs: &[&'a JobResult]) -> Option<&'a JobResult> {
    let rank = |job: &&&JobResult| (!job.needs_attention(), job.status == Status::Pass);
    jobs.iter().min_by_key(rank).copied()
}

fn view(
    job: &JobResult,
    all: &[&JobResult],
    evidence: &Evidence,
    whole: &BTreeSet<&str>,
) -> JobView {
    let empty = JobEvidence::default();
    let left = evidence.jobs.get(&job.artifacts).unwrap_or(&empty);
    let mut splats = left.splats.clone();
    if !whole.contains(job.artifacts.as_str()) {
        splats.iter_mut().for_each(shorten);
    }
    let (class, mark) = mark(all);
    let repetitions = if all.len() > 1 { all } else { &[] };
    JobView {
        id: job_id(&job.config, &job.test, &job.checkout),
        checkout: job.checkout.clone(),
        class,
        statuses: distinct(all.iter().map(|job| job.status.word()))
            .into_iter()
            .map(str::to_owned)
            .collect(),
        word: word(all),
        mark,
        needs_attention: all.iter().any(|job| job.needs_attention()),
        reason: sentence(&job.reason),
        facts: facts(job),
        splats,
        splats_left_out: left.splats_left_out,
        difference: job
            .snapshot_difference
            .as_ref()
            .map(|difference| Excerpt::of(difference, DIFFERENCE_BYTES_MAX)),
        command: reproduce::of_job(job, &evidence.options),
        folder: link_to_folder(&job.artifacts),
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

fn repetition(job: &JobResult) -> Repetition {
    Repetition {
        number: job.repetition,
        status: job.status.to_string(),
        needs_attention: job.needs_attention(),
        took: time(job.duration_ms),
        reason: sentence(&job.reason),
    }
}

/// Returns the CSS class and the mark of a result.
fn mark(jobs: &[&JobResult]) -> (&'static str, &'static str) {
    let any = |test: &dyn Fn(&JobResult) -> bool| jobs.iter().any(|job| test(job));
    let is_xpass =
        |job: &JobResult| job.status == Status::Pass && job.expectation == Expected::Fail;
    let is_unexpected = |job: &JobResult| !job.expected && !job.is_inconclusive();
    if any(&|job| is_unexpected(job) && !is_xpass(job)) {
        ("bad", "UNEXPECTED")
    } else if any(&is_unexpected) {
        ("bad", "XPASS")
    } else if any(&JobResult::is_inconclusive) {
        ("open", "INCONCLUSIVE")
    } else if any(&|job| job.snapshot_difference.is_some()) {
        ("changed", "CHANGED")
    } else if any(&|job| job.expectation == Expected::Fail) {
        ("xfail", "xfail")
    } else if any(&|job| job.expectation == Expected::Either && job.status != Status::Pass) {
        ("xfail", "not asserted")
    } else if any(&|job| job.status == Status::Skip) {
        ("skip", "")
    } else {
        ("good", "")
    }
}

/// Returns the status; with repetitions, the number of each status.
fn word(jobs: &[&JobResult]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for job in jobs {
        *counts.entry(job.status.word()).or_default() += 1;
    }
    let total = jobs.len();
    let rates = counts.iter().map(|(status, count)| match total {
        1 => (*status).to_owned(),
        _ => format!("{status} {count}/{total}"),
    });
    rates.collect::<Vec<_>>().join(", ")
}

fn facts(job: &JobResult) -> Vec<(&'static str, String)> {
    let mut facts = vec![("expected", job.expectation.to_string())];
    if let Some(cause) = job.cause {
        facts.push(("cause", cause.word().to_owned()));
    }
    facts.push(("took", time(job.duration_ms)));
    if let Some(boot_mode) = job.boot_mode {
        let how = match boot_mode {
            BootMode::Restore => "restored from a checkpoint",
            BootMode::Cold => "cold boot",
            BootMode::ColdInstead => "cold boot, because the restore failed",
        };
        facts.push(("boot", format!("{how}, ready after {}", time(job.boot_ms))));
    }
    let accelerator = match job.accel {
        None => "",
        Some(Accelerator::Kvm) => " under KVM",
        Some(Accelerator::Tcg) => " under emulation",
    };
    let shared = if job.shared {
        ", guest shared with other jobs"
    } else {
        ""
    };
    facts.push(("machine", format!("{}{accelerator}{shared}", job.machine)));
    if let Some(cached) = &job.cached {
        facts.push(("cached from", format!("{} at {}", cached.run, cached.at)));
    }
    facts
}

/// Returns a duration as printed.
pub(super) fn time(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        _ => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
    }
}

/// Returns the id of a job in the report.
pub(super) fn job_id(config: &str, test: &str, checkout: &str) -> String {
    id(&[config, test, checkout])
}

/// Returns the link to a folder beside the report. It begins with a dot, so that a browser
/// never reads the beginning of the path as a scheme.
fn link_to_folder(path: &str) -> String {
    let mut link = "./".to_owned();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                link.push(char::from(byte));
            }
            other => link += &format!("%{other:02X}"),
        }
    }
    link.push('/');
    link
}

/// Returns a unique id for these names, without characters that have a meaning in a link.
fn id(names: &[&str]) -> String {
    let mut id = "c".to_owned();
    for name in names {
        id.push('/');
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' => {
                    id.push(char::from(byte));
                }
                other => id += &format!("~{other:02x}"),
            }
        }
    }
    id
}
