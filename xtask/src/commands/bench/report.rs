// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a bench: as JSON, as text with a last line for each case, and as sections of
//! BENCHMARKS.md.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use camino::Utf8PathBuf;
use serde::Serialize;
use xtask::engine::host::Host;

use super::command::Side;
use super::figures::{Load, ROUNDS_FOR_A_RATIO, Ratio, Spread, number, ratio, spread};

/// The version of the JSON format.
pub(super) const SCHEMA: u32 = 2;

/// All cases of one invocation, and their rendering as text.
#[derive(Debug, Serialize, Template)]
#[template(path = "report.txt", whitespace = "preserve")]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) host: Host,
    pub(super) cases: Vec<CaseReport>,
}

/// The report of a case.
#[derive(Debug, Serialize)]
pub(super) struct CaseReport {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) unit: &'static str,
    #[serde(skip)]
    pub(super) is_flat: bool,
    pub(super) rounds: u32,
    pub(super) load: Load,
    pub(super) note: Option<String>,
    /// Empty if a run failed.
    pub(super) sides: Vec<SideReport>,
    pub(super) failure: Option<Failure>,
}

/// A run whose result was wrong.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) side: String,
    pub(super) why: String,
    /// The folder of the run.
    pub(super) place: Utf8PathBuf,
}

/// The report of a side.
#[derive(Debug, Serialize)]
pub(super) struct SideReport {
    name: String,
    command: String,
    /// In the order of the rounds.
    figures: Vec<f64>,
    spread: Spread,
    /// Ratio of this side to the first; `None` on the first.
    ratio: Option<Ratio>,
    /// Other numbers by name; the maximum of all rounds.
    facts: BTreeMap<&'static str, f64>,
    /// The notes of all rounds.
    notes: BTreeSet<String>,
}

impl SideReport {
    /// Returns the report of a side with at least one sample. `first` is the report of the
    /// first side.
    pub(super) fn new(side: Side, first: Option<&Self>) -> Option<Self> {
        let figures: Vec<f64> = side.samples.iter().map(|sample| sample.figure).collect();
        let mut facts = BTreeMap::new();
        for (name, value) in side.samples.iter().flat_map(|sample| &sample.facts) {
            let largest = facts.entry(*name).or_insert(*value);
            *largest = value.max(*largest);
        }
        Some(Self {
            name: side.name,
            command: side.command,
            spread: spread(&figures)?,
            ratio: first.and_then(|first| ratio(&first.figures, &figures)),
            figures,
            facts,
            notes: side.samples.into_iter().flat_map(|one| one.notes).collect(),
        })
    }

    fn median(&self) -> String {
        number(self.spread.median)
    }

    fn facts(&self) -> impl Iterator<Item = String> {
        let facts = self.facts.iter();
        facts.map(|(name, value)| format!("{name}: {}", number(*value)))
    }
}

/// A case as a section of BENCHMARKS.md.
#[derive(Template)]
#[template(path = "section.txt", whitespace = "preserve")]
struct Section<'a> {
    case: &'a CaseReport,
    report: &'a Report,
}

impl Report {
    /// Returns whether a run failed.
    pub(super) fn has_finding(&self) -> bool {
        self.cases.iter().any(|case| case.failure.is_some())
    }

    /// Returns all measurements; the last lines have the ratios.
    pub(super) fn text(&self) -> askama::Result<String> {
        self.render()
    }

    /// Returns all cases as sections of BENCHMARKS.md.
    pub(super) fn markdown(&self) -> askama::Result<String> {
        let cases = self.cases.iter();
        let sections = cases
            .map(|case| self.section(case))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(sections.join("\n\n"))
    }

    /// Returns BENCHMARKS.md with the sections of all measured cases.
    pub(super) fn recorded(&self, document: &str) -> askama::Result<String> {
        self.cases
            .iter()
            .try_fold(document.to_owned(), |text, case| {
                Ok(with_section(&text, &case.name, &self.section(case)?))
            })
    }

    fn section(&self, case: &CaseReport) -> askama::Result<String> {
        Section { case, report: self }.render()
    }

    fn host_line(&self) -> String {
        let host = &self.host;
        format!(
            "{}, revision {}: {} cores of {}, {:.0} GiB, Linux {}, QEMU {}",
            host.date, host.revision, host.cores, host.cpu, host.memory_gib, host.kernel, host.qemu
        )
    }
}

impl CaseReport {
    fn about_sentence(&self) -> String {
        let (first, rest) = self.about.split_at(1);
        format!("{}{rest}.", first.to_uppercase())
    }

    /// Returns a name and blanks up to the longest name of a side.
    fn padded(&self, name: &str) -> String {
        let width = self.sides.iter().map(|side| side.name.len()).max();
        format!("{name:<width$}", width = width.unwrap_or(0))
    }

