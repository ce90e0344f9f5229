// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cases and their sides. A side is a command that is measured; a case compares its sides.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Serialize;

use crate::cli::BenchArgs;
use xtask::engine::session::Session;

/// The form of a case's summary line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Claim {
    /// How many times faster the first side is than the second.
    Faster,
    /// Ratio of the time per job of the last side to that of the first.
    Flat,
    /// How long the first side takes.
    Takes,
}

/// A case to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Description of the sides, in a line.
    pub(crate) about: &'static str,
    /// Default number of measured rounds.
    pub(crate) rounds: u32,
    /// Whether it is run by default. With warm caches it takes minutes.
    pub(crate) is_cheap: bool,
    /// The unit of the figures.
    pub(crate) unit: &'static str,
    pub(crate) claim: Claim,
    /// Makes the sides and does all work that is not measured.
    pub(crate) prepare: fn(&BenchArgs, &Session) -> anyhow::Result<Bench>,
}

/// A case that is ready to be measured.
#[derive(Debug)]
pub(crate) struct Bench {
    /// At least one; the others are compared with the first.
    pub(crate) sides: Vec<Box<dyn Side>>,
    /// Notes that are printed with the figures.
    pub(crate) notes: Vec<String>,
}

/// A command to measure.
pub(crate) trait Side: std::fmt::Debug {
    fn name(&self) -> &str;

    /// Returns the command line to print.
    fn command(&self) -> String;

    /// Runs the command once in `folder`, which is new and empty, and checks its result.
    ///
    /// # Errors
    /// When the command could not be run, or did not end with a result. A wrong result is
    /// [`Outcome::Failed`].
    fn once(&self, folder: &Utf8Path, session: &Session) -> anyhow::Result<Outcome>;

    /// Returns notes that are known only after the runs.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The outcome of a run of a side.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Passed(Sample),
    /// Why the result is wrong: a finding, without a figure.
    Failed(String),
}

/// The measurements of a run that passed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// The compared number, in the unit of the case; less is better.
    pub(crate) figure: f64,
    /// Other numbers by name, with their unit; the largest of all rounds is reported.
    pub(crate) facts: BTreeMap<String, f64>,
}

impl Sample {
    /// Returns a sample without further facts.
    pub(crate) fn new(figure: f64) -> Self {
        Self {
            figure,
            facts: BTreeMap::new(),
        }
    }
}
