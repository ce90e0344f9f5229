// SPDX-License-Identifier: GPL-2.0-only
//! The table: scenarios against stacks, and what a person should look at.

use std::collections::{BTreeMap, BTreeSet};

use crate::result::{CellResult, RunResult, Verdict};

/// The time of day in `2026-01-31T18:42:10+01:00`.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;

/// What a column is at least wide enough for.
const COLUMN_CHARS_MIN: usize = 18;

/// Returns the result as a table, one for each profile, and the findings below it.
pub(crate) fn text(result: &RunResult) -> String {
    let mut profiles: Vec<&str> = Vec::new();
    for cell in &result.cells {
        if !profiles.contains(&cell.profile.as_str()) {
            profiles.push(&cell.profile);
        }
    }
    let mut text = String::new();
    for profile in profiles {
        let cells: Vec<&CellResult> = result
            .cells
            .iter()
            .filter(|cell| cell.profile == profile)
            .collect();
        text += &grid(profile, &cells);
        text.push('\n');
    }
    text += &kept(result);
    text += &summary(result);
    text
}

/// Explains the mark of cells that did not run now, when there are any.
fn kept(result: &RunResult) -> String {
    let mut times: Vec<&str> = result
        .cells
        .iter()
        .filter_map(|cell| cell.kept.as_ref())
        .map(|kept| kept.at.get(TIME_OF_DAY).unwrap_or(&kept.at))
        .collect();
    times.sort_unstable();
    let when = match times.as_slice() {
        [] => return String::new(),
        [first, .., last] if first != last => format!("between {first} and {last}"),
        [first, ..] => format!("at {first}"),
    };
    format!("= ran {when}; nothing that it rests on has changed since\n\n")
}

/// The table of one profile.
fn grid(profile: &str, cells: &[&CellResult]) -> String {
    let mut stacks: Vec<&str> = Vec::new();
    let mut rows: BTreeMap<&str, BTreeMap<&str, Vec<&CellResult>>> = BTreeMap::new();
    for cell in cells {
        if !stacks.contains(&cell.stack.as_str()) {
            stacks.push(&cell.stack);
        }
        rows.entry(&cell.scenario)
            .or_default()
            .entry(&cell.stack)
            .or_default()
            .push(cell);
    }
    let first = rows
        .keys()
        .map(|name| name.len())
        .max()
        .unwrap_or(0)
        .max(profile.len() + 10);
    let mut table = vec![Row {
        name: format!("profile {profile}"),
        entries: stacks.iter().map(|stack| (*stack).to_owned()).collect(),
    }];
    table.extend(rows.iter().map(|(scenario, by_stack)| {
        let entry = |stack: &&str| {
            let cells = by_stack.get(stack);
            cells.map_or_else(String::new, |cells| entry(cells))
        };
        Row {
            name: (*scenario).to_owned(),
            entries: stacks.iter().map(entry).collect(),
        }
    }));
    let widths: Vec<usize> = (0..stacks.len())
        .map(|column| {
            let lengths = table.iter().map(|row| row.entries[column].len());
            lengths.max().unwrap_or(0).max(COLUMN_CHARS_MIN)
        })
        .collect();
    let lines: Vec<String> = table.iter().map(|row| row.line(first, &widths)).collect();
    lines.join("\n") + "\n"
}

/// A line of the table.
struct Row {
    name: String,
    entries: Vec<String>,
}

impl Row {
    fn line(&self, first: usize, widths: &[usize]) -> String {
        let columns: String = self
            .entries
            .iter()
            .zip(widths)
            .map(|(entry, width)| format!("  {entry:<width$}"))
            .collect();
        format!("{:<first$}{columns}", self.name)
            .trim_end()
            .to_owned()
    }
}