    /// Returns all notes, and the load of the host.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.note.iter().cloned().collect();
        for side in &self.sides {
            let of_side = side.notes.iter();
            notes.extend(of_side.map(|note| format!("{}: {note}", side.name)));
        }
        notes.push(self.load.to_string());
        if self.load.is_doubtful() {
            let warning = "warning: other processes used the host; measure again on an idle host";
            notes.push(warning.to_owned());
        }
        notes
    }

    /// Returns the last line of a case; scripts read the `N.Nx` in it.
    fn headline(&self) -> String {
        let (name, unit, rounds) = (&self.name, self.unit, self.rounds);
        if let Some(Failure { side, why, place }) = &self.failure {
            return format!("{name}: no figures: {side} failed: {why}\n  log: {place}");
        }
        match &self.sides[..] {
            [first, .., last] => self.compared(first, last),
            [first] => {
                let (median, range) = (first.median(), &first.spread);
                format!("{name}: {median} {unit} ({range}, {rounds} rounds)")
            }
            [] => format!("{name}: no figures"),
        }
    }

    fn compared(&self, first: &SideReport, last: &SideReport) -> String {
        let (name, unit, rounds) = (&self.name, self.unit, self.rounds);
        let Some(Ratio {
            of_medians,
            min,
            max,
        }) = last.ratio
        else {
            return format!("{name}: {rounds} rounds; a ratio needs {ROUNDS_FOR_A_RATIO}");
        };
        let (ours, theirs, other) = (first.median(), last.median(), &last.name);
        if self.is_flat {
            return format!(
                "{name}: {other} cost {of_medians:.2}x of {} ({theirs} {unit} against {ours} \
                 {unit}; {min:.2} to {max:.2} in {rounds} rounds)",
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
}

/// Returns `document` with `section` in place of the section headed `## name`, or at the end
/// if there is no such section. A section ends where the next one begins.
fn with_section(document: &str, name: &str, section: &str) -> String {
    let section = section.trim_end();
    let start = format!("\n## {name}\n");
    let Some((before, old)) = document.split_once(&start) else {
        return format!("{}\n\n{section}\n", document.trim_end());
    };
    let after = match old.split_once("\n## ") {
        Some((_, after)) => format!("\n## {after}"),
        None => String::new(),
    };
    format!("{before}\n{section}\n{after}")
}

#[cfg(test)]
mod tests {
    use super::super::command::{Once, Sample};
    use super::*;

    const DOCUMENT: &str = "# Figures\n\nwords\n\n## a\n\nold\n\n## ab\n\nother\n";

    /// A side with figures, and with facts and notes that depend on them.
    fn side(name: &str, figures: &[f64]) -> Side {
        let once: Box<Once> = Box::new(|_, _| anyhow::bail!("not run"));
        let sample = |figure: &f64| Sample {
            figure: *figure,
            facts: BTreeMap::from([("boots", figure * 10.0)]),
            notes: BTreeSet::from(["same".to_owned(), figure.to_string()]),
        };
        Side {
            samples: figures.iter().map(sample).collect(),
            ..Side::new(name.to_owned(), format!("{name} --now"), once)
        }
    }

    fn case(is_flat: bool, ours: &[f64], theirs: &[f64]) -> CaseReport {
        let side = |name, figures| {
            let mut side = side(name, figures);
            for sample in &mut side.samples {
                sample.facts = BTreeMap::from([("boots", 3.0)]);
                sample.notes.clear();
            }
            side
        };
        let first = SideReport::new(side("ours", ours), None).unwrap();
        let last = SideReport::new(side("theirs", theirs), Some(&first)).unwrap();
        CaseReport {
            name: "vmtest".to_owned(),
            about: "the same job twice".to_owned(),
            unit: "s",
            is_flat,
            rounds: ours.len() as u32,
            load: Load {
                before: 0.1,
                after: 1.9,
                others: 0.25,
            },
            note: Some("guests ran under tcg".to_owned()),
            sides: vec![first, last],
            failure: None,
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
        let report = report(case(false, &[3.1, 3.2, 3.6], &[13.8, 13.9, 13.5]));
        insta::assert_snapshot!(report.text().unwrap(), @"
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
        let text = report.text().unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(last.matches("x ").count(), 1, "{last}");
    }

    #[test]
    fn headline_of_a_ratio_below_1_does_not_contain_faster() {
        let slower = case(false, &[4.0; 3], &[2.0; 3]);
        assert!(
            slower
                .headline()
                .starts_with("vmtest: 0.5x as fast as theirs")
        );
    }

    #[test]
    fn headline_of_two_rounds_has_no_ratio() {
        let few = case(false, &[4.0; 2], &[2.0; 2]);
        assert_eq!(few.headline(), "vmtest: 2 rounds; a ratio needs 3");
    }

    #[test]
    fn headline_of_a_failed_side_has_no_figures() {
        let mut wrong = case(false, &[4.0; 3], &[2.0; 3]);
        wrong.sides.clear();
        wrong.failure = Some(Failure {
            side: "ours".to_owned(),
            why: "a hang".to_owned(),
            place: "PLACE".into(),
        });
        insta::assert_snapshot!(wrong.headline(), @"
        vmtest: no figures: ours failed: a hang
          log: PLACE
        ");
        assert!(!report(wrong).text().unwrap().contains("4.0"));
    }

    #[test]
    fn markdown_has_command_host_and_date() {
        let report = report(case(true, &[3.1, 3.2, 3.6], &[3.3, 3.2, 3.5]));
        insta::assert_snapshot!(report.markdown().unwrap(), @"
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
    fn side_report_has_the_ratio_to_the_first_side_and_the_largest_facts() {
        let first = SideReport::new(side("ours", &[1.0, 2.0, 3.0]), None).unwrap();
        let other = SideReport::new(side("theirs", &[8.0, 8.0, 9.0]), Some(&first)).unwrap();
        assert_eq!(first.ratio, None);
        assert_eq!(other.ratio.unwrap().of_medians, 4.0);
        assert_eq!(first.facts["boots"], 30.0);
        assert_eq!(first.notes.len(), 4, "{:?}", first.notes);
        assert_eq!(other.notes.len(), 3, "{:?}", other.notes);
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
