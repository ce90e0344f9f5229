// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a plan: applies series, builds kernels, runs jobs in VMs and judges their records.

mod batches;
pub mod build;
pub mod builtin;
pub mod checkouts;
mod coverage;
pub mod environment;
pub mod executor;
mod hang;
mod history;
pub mod host;
pub mod inject;
pub mod job;
pub mod judge;
pub mod kselftest;
pub mod layout;
mod mutation;
pub mod options;
mod pipeline;
pub mod plan;
pub mod program;
mod provenance;
mod queue;
pub mod request;
pub mod result_cache;
pub mod run;
pub mod run_folder;
pub mod scenarios;
mod self_checks;
pub mod session;
pub mod snapshot;
pub mod sources;
