// SPDX-License-Identifier: GPL-2.0-only
//! The source states that were judged, and what each patch changes between two of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Blame, CellResult, Verdict};
use crate::stacks::SERIES;

/// One source state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StackResult {
    /// `base`, `patch-1` and so on, `series`, or `mutant-NAME`.
    pub(crate) name: String,
    /// The subjects of the series' patches in it, in their order.
    pub(crate) patches: Vec<String>,
    /// The names of the series in it, whole.
    pub(crate) contains: Vec<String>,
}

/// What a patch, or several in a row, changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PatchResult {
    /// Number of the first patch, from 1.
    pub(crate) first: usize,
    /// Number of the last patch: the same, unless no stack lies between them.
    pub(crate) last: usize,
    /// The subject, or that of the first.
    pub(crate) subject: String,
    /// One sentence for people.
    pub(crate) sentence: String,
    /// Each scenario that it turns from one outcome to another.
    pub(crate) turns: Vec<Turn>,
}

/// A scenario that a patch turns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Turn {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The profile's name.
    pub(crate) profile: String,
    /// The outcome without the patch.
    pub(crate) from: String,
    /// The outcome with it.
    pub(crate) to: String,
    /// Why the one of the two that is no pass is none, in a sentence.
    pub(crate) reason: String,
    /// Whether the scenario says that it should come to `to`.
    pub(crate) is_expected: bool,
}

/// Scenarios that a sentence names, of each kind.
const NAMED: usize = 2;
/// Characters of a reason that a sentence quotes.
const REASON_MAX: usize = 100;

/// Returns what each patch changes, from the cells of the stacks before and after it.
/// Of stacks that are not judged nothing is told, so that several patches may come as one.
pub(crate) fn patches(cells: &[CellResult], stacks: &[StackResult]) -> Vec<PatchResult> {
    let pairs = stacks.windows(2);
    pairs
        .filter_map(|pair| between(cells, &pair[0], &pair[1]))
        .collect()
}

fn between(cells: &[CellResult], before: &StackResult, after: &StackResult) -> Option<PatchResult> {
    let (first, last) = (before.patches.len() + 1, after.patches.len());
    let subject = after.patches.get(first - 1)?.clone();
    let turns = turns(cells, &before.name, &after.name);
    let sentence = sentence(first, last, &turns);
    Some(PatchResult {
        first,
        last,
        subject,
        sentence,
        turns,
    })
}

/// The scenarios that come to something else, in the order of the cells.
fn turns(cells: &[CellResult], before: &str, after: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for cell in cells.iter().filter(|cell| cell.stack == before) {
        let is_known = |turn: &Turn| turn.scenario == cell.scenario && turn.profile == cell.profile;
        if turns.iter().any(is_known) {
            continue;
        }
        let (from, to) = (all_of(cells, cell, before), all_of(cells, cell, after));
        let (Some((from, reason)), Some((to, broken))) = (from, to) else {
            continue;
        };
        if from != to {
            turns.push(Turn {
                scenario: cell.scenario.clone(),
                profile: cell.profile.clone(),
                reason: if from == PASS { broken } else { reason },
                from,
                to: to.clone(),
                is_expected: is_expected(cells, cell, after),
            });
        }
    }
    turns
}

/// What all repetitions of a cell came to on a stack, and why the worst did not pass.
/// Where they disagree, that is what they came to.
fn all_of(cells: &[CellResult], of: &CellResult, stack: &str) -> Option<(String, String)> {
    let all: Vec<&CellResult> = repetitions(cells, of, stack).collect();
    let first = all.first()?;
    // Where the host or the tool failed, nothing is known of the patch.
    if all.iter().any(|cell| cell.outcome == "error") {
        return None;
    }
    let bad = all.iter().find(|cell| cell.outcome != PASS);
    let outcome = if all.iter().all(|cell| cell.outcome == first.outcome) {
        first.outcome.clone()
    } else {
        let passes = all.iter().filter(|cell| cell.outcome == PASS).count();
        format!("{passes} passes of {}", all.len())
    };
    Some((outcome, bad.map_or(String::new(), |cell| why(cell))))
}

