// SPDX-License-Identifier: GPL-2.0-only
//! What the kernels showed that they can see: a line for each config, and what is
//! blind.

use super::wrap::hanging;
use crate::result::{Detection, RunResult, SelfCheckResult};

/// The width that all lines keep to.
const COLUMNS: usize = 80;

/// Returns which self_checks see, a paragraph for each config.
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
        (Detection::Seen, "seen"),
        (Detection::NotConfigured, "not in this config"),
        (Detection::Missed, "BLIND"),
    ]
    .into_iter()
    .filter_map(|(detection, words)| {
        let names = names(&all, detection);
        (!names.is_empty()).then(|| format!("{} {words}", names.join(", ")))
    })
    .collect();
    let text = format!("self_checks ({config}): {}", parts.join("; "));
    hanging(&text, COLUMNS, 0, 2)
}

/// The names with a detection, each once, with the checkouts where those differ.
fn names(all: &[&SelfCheckResult], detection: Detection) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for one in all.iter().filter(|one| one.detection == detection) {
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    let with_checkouts = |name: &str| {
        let of_name = |one: &&&SelfCheckResult| one.name == name;
        let differs = all
            .iter()
            .filter(of_name)
            .any(|one| one.detection != detection);
        if !differs {
            return name.to_owned();
        }
        let here = all
            .iter()
            .filter(of_name)
            .filter(|one| one.detection == detection);
        let checkouts: Vec<&str> = here.map(|one| one.checkout.as_str()).collect();
        format!("{name} on {}", checkouts.join(" and "))
    };
    names.into_iter().map(with_checkouts).collect()
}

/// Returns what a person should look at.
pub(crate) fn findings(result: &RunResult) -> String {
    let mut text = String::new();
    let blind = result.self_checks.iter().filter(|one| one.is_finding());
    for SelfCheckResult {
        name,
        checkout,
        config,
        detail,
        ..
    } in blind
    {
        text +=
            &format!("\n{name} on {checkout} ({config}): not seen where it was brought about\n");
        text += &format!("  {detail}\n");
    }
    if !text.is_empty() {
        text += "\nwhere a self_check is blind, a pass proves nothing of its kind\n";
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
    fn what_sees_is_a_line_for_each_config() {
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
                all.push(self_check(name, checkout, "fast", Detection::Seen));
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
            all.push(self_check("KASAN", checkout, "kasan", Detection::Seen));
        }
        let result = result(all);
        insta::assert_snapshot!(text(&result), @r"
        self_checks (fast): WARN, BUG, list corruption, refcount_t, hang, panic seen;
          KASAN, lockdep not in this config
        self_checks (kasan): KASAN seen
        ");
        assert_eq!(findings(&result), "");
        assert_eq!((result.exit(), result.exit_code), (Exit::Ok, 0));
    }

    #[test]
    fn what_is_blind_is_a_finding() {
        let result = result(vec![
            self_check("WARN", "base", "fast", Detection::Seen),
            self_check("WARN", "series", "fast", Detection::Missed),
        ]);
        insta::assert_snapshot!(text(&result) + &findings(&result), @r"
        self_checks (fast): WARN on base seen; WARN on series BLIND

        WARN on series (fast): not seen where it was brought about
          WARN for a reason

        where a self_check is blind, a pass proves nothing of its kind
        ");
        assert_eq!((result.exit(), result.exit_code), (Exit::Finding, 1));
    }
}
