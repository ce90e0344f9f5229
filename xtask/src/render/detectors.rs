// SPDX-License-Identifier: GPL-2.0-only
//! What the kernels showed that they can see: a line for each profile, and what is
//! blind.

use super::wrap::hanging;
use crate::result::{DetectorResult, RunResult, Sight};

/// The width that all lines keep to.
const COLUMNS: usize = 80;

/// Returns which detectors see, a paragraph for each profile.
pub(crate) fn text(result: &RunResult) -> String {
    let mut profiles: Vec<&str> = Vec::new();
    for detector in &result.detectors {
        if !profiles.contains(&detector.profile.as_str()) {
            profiles.push(&detector.profile);
        }
    }
    profiles.into_iter().map(|name| of(name, result)).collect()
}

fn of(profile: &str, result: &RunResult) -> String {
    let of_profile = |one: &&DetectorResult| one.profile == profile;
    let all: Vec<&DetectorResult> = result.detectors.iter().filter(of_profile).collect();
    let parts: Vec<String> = [
        (Sight::Seen, "seen"),
        (Sight::Absent, "not in this profile"),
        (Sight::Blind, "BLIND"),
    ]
    .into_iter()
    .filter_map(|(sight, words)| {
        let names = names(&all, sight);
        (!names.is_empty()).then(|| format!("{} {words}", names.join(", ")))
    })
    .collect();
    let text = format!("detectors ({profile}): {}", parts.join("; "));
    hanging(&text, COLUMNS, 0, 2)
}

/// The names with a sight, each once, with the stacks where those differ.
fn names(all: &[&DetectorResult], sight: Sight) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for one in all.iter().filter(|one| one.sight == sight) {
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    let with_stacks = |name: &str| {
        let of_name = |one: &&&DetectorResult| one.name == name;
        let differs = all.iter().filter(of_name).any(|one| one.sight != sight);
        if !differs {
            return name.to_owned();
        }
        let here = all.iter().filter(of_name).filter(|one| one.sight == sight);
        let stacks: Vec<&str> = here.map(|one| one.stack.as_str()).collect();
        format!("{name} on {}", stacks.join(" and "))
    };
    names.into_iter().map(with_stacks).collect()
}

/// Returns what a person should look at.
pub(crate) fn findings(result: &RunResult) -> String {
    let mut text = String::new();
    let blind = result.detectors.iter().filter(|one| one.is_finding());
    for DetectorResult {
        name,
        stack,
        profile,
        detail,
        ..
    } in blind
    {
        text += &format!("\n{name} on {stack} ({profile}): not seen where it was brought about\n");
        text += &format!("  {detail}\n");
    }
    if !text.is_empty() {
        text += "\nwhere a detector is blind, a pass proves nothing of its kind\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::result::tests::cell;

    fn detector(name: &str, stack: &str, profile: &str, sight: Sight) -> DetectorResult {
        DetectorResult {
            name: name.to_owned(),
            stack: stack.to_owned(),
            profile: profile.to_owned(),
            sight,
            detail: format!("{name} for a reason"),
        }
    }

    fn result(detectors: Vec<DetectorResult>) -> RunResult {
        let cells = vec![cell("s", "series", "pass", "pass")];
        RunResult::new("tree".into(), "s".into(), Vec::new(), cells).with_detectors(detectors)
    }

    #[test]
    fn what_sees_is_a_line_for_each_profile() {
        let mut all = Vec::new();
        for stack in ["base", "series"] {
            for name in [
                "WARN",
                "BUG",
                "list corruption",
                "refcount_t",
                "hang",
                "panic",
            ] {
                all.push(detector(name, stack, "fast", Sight::Seen));
            }
            all.push(detector("KASAN", stack, "fast", Sight::Absent));
            all.push(detector("lockdep", stack, "fast", Sight::Absent));
            all.push(detector("KASAN", stack, "kasan", Sight::Seen));
        }
        let result = result(all);
        insta::assert_snapshot!(text(&result), @r"
        detectors (fast): WARN, BUG, list corruption, refcount_t, hang, panic seen;
          KASAN, lockdep not in this profile
        detectors (kasan): KASAN seen
        ");
        assert_eq!(findings(&result), "");
        assert_eq!((result.exit(), result.exit_code), (Exit::Ok, 0));
    }

    #[test]
    fn what_is_blind_is_a_finding() {
        let result = result(vec![
            detector("WARN", "base", "fast", Sight::Seen),
            detector("WARN", "series", "fast", Sight::Blind),
        ]);
        insta::assert_snapshot!(text(&result) + &findings(&result), @r"
        detectors (fast): WARN on base seen; WARN on series BLIND

        WARN on series (fast): not seen where it was brought about
          WARN for a reason

        where a detector is blind, a pass proves nothing of its kind
        ");
        assert_eq!((result.exit(), result.exit_code), (Exit::Finding, 1));
    }
}
