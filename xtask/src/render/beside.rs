// SPDX-License-Identifier: GPL-2.0-only
//! What stands beside the table: what each patch changes, what the kernels can see, and
//! which mistakes nobody noticed. What there is nothing of takes no line.

use super::escape::one_line;
use super::table::Look;
use super::wrap::{item, wrap};
use crate::result::{DetectorResult, Fate, MutantResult, RunResult, Sight};

/// Returns the lines, with an empty one behind each part.
pub(crate) fn text(result: &RunResult, look: Look) -> String {
    let parts = [
        patches(result, look),
        detectors(&result.detectors, look),
        mutants(&result.mutants, look),
    ];
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts.map(|part| format!("{part}\n")).collect()
}

fn patches(result: &RunResult, look: Look) -> String {
    let sentence =
        |patch: &crate::result::PatchResult| wrap(&one_line(&patch.sentence), look.columns, 0);
    result.patches.iter().map(sentence).collect()
}

/// Says each kind once where it is alike on all kernels, and where where it is not.
fn detectors(detectors: &[DetectorResult], look: Look) -> String {
    let mut text = String::new();
    for (sight, words) in [
        (
            Sight::Blind,
            "BLIND, so that silence there proves nothing: ",
        ),
        (Sight::Absent, "not there, so that silence is no pass: "),
        (Sight::Seen, "seen when made to happen: "),
    ] {
        let mut names: Vec<&str> = Vec::new();
        for one in detectors.iter().filter(|one| one.sight == sight) {
            if !names.contains(&one.name.as_str()) {
                names.push(&one.name);
            }
        }
        if names.is_empty() {
            continue;
        }
        let kinds = names.iter().map(|name| kind(name, sight, detectors));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        text += &item("detectors ", &format!("{words}{kinds}"), look.columns);
    }
    text
}

fn kind(name: &str, sight: Sight, detectors: &[DetectorResult]) -> String {
    let of_it = || detectors.iter().filter(|one| one.name == name);
    if of_it().all(|one| one.sight == sight) {
        return one_line(name);
    }
    let mut places: Vec<String> = Vec::new();
    for one in of_it().filter(|one| one.sight == sight) {
        let place = match sight {
            Sight::Blind => format!("{} ({})", one.stack, one.profile),
            Sight::Seen | Sight::Absent => one.profile.clone(),
        };
        if !places.contains(&place) {
            places.push(place);
        }
    }
    format!("{} ({})", one_line(name), places.join(", "))
}

fn mutants(mutants: &[MutantResult], look: Look) -> String {
    if mutants.is_empty() {
        return String::new();
    }
    let count = |fate: Fate| mutants.iter().filter(|one| one.fate == fate).count();
    let counts = [
        (count(Fate::Noticed), "noticed"),
        (count(Fate::Unnoticed), "NOT NOTICED"),
        (count(Fate::Equivalent), "equivalent"),
        (count(Fate::SameObject), "the same object"),
        (count(Fate::NotBuilt), "not built"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let mut text = item(
        "mutants ",
        &format!("of {}: {}", mutants.len(), counts.join(", ")),
        look.columns,
    );
    for one in mutants.iter().filter(|one| one.is_finding()) {
        let what = format!(
            "{} ({}), {}:{}: {}",
            one.name, one.profile, one.file, one.line, one.title
        );
        text += &item("  not noticed: ", &one_line(&what), look.columns);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::run;
    use crate::result::PatchResult;

    const LOOK: Look = Look {
        columns: 80,
        colour: false,
        all: false,
    };

    fn detector(name: &str, stack: &str, profile: &str, sight: Sight) -> DetectorResult {
        DetectorResult {
            name: name.to_owned(),
            stack: stack.to_owned(),
            profile: profile.to_owned(),
            sight,
            detail: String::new(),
        }
    }

    fn mutant(name: &str, fate: Fate) -> MutantResult {
        MutantResult {
            name: name.to_owned(),
            profile: "fast".to_owned(),
            title: "the call of `f` is left out".to_owned(),
            patch: Some(1),
            file: "kernel/liveupdate/luo_flb.c".to_owned(),
            line: 12,
            diff: String::new(),
            fate,
            noticed_by: Vec::new(),
            reason: String::new(),
            duration_ms: 1,
        }
    }

    #[test]
    fn what_is_not_there_takes_no_line() {
        assert_eq!(text(&run(Vec::new()), LOOK), "");
    }

    #[test]
    fn what_stands_beside_the_table() {
        let mut result = run(Vec::new());
        result.patches = vec![PatchResult {
            first: 1,
            last: 1,
            subject: "one".to_owned(),
            sentence: "patch 1 turns `outgoing-flb-held-while-last-file-goes` from crash (KASAN: \
                       use-after-free in ltd_get) to pass"
                .to_owned(),
            turns: Vec::new(),
        }];
        result.detectors = vec![
            detector("WARN", "base", "fast", Sight::Seen),
            detector("WARN", "series", "kasan", Sight::Seen),
            detector("KASAN", "base", "fast", Sight::Absent),
            detector("KASAN", "base", "kasan", Sight::Seen),
            detector("hang", "base", "fast", Sight::Blind),
            detector("hang", "base", "kasan", Sight::Seen),
        ];
        result.mutants = vec![
            mutant("drop-get", Fate::Noticed),
            mutant("drop-put", Fate::Unnoticed),
            mutant("same", Fate::SameObject),
        ];
        insta::assert_snapshot!(text(&result, LOOK));
    }
}
