// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates kselftests from scenarios, and judges recorded runs. All modules are
//! functions on values; only [`generate`] writes files, and only its compiler starts
//! processes.
//!
//! This crate does not build kernels and does not run machines.

pub mod analysis;
#[cfg(test)]
mod cost;
pub mod evidence;
pub mod expectation;
pub mod fault;
pub mod frame;
pub mod generate;
pub mod hang;
pub mod input;
pub mod klog;
pub mod kselftest;
pub mod ktap;
pub mod scenario;
pub mod status;
pub mod symbols;
mod text;
pub mod timeline;
mod yaml;