/// One place in the table: the outcome, and whether it is as it should be. Of what ran
/// several times it is the one that came most often, and how often.
fn entry(cells: &[&CellResult]) -> String {
    let same = if cells.iter().all(|cell| cell.kept.is_some()) {
        "="
    } else {
        ""
    };
    let shown = match cells {
        [cell] => format!("{:<5}", format!("{}{same}", cell.outcome)),
        _ => match counts(cells).first() {
            Some((outcome, count)) => format!("{count}/{} {outcome}{same}", cells.len()),
            None => String::new(),
        },
    };
    let mark = if cells.iter().any(|cell| cell.verdict == Verdict::Unexpected) {
        "UNEXPECTED"
    } else if cells.iter().any(|cell| cell.snapshot_difference.is_some()) {
        "CHANGED"
    } else if cells.iter().any(|cell| cell.expected == "fail") {
        "as expected"
    } else {
        ""
    };
    format!("{shown} {mark}").trim_end().to_owned()
}

/// How often cells came to what; what came most often first, and of what came as often
/// what was not expected.
fn counts<'a>(cells: &[&'a CellResult]) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for cell in cells {
        let (count, is_bad) = counts.entry(&cell.outcome).or_default();
        *count += 1;
        *is_bad |= cell.verdict == Verdict::Unexpected;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, order)| std::cmp::Reverse(*order));
    let counts = counts.into_iter();
    counts
        .map(|(outcome, (count, _))| (outcome, count))
        .collect()
}

fn summary(result: &RunResult) -> String {
    let count =
        |test: &dyn Fn(&CellResult) -> bool| result.cells.iter().filter(|cell| test(cell)).count();
    let skipped = count(&CellResult::is_skipped);
    let good = count(&|cell| cell.verdict == Verdict::Ok) - skipped;
    let changed = count(&|cell| cell.snapshot_difference.is_some());
    let teeth = result.scenarios.iter().filter(|one| one.teeth).count();
    let mut text = format!("{good} of {} verdicts as expected", result.cells.len());
    if skipped > 0 {
        text += &format!(", {skipped} skipped");
    }
    if changed > 0 {
        text += &format!(", {changed} not as recorded");
    }
    // Without a stack that should be bad, there is nothing to bite.
    if count(&|cell| cell.expected == "fail") > 0 {
        text += &format!(
            "; {teeth} of {} scenarios have teeth",
            result.scenarios.len()
        );
    }
    text.push('\n');
    text += &format!("{} on {}\n", result.series, result.tree);
    if !result.prerequisites.is_empty() {
        text += &format!("every stack has {}\n", result.prerequisites.join(", "));
    }
    text
}

/// Returns what was skipped and why, what went alike on several stacks in one line.
pub(crate) fn skips(result: &RunResult) -> String {
    let mut places: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for cell in result.cells.iter().filter(|cell| cell.is_skipped()) {
        let stacks = places
            .entry((&cell.profile, &cell.scenario, &cell.reason))
            .or_default();
        if !stacks.contains(&cell.stack.as_str()) {
            stacks.push(&cell.stack);
        }
    }
    if places.is_empty() {
        return String::new();
    }
    let mut text = "\nskipped:\n".to_owned();
    for ((profile, name, reason), stacks) in places {
        let stacks = stacks.join(", ");
        text += &format!("  {name} on {stacks} ({profile}): {reason}\n");
    }
    text
}

/// Returns the findings, each with what, why, where, and the command to see it again.
/// The repetitions of a cell are one finding.
pub(crate) fn findings(result: &RunResult, run: &str, rerun: &str) -> String {
    let mut told: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut text = String::new();
    for cell in result.cells.iter().filter(|cell| cell.is_finding()) {
        if told.insert((&cell.scenario, &cell.stack, &cell.profile)) {
            text += &finding(cell, result, run, rerun);
        }
    }
    text
}

