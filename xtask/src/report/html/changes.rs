// SPDX-License-Identifier: MIT OR Apache-2.0
//! The changes since an earlier run, as lists of the report.

use super::{article, sentence};
use crate::report::changes::{first_names, name, slower_heading, summary};
use crate::report::comparison::{Change, Comparison, Pace, Place, ProofChange, SplatChange};

/// At most this many entries of a list are shown.
const SHOWN_MAX: usize = 100;

/// The changes.
pub(super) struct Changes<'a> {
    /// The earlier run's name.
    pub(super) before: &'a str,
    pub(super) worse: bool,
    pub(super) summary: String,
    pub(super) common: usize,
    pub(super) differences: &'a [String],
    pub(super) lists: Vec<List>,
}

/// Changes of one kind.
pub(super) struct List {
    pub(super) heading: String,
    pub(super) worse: bool,
    pub(super) total: usize,
    pub(super) lines: Vec<Line>,
}

/// One change.
pub(super) struct Line {
    pub(super) worse: bool,
    pub(super) name: String,
    /// The id of the details in the report; empty without details.
    pub(super) link: String,
    pub(super) change: String,
    pub(super) reason: String,
}

impl<'a> Changes<'a> {
    pub(super) fn of(comparison: &'a Comparison, before: &'a str) -> Self {
        let slower = slower_heading(comparison);
        let lists = [
            list("broken", &comparison.broken, change),
            list(
                "now inconclusive or skipped",
                &comparison.inconclusive,
                change,
            ),
            list("still unexpected", &comparison.still_wrong, change),
            list("new and unexpected", &comparison.new_wrong, change),
            list("new kernel reports", &comparison.new_splats, splat),
            list("changed self-checks", &comparison.self_checks, proof),
            list("changed mutants", &comparison.mutants, proof),
            list("fixed", &comparison.fixed, change),
            list("expected, with another status", &comparison.turned, change),
            list("gone kernel reports", &comparison.gone_splats, splat),
            list(&slower, &comparison.slower, pace),
            list("new jobs", &comparison.new_jobs, |place| {
                whole_job(place, true)
            }),
            list("gone jobs", &comparison.gone_jobs, |place| {
                whole_job(place, false)
            }),
        ];
        Self {
            before,
            worse: comparison.worse,
            summary: summary(comparison),
            common: comparison.common,
            differences: &comparison.differences,
            lists: lists.into_iter().filter(|list| list.total > 0).collect(),
        }
    }
}

fn list<T>(heading: &str, entries: &[T], line: impl Fn(&T) -> Line) -> List {
    let lines: Vec<Line> = entries.iter().take(SHOWN_MAX).map(line).collect();
    List {
        heading: heading.to_owned(),
        worse: lines.iter().any(|line| line.worse),
        total: entries.len(),
        lines,
    }
}

fn link(place: &Place) -> String {
    article::job_id(&place.config, &place.test, &place.checkout)
}

fn change(change: &Change) -> Line {
    Line {
        worse: change.worse,
        name: name(&change.place),
        link: link(&change.place),
        change: format!("{} → {}", change.before, change.now),
        reason: sentence(&change.reason),
    }
}

fn splat(splat: &SplatChange) -> Line {
    Line {
        worse: splat.worse,
        name: sentence(&splat.title),
        link: String::new(),
        change: format!("{} ({})", splat.checkout, splat.config),
        reason: format!("in {}", first_names(&splat.scenarios)),
    }
}

fn proof(change: &ProofChange) -> Line {
    Line {
        worse: change.worse,
        name: change.name.clone(),
        link: String::new(),
        change: format!("{} → {}", change.before, change.now),
        reason: String::new(),
    }
}

fn pace(pace: &Pace) -> Line {
    let (before, now) = (article::time(pace.before_ms), article::time(pace.now_ms));
    Line {
        worse: false,
        name: name(&pace.place),
        link: link(&pace.place),
        change: format!("{before} → {now}"),
        reason: format!("{:.1} times", pace.ratio),
    }
}

fn whole_job(place: &Place, has_details: bool) -> Line {
    Line {
        worse: false,
        name: name(place),
        link: if has_details {
            link(place)
        } else {
            String::new()
        },
        change: String::new(),
        reason: String::new(),
    }
}
