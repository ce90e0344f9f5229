// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a bench: as JSON, as text with a block and a last line for each case, and as
//! sections of BENCHMARKS.md.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde::Serialize;
use xtask::engine::host::Host;

use super::case::{Case, Claim, Sample, Side};
use super::figures::{Load, ROUNDS_FOR_A_RATIO, Ratio, Spread, ratio, spread};

/// The version of the JSON format.
pub(super) const SCHEMA: u32 = 1;

/// All cases of one invocation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) host: Host,
    pub(super) cases: Vec<CaseReport>,
}

impl Report {
    /// Returns whether a run failed.
    pub(super) fn has_finding(&self) -> bool {
        let failed = |case: &CaseReport| matches!(case.status, Status::Wrong { .. });
        self.cases.iter().any(failed)
    }
}

/// The report of a case.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CaseReport {
    #[serde(flatten)]
    pub(super) case: Case,
    pub(super) rounds: u32,
    pub(super) load: Load,
    /// Notes that are printed with the figures.
    pub(super) notes: Vec<String>,
    pub(super) status: Status,
}

/// The figures, or the reason why there are none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Measured(Vec<SideReport>),
    Wrong {
        side: String,
        why: String,
        place: Utf8PathBuf,
    },
}

/// The report of a side.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SideReport {
    pub(super) name: String,
    pub(super) command: String,
    /// In the order of the rounds.
    pub(super) figures: Vec<f64>,
    pub(super) spread: Spread,
    /// Ratio of this side to the first; `None` on the first.
    pub(super) ratio: Option<Ratio>,
    /// Other numbers by name; the maximum of all rounds.
    pub(super) facts: BTreeMap<&'static str, f64>,
}

/// Returns the figures of the sides, from the samples of each side by round, and the notes of
/// the runs.
pub(super) fn measured(sides: &[Side], samples: &[Vec<Sample>]) -> (Status, BTreeSet<String>) {
    let mut reports: Vec<SideReport> = Vec::new();
    let mut notes = BTreeSet::new();
    for (side, samples) in sides.iter().zip(samples) {
        let figures: Vec<f64> = samples.iter().map(|sample| sample.figure).collect();
        let Some(spread) = spread(&figures) else {
            continue;
        };
        let mut facts = BTreeMap::new();
        for sample in samples {
            notes.extend(sample.notes.iter().cloned());
            for (name, value) in &sample.facts {
                let known = facts.entry(*name).or_insert(*value);
                *known = value.max(*known);
            }
        }
        let first = reports.first();
        reports.push(SideReport {
            name: side.name.clone(),
            command: side.command.clone(),
            ratio: first.and_then(|first| ratio(&first.figures, &figures)),
            figures,
            spread,
            facts,
        });
    }
    (Status::Measured(reports), notes)
}

/// Returns all measurements; the last lines have the ratios.
pub(super) fn text(report: &Report) -> String {
    let blocks = report.cases.iter().map(block);
    let headlines = report.cases.iter().map(headline);
    let parts = blocks.chain([host(&report.host)]).chain(headlines);
    parts.map(|part| part + "\n").collect()
}

fn block(report: &CaseReport) -> String {
    let Case {
        name, about, unit, ..
    } = report.case;
    let mut text = format!("{name}: {about}\n");
    let sides = sides(report);
    let width = sides.iter().map(|side| side.name.len()).max().unwrap_or(0);
    for side in sides {
        let (median, range) = (number(side.spread.median), range(&side.spread));
        text += &format!("  {:<width$}  {median} {unit}  ({range})\n", side.name);
        text += &format!("  {:<width$}  {}\n", "", side.command);
        for (name, value) in &side.facts {
            text += &format!("  {:<width$}  {name}: {}\n", "", number(*value));
        }
    }
    for note in notes(report) {
        text += &format!("  {note}\n");
    }
    text
}

fn sides(report: &CaseReport) -> &[SideReport] {
    match &report.status {
        Status::Measured(sides) => sides,
        Status::Wrong { .. } => &[],
    }
}

