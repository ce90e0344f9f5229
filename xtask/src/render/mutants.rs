// SPDX-License-Identifier: GPL-2.0-only
//! What came of mutants: a line of numbers, and those that a person should look at.

use kernel_patches::stack::MUTANT_PREFIX;

use super::again;
use crate::result::{Fate, MutantResult, RunResult, Tally};

/// Returns the numbers, a line for each profile; nothing where there are no mutants.
pub(crate) fn summary(result: &RunResult) -> String {
    let mut profiles: Vec<&str> = Vec::new();
    for mutant in &result.mutants {
        if !profiles.contains(&mutant.profile.as_str()) {
            profiles.push(&mutant.profile);
        }
    }
    let mut text = String::new();
    for profile in &profiles {
        let of_profile = result.mutants.iter().filter(|one| one.profile == *profile);
        let tally = Tally::of(of_profile);
        let name = match profiles.len() {
            1 => String::new(),
            _ => format!(" ({profile})"),
        };
        text += &format!(
            "mutants{name}: {} of {} noticed",
            tally.noticed,
            tally.noticeable()
        );
        for (number, what) in [
            (tally.unproven, "not proven"),
            (tally.equivalent, "equivalent"),
            (tally.same_object, "the same code"),
            (tally.not_built, "not built"),
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
        profile,
        title,
        file,
        line,
        reason,
        ..
    } = mutant;
    let what = match mutant.fate {
        Fate::Unnoticed => "no scenario notices it",
        Fate::Unproven => "not noticed, but not all scenarios came to their end",
        _ => "noticed, though written down as equivalent",
    };
    let patch = match mutant.patch {
        Some(patch) => format!(" (patch {patch})"),
        None => String::new(),
    };
    let mut text = format!("\n{MUTANT_PREFIX}{name} ({profile}): {what}\n");
    text += &format!("  {title}\n  in {file}:{line}{patch}; {reason}\n");
    for line in mutant.diff.lines() {
        text += format!("    {line}").trim_end();
        text.push('\n');
    }
    text += &format!("  see:   {run}/kernels/{profile}/{MUTANT_PREFIX}{name}/\n");
    let stack = format!("{MUTANT_PREFIX}{name}");
    let again = again::command([], &[&stack], &[profile], rerun);
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
            mutant("it-put-drop-put-1", Fate::Unnoticed),
            mutant("a", Fate::Noticed),
            mutant("b", Fate::Noticed),
            mutant("c", Fate::SameObject),
            mutant("d", Fate::NotBuilt),
            mutant("e", Fate::Equivalent),
        ];
        insta::assert_snapshot!(
            summary(&result),
            @"mutants: 2 of 3 noticed, 1 equivalent, 1 the same code, 1 not built"
        );
        insta::assert_snapshot!(findings(&result, "RUN", " --kernel K"), @"

        mutant-it-put-drop-put-1 (fast): no scenario notices it
          the call `put(it);` is left out
          in kernel/it.c:7 (patch 2); 3 scenarios come to what they do on the series
            --- a/kernel/it.c
            +++ b/kernel/it.c
            @@ -7 +7 @@
            -\tput(it);
            +\t;
          see:   RUN/kernels/fast/mutant-it-put-drop-put-1/
          again: cargo xtask test --stacks mutant-it-put-drop-put-1 --profile fast --kernel K
        ");
        result.mutants[5].noticed_by = vec!["s".to_owned()];
        let text = findings(&result, "RUN", "");
        assert!(
            text.contains("mutant-e (fast): noticed, though written down"),
            "{text}"
        );
    }
}
