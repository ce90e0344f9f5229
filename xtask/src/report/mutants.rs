// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results of mutants: a line of counts, and the mutants that need attention.

use kernel_patches::checkout::MUTANT_PREFIX;

use super::input::LABELS;
use super::reproduce;
use crate::result::{MutantResult, MutantStatus, RunResult, Tally};

/// Returns the counts, a line for each config; empty without mutants.
pub fn summary(result: &RunResult) -> String {
    let mut configs: Vec<&str> = Vec::new();
    for mutant in &result.mutants {
        if !configs.contains(&mutant.config.as_str()) {
            configs.push(&mutant.config);
        }
    }
    let mut text = String::new();
    for config in &configs {
        let of_config = result.mutants.iter().filter(|one| one.config == *config);
        let count = of_config.clone().count();
        let tally = Tally::of(of_config);
        let name = match configs.len() {
            1 => String::new(),
            _ => format!(" ({config})"),
        };
        let plural = if count == 1 { "" } else { "s" };
        let equivalent = match tally.disproved {
            0 => "equivalent".to_owned(),
            some => format!("equivalent ({some} of them CAUGHT)"),
        };
        text += &format!("{count} mutant{plural}{name}: {} caught", tally.caught);
        for (number, status) in [
            (tally.missed, "MISSED"),
            (tally.inconclusive, "inconclusive"),
            (tally.equivalent, &equivalent),
            (tally.same_code, "same code"),
            (tally.unviable, "unviable"),
        ] {
            if number > 0 {
                text += &format!(", {number} {status}");
            }
        }
        text.push('\n');
    }
    text
}

/// Returns the mutants that need attention, each with its difference from the series and the
/// command that reproduces it.
pub fn findings(result: &RunResult, run: &str, options: &str) -> String {
    let findings = result.mutants.iter().filter(|one| one.needs_attention());
    findings.map(|one| finding(one, run, options)).collect()
}

fn finding(mutant: &MutantResult, run: &str, options: &str) -> String {
    let MutantResult {
        name,
        config,
        title,
        file,
        line,
        reason,
        ..
    } = mutant;
    let problem = match mutant.status {
        MutantStatus::Missed => "MISSED: no test caught it",
        MutantStatus::Inconclusive => "inconclusive: not caught, and some tests have no result",
        _ => "CAUGHT although listed as equivalent",
    };
    let patch = match mutant.patch {
        Some(patch) => format!(" (patch {patch})"),
        None => String::new(),
    };
    let mut text = format!("\n{MUTANT_PREFIX}{name} ({config}): {problem}\n");
    text += &format!("  {title}\n  in {file}:{line}{patch}; {reason}\n");
    for line in mutant.diff.lines() {
        text += format!("    {line}").trim_end();
        text.push('\n');
    }
    text += &format!(
        "  {}{run}/kernels/{config}/{MUTANT_PREFIX}{name}/\n",
        LABELS.log
    );
    let checkout = format!("{MUTANT_PREFIX}{name}");
    let command = reproduce::command([], &[&checkout], &[config], options);
    text + &format!("  {}{command}\n", LABELS.reproduce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::mutant;

    #[test]
    fn findings_have_the_difference_of_a_missed_mutant() {
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
            @"6 mutants: 2 caught, 1 MISSED, 1 equivalent, 1 same code, 1 unviable"
        );
        insta::assert_snapshot!(findings(&result, "RUN", " --tree K"), @"
        mutant-it-put-drop-put-1 (fast): MISSED: no test caught it
          the call `put(it);` is left out
          in kernel/it.c:7 (patch 2); 3 tests have the same result as on the series
            --- a/kernel/it.c
            +++ b/kernel/it.c
            @@ -7 +7 @@
            -	put(it);
            +	;
          log:       RUN/kernels/fast/mutant-it-put-drop-put-1/
          reproduce: cargo xtask test --checkouts mutant-it-put-drop-put-1 --config fast --tree K
        ");
        result.mutants[5].caught_by = vec!["s".to_owned()];
        let text = findings(&result, "RUN", "");
        assert!(
            text.contains("mutant-e (fast): CAUGHT although listed"),
            "{text}"
        );
    }
}
