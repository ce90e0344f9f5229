// SPDX-License-Identifier: GPL-2.0-only
//! Builds the guest's PID 1: a static program, by a cargo of its own, with a
//! target folder of its own, so that it never waits for the one that runs us.

mod command;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::process::{ProcessError, Tool};

/// Generous: the first build may have to fetch crates.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// Why there is no guest program.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Cargo could not build it.
    #[error("cannot build the guest's PID 1: {0}")]
    Build(#[from] ProcessError),
    /// Cargo said it did, but the program is not there.
    #[error("the build left no `{path}`")]
    Missing {
        /// Where the program should be.
        path: Utf8PathBuf,
    },
}

/// Builds the guest's PID 1 from the workspace at `root` and returns the
/// program's path. Quick when nothing changed.
pub fn build(
    root: &Utf8Path,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<Utf8PathBuf, GuestError> {
    let target_dir = root.join("target").join("guest");
    let activity = Activity::start(observer, "build the guest's PID 1", None);
    let mut lines = 0;
    cargo(root, &target_dir).run_lines(cancel, &mut |line| {
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
    command::FOREIGN_VARIABLES
        .iter()
        .fold(tool, |tool, name| tool.env_remove(name))
}