/// One finding: the first cell that is one, and how often its like was.
fn finding(cell: &CellResult, result: &RunResult, run: &str, rerun: &str) -> String {
    let name = format!("{} on {} ({})", cell.scenario, cell.stack, cell.profile);
    let all = repetitions(result, cell, &cell.stack);
    let mut text = match (cell.verdict, all.as_slice()) {
        (Verdict::Unexpected, [_]) => {
            let CellResult {
                outcome, expected, ..
            } = cell;
            format!("\n{name}: {outcome}, where {expected} was expected\n")
        }
        (Verdict::Unexpected, _) => {
            let bad: Vec<&CellResult> =
                all.iter().copied().filter(|one| one.is_finding()).collect();
            let bad = counts(&bad).into_iter();
            let bad: Vec<String> = bad
                .map(|(outcome, count)| format!("{outcome} {count}"))
                .collect();
            let (bad, all, expected) = (bad.join(" and "), all.len(), &cell.expected);
            format!("\n{name}: {bad} of {all} times, where {expected} was expected\n")
        }
        (Verdict::Ok, _) => format!("\n{name}: {}, but not as recorded\n", cell.outcome),
    };
    text += &format!("  {}\n", cell.reason);
    if let Some(blame) = cell.blame {
        text += &format!("  fault: {}\n", blame.word());
    }
    let difference = cell.snapshot_difference.iter();
    for line in difference.flat_map(|difference| difference.lines()) {
        text += &format!("    {line}\n");
    }
    let mut repeat = String::new();
    if all.len() > 1 {
        text += &format!("  rate:  {}\n", rate(result, cell));
        repeat = format!(" --repeat {}", all.len());
    }
    text += &format!("  see:   {run}/{}/\n", cell.artifacts);
    text + &format!(
        "  again: cargo xtask test {}{} --stacks {} --profile {}{repeat}{rerun}\n",
        if cell.kselftest { "--kselftest " } else { "" },
        cell.scenario,
        cell.stack,
        cell.profile
    )
}

/// All cells that are one on a stack, but for the number of their repetition.
fn repetitions<'a>(result: &'a RunResult, of: &CellResult, stack: &str) -> Vec<&'a CellResult> {
    let cells = result.cells.iter();
    cells
        .filter(|one| {
            one.stack == stack && one.scenario == of.scenario && one.profile == of.profile
        })
        .collect()
}

