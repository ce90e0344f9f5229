// SPDX-License-Identifier: GPL-2.0-only
//! What came of mutants: a line of numbers, and those that a person should look at.

use kernel_patches::checkout::MUTANT_PREFIX;

use super::again;
use crate::result::{MutantResult, MutantStatus, RunResult, Tally};

/// Returns the numbers, a line for each config; nothing where there are no mutants.
pub(crate) fn summary(result: &RunResult) -> String {
    let mut configs: Vec<&str> = Vec::new();
    for mutant in &result.mutants {
        if !configs.contains(&mutant.config.as_str()) {
            configs.push(&mutant.config);
        }
    }
    let mut text = String::new();
    for config in &configs {
        let of_config = result.mutants.iter().filter(|one| one.config == *config);
        let tally = Tally::of(of_config);
        let name = match configs.len() {
            1 => String::new(),
            _ => format!(" ({config})"),
        };
        text += &format!(
            "mutants{name}: {} of {} caught",
            tally.caught,
            tally.testable()
        );
        for (number, what) in [
            (tally.inconclusive, "not proven"),
            (tally.equivalent, "equivalent"),
            (tally.same_code, "the same code"),
            (tally.unviable, "not built"),
        ] {
            if number > 0 {
                text += &format!(", {number} {what}");
            }
        }
        text.push('\n');
    }
    text
}

/// Returns the mutants that a person should look at, each with its difference from the
/// series and the command to see it again.
pub(crate) fn findings(result: &RunResult, run: &str, rerun: &str) -> String {
    let findings = result.mutants.iter().filter(|one| one.is_finding());
    findings.map(|one| finding(one, run, rerun)).collect()
}

fn finding(mutant: &MutantResult, run: &str, rerun: &str) -> String {
    let MutantResult {
        name,
        config,
        title,
        file,
        line,
        reason,
        ..
    } = mutant;
    let what = match mutant.status {
        MutantStatus::Missed => "no scenario notices it",
        MutantStatus::Inconclusive => "not caught, but not all scenarios came to their end",
        _ => "caught, though written down as equivalent",
    };
    let patch = match mutant.patch {
        Some(patch) => format!(" (patch {patch})"),
        None => String::new(),
    };
    let mut text = format!("\n{MUTANT_PREFIX}{name} ({config}): {what}\n");
    text += &format!("  {title}\n  in {file}:{line}{patch}; {reason}\n");
    for line in mutant.diff.lines() {
        text += format!("    {line}").trim_end();
        text.push('\n');
    }
    text += &format!("  see:   {run}/kernels/{config}/{MUTANT_PREFIX}{name}/\n");
    let checkout = format!("{MUTANT_PREFIX}{name}");
    let again = again::command([], &[&checkout], &[config], rerun);
    text + &format!("  again: {again}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::mutant;

    #[test]
    fn a_mutant_that_nobody_notices_is_shown_with_its_difference() {
        let mut result = RunResult::new("t".into(), "s".into(), Vec::new(), Vec::new());
        assert_eq!(summary(&result), "");
        result.mutants = vec![
            mutant("it-put-drop-put-1", MutantStatus::Missed),
            mutant("a", MutantStatus::Caught),
            mutant("b", MutantStatus::Caught),
            mutant("c", MutantStatus::SameCode),
            mutant("d", MutantStatus::Unviable),
            mutant("e", MutantStatus::Equivalent),
        ];
        insta::assert_snapshot!(
            summary(&result),
            @"mutants: 2 of 3 caught, 1 equivalent, 1 the same code, 1 not built"
        );
        insta::assert_snapshot!(findings(&result, "RUN", " --tree K"), @"

        mutant-it-put-drop-put-1 (fast): no scenario notices it
          the call `put(it);` is left out
          in kernel/it.c:7 (patch 2); 3 scenarios come to what they do on the series
            --- a/kernel/it.c
            +++ b/kernel/it.c
            @@ -7 +7 @@
            -\tput(it);
            +\t;
          see:   RUN/kernels/fast/mutant-it-put-drop-put-1/
          again: cargo xtask test --checkouts mutant-it-put-drop-put-1 --config fast --tree K
        ");
        result.mutants[5].caught_by = vec!["s".to_owned()];
        let text = findings(&result, "RUN", "");
        assert!(
            text.contains("mutant-e (fast): caught, though written down"),
            "{text}"
        );
    }
}
