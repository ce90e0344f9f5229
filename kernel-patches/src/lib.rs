// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applies patch series to kernel trees and builds the results.
//!
//! Data flow: a [`tree`] (kernel source) and a [`series`] (ordered patches) give a
//! [`checkout`] (one source state, stored as the files that differ from the tree);
//! a checkout and a [`config`] give a [`kernel`]. This crate does not depend on
//! virtual machines or tests.

pub mod arch;
pub mod checkout;
pub mod config;
pub mod coverage;
pub mod error;
pub mod kernel;
pub mod kselftest;
pub mod mail;
pub mod mutant;
pub mod overlay;
pub mod series;
pub mod source;
pub mod tree;
pub mod worktree;

mod lexer;
mod make;
mod scratch;

pub use error::Error;
