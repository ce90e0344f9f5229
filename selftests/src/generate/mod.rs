// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates a folder of kernel selftests from scenarios. The output depends on the scenarios
//! alone: no dates, host names or host paths.

mod c;
mod compile;
mod files;
mod needs;
mod operation;
mod program;
mod step;
mod trace;
mod upstream;

pub use compile::{CompileError, Compiler};
pub use files::{Difference, MODULES, check, files, modules, write};
pub use program::{Program, arguments, environment, needs_modules, programs};
pub(crate) use step::INTERLEAVING;
pub use upstream::{commit_message, files_for_tree, with_target};
