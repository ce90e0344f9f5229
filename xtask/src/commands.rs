// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands, each in its own file.

pub(crate) mod apply;
pub(crate) mod b4_check;
pub(crate) mod bench;
pub(crate) mod boot;
pub(crate) mod build;
pub(crate) mod ci;
pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod inject;
pub(crate) mod new;
pub(crate) mod report;
pub(crate) mod show;
pub(crate) mod test;
pub(crate) mod watch;
