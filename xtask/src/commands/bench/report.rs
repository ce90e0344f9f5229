// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a bench: values for the renderers and for `--format json`.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::case::{Case, Claim, Sample, Side};
use super::load::Load;
use super::rounds::Measured;
use super::stats::{Ratio, Spread, ratio, spread};
use xtask::engine::host::Host;

/// The version of the JSON format.
pub(crate) const SCHEMA: u32 = 1;

/// All cases of one invocation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) host: Host,
    pub(crate) cases: Vec<CaseReport>,
}

impl Report {
    /// Returns whether a run failed.
    pub(crate) fn has_finding(&self) -> bool {
        let failed = |case: &CaseReport| matches!(case.status, Status::Wrong { .. });
        self.cases.iter().any(failed)
    }
}

/// The report of a case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CaseReport {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) unit: String,
    pub(crate) claim: Claim,
    pub(crate) rounds: u32,
    pub(crate) load: Load,
    /// Notes that are printed with the figures.
    pub(crate) notes: Vec<String>,
    pub(crate) status: Status,
}

/// The figures, or the reason why there are none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Measured(Vec<SideReport>),
    Wrong {
        side: String,
        why: String,
        place: Utf8PathBuf,
    },
}

/// The report of a side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SideReport {
    pub(crate) name: String,
    pub(crate) command: String,
    /// In the order of the rounds.
    pub(crate) figures: Vec<f64>,
    pub(crate) spread: Spread,
    /// Ratio of this side to the first; `None` on the first.
    pub(crate) ratio: Option<Ratio>,
    /// Other numbers by name; the maximum of all rounds.
    pub(crate) facts: BTreeMap<String, f64>,
}

impl CaseReport {
    /// Makes the report from the rounds of a case.
    pub(crate) fn new(
        case: &Case,
        sides: &[Box<dyn Side>],
        rounds: u32,
        measured: Measured,
        load: Load,
        notes: Vec<String>,
    ) -> Self {
        let status = match measured {
            Measured::Failed { side, why, place } => Status::Wrong { side, why, place },
            Measured::Complete(samples) => {
                let named = sides.iter().map(|side| (side.name(), side.command()));
                Status::Measured(side_reports(named.zip(&samples)))
            }
        };
        Self {
            name: case.name.to_owned(),
            about: case.about.to_owned(),
            unit: case.unit.to_owned(),
            claim: case.claim,
            rounds,
            load,
            notes,
            status,
        }
    }
}

fn side_reports<'a>(
    sides: impl Iterator<Item = ((&'a str, String), &'a Vec<Sample>)>,
) -> Vec<SideReport> {
    let mut reports: Vec<SideReport> = Vec::new();
    for ((name, command), samples) in sides {
        let figures: Vec<f64> = samples.iter().map(|sample| sample.figure).collect();
        let Some(spread) = spread(&figures) else {
            continue;
        };
        let ratio = reports
            .first()
            .and_then(|first| ratio(&first.figures, &figures));
        reports.push(SideReport {
            name: name.to_owned(),
            command,
            figures,
            spread,
            ratio,
            facts: largest(samples),
        });
    }
    reports
}

fn largest(samples: &[Sample]) -> BTreeMap<String, f64> {
    let mut facts = BTreeMap::new();
    for (name, value) in samples.iter().flat_map(|sample| &sample.facts) {
        let known = facts.entry(name.clone()).or_insert(*value);
        *known = known.max(*value);
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_reports_have_the_ratio_to_the_first_side_and_the_largest_facts() {
        let row = |figures: &[f64]| -> Vec<Sample> {
            let sample = |figure: &f64| Sample {
                figure: *figure,
                facts: BTreeMap::from([("memory, MiB".to_owned(), figure * 10.0)]),
            };
            figures.iter().map(sample).collect()
        };
        let (ours, theirs) = (row(&[1.0, 2.0, 3.0]), row(&[8.0, 8.0, 9.0]));
        let names = [("ours", String::new()), ("theirs", String::new())];
        let reports = side_reports(names.into_iter().zip([&ours, &theirs]));
        assert_eq!(reports[0].ratio, None);
        assert_eq!(reports[1].ratio.unwrap().of_medians, 4.0);
        assert_eq!(reports[0].facts["memory, MiB"], 30.0);
    }
}
