// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results of the self-checks: a line for each config, and the missed faults.

use super::wrap::hanging;
use crate::result::{Detection, RunResult, SelfCheckResult};

/// Maximum width of a line.
const COLUMNS: usize = 80;

/// Returns the detection of each fault class, a paragraph for each config.
pub(crate) fn text(result: &RunResult) -> String {
    let mut configs: Vec<&str> = Vec::new();
    for self_check in &result.self_checks {
        if !configs.contains(&self_check.config.as_str()) {
            configs.push(&self_check.config);
        }
    }
    configs.into_iter().map(|name| of(name, result)).collect()
}

fn of(config: &str, result: &RunResult) -> String {
    let of_config = |one: &&SelfCheckResult| one.config == config;
    let all: Vec<&SelfCheckResult> = result.self_checks.iter().filter(of_config).collect();
    let parts: Vec<String> = [
        Detection::Detected,
        Detection::NotConfigured,
        Detection::Missed,
    ]
    .into_iter()
    .flat_map(|detection| parts(&all, detection))
    .collect();
    let text = format!("self-check ({config}): {}", parts.join("; "));
    hanging(&text, COLUMNS, 0, 2)
}

/// Returns the fault classes with a detection: first the classes that have it on every
/// checkout, then each other class with its checkouts. A missed class always has checkouts.
fn parts(all: &[&SelfCheckResult], detection: Detection) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for one in all.iter().filter(|one| one.detection == detection) {
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    let has_checkouts = |name: &&str| {
        let mut of_name = all.iter().filter(|one| one.name == *name);
        detection == Detection::Missed || of_name.any(|one| one.detection != detection)
    };
    let (some, every): (Vec<&str>, Vec<&str>) = names.into_iter().partition(has_checkouts);
    let word = detection.word();
    let every = (!every.is_empty()).then(|| format!("{} {word}", every.join(", ")));
    let some = some.into_iter().map(|name| {
        let with_detection = all
            .iter()
            .filter(|one| one.name == name && one.detection == detection);
        let checkouts: Vec<&str> = with_detection.map(|one| one.checkout.as_str()).collect();
        format!("{name} {word} on {}", checkouts.join(", "))
    });
    every.into_iter().chain(some).collect()
}

/// Returns the missed faults.
pub(crate) fn findings(result: &RunResult) -> String {
    let mut text = String::new();
    let missed = result.self_checks.iter().filter(|one| one.is_finding());
    for SelfCheckResult {
        name,
        checkout,
        config,
        detail,
        ..
    } in missed
    {
        text += &format!("\n{name} on {checkout} ({config}): injected fault MISSED\n");
        text += &format!("  {detail}\n");
    }
    if !text.is_empty() {
        text += "\na pass on these builds does not exclude faults of a missed class\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::result::tests::job;

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
    fn text_has_a_paragraph_for_each_config() {
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
        insta::assert_snapshot!(text(&result), @"
        self-check (fast): WARN, BUG, list corruption, refcount_t, hang, panic detected;
          KASAN, lockdep not configured
        self-check (kasan): KASAN detected
        ");
        assert_eq!(findings(&result), "");
        assert_eq!((result.exit(), result.exit_code), (Exit::Ok, 0));
    }

    #[test]
    fn findings_and_exit_report_a_missed_fault() {
        let result = result(vec![
            self_check("WARN", "base", "fast", Detection::Detected),
            self_check("WARN", "series", "fast", Detection::Missed),
        ]);
        insta::assert_snapshot!(text(&result) + &findings(&result), @"
        self-check (fast): WARN detected on base; WARN MISSED on series

        WARN on series (fast): injected fault MISSED
          WARN for a reason

        a pass on these builds does not exclude faults of a missed class
        ");
        assert_eq!((result.exit(), result.exit_code), (Exit::Finding, 1));
    }
}
