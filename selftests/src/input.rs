// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors in user input, shared by all crates of this project.

pub use patchbed_host::input::{InputError, Place, closest};