/// Returns the notes of a case, and the load of the host.
fn notes(report: &CaseReport) -> Vec<String> {
    let mut notes = report.notes.clone();
    let load = &report.load;
    notes.push(format!(
        "load average {:.1} before and {:.1} after; other processes used {:.0} % of the processors",
        load.before,
        load.after,
        load.others * 100.0
    ));
    if load.is_doubtful() {
        let warning = "warning: other processes used the host; measure again on an idle host";
        notes.push(warning.to_owned());
    }
    notes
}

fn host(host: &Host) -> String {
    format!(
        "{}, revision {}: {} cores of {}, {:.0} GiB, Linux {}, QEMU {}",
        host.date, host.revision, host.cores, host.cpu, host.memory_gib, host.kernel, host.qemu
    )
}

/// The last line of a case; scripts read the `N.Nx` in it.
fn headline(report: &CaseReport) -> String {
    let (name, unit, rounds) = (report.case.name, report.case.unit, report.rounds);
    if let Status::Wrong { side, why, place } = &report.status {
        return format!("{name}: no figures: {side} failed: {why}\n  log: {place}");
    }
    match sides(report) {
        [] => format!("{name}: no figures"),
        [first, .., last] if report.case.claim != Claim::Takes => compared(report, first, last),
        [first, ..] => {
            let (median, range) = (number(first.spread.median), range(&first.spread));
            format!("{name}: {median} {unit} ({range}, {rounds} rounds)")
        }
    }
}

