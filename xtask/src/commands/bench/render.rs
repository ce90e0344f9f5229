// SPDX-License-Identifier: MIT OR Apache-2.0
//! Benchmark results: a block and a last line for each case, and the sections of
//! BENCHMARKS.md.

use crate::commands::bench::load::Load;
use crate::commands::bench::report::{CaseReport, Report, SideReport, Status};
use crate::commands::bench::stats::{ROUNDS_FOR_A_RATIO, Spread};
use crate::commands::bench::{Case, Claim};
use xtask::engine::host::Host;

/// Returns names and descriptions of the cases.
pub(crate) fn list(cases: &[Case]) -> String {
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
    let line = |case: &Case| {
        let when = if case.is_cheap { "" } else { " (takes long)" };
        format!("{:<width$}  {}{when}\n", case.name, case.about)
    };
    cases.iter().map(line).collect()
}

/// Returns all measurements; the last lines have the ratios.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    for case in &report.cases {
        text += &block(case);
        text.push('\n');
    }
    text += &format!("{}\n", host(&report.host));
    for case in &report.cases {
        text += &format!("{}\n", headline(case));
    }
    text
}

fn block(case: &CaseReport) -> String {
    let mut text = format!("{}: {}\n", case.name, case.about);
    if let Status::Measured(sides) = &case.status {
        let width = sides.iter().map(|side| side.name.len()).max().unwrap_or(0);
        for side in sides {
            text += &format!(
                "  {:<width$}  {} {unit}  ({})\n  {:<width$}  {}\n",
                side.name,
                number(side.spread.median),
                range(&side.spread),
                "",
                side.command,
                unit = case.unit,
            );
            for (name, value) in &side.facts {
                text += &format!("  {:<width$}  {name}: {}\n", "", number(*value));
            }
        }
    }
    for note in notes(case) {
        text += &format!("  {note}\n");
    }
    text
}

/// Returns the notes of a case, and the load of the host.
fn notes(case: &CaseReport) -> Vec<String> {
    let mut notes = case.notes.clone();
    notes.push(load(&case.load));
    if case.load.is_doubtful() {
        notes.push(
            "warning: other processes used the host; measure again on an idle host".to_owned(),
        );
    }
    notes
}

fn load(load: &Load) -> String {
    format!(
        "load average {:.1} before and {:.1} after; other processes used {:.0} % of the processors",
        load.before,
        load.after,
        load.others * 100.0
    )
}

fn host(host: &Host) -> String {
    format!(
        "{}, revision {}: {} cores of {}, {:.0} GiB, Linux {}, QEMU {}",
        host.date, host.revision, host.cores, host.cpu, host.memory_gib, host.kernel, host.qemu
    )
}

/// The last line of a case; scripts read the `N.Nx` in it.
pub(crate) fn headline(case: &CaseReport) -> String {
    let name = &case.name;
    match &case.status {
        Status::Wrong { side, why, place } => {
            format!("{name}: no figures: {side} failed: {why}\n  log: {place}")
        }
        Status::Measured(sides) => match sides.as_slice() {
            [] => format!("{name}: no figures"),
            [only] => takes(case, only),
            [first, .., last] => match case.claim {
                Claim::Takes => takes(case, first),
                Claim::Faster => faster(case, first, last),
                Claim::Flat => flat(case, first, last),
            },
        },
    }
}

fn takes(case: &CaseReport, side: &SideReport) -> String {
    format!(
        "{}: {} {} ({}, {} rounds)",
        case.name,
        number(side.spread.median),
        case.unit,
        range(&side.spread),
        case.rounds
    )
}

fn faster(case: &CaseReport, first: &SideReport, other: &SideReport) -> String {
    let Some(ratio) = other.ratio else {
        return no_ratio(case);
    };
    // A ratio below 1 must not be printed as "faster".
    let word = if ratio.of_medians < 1.0 {
        "as fast as"
    } else {
        "faster than"
    };
    format!(
        "{}: {:.1}x {word} {} ({} against {}; {:.1} to {:.1} in {} rounds)",
        case.name,
        ratio.of_medians,
        other.name,
        with_unit(case, first.spread.median),
        with_unit(case, other.spread.median),
        ratio.min,
        ratio.max,
        case.rounds
    )
}

