// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one virtual machine through its boots and records a transcript. Failures of any
//! kind are recorded in the transcript, so the caller always gets the record up to the
//! failure.

mod batch;
mod channel_log;
mod clock;
mod launch;
mod requests;
mod run;
mod session;

pub use batch::{BatchProgram, run_batch};
pub use run::run;
pub(crate) use run::{save, test_restore};

pub use crate::spec::{BootRun, GuestFile, NextKernel, VmRun, VmSpec};