/// How often a scenario came to what on each stack: `base 9/10 crash, 1/10 pass`.
fn rate(result: &RunResult, cell: &CellResult) -> String {
    let mut stacks: Vec<&str> = Vec::new();
    for one in &result.cells {
        if !stacks.contains(&one.stack.as_str()) {
            stacks.push(&one.stack);
        }
    }
    let of_stack = |stack: &str| {
        let cells = repetitions(result, cell, stack);
        let all = cells.len();
        let counts = counts(&cells).into_iter();
        let counts: Vec<String> = counts
            .map(|(outcome, count)| format!("{count}/{all} {outcome}"))
            .collect();
        (all > 0).then(|| format!("{stack} {}", counts.join(", ")))
    };
    let rates: Vec<String> = stacks.into_iter().filter_map(of_stack).collect();
    rates.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Kept;
    use crate::result::tests::cell;

    fn result(cells: Vec<CellResult>) -> RunResult {
        RunResult::new(
            "the tree".into(),
            "s".into(),
            vec!["a".into(), "b".into()],
            cells,
        )
    }

    #[test]
    fn the_table_says_what_is_as_expected_and_what_is_not() {
        let result = result(vec![
            cell("held-object", "base", "crash", "fail"),
            cell("held-object", "series", "pass", "pass"),
            cell("kexec", "base", "pass", "pass"),
            cell("kexec", "series", "hang", "pass"),
            cell("surprise", "base", "pass", "fail"),
        ]);
        insta::assert_snapshot!(text(&result), @r"
        profile fast    base                series
        held-object     crash as expected   pass
        kexec           pass                hang  UNEXPECTED
        surprise        pass  UNEXPECTED

        3 of 5 verdicts as expected; 1 of 3 scenarios have teeth
        s on the tree
        every stack has a, b
        ");
        insta::assert_snapshot!(findings(&result, "RUN", " --kernel K"), @r"

        kexec on series (fast): hang, where pass was expected
          hang for a reason
          fault: kernel
          see:   RUN/fast/series/kexec/
          again: cargo xtask test kexec --stacks series --profile fast --kernel K

        surprise on base (fast): pass, where fail was expected
          pass for a reason
          fault: kernel
          see:   RUN/fast/base/surprise/
          again: cargo xtask test surprise --stacks base --profile fast --kernel K
        ");
    }

    #[test]
    fn what_did_not_run_now_is_marked() {
        let mut old = cell("s", "base", "fail", "fail");
        let at = "2026-11-22T18:40:02+00:00".to_owned();
        old.kept = Some(Kept {
            run: "20261122-184000-1".to_owned(),
            at,
        });
        let text = text(&result(vec![old, cell("s", "series", "pass", "pass")]));
        assert!(text.contains("fail= as expected   pass\n"), "{text}");
        let why = "= ran at 18:40:02; nothing that it rests on has changed since\n";
        assert!(text.contains(why), "{text}");
    }

    #[test]
    fn repetitions_share_a_place_and_a_finding() {
        let mut cells = Vec::new();
        for repetition in 1..=10 {
            let rare = |often: &'static str, at: u32, rare: &'static str| {
                if repetition == at { rare } else { often }
            };
            for (scenario, stack, outcome, expected) in [
                ("race", "base", rare("crash", 4, "pass"), "fail"),
                ("race", "series", "pass", "pass"),
                ("kexec", "base", "pass", "pass"),
                (
                    "kexec",
                    "series",
                    rare(rare("pass", 3, "fail"), 8, "hang"),
                    "pass",
                ),
            ] {
                let mut one = cell(scenario, stack, outcome, expected);
                one.repetition = repetition;
                one.artifacts = format!("fast/{stack}/{scenario}-{repetition}");
                cells.push(one);
            }
        }
        let result = result(cells);
        let all = text(&result) + &findings(&result, "RUN", "");
        insta::assert_snapshot!(all, @r"
        profile fast    base                   series
        kexec           10/10 pass             8/10 pass UNEXPECTED
        race            9/10 crash UNEXPECTED  10/10 pass

        37 of 40 verdicts as expected; 1 of 2 scenarios have teeth
        s on the tree
        every stack has a, b

        kexec on series (fast): fail 1 and hang 1 of 10 times, where pass was expected
          fail for a reason
          fault: kernel
          rate:  base 10/10 pass; series 8/10 pass, 1/10 fail, 1/10 hang
          see:   RUN/fast/series/kexec-3/
          again: cargo xtask test kexec --stacks series --profile fast --repeat 10

        race on base (fast): pass 1 of 10 times, where fail was expected
          pass for a reason
          fault: kernel
          rate:  base 9/10 crash, 1/10 pass; series 10/10 pass
          see:   RUN/fast/base/race-4/
          again: cargo xtask test race --stacks base --profile fast --repeat 10
        ");
    }

    #[test]
    fn tests_of_the_tree_s_own_have_no_teeth_and_may_be_skipped() {
        let result = result(vec![
            cell("kexec", "base", "pass", "pass"),
            cell("kexec", "series", "pass", "pass"),
            cell("t:a", "base", "skip", "pass"),
            cell("t:a", "series", "skip", "pass"),
            cell("t:b", "base", "fail", "pass"),
            cell("t:b", "series", "pass", "pass"),
        ]);
        let all = text(&result) + &skips(&result) + &findings(&result, "RUN", "");
        insta::assert_snapshot!(all, @"
        profile fast    base                series
        kexec           pass                pass
        t:a             skip                skip
        t:b             fail  UNEXPECTED    pass

        3 of 6 verdicts as expected, 2 skipped
        s on the tree
        every stack has a, b

        skipped:
          t:a on base, series (fast): skip for a reason

        t:b on base (fast): fail, where pass was expected
          fail for a reason
          fault: kernel
          see:   RUN/fast/base/t:b/
          again: cargo xtask test --kselftest t:b --stacks base --profile fast
        ");
    }
}
