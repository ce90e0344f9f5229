// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results of mutants and self-checks as lines of text, and those that need attention.

use kernel_patches::checkout::MUTANT_PREFIX;

use super::input::Report;
use super::reproduce;
use super::words::{LOG, REPRODUCE};
use crate::result::{Detection, MutantResult, MutantStatus, RunResult, SelfCheckResult, Tally};
use crate::text::{distinct, wrap};

/// Maximum width of a line.
const COLUMNS: usize = 80;

/// Returns the number of mutants of each status, a line for each config; empty without
/// mutants.
pub(super) fn mutants(result: &RunResult) -> String {
    let all = &result.mutants;
    let configs = distinct(all.iter().map(|mutant| mutant.config.as_str()));
    let line = |config: &str| {
        let of_config = all.iter().filter(|one| one.config == config);
        let name = match configs.len() {
            1 => String::new(),
            _ => format!(" ({config})"),
        };
        mutants_of_config(&of_config.collect::<Vec<_>>(), &name)
    };
    configs.iter().map(|config| line(config)).collect()
}

fn mutants_of_config(mutants: &[&MutantResult], name: &str) -> String {
    let count = mutants.len();
    let tally = Tally::of(mutants.iter().copied());
    let plural = if count == 1 { "" } else { "s" };
    let equivalent = match tally.disproved() {
        0 => "equivalent".to_owned(),
        some => format!("equivalent ({some} of them CAUGHT)"),
    };
    let mut counts = Vec::new();
    for (status, word) in [
        (MutantStatus::Caught, "caught"),
        (MutantStatus::Missed, "MISSED"),
        (MutantStatus::Inconclusive, "inconclusive"),
        (MutantStatus::Equivalent, &equivalent),
        (MutantStatus::SameCode, "same code"),
        (MutantStatus::Unviable, "unviable"),
    ] {
        let number = tally.count(status);
        if number > 0 || status == MutantStatus::Caught {
            counts.push(format!("{number} {word}"));
        }
    }
    format!("{count} mutant{plural}{name}: {}\n", counts.join(", "))
}

/// Returns the mutants that need attention, each with its difference from the series and the
/// command that reproduces it.
pub(super) fn mutant_findings(report: &Report<'_>) -> String {
    let mutants = report.result.mutants.iter();
    let findings = mutants.filter(|one| one.needs_attention());
    findings.map(|one| mutant_finding(one, report)).collect()
}

fn mutant_finding(mutant: &MutantResult, report: &Report<'_>) -> String {
    let MutantResult {
        config,
        title,
        file,
        line,
        reason,
        ..
    } = mutant;
    let checkout = format!("{MUTANT_PREFIX}{}", mutant.name);
    let problem = match mutant.status {
        MutantStatus::Missed => "MISSED: no test caught it",
        MutantStatus::Inconclusive => "inconclusive: not caught, and some tests have no result",
        _ => "CAUGHT although listed as equivalent",
    };
    let patch = match mutant.patch {
        Some(patch) => format!(" (patch {patch})"),
        None => String::new(),
    };
    let difference = mutant.diff.lines().map(|line| format!("    {line}"));
    let difference: String = difference
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let command = reproduce::command([], &[&checkout], &[config], report.options);
    format!(
        "\n{checkout} ({config}): {problem}\n  {title}\n  in {file}:{line}{patch}; {reason}\n\
         {difference}  {}{}/kernels/{config}/{checkout}/\n  {}{command}\n",
        LOG, report.run, REPRODUCE
    )
}

/// Returns the detection of each fault class, a paragraph for each config.
pub(super) fn self_checks(result: &RunResult) -> String {
    let all = &result.self_checks;
    let configs = distinct(all.iter().map(|one| one.config.as_str()));
    let paragraph = |config: &str| {
        let of_config = all.iter().filter(|one| one.config == config);
        let of_config: Vec<&SelfCheckResult> = of_config.collect();
        let detections = [
            Detection::Detected,
            Detection::NotConfigured,
            Detection::Inconclusive,
            Detection::Missed,
        ];
        let parts = detections.map(|detection| parts(&of_config, detection));
        let text = format!("self-check ({config}): {}", parts.concat().join("; "));
        wrap(&text, COLUMNS, "", 2)
    };
    configs.into_iter().map(paragraph).collect()
}

