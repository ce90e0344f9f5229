// SPDX-License-Identifier: GPL-2.0-only
//! Series and tree to checkout, checkout and config to kernel.
//!
//! The way of the data: [`tree`] (where the source comes from) and [`series`]
//! (ordered patches) make a [`checkout`] (one source state, held as the few files
//! that differ from the tree); a checkout and a [`config`] make a [`kernel`].
//! This room knows nothing of virtual machines or tests.

pub mod checkout;
pub mod config;
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
pub mod series;
pub mod source;
pub mod tree;
pub mod worktree;

mod content;
mod problems;
mod scratch;
mod yaml;

pub use error::{Error, Kind};
