// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenarios: reading and checking their files, and the documents about them.

mod check;
mod documents;
mod file;
mod language;
mod machines;
mod model;
mod names;
mod operation;
mod parameters;
mod raw;
mod verb;

pub use documents::{json_schema, overview, reference};
pub use file::ScenarioFile;
pub(crate) use language::Language;
pub use machines::Machines;
pub(crate) use model::unique;
pub use model::{
    Action, BOOT_TIMEOUT_SECS, Boot, Bounds, ExpectedLog, ExpectedSplat, NextKernel, Returns,
    Scenario, Step, SyncPoint,
};
pub(crate) use operation::Value;
pub use operation::{Device, Operation};
pub(crate) use verb::{CArgument, Kind, Outcome};
