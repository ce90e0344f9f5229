// SPDX-License-Identifier: GPL-2.0-only
//! From a scenario to a generated kselftest, and from what a run left behind to a
//! verdict. All of it is values and functions on them; only [`generate`] writes
//! files, and only its compiler starts a process.
//!
//! What this room does not know: how a kernel is built, and how a machine runs.

#[cfg(test)]
mod cost;
pub mod evidence;
pub mod expectation;
pub mod fault;
pub mod generate;
pub mod hang;
pub mod input;
pub mod klog;
pub mod kselftest;
pub mod ktap;
pub mod scenario;
pub mod status;
mod text;
pub mod timeline;
mod yaml;
