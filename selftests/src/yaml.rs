// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses YAML text into typed values with line and column.

pub(crate) use patchbed_host::yaml::{At, parse};
