// SPDX-License-Identifier: GPL-2.0-only
//! The name by which this program is called, for commands in messages.

use std::sync::OnceLock;

static NAME: OnceLock<&str> = OnceLock::new();

/// Sets the name, once and before any message is made.
pub fn set_name(name: &'static str) {
    NAME.get_or_init(|| name);
}

/// Returns the words that a command in a message begins with.
pub fn name() -> &'static str {
    NAME.get().copied().unwrap_or("patchbed")
}
