// SPDX-License-Identifier: GPL-2.0-only
//! What can be measured: a case compares sides, and a side can be run once more.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Serialize;

use crate::cli::BenchArgs;
use crate::session::Session;

/// How the last line of a case speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Claim {
    /// The first side is so many times faster than the second.
    Faster,
    /// A job costs so many times on the last side what it costs on the first.
    Flat,
    /// The first side takes so long.
    Takes,
}

/// Something to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What is held against what, and why, in a line.
    pub(crate) about: &'static str,
    /// Measured rounds, unless the user says otherwise.
    pub(crate) rounds: u32,
    /// Whether it is run when nobody names a case: minutes, when all is warm.
    pub(crate) is_cheap: bool,
    /// What the figures are, behind a number.
    pub(crate) unit: &'static str,
    pub(crate) claim: Claim,
    /// Gets everything ready that is not measured.
    pub(crate) prepare: fn(&BenchArgs, &Session) -> anyhow::Result<Bench>,
}

/// A case that is ready to be measured.
#[derive(Debug)]
pub(crate) struct Bench {
    /// At least one; the first is what the others are held against.
    pub(crate) sides: Vec<Box<dyn Side>>,
    /// What a reader of the figures must know.
    pub(crate) notes: Vec<String>,
}

/// One way to do a vm_run.
pub(crate) trait Side: std::fmt::Debug {
    /// Returns what to call it.
    fn name(&self) -> &str;

    /// Returns the command as a person would type it.
    fn command(&self) -> String;

    /// Does the vm_run once in the folder `place`, which is new and empty, and
    /// checks that it was done.
    ///
    /// # Errors
    /// When the vm_run could not be done at all. A vm_run that was done and went
    /// wrong is [`Came::Wrong`].
    fn once(&self, place: &Utf8Path, session: &Session) -> anyhow::Result<Came>;

    /// Returns what a reader must know that only the runs could tell.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What one run of a side came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Came {
    Right(Sample),
    /// What went wrong: a finding, and never a figure.
    Wrong(String),
}

/// What is known of a run that went right.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// What is compared, in the unit of the case; less is better.
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
