// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a plan: applies series, builds kernels, runs jobs in VMs and judges their records.

mod batches;
pub mod build;
pub mod builtin;
pub mod checkouts;
pub mod checkpoints;
pub mod context;
mod coverage;
pub mod environment;
mod hang;
mod history;
pub mod host;
pub mod inject;
pub mod jobs;
pub mod judge;
pub mod kselftest;
pub mod layout;
pub mod mutant_selection;
mod mutants;
pub mod options;
pub mod plan;
pub mod prepare;
pub mod program;
mod provenance;
pub mod record;
pub mod request;
pub mod result_cache;
pub mod run;
pub mod run_folder;
pub mod running;
pub mod scenarios;
pub mod self_checks;
pub mod session;
pub mod snapshot;
pub mod sources;