/// Returns the fault classes with a detection: first the classes that have it on every
/// checkout, then each other class with its checkouts. A missed class always has checkouts.
fn parts(all: &[&SelfCheckResult], detection: Detection) -> Vec<String> {
    let with_detection = || all.iter().filter(|one| one.detection == detection);
    let names = distinct(with_detection().map(|one| one.name.as_str()));
    let has_checkouts = |name: &&str| {
        let mut of_name = all.iter().filter(|one| one.name == *name);
        detection == Detection::Missed || of_name.any(|one| one.detection != detection)
    };
    let (some, every): (Vec<&str>, Vec<&str>) = names.into_iter().partition(has_checkouts);
    let word = detection.word();
    let every = (!every.is_empty()).then(|| format!("{} {word}", every.join(", ")));
    let some = some.into_iter().map(|name| {
        let of_name = with_detection().filter(|one| one.name == name);
        let checkouts: Vec<&str> = of_name.map(|one| one.checkout.as_str()).collect();
        format!("{name} {word} on {}", checkouts.join(", "))
    });
    every.into_iter().chain(some).collect()
}

pub(super) fn self_check_findings(result: &RunResult) -> String {
    let mut text = String::new();
    for one in &result.self_checks {
        let problem = match one.detection {
            Detection::Missed => "injected fault MISSED",
            Detection::Inconclusive => "self-check inconclusive",
            Detection::Detected | Detection::NotConfigured => continue,
        };
        let place = format!("{} on {} ({})", one.name, one.checkout, one.config);
        text += &format!("\n{place}: {problem}\n  {}\n", one.detail);
    }
    if !text.is_empty() {
        text += "\na pass on these builds does not exclude faults of these classes\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::result::tests::{job, mutant};

    #[test]
    fn mutant_findings_have_the_difference_of_a_missed_mutant() {
        let mut result = RunResult::new("t".into(), "s".into(), Vec::new(), Vec::new());
        assert_eq!(mutants(&result), "");
        result.mutants = vec![
            mutant("it-put-drop-put-1", MutantStatus::Missed),
            mutant("a", MutantStatus::Caught),
            mutant("b", MutantStatus::Caught),
            mutant("c", MutantStatus::SameCode),
            mutant("d", MutantStatus::Unviable),
            mutant("e", MutantStatus::Equivalent),
        ];
        insta::assert_snapshot!(
            mutants(&result),
            @"6 mutants: 2 caught, 1 MISSED, 1 equivalent, 1 same code, 1 unviable"
        );
        insta::assert_snapshot!(mutant_findings(&Report::new(&result, "RUN", " --tree K")), @"
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
        let text = mutant_findings(&Report::new(&result, "RUN", ""));
        assert!(
            text.contains("mutant-e (fast): CAUGHT although listed"),
            "{text}"
        );
    }

    fn self_check(
        name: &str,
        checkout: &str,
        config: &str,
        detection: Detection,
    ) -> SelfCheckResult {
        SelfCheckResult {
            name: name.to_owned(),
            checkout: checkout.to_owned(),
            config: config.to_owned(),
            detection,
            detail: format!("{name} for a reason"),
        }
    }

    fn result(self_checks: Vec<SelfCheckResult>) -> RunResult {
        let jobs = vec![job("s", "series", "pass", "pass")];
        RunResult::new("tree".into(), "s".into(), Vec::new(), jobs).with_self_checks(self_checks)
    }

    #[test]
    fn self_checks_has_a_paragraph_for_each_config() {
        let mut all = Vec::new();
        for checkout in ["base", "series"] {
            for name in [
                "WARN",
                "BUG",
                "list corruption",
                "refcount_t",
                "hang",
                "panic",
            ] {
                all.push(self_check(name, checkout, "fast", Detection::Detected));
            }
            all.push(self_check(
                "KASAN",
                checkout,
                "fast",
                Detection::NotConfigured,
            ));
            all.push(self_check(
                "lockdep",
                checkout,
                "fast",
                Detection::NotConfigured,
            ));
            all.push(self_check("KASAN", checkout, "kasan", Detection::Detected));
        }
        let result = result(all);
        insta::assert_snapshot!(self_checks(&result), @"
        self-check (fast): WARN, BUG, list corruption, refcount_t, hang, panic detected;
          KASAN, lockdep not configured
        self-check (kasan): KASAN detected
        ");
        assert_eq!(self_check_findings(&result), "");
        assert_eq!((result.exit(), result.exit_code), (Exit::Ok, 0));
    }

    #[test]
    fn self_check_findings_and_exit_report_a_missed_fault() {
        let result = result(vec![
            self_check("WARN", "base", "fast", Detection::Detected),
            self_check("WARN", "series", "fast", Detection::Missed),
        ]);
        insta::assert_snapshot!(self_checks(&result) + &self_check_findings(&result), @"
        self-check (fast): WARN detected on base; WARN MISSED on series

        WARN on series (fast): injected fault MISSED
          WARN for a reason

        a pass on these builds does not exclude faults of these classes
        ");
        assert_eq!((result.exit(), result.exit_code), (Exit::Finding, 1));
    }
}
