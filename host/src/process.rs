// SPDX-License-Identifier: MIT OR Apache-2.0
//! Child processes with limits on lifetime, run time and output.
//!
//! Every child has a process group of its own, which is killed as a whole. The kernel kills
//! the child when the thread that started it ends (`prctl(2)`, `PR_SET_PDEATHSIG`), so a
//! child must be waited for on that thread.

mod child;
mod error;
mod pump;
mod tool;

pub use child::Child;
pub use error::ProcessError;
pub use tool::{Output, Tool, quote};
