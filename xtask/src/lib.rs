// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library below the command line: [`engine`] runs a plan, [`result`] is the model of its
//! results, and [`report`] renders them.

pub mod engine;
pub mod exit;
pub mod job_plan;
pub mod report;
pub mod result;
mod text;
