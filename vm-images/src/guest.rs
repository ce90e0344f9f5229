// SPDX-License-Identifier: GPL-2.0-only
//! Builds the guest's PID 1: a static program, by a cargo of its own, with a
//! target folder of its own, so that it never waits for the one that runs us.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::process::{ProcessError, Tool};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const PACKAGE: &str = "patchbed-guest";

/// Generous: the first build may have to fetch crates.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// Variables by which an outer cargo or clippy would reach into this build.
const FOREIGN_VARIABLES: &[&str] = &[
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
];

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
    command(root, &target_dir).run_lines(cancel, &mut |line| {
        lines += 1;
        activity.advance(lines, line.trim());
    })?;
    let path = target_dir.join(TARGET).join("release").join(PACKAGE);
    if !path.exists() {
        return Err(GuestError::Missing { path });
    }
    Ok(path)
}

fn command(root: &Utf8Path, target_dir: &Utf8Path) -> Tool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tool = Tool::new(cargo)
        .args(["build", "--release", "--package", PACKAGE])
        .args(["--target", TARGET, "--target-dir", target_dir.as_str()])
        .cwd(root)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .deadline("guest build", BUILD_LIMIT);
    FOREIGN_VARIABLES
        .iter()
        .fold(tool, |tool, name| tool.env_remove(name))
}
