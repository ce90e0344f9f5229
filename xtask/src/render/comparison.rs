// SPDX-License-Identifier: GPL-2.0-only
//! What changed between two runs, as text: what is worse first.

use super::escape::one_line;
use crate::comparison::{Change, Comparison, Pace, Place, ProofChange, SplatChange};

/// Of a list, so many are shown; JSON has them all.
const SHOWN_MAX: usize = 20;
/// Of the scenarios that show a report, so many are named.
const NAMES_MAX: usize = 3;

/// Returns the comparison as text; `before` is the earlier run's name.
pub(crate) fn text(comparison: &Comparison, before: &str) -> String {
    let mut text = format!("{}\n", verdict(comparison));
    text += &format!("jobs that are in {before} as well: {}\n", comparison.common);
    for difference in &comparison.differences {
        text += &format!("note: {difference}\n");
    }
    text += &list("broken", &comparison.broken, change);
    text += &list("no longer proven", &comparison.inconclusive, change);
    text += &list("still not as expected", &comparison.still_wrong, change);
    text += &list("new and not as expected", &comparison.new_wrong, change);
    text += &list("new reports of the kernel", &comparison.new_splats, splat);
    text += &list(
        "self_checks that see otherwise",
        &comparison.self_checks,
        proof,
    );
    text += &list("mutants with another status", &comparison.mutants, proof);
    text += &list("fixed", &comparison.fixed, change);
    text += &list("as expected by another status", &comparison.turned, change);
    text += &list("reports that are gone", &comparison.gone_splats, splat);
    text += &list(&slower_heading(comparison), &comparison.slower, pace);
    text += &list("new jobs", &comparison.new_jobs, place);
    text += &list("jobs that are gone", &comparison.gone_jobs, place);
    text
}

/// Returns in a sentence whether anything is worse, and what.
pub(crate) fn verdict(comparison: &Comparison) -> String {
    let worse = |changes: &[Change]| changes.iter().filter(|change| change.worse).count();
    let proofs = |changes: &[ProofChange]| changes.iter().filter(|change| change.worse).count();
    let splats = comparison.new_splats.iter().filter(|one| one.worse);
    let counts = [
        (worse(&comparison.broken), "broken"),
        (worse(&comparison.inconclusive), "no longer proven"),
        (worse(&comparison.still_wrong), "more often wrong"),
        (splats.count(), "new in what the kernel complains of"),
        (
            proofs(&comparison.self_checks),
            "of the self_checks not shown to see",
        ),
        (
            proofs(&comparison.mutants),
            "of the mutants newly a finding",
        ),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let also = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    };
    let fixed = also(comparison.fixed.len(), "fixed");
    let new = also(comparison.new_wrong.len(), "new and not as expected");
    let all = if told.is_empty() {
        format!("nothing is worse than before{new}{fixed}")
    } else {
        format!("worse than before: {}{new}{fixed}", told.join(", "))
    };
    match &comparison.not_tested {
        Some(not_tested) => format!("{}; {all}", one_line(not_tested)),
        None => all,
    }
}

/// Returns what the times are worth, as a heading.
pub(crate) fn slower_heading(comparison: &Comparison) -> String {
    match comparison.drift {
        drift if drift >= 1.1 => {
            format!("slower, beyond the {drift:.1} times that all jobs together are")
        }
        _ => "slower".to_owned(),
    }
}

fn list<T>(heading: &str, them: &[T], line: impl Fn(&T) -> String) -> String {
    if them.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{heading}: {}\n", them.len());
    for one in them.iter().take(SHOWN_MAX) {
        text += &line(one);
    }
    if them.len() > SHOWN_MAX {
        text += &format!("  and {} more\n", them.len() - SHOWN_MAX);
    }
    text
}

/// Returns a job's name for people; the machine is the scenario's own business.
pub(crate) fn name(place: &Place) -> String {
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
        some_of(&splat.scenarios)
    )
}

/// Returns the first of some names, and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
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
