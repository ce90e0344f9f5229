// SPDX-License-Identifier: GPL-2.0-only
//! Child processes that cannot outlive us, outstay their time or flood us.
//!
//! Every child gets a process group of its own, which is killed whole, and asks
//! the kernel for death when the thread that started it dies (`prctl(2)`,
//! `PR_SET_PDEATHSIG`). So a child must be waited for on the thread that started it.

mod child;
mod error;
mod pump;
mod tool;

pub use child::Child;
pub use error::ProcessError;
pub use tool::{Output, Tool, quote};
