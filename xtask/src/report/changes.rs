// SPDX-License-Identifier: MIT OR Apache-2.0
//! The changes between two runs as text, worse changes first.

use super::escape::one_line;
use crate::report::comparison::{Change, Comparison, Pace, Place, ProofChange, SplatChange};

/// At most this many entries of a list are printed; JSON has all.
const SHOWN_MAX: usize = 20;
/// At most this many tests are named for a kernel report.
const NAMES_MAX: usize = 3;

/// Returns the comparison as text; `before` is the earlier run's name.
pub fn text(comparison: &Comparison, before: &str) -> String {
    let mut text = format!("{}\n", summary(comparison));
    text += &format!("jobs also in {before}: {}\n", comparison.common);
    for difference in &comparison.differences {
        text += &format!("note: {difference}\n");
    }
    text += &list("broken", &comparison.broken, change);
    text += &list(
        "now inconclusive or skipped",
        &comparison.inconclusive,
        change,
    );
    text += &list("still unexpected", &comparison.still_wrong, change);
    text += &list("new and unexpected", &comparison.new_wrong, change);
    text += &list("new kernel reports", &comparison.new_splats, splat);
    text += &list("changed self-checks", &comparison.self_checks, proof);
    text += &list("changed mutants", &comparison.mutants, proof);
    text += &list("fixed", &comparison.fixed, change);
    text += &list("expected, with another status", &comparison.turned, change);
    text += &list("gone kernel reports", &comparison.gone_splats, splat);
    text += &list(&slower_heading(comparison), &comparison.slower, pace);
    text += &list("new jobs", &comparison.new_jobs, place);
    text += &list("gone jobs", &comparison.gone_jobs, place);
    text
}

/// Returns a sentence that counts the results that are worse, fixed and new.
pub fn summary(comparison: &Comparison) -> String {
    let worse = |changes: &[Change]| changes.iter().filter(|change| change.worse).count();
    let proofs = |changes: &[ProofChange]| changes.iter().filter(|change| change.worse).count();
    let splats = comparison.new_splats.iter().filter(|one| one.worse);
    let counts = [
        (worse(&comparison.broken), "broken"),
        (
            worse(&comparison.inconclusive),
            "now inconclusive or skipped",
        ),
        (worse(&comparison.still_wrong), "unexpected more often"),
        (splats.count(), "with a new kernel report"),
        (proofs(&comparison.self_checks), "in the self-checks"),
        (proofs(&comparison.mutants), "in the mutants"),
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, text)| format!("{count} {text}"))
        .collect();
    let also = |count: usize, text: &str| match count {
        0 => String::new(),
        count => format!(", {count} {text}"),
    };
    let fixed = also(comparison.fixed.len(), "fixed");
    let new = also(comparison.new_wrong.len(), "new and unexpected");
    let all = if parts.is_empty() {
        format!("no result is worse than before{new}{fixed}")
    } else {
        format!("worse than before: {}{new}{fixed}", parts.join(", "))
    };
    match &comparison.not_tested {
        Some(not_tested) => format!("{}; {all}", one_line(not_tested)),
        None => all,
    }
}

/// Returns the heading of the slower jobs, with the drift of all jobs if it is relevant.
pub fn slower_heading(comparison: &Comparison) -> String {
    match comparison.drift {
        drift if drift >= 1.1 => {
            format!("slower, after division by {drift:.1}, the ratio of all jobs")
        }
        _ => "slower".to_owned(),
    }
}

fn list<T>(heading: &str, entries: &[T], line: impl Fn(&T) -> String) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{heading}: {}\n", entries.len());
    for entry in entries.iter().take(SHOWN_MAX) {
        text += &line(entry);
    }
    if entries.len() > SHOWN_MAX {
        text += &format!("  and {} more\n", entries.len() - SHOWN_MAX);
    }
    text
}

/// Returns the job's name as printed, without the machine.
pub fn name(place: &Place) -> String {
    format!("{} on {} ({})", place.test, place.checkout, place.config)
}

fn change(change: &Change) -> String {
    format!(
        "  {}: {} -> {}\n    {}\n",
        name(&change.place),
        change.before,
        change.now,
        change.reason
    )
}

fn splat(splat: &SplatChange) -> String {
    format!(
        "  {} on {} ({})\n    in {}\n",
        splat.title,
        splat.checkout,
        splat.config,
        first_names(&splat.scenarios)
    )
}

/// Returns the first names and the number of further names.
pub fn first_names(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn pace(pace: &Pace) -> String {
    let seconds = |time: u64| format!("{}.{} s", time / 1000, time % 1000 / 100);
    format!(
        "  {}: {} -> {}, {:.1} times\n",
        name(&pace.place),
        seconds(pace.before_ms),
        seconds(pace.now_ms),
        pace.ratio
    )
}

fn place(place: &Place) -> String {
    format!("  {}\n", name(place))
}

fn proof(change: &ProofChange) -> String {
    format!("  {}: {} -> {}\n", change.name, change.before, change.now)
}
