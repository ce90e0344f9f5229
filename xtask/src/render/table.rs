// SPDX-License-Identifier: GPL-2.0-only
//! The table: scenarios against stacks, and what a person should look at.

use std::collections::BTreeMap;

use super::mutants;
use crate::result::{CellResult, RunResult, Verdict};

/// The time of day in `2026-01-31T18:42:10+01:00`.
const TIME_OF_DAY: std::ops::Range<usize> = 11..19;

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
    for patch in &result.patches {
        text += &format!("{}\n", patch.sentence);
    }
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
    let mut lines = vec![line(
        &format!("profile {profile}"),
        first,
        &stacks
            .iter()
            .map(|stack| (*stack).to_owned())
            .collect::<Vec<_>>(),
    )];
    for (scenario, by_stack) in &rows {
        let entries: Vec<String> = stacks
            .iter()
            .map(|stack| {
                by_stack
                    .get(stack)
                    .map_or_else(String::new, |cells| entry(cells))
            })
            .collect();
        lines.push(line(scenario, first, &entries));
    }
    lines.join("\n") + "\n"
}

fn line(name: &str, width: usize, entries: &[String]) -> String {
    let columns: String = entries
        .iter()
        .map(|entry| format!("  {entry:<18}"))
        .collect();
    format!("{name:<width$}{columns}").trim_end().to_owned()
}

/// One place in the table: the outcome, and whether it is as it should be.
/// Repetitions that differ are counted.
fn entry(cells: &[&CellResult]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in cells {
        *counts.entry(&cell.outcome).or_default() += 1;
    }
    let same = if cells.iter().all(|cell| cell.kept.is_some()) {
        "="
    } else {
        ""
    };
    let outcomes: Vec<String> = match cells {
        [cell] => vec![format!("{:<5}", format!("{}{same}", cell.outcome))],
        _ => counts
            .iter()
            .map(|(outcome, count)| format!("{count} {outcome}{same}"))
            .collect(),
    };
    let mark = if cells.iter().any(|cell| cell.verdict == Verdict::Unexpected) {
        "UNEXPECTED"
    } else if cells.iter().any(|cell| cell.snapshot_difference.is_some()) {
        "CHANGED"
    } else if cells.iter().any(|cell| cell.expected == "fail") {
        "as expected"
    } else if cells
        .iter()
        .any(|cell| cell.expected == "either" && cell.outcome != "pass")
    {
        // What a later patch of the series changes.
        "mid-series"
    } else {
        ""
    };
    format!("{} {mark}", outcomes.join(", "))
        .trim_end()
        .to_owned()
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
    text += &mutants::summary(result);
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
pub(crate) fn findings(result: &RunResult, run: &str, rerun: &str) -> String {
    let mut text = String::new();
    for cell in result.cells.iter().filter(|cell| cell.is_finding()) {
        let name = format!("{} on {} ({})", cell.scenario, cell.stack, cell.profile);
        text += &match cell.verdict {
            Verdict::Unexpected => {
                format!(
                    "\n{name}: {}, where {} was expected\n",
                    cell.outcome, cell.expected
                )
            }
            Verdict::Ok => format!("\n{name}: {}, but not as recorded\n", cell.outcome),
        };
        text += &format!("  {}\n", cell.reason);
        for line in cell
            .snapshot_difference
            .iter()
            .flat_map(|difference| difference.lines())
        {
            text += &format!("    {line}\n");
        }
        text += &format!("  see:   {run}/{}/\n", cell.artifacts);
        text += &format!(
            "  again: cargo xtask test {}{} --stacks {} --profile {}{rerun}\n",
            if cell.kselftest { "--kselftest " } else { "" },
            cell.scenario,
            cell.stack,
            cell.profile
        );
    }
    text
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
          see:   RUN/fast/series/kexec/
          again: cargo xtask test kexec --stacks series --profile fast --kernel K

        surprise on base (fast): pass, where fail was expected
          pass for a reason
          see:   RUN/fast/base/surprise/
          again: cargo xtask test surprise --stacks base --profile fast --kernel K
        ");
    }

    #[test]
    fn half_a_series_is_told_from_a_whole_one() {
        let mut early = cell("held", "patch-1", "fail", "either");
        early.verdict = Verdict::Ok;
        let stack = |name: &str, patches: &[&str]| crate::result::StackResult {
            name: name.to_owned(),
            patches: patches.iter().map(|one| (*one).to_owned()).collect(),
            contains: Vec::new(),
        };
        let all = result(vec![early, cell("held", "series", "pass", "pass")]);
        let all = all.with_stacks(vec![stack("patch-1", &["a"]), stack("series", &["a", "b"])]);
        insta::assert_snapshot!(text(&all), @r"
        profile fast    patch-1             series
        held            fail  mid-series    pass

        2 of 2 verdicts as expected
        s on the tree
        every stack has a, b
        patch 2 turns `held` from fail (fail for a reason) to pass
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
    fn repetitions_share_a_place() {
        let mut second = cell("s", "series", "fail", "pass");
        second.repetition = 2;
        let text = text(&result(vec![cell("s", "series", "pass", "pass"), second]));
        assert!(text.contains("1 fail, 1 pass UNEXPECTED"), "{text}");
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
          see:   RUN/fast/base/t:b/
          again: cargo xtask test --kselftest t:b --stacks base --profile fast
        ");
    }
}
