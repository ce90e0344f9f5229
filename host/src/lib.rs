// SPDX-License-Identifier: GPL-2.0-only
//! The host that a run happens on: child processes, cancellation, the cache
//! folder, locks, progress events, and files that people write.
//!
//! This room knows nothing of kernels, virtual machines or tests. It is where
//! the promises "every wait has a deadline with a name", "every buffer has a
//! limit" and "every child dies with us" are kept.

pub mod cache;
pub mod cancel;
pub mod diff;
pub mod events;
pub mod files;
pub mod input;
pub mod lock;
pub mod process;
pub mod program;
pub mod yaml;
