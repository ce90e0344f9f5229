// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cases and their sides. A side is a command that is measured; a case compares its sides.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use serde::Serialize;
use xtask::engine::session::Session;

use crate::cli::BenchArgs;

/// The form of a case's summary line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Claim {
    /// How many times faster the first side is than the last.
    Faster,
    /// Ratio of the time per job of the last side to that of the first.
    Flat,
    /// How long the first side takes.
    Takes,
}

/// A case to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Description of the sides, in a line.
    pub(super) about: &'static str,
    /// The unit of the figures.
    pub(super) unit: &'static str,
    pub(super) claim: Claim,
    /// Default number of measured rounds.
    #[serde(skip)]
    pub(super) rounds: u32,
    /// Whether it is run by default. With warm caches it takes minutes.
    #[serde(skip)]
    pub(super) is_cheap: bool,
    /// Makes the sides and does all work that is not measured.
    #[serde(skip)]
    pub(super) prepare: fn(&BenchArgs, &Session) -> anyhow::Result<Bench>,
}

/// A case that is ready to be measured.
pub(super) struct Bench {
    /// At least one; the others are compared with the first.
    pub(super) sides: Vec<Side>,
    /// Notes that are printed with the figures.
    pub(super) notes: Vec<String>,
}

/// Runs a command once in a folder that is new and empty, and checks its result. An error means
/// that the command could not be run, or did not end with a result.
type Once = dyn Fn(&Utf8Path, &Session) -> anyhow::Result<Outcome>;

/// A command to measure.
pub(super) struct Side {
    pub(super) name: String,
    /// The command line to print.
    pub(super) command: String,
    pub(super) once: Box<Once>,
}

/// The outcome of a run of a side.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Passed(Sample),
    /// Why the result is wrong: a finding, without a figure.
    Failed(String),
}

/// The measurements of a run that passed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// The compared number, in the unit of the case; less is better.
    pub(super) figure: f64,
    /// Other numbers by name, with their unit; the largest of all rounds is reported.
    pub(super) facts: BTreeMap<&'static str, f64>,
    /// Notes that are known only after the run; those of all rounds are reported.
    pub(super) notes: BTreeSet<String>,
}
