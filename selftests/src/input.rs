// SPDX-License-Identifier: GPL-2.0-only
//! Errors in user input, shared by all crates of this project.

pub use patchbed_host::input::{InputError, Place, closest};