const PASS: &str = "pass";

fn is_expected(cells: &[CellResult], of: &CellResult, stack: &str) -> bool {
    repetitions(cells, of, stack).all(|cell| cell.verdict == Verdict::Ok)
}

/// The same cell on a stack, as often as it was repeated there.
fn repetitions<'a>(
    cells: &'a [CellResult],
    of: &'a CellResult,
    stack: &'a str,
) -> impl Iterator<Item = &'a CellResult> + Clone {
    cells.iter().filter(move |cell| {
        cell.scenario == of.scenario && cell.profile == of.profile && cell.stack == stack
    })
}

/// Why a cell did not pass, in few words: the kernel's own, where it complained.
fn why(cell: &CellResult) -> String {
    let text = cell.splats.first().unwrap_or(&cell.reason);
    let line = text.lines().next().unwrap_or_default();
    // What a check compared is a line of C, and in the cell's own reason.
    let line = line.split(" (Expected ").next().unwrap_or(line);
    match line.char_indices().nth(REASON_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

fn sentence(first: usize, last: usize, turns: &[Turn]) -> String {
    let who = match (first, last) {
        (first, last) if first == last => format!("patch {first}"),
        (first, last) => format!("patches {first} to {last}"),
    };
    let verb = if first == last { "turns" } else { "turn" };
    let (bad, rest): (Vec<&Turn>, Vec<&Turn>) = turns.iter().partition(|turn| turn.from == PASS);
    let (good, other): (Vec<&Turn>, Vec<&Turn>) = rest.iter().partition(|turn| turn.to == PASS);
    let parts: Vec<String> = [good, bad, other]
        .iter()
        .filter_map(|some| list(some))
        .collect();
    match (parts.is_empty(), first == last) {
        (true, true) => format!("{who} changes no outcome"),
        (true, false) => format!("{who} change no outcome"),
        (false, _) => format!("{who} {verb} {}", parts.join("; and ")),
    }
}

/// "`a` from crash (why) to pass, `b` from ... and 3 more of that kind".
fn list(turns: &[&Turn]) -> Option<String> {
    if turns.is_empty() {
        return None;
    }
    let name = |turn: &&Turn| {
        let why = if turn.reason.is_empty() {
            String::new()
        } else {
            format!(" ({})", turn.reason)
        };
        match turn.from.as_str() {
            PASS if turn.is_expected => {
                format!(
                    "`{}` from pass to {}, as expected{why}",
                    turn.scenario, turn.to
                )
            }
            PASS => format!("`{}` from pass to {}{why}", turn.scenario, turn.to),
            from => format!("`{}` from {from}{why} to {}", turn.scenario, turn.to),
        }
    };
    let mut text = turns
        .iter()
        .take(NAMED)
        .map(name)
        .collect::<Vec<_>>()
        .join(", ");
    if turns.len() > NAMED {
        text += &format!(", and {} more likewise", turns.len() - NAMED);
    }
    Some(text)
}

/// Finds what a patch breaks again that an earlier one has mended: such a cell is as
/// good as one that fails where it must pass.
pub(super) fn hold_in_order(cells: &mut [CellResult], stacks: &[StackResult]) {
    for later in 1..stacks.len() {
        let broken: Vec<(usize, String)> = (0..cells.len())
            .filter(|&index| cells[index].stack == stacks[later].name)
            .filter(|&index| cells[index].expected == EITHER && cells[index].outcome != PASS)
            .filter_map(|index| Some((index, mended_by(cells, &cells[index], &stacks[..later])?)))
            .collect();
        for (index, stack) in broken {
            let cell = &mut cells[index];
            cell.verdict = Verdict::Unexpected;
            cell.blame = Some(Blame::Kernel);
            cell.reason = format!("passes on {stack}, and is broken again: {}", cell.reason);
        }
    }
}

const EITHER: &str = "either";

/// The last of the stacks on which a scenario passed already, where it need not yet.
fn mended_by(cells: &[CellResult], of: &CellResult, before: &[StackResult]) -> Option<String> {
    let passes = |stack: &&StackResult| {
        let mut same = repetitions(cells, of, &stack.name);
        let is_due = same.clone().any(|cell| cell.expected == EITHER);
        // What must fail with the whole series fails for good at some patch.
        let mut whole = repetitions(cells, of, SERIES);
        let fails_in_the_end = whole.any(|cell| cell.expected == "fail");
        is_due && !fails_in_the_end && same.all(|cell| cell.outcome == PASS)
    };
    let stack = before.iter().rev().find(passes)?;
    Some(stack.name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::tests::cell;
    use super::*;

    fn stacks() -> Vec<StackResult> {
        let subjects = ["one", "two", "three"].map(str::to_owned);
        let stack = |name: &str, patches: usize| StackResult {
            name: name.to_owned(),
            patches: subjects[..patches].to_vec(),
            contains: Vec::new(),
        };
        vec![
            stack("base", 0),
            stack("patch-1", 1),
            stack("patch-2", 2),
            stack("series", 3),
        ]
    }

    fn told(cells: &[CellResult], stacks: &[StackResult]) -> String {
        let all = patches(cells, stacks);
        let lines: Vec<String> = all.iter().map(|one| one.sentence.clone()).collect();
        lines.join("\n")
    }

    #[test]
    fn where_the_host_failed_nothing_is_known_of_a_patch() {
        let cells = [
            cell("held", "base", "pass", "pass"),
            cell("held", "series", "error", "pass"),
        ];
        let stacks = stacks();
        let ends = [stacks[0].clone(), stacks[3].clone()];
        assert_eq!(told(&cells, &ends), "patches 1 to 3 change no outcome");
    }

    #[test]
    fn each_patch_has_a_sentence() {
        let mut cells = vec![
            cell("held", "base", "crash", "fail"),
            cell("held", "patch-1", "pass", "either"),
            cell("held", "patch-2", "pass", "either"),
            cell("held", "series", "pass", "pass"),
            cell("kexec", "base", "pass", "pass"),
            cell("kexec", "patch-1", "pass", "pass"),
            cell("kexec", "patch-2", "pass", "pass"),
            cell("kexec", "series", "hang", "pass"),
        ];
        cells[0].splats = vec!["KASAN: slab-use-after-free Read in f".to_owned()];
        insta::assert_snapshot!(told(&cells, &stacks()), @r"
        patch 1 turns `held` from crash (KASAN: slab-use-after-free Read in f) to pass
        patch 2 changes no outcome
        patch 3 turns `kexec` from pass to hang (hang for a reason)
        ");
        let ends = [stacks().remove(0), stacks().remove(3)];
        insta::assert_snapshot!(told(&cells, &ends), @"patches 1 to 3 turn `held` from crash (KASAN: slab-use-after-free Read in f) to pass; and `kexec` from pass to hang (hang for a reason)");
    }

    #[test]
    fn what_is_broken_again_is_a_finding() {
        let mut cells = vec![
            cell("held", "base", "crash", "fail"),
            cell("held", "patch-1", "pass", "either"),
            cell("held", "patch-2", "crash", "either"),
            cell("held", "series", "pass", "pass"),
            cell("late", "patch-1", "fail", "either"),
            cell("late", "patch-2", "pass", "either"),
        ];
        for cell in &mut cells {
            cell.verdict = Verdict::Ok;
        }
        hold_in_order(&mut cells, &stacks());
        let bad: Vec<&str> = cells
            .iter()
            .filter(|cell| cell.verdict == Verdict::Unexpected)
            .map(|cell| cell.reason.as_str())
            .collect();
        assert_eq!(
            bad,
            ["passes on patch-1, and is broken again: crash for a reason"]
        );
    }
}
