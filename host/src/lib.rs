// SPDX-License-Identifier: MIT OR Apache-2.0
//! Host services: child processes, cancellation, the cache folder, locks, progress events
//! and input files.
//!
//! This crate does not depend on kernels, virtual machines or tests. It ensures that every
//! wait has a named deadline, every buffer has a limit, and every child process is killed
//! when this process ends.

pub mod cache;
pub mod cancel;
pub mod content;
pub mod context;
pub mod diff;
pub mod events;
pub mod files;
pub mod input;
pub mod lock;
pub mod pool;
pub mod process;
pub mod program;
pub mod yaml;