fn flat(case: &CaseReport, first: &SideReport, last: &SideReport) -> String {
    let Some(ratio) = last.ratio else {
        return no_ratio(case);
    };
    format!(
        "{}: {} cost {:.2}x of {} ({} against {}; {:.2} to {:.2} in {} rounds)",
        case.name,
        last.name,
        ratio.of_medians,
        first.name,
        with_unit(case, last.spread.median),
        with_unit(case, first.spread.median),
        ratio.min,
        ratio.max,
        case.rounds
    )
}

fn no_ratio(case: &CaseReport) -> String {
    format!(
        "{}: {} rounds; a ratio needs {ROUNDS_FOR_A_RATIO}",
        case.name, case.rounds
    )
}

fn with_unit(case: &CaseReport, figure: f64) -> String {
    format!("{} {}", number(figure), case.unit)
}

fn range(spread: &Spread) -> String {
    format!("{} to {}", number(spread.min), number(spread.max))
}

/// Prints three significant digits; the spread is larger than that.
fn number(figure: f64) -> String {
    match figure {
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        ..1.0 => format!("{figure:.3}"),
        ..10.0 => format!("{figure:.2}"),
        ..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// Returns all cases as sections of BENCHMARKS.md.
pub(crate) fn markdown(report: &Report) -> String {
    let sections: Vec<String> = report
        .cases
        .iter()
        .map(|case| section(case, &report.host))
        .collect();
    sections.join("\n")
}

/// Returns a case as a section of BENCHMARKS.md.
pub(crate) fn section(case: &CaseReport, on: &Host) -> String {
    let mut text = format!("## {}\n\n{}.\n\n", case.name, capital(&case.about));
    text += &format!("    cargo xtask bench {}\n\n", case.name);
    if let Status::Measured(sides) = &case.status {
        text += &format!(
            "| side | median, {unit} | spread | to the first | spread by round |\n\
             | --- | --- | --- | --- | --- |\n",
            unit = case.unit
        );
        for side in sides {
            text += &row(side);
        }
        text += "\n";
    }
    text += &format!("**{}**\n\n", headline(case));
    for side in sides(case) {
        text += &format!("- {}: `{}`{}\n", side.name, side.command, facts(side));
    }
    for note in notes(case) {
        text += &format!("- {note}\n");
    }
    text + &format!("- {}\n", host(on))
}

fn sides(case: &CaseReport) -> &[SideReport] {
    match &case.status {
        Status::Measured(sides) => sides,
        Status::Wrong { .. } => &[],
    }
}

fn row(side: &SideReport) -> String {
    let (ratio, rounds) = match side.ratio {
        Some(ratio) => (
            format!("{:.2}", ratio.of_medians),
            format!("{:.2} to {:.2}", ratio.min, ratio.max),
        ),
        None => (String::new(), String::new()),
    };
    format!(
        "| {} | {} | {} | {ratio} | {rounds} |\n",
        side.name,
        number(side.spread.median),
        range(&side.spread)
    )
}

fn facts(side: &SideReport) -> String {
    let facts = side.facts.iter();
    facts
        .map(|(name, value)| format!("; {name}: {}", number(*value)))
        .collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::commands::bench::report::SCHEMA;
    use crate::commands::bench::stats::{ratio, spread};

    fn side(name: &str, figures: &[f64], first: Option<&[f64]>) -> SideReport {
        SideReport {
            name: name.to_owned(),
            command: format!("{name} --now"),
            figures: figures.to_vec(),
            spread: spread(figures).unwrap(),
            ratio: first.and_then(|first| ratio(first, figures)),
            facts: BTreeMap::from([("boots".to_owned(), 3.0)]),
        }
    }

    fn case(claim: Claim, ours: &[f64], theirs: &[f64]) -> CaseReport {
        CaseReport {
            name: "vmtest".to_owned(),
            about: "the same job twice".to_owned(),
            unit: "s".to_owned(),
            claim,
            rounds: ours.len() as u32,
            load: Load {
                before: 0.1,
                after: 1.9,
                others: 0.25,
            },
            notes: vec!["guests ran under tcg".to_owned()],
            status: Status::Measured(vec![
                side("ours", ours, None),
                side("theirs", theirs, Some(ours)),
            ]),
        }
    }

    fn report(case: CaseReport) -> Report {
        let host = Host {
            cpu: "Some CPU".to_owned(),
            cores: 2,
            memory_gib: 23.6,
            kernel: "6.1".to_owned(),
            qemu: "10.0.2".to_owned(),
            revision: "0123abc".to_owned(),
            date: "2025-01-02".to_owned(),
        };
        Report {
            schema: SCHEMA,
            host,
            cases: vec![case],
        }
    }

    #[test]
    fn text_has_the_ratio_once_in_the_last_line() {
        let report = report(case(Claim::Faster, &[3.1, 3.2, 3.6], &[13.8, 13.9, 13.5]));
        insta::assert_snapshot!(text(&report), @"
        vmtest: the same job twice
          ours    3.20 s  (3.10 to 3.60)
                  ours --now
                  boots: 3
          theirs  13.8 s  (13.5 to 13.9)
                  theirs --now
                  boots: 3
          guests ran under tcg
          load average 0.1 before and 1.9 after; other processes used 25 % of the processors
          warning: other processes used the host; measure again on an idle host

        2025-01-02, revision 0123abc: 2 cores of Some CPU, 24 GiB, Linux 6.1, QEMU 10.0.2
        vmtest: 4.3x faster than theirs (3.20 s against 13.8 s; 3.8 to 4.5 in 3 rounds)
        ");
        let last = text(&report).lines().last().unwrap().to_owned();
        assert_eq!(last.matches("x ").count(), 1, "{last}");
    }

    #[test]
    fn headline_of_a_ratio_below_1_does_not_contain_faster() {
        let slower = case(Claim::Faster, &[4.0; 3], &[2.0; 3]);
        assert!(headline(&slower).starts_with("vmtest: 0.5x as fast as theirs"));
    }

    #[test]
    fn headline_of_two_rounds_has_no_ratio() {
        let few = case(Claim::Faster, &[4.0; 2], &[2.0; 2]);
        assert_eq!(headline(&few), "vmtest: 2 rounds; a ratio needs 3");
    }

    #[test]
    fn headline_of_a_failed_side_has_no_figures() {
        let mut wrong = case(Claim::Faster, &[4.0; 3], &[2.0; 3]);
        wrong.status = Status::Wrong {
            side: "ours".to_owned(),
            why: "a hang".to_owned(),
            place: "PLACE".into(),
        };
        insta::assert_snapshot!(headline(&wrong), @"
        vmtest: no figures: ours failed: a hang
          log: PLACE
        ");
        assert!(!text(&report(wrong)).contains("4.0"));
    }

    #[test]
    fn markdown_has_command_host_and_date() {
        let report = report(case(Claim::Flat, &[3.1, 3.2, 3.6], &[3.3, 3.2, 3.5]));
        insta::assert_snapshot!(markdown(&report), @"
        ## vmtest

        The same job twice.

            cargo xtask bench vmtest

        | side | median, s | spread | to the first | spread by round |
        | --- | --- | --- | --- | --- |
        | ours | 3.20 | 3.10 to 3.60 |  |  |
        | theirs | 3.30 | 3.20 to 3.50 | 1.03 | 0.97 to 1.06 |

        **vmtest: theirs cost 1.03x of ours (3.30 s against 3.20 s; 0.97 to 1.06 in 3 rounds)**

        - ours: `ours --now`; boots: 3
        - theirs: `theirs --now`; boots: 3
        - guests ran under tcg
        - load average 0.1 before and 1.9 after; other processes used 25 % of the processors
        - warning: other processes used the host; measure again on an idle host
        - 2025-01-02, revision 0123abc: 2 cores of Some CPU, 24 GiB, Linux 6.1, QEMU 10.0.2
        ");
    }
}
