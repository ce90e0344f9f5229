// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command name of this program, for commands in messages.

use std::sync::OnceLock;

static NAME: OnceLock<&str> = OnceLock::new();

/// Sets the name, once and before the first message.
pub fn set_name(name: &'static str) {
    NAME.get_or_init(|| name);
}

/// Returns the command name, which is the first part of a command in a message.
pub fn name() -> &'static str {
    NAME.get().copied().unwrap_or("patchbed")
}
