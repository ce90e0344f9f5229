// SPDX-License-Identifier: GPL-2.0-only
//! Parses YAML text into typed values with line and column.

pub(crate) use patchbed_host::yaml::{At, parse};
