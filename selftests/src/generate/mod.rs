// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates a folder of kernel selftests from scenarios. The output depends on the scenarios
//! alone: no dates, host names or host paths.

mod c;
mod compile;
mod files;
mod fixture;
mod operation;
mod program;
mod step;
mod upstream;
mod variants;

pub use compile::{Compile, CompileError, compile};
pub use files::{Difference, MODULES, check, files, modules, write};
pub use program::{arguments, environment, needs_modules, program};
pub(crate) use step::INTERLEAVING;
pub use upstream::{commit_message, files_for_tree, with_target};
