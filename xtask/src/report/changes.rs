// SPDX-License-Identifier: MIT OR Apache-2.0
//! The changes between two runs as lists, worse changes first, and the lists as text.

use super::comparison::{Change, Comparison, Pace, Place, ProofChange, SplatChange};
use crate::text::{duration, first_few, one_line};

/// At most this many entries of a list are printed; JSON has all.
const SHOWN_MAX: usize = 20;
/// At most this many tests are named for a kernel report.
const NAMES_MAX: usize = 3;

/// Changes of one kind.
pub(super) struct List<'a> {
    pub(super) heading: String,
    pub(super) lines: Vec<Line<'a>>,
}

/// One change.
pub(super) struct Line<'a> {
    pub(super) worse: bool,
    pub(super) name: String,
    /// The job in the later run, if the change is of a job.
    pub(super) place: Option<&'a Place>,
    /// Checkout and config, if they are not in the name; else empty.
    pub(super) on: String,
    /// The result before and now.
    pub(super) results: Option<(String, String)>,
    pub(super) reason: String,
}

pub(super) fn lists(comparison: &Comparison) -> Vec<List<'_>> {
    let drift = comparison.drift;
    let slower = match drift >= 1.1 {
        true => format!("slower, after division by {drift:.1}, the ratio of all jobs"),
        false => "slower".to_owned(),
    };
    let new = |place| whole_job(place, Some(place));
    let gone = |place| whole_job(place, None);
    let lists = [
        list("broken", &comparison.broken, change),
        list(INCONCLUSIVE, &comparison.inconclusive, change),
        list("still unexpected", &comparison.still_wrong, change),
        list("new and unexpected", &comparison.new_wrong, change),
        list("new kernel reports", &comparison.new_splats, splat),
        list("changed self-checks", &comparison.self_checks, proof),
        list("changed mutants", &comparison.mutants, proof),
        list("fixed", &comparison.fixed, change),
        list("expected, with another status", &comparison.turned, change),
        list("gone kernel reports", &comparison.gone_splats, splat),
        list(&slower, &comparison.slower, pace),
        list("new jobs", &comparison.new_jobs, new),
        list("gone jobs", &comparison.gone_jobs, gone),
    ];
    let lists = lists.into_iter();
    lists.filter(|list| !list.lines.is_empty()).collect()
}

const INCONCLUSIVE: &str = "now inconclusive or skipped";

fn list<'a, T>(heading: &str, entries: &'a [T], line: impl Fn(&'a T) -> Line<'a>) -> List<'a> {
    List {
        heading: heading.to_owned(),
        lines: entries.iter().map(line).collect(),
    }
}

fn change(change: &Change) -> Line<'_> {
    Line {
        worse: change.worse,
        results: Some((change.before.clone(), change.now.clone())),
        reason: change.reason.clone(),
        ..whole_job(&change.place, Some(&change.place))
    }
}

fn splat(splat: &SplatChange) -> Line<'_> {
    Line {
        worse: splat.worse,
        name: splat.title.clone(),
        place: None,
        on: format!("{} ({})", splat.checkout, splat.config),
        results: None,
        reason: format!("in {}", first_few(&splat.scenarios, NAMES_MAX)),
    }
}

fn proof(change: &ProofChange) -> Line<'_> {
    Line {
        worse: change.worse,
        name: change.name.clone(),
        place: None,
        on: String::new(),
        results: Some((change.before.clone(), change.now.clone())),
        reason: String::new(),
    }
}

fn pace(pace: &Pace) -> Line<'_> {
    let now = format!("{}, {:.1} times", duration(pace.now_ms), pace.ratio);
    Line {
        results: Some((duration(pace.before_ms), now)),
        ..whole_job(&pace.place, Some(&pace.place))
    }
}

/// Returns a line with the name of a job, without its machine.
fn whole_job<'a>(job: &'a Place, place: Option<&'a Place>) -> Line<'a> {
    Line {
        worse: false,
        name: format!("{} on {} ({})", job.test, job.checkout, job.config),
        place,
        on: String::new(),
        results: None,
        reason: String::new(),
    }
}

pub(super) fn text(comparison: &Comparison, before: &str) -> String {
    let mut text = format!("{}\n", summary(comparison));
    text += &format!("jobs also in {before}: {}\n", comparison.common);
    for difference in &comparison.differences {
        text += &format!("note: {difference}\n");
    }
    for List { heading, lines } in lists(comparison) {
        text += &format!("\n{heading}: {}\n", lines.len());
        text.extend(lines.iter().take(SHOWN_MAX).map(line));
        if lines.len() > SHOWN_MAX {
            text += &format!("  and {} more\n", lines.len() - SHOWN_MAX);
        }
    }
    text
}

fn line(line: &Line<'_>) -> String {
    let mut text = format!("  {}", line.name);
    if !line.on.is_empty() {
        text += &format!(" on {}", line.on);
    }
    if let Some((before, now)) = &line.results {
        text += &format!(": {before} -> {now}");
    }
    if !line.reason.is_empty() {
        text += &format!("\n    {}", line.reason);
    }
    text + "\n"
}

/// Returns a sentence that counts the results that are worse, fixed and new.
pub(super) fn summary(comparison: &Comparison) -> String {
    let worse = |changes: &[Change]| changes.iter().filter(|change| change.worse).count();
    let proofs = |changes: &[ProofChange]| changes.iter().filter(|change| change.worse).count();
    let splats = comparison.new_splats.iter().filter(|one| one.worse);
    let some = |counts: &[(usize, &str)]| -> Vec<String> {
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts
            .map(|(count, text)| format!("{count} {text}"))
            .collect()
    };
    let worse = some(&[
        (worse(&comparison.broken), "broken"),
        (worse(&comparison.inconclusive), INCONCLUSIVE),
        (worse(&comparison.still_wrong), "unexpected more often"),
        (splats.count(), "with a new kernel report"),
        (proofs(&comparison.self_checks), "in the self-checks"),
        (proofs(&comparison.mutants), "in the mutants"),
    ]);
    let mut parts = vec![match worse.is_empty() {
        true => "no result is worse than before".to_owned(),
        false => format!("worse than before: {}", worse.join(", ")),
    }];
    parts.extend(some(&[
        (comparison.new_wrong.len(), "new and unexpected"),
        (comparison.fixed.len(), "fixed"),
    ]));
    let not_tested = comparison.not_tested.as_ref();
    let not_tested = not_tested.map(|why| format!("{}; ", one_line(why)));
    not_tested.unwrap_or_default() + &parts.join(", ")
}
