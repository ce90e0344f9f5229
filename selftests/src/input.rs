// SPDX-License-Identifier: GPL-2.0-only
//! Mistakes in what the user wrote; the same everywhere in this project.

pub use patchbed_host::input::{InputError, Place, closest};
