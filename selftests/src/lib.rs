// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates kselftests from scenarios, and judges recorded runs. All modules are
//! functions on values; only [`generate`] writes files, and only its compiler starts
//! processes.
//!
//! This crate does not build kernels and does not run machines.

pub mod analysis;
pub mod catalogue;
pub mod evidence;
pub mod expectation;
pub mod fault;
pub mod frame;
pub mod generate;
pub mod hang;
mod judgement;
pub mod klog;
pub mod kselftest;
pub mod ktap;
pub mod scenario;
pub mod status;
mod subject;
pub mod symbols;
#[cfg(test)]
mod testing;
mod text;
pub mod timeline;

pub use patchbed_host::input;
pub(crate) use patchbed_host::yaml;
