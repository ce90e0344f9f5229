// SPDX-License-Identifier: GPL-2.0-only
//! What changed since an earlier run, as lists of the page.

use super::{article, sentence};
use crate::comparison::{Change, Comparison, Pace, Place, ProofChange, SplatChange};
use crate::render::comparison::{name, slower_heading, some_of, verdict};

/// Of a list, so many are shown.
const SHOWN_MAX: usize = 100;

/// What changed.
pub(super) struct Changes<'a> {
    /// The earlier run's name.
    pub(super) before: &'a str,
    pub(super) worse: bool,
    pub(super) verdict: String,
    pub(super) common: usize,
    pub(super) differences: &'a [String],
    pub(super) lists: Vec<List>,
}

/// Changes of a kind.
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
    /// Where the page tells more; empty where it does not.
    pub(super) link: String,
    pub(super) what: String,
    pub(super) reason: String,
}

impl<'a> Changes<'a> {
    pub(super) fn of(comparison: &'a Comparison, before: &'a str) -> Self {
        let slower = slower_heading(comparison);
        let lists = [
            list("broken", &comparison.broken, change),
            list("no longer proven", &comparison.inconclusive, change),
            list("still not as expected", &comparison.still_wrong, change),
            list("new and not as expected", &comparison.new_wrong, change),
            list("new reports of the kernel", &comparison.new_splats, splat),
            list(
                "self_checks that see otherwise",
                &comparison.self_checks,
                proof,
            ),
            list("mutants with another status", &comparison.mutants, proof),
            list("fixed", &comparison.fixed, change),
            list("as expected by another status", &comparison.turned, change),
            list("reports that are gone", &comparison.gone_splats, splat),
            list(&slower, &comparison.slower, pace),
            list("new jobs", &comparison.new_jobs, |place| there(place, true)),
            list("jobs that are gone", &comparison.gone_jobs, |place| {
                there(place, false)
            }),
        ];
        Self {
            before,
            worse: comparison.worse,
            verdict: verdict(comparison),
            common: comparison.common,
            differences: &comparison.differences,
            lists: lists.into_iter().filter(|list| list.total > 0).collect(),
        }
    }
}

fn list<T>(heading: &str, them: &[T], line: impl Fn(&T) -> Line) -> List {
    let lines: Vec<Line> = them.iter().take(SHOWN_MAX).map(line).collect();
    List {
        heading: heading.to_owned(),
        worse: lines.iter().any(|line| line.worse),
        total: them.len(),
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
        what: format!("{} → {}", change.before, change.now),
        reason: sentence(&change.reason),
    }
}

fn splat(splat: &SplatChange) -> Line {
    Line {
        worse: splat.worse,
        name: sentence(&splat.title),
        link: String::new(),
        what: format!("{} ({})", splat.checkout, splat.config),
        reason: format!("in {}", some_of(&splat.scenarios)),
    }
}

fn proof(change: &ProofChange) -> Line {
    Line {
        worse: change.worse,
        name: change.name.clone(),
        link: String::new(),
        what: format!("{} → {}", change.before, change.now),
        reason: String::new(),
    }
}

fn pace(pace: &Pace) -> Line {
    let (before, now) = (article::time(pace.before_ms), article::time(pace.now_ms));
    Line {
        worse: false,
        name: name(&pace.place),
        link: link(&pace.place),
        what: format!("{before} → {now}"),
        reason: format!("{:.1} times", pace.ratio),
    }
}

fn there(place: &Place, is_there: bool) -> Line {
    Line {
        worse: false,
        name: name(place),
        link: if is_there { link(place) } else { String::new() },
        what: String::new(),
        reason: String::new(),
    }
}
