// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the guest's PID 1, a static program. The build uses a separate target folder, so
//! that it does not wait for the lock of the cargo that runs this process.

mod command;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::context::Context;
use patchbed_host::process::{ProcessError, Tool};

/// Limit for the build, which may fetch crates.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// Why the guest program could not be built.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Cargo could not build it.
    #[error("cannot build the guest's PID 1: {0}")]
    Build(#[from] ProcessError),
    /// The build succeeded, but the program does not exist.
    #[error("cannot build the guest's PID 1: the build did not create `{path}`")]
    Missing {
        /// Path of the program.
        path: Utf8PathBuf,
    },
}

/// Builds the guest's PID 1 from the workspace at `root` and returns the program's path.
pub fn build(root: &Utf8Path, context: &Context) -> Result<Utf8PathBuf, GuestError> {
    let target_dir = root.join("target").join("guest");
    let activity = context.activity("build the guest's PID 1", None);
    let mut lines = 0;
    cargo(root, &target_dir).run_lines(&context.cancel, &mut |line| {
        lines += 1;
        activity.advance(lines, line.trim());
    })?;
    let path = target_dir.join(command::PROGRAM);
    if !path.exists() {
        return Err(GuestError::Missing { path });
    }
    Ok(path)
}

fn cargo(root: &Utf8Path, target_dir: &Utf8Path) -> Tool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tool = Tool::new(cargo)
        .args(command::arguments(target_dir.as_str()))
        .cwd(root)
        .deadline("guest build", BUILD_LIMIT);
    let tool = command::VARIABLES
        .iter()
        .fold(tool, |tool, (name, value)| tool.env(name, value));
    command::OUTER_VARIABLES
        .iter()
        .fold(tool, |tool, name| tool.env_remove(name))
}