fn compared(report: &CaseReport, first: &SideReport, last: &SideReport) -> String {
    let (name, unit, rounds) = (report.case.name, report.case.unit, report.rounds);
    let Some(ratio) = last.ratio else {
        return format!("{name}: {rounds} rounds; a ratio needs {ROUNDS_FOR_A_RATIO}");
    };
    let (of_medians, min, max) = (ratio.of_medians, ratio.min, ratio.max);
    let [ours, theirs] = [first, last].map(|side| number(side.spread.median));
    let other = &last.name;
    if report.case.claim == Claim::Flat {
        return format!(
            "{name}: {other} cost {of_medians:.2}x of {} ({theirs} {unit} against {ours} {unit}; \
             {min:.2} to {max:.2} in {rounds} rounds)",
            first.name
        );
    }
    // A ratio below 1 must not be printed as "faster".
    let word = match of_medians < 1.0 {
        true => "as fast as",
        false => "faster than",
    };
    format!(
        "{name}: {of_medians:.1}x {word} {other} ({ours} {unit} against {theirs} {unit}; \
         {min:.1} to {max:.1} in {rounds} rounds)"
    )
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
pub(super) fn markdown(report: &Report) -> String {
    let cases = report.cases.iter();
    let sections: Vec<String> = cases.map(|case| section(case, &report.host)).collect();
    sections.join("\n")
}

/// Returns a case as a section of BENCHMARKS.md.
fn section(report: &CaseReport, on: &Host) -> String {
    let Case {
        name, about, unit, ..
    } = report.case;
    let mut text = format!(
        "## {name}\n\n{}.\n\n    cargo xtask bench {name}\n\n",
        capital(about)
    );
    let sides = sides(report);
    if !sides.is_empty() {
        text += &format!(
            "| side | median, {unit} | spread | to the first | spread by round |\n\
             | --- | --- | --- | --- | --- |\n"
        );
        sides.iter().for_each(|side| text += &row(side));
        text += "\n";
    }
    text += &format!("**{}**\n\n", headline(report));
    for side in sides {
        let facts: String = side
            .facts
            .iter()
            .map(|(name, value)| format!("; {name}: {}", number(*value)))
            .collect();
        text += &format!("- {}: `{}`{facts}\n", side.name, side.command);
    }
    for note in notes(report) {
        text += &format!("- {note}\n");
    }
    text + &format!("- {}\n", host(on))
}

fn row(side: &SideReport) -> String {
    let ratio = side.ratio.map_or_else(
        || " | ".to_owned(),
        |Ratio {
             of_medians,
             min,
             max,
         }| format!("{of_medians:.2} | {min:.2} to {max:.2}"),
    );
    let (median, range) = (number(side.spread.median), range(&side.spread));
    format!("| {} | {median} | {range} | {ratio} |\n", side.name)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

/// Returns BENCHMARKS.md with the sections of all measured cases.
pub(super) fn recorded(document: &str, report: &Report) -> String {
    let cases = report.cases.iter();
    cases.fold(document.to_owned(), |text, case| {
        with_section(&text, case.case.name, &section(case, &report.host))
    })
}

/// Returns `document` with `section` in place of the section headed `## name`, or at the end
/// if there is no such section. A section ends where the next one begins.
fn with_section(document: &str, name: &str, section: &str) -> String {
    let heading = format!("## {name}");
    let section = section.trim_end();
    let mut out: Vec<&str> = Vec::new();
    let mut is_placed = false;
    let mut is_old = false;
    for line in document.lines() {
        if line.starts_with("## ") {
            is_old = line.trim_end() == heading;
            if is_old && !is_placed {
                is_placed = true;
                out.extend([section, ""]);
            }
        }
        if !is_old {
            out.push(line);
        }
    }
    if !is_placed {
        out.extend(["", section]);
    }
    out.join("\n").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Figures\n\nwords\n\n## a\n\nold\n\n## ab\n\nother\n";

    fn side(name: &str, figures: &[f64], first: Option<&[f64]>) -> SideReport {
        SideReport {
            name: name.to_owned(),
            command: format!("{name} --now"),
            figures: figures.to_vec(),
            spread: spread(figures).unwrap(),
            ratio: first.and_then(|first| ratio(first, figures)),
            facts: BTreeMap::from([("boots", 3.0)]),
        }
    }

    fn case(claim: Claim, ours: &[f64], theirs: &[f64]) -> CaseReport {
        let case = Case {
            name: "vmtest",
            about: "the same job twice",
            unit: "s",
            claim,
            rounds: 3,
            is_cheap: true,
            prepare: |_, _| unreachable!("no case is measured"),
        };
        CaseReport {
            case,
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

    #[test]
    fn measured_has_the_ratio_to_the_first_side_and_the_largest_facts() {
        let row = |figures: &[f64]| -> Vec<Sample> {
            let sample = |figure: &f64| Sample {
                figure: *figure,
                facts: BTreeMap::from([("memory, MiB", figure * 10.0)]),
                notes: BTreeSet::from(["same".to_owned(), figure.to_string()]),
            };
            figures.iter().map(sample).collect()
        };
        let side = |name: &str| Side {
            name: name.to_owned(),
            command: String::new(),
            once: Box::new(|_, _| anyhow::bail!("not run")),
        };
        let samples = [row(&[1.0, 2.0, 3.0]), row(&[8.0, 8.0, 9.0])];
        let (status, notes) = measured(&[side("ours"), side("theirs")], &samples);
        assert_eq!(notes.len(), 6, "{notes:?}");
        let Status::Measured(reports) = status else {
            panic!("no figures")
        };
        assert_eq!(reports[0].ratio, None);
        assert_eq!(reports[1].ratio.unwrap().of_medians, 4.0);
        assert_eq!(reports[0].facts["memory, MiB"], 30.0);
    }

    #[test]
    fn with_section_replaces_the_section_of_that_name() {
        let once = with_section(DOCUMENT, "a", "## a\n\nnew\n");
        assert_eq!(
            once,
            "# Figures\n\nwords\n\n## a\n\nnew\n\n## ab\n\nother\n"
        );
        assert_eq!(with_section(&once, "a", "## a\n\nnew\n"), once);
    }

    #[test]
    fn with_section_appends_a_new_section() {
        let document = with_section(DOCUMENT, "c", "## c\n\nnew\n");
        assert_eq!(document, format!("{DOCUMENT}\n## c\n\nnew\n"));
    }
}
