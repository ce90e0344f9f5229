// SPDX-License-Identifier: GPL-2.0-only
//! YAML text to typed values that remember where they were written.

pub(crate) use patchbed_host::yaml::{At, parse};
