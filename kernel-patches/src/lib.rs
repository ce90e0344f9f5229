// SPDX-License-Identifier: GPL-2.0-only
//! Series and tree to stack, stack and profile to kernel.
//!
//! The way of the data: [`tree`] (where the source comes from) and [`series`]
//! (ordered patches) make a [`stack`] (one source state, held as the few files
//! that differ from the tree); a stack and a [`profile`] make a [`kernel`].
//! This room knows nothing of virtual machines or tests.

pub mod conflict;
pub mod coverage;
pub mod error;
pub mod index;
pub mod kernel;
pub mod kselftest;
pub mod mail;
pub mod manifest;
pub mod mutant;
pub mod overlay;
pub mod profile;
pub mod series;
pub mod source;
pub mod stack;
pub mod tree;
pub mod worktree;

mod complaints;
mod content;
mod scratch;
mod yaml;

pub use error::{Error, Kind};
