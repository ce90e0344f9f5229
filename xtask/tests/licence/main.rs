// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the licences of this project's files and of its dependencies.
//!
//! The checks are tests, because the crate `spdx` that evaluates licence expressions is
//! under Apache-2.0 alone and so must not be linked into the tool.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod dependencies;
mod files;

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the standard output of a command that is run in the top folder.
fn output_of(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "`{program} {}` failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}
