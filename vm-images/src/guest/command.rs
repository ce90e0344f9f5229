// SPDX-License-Identifier: GPL-2.0-only
//! The cargo command that compiles the guest's PID 1. The build script of `xtask`
//! includes this file as well, so it uses the standard library alone.

/// The program that the build leaves, below its target folder.
pub(crate) const PROGRAM: &str = "x86_64-unknown-linux-gnu/release/patchbed-guest";

/// The guest has no dynamic loader.
pub(crate) const VARIABLES: [(&str, &str); 1] = [("RUSTFLAGS", "-C target-feature=+crt-static")];

/// Variables by which an outer cargo or clippy would reach into this build.
pub(crate) const FOREIGN_VARIABLES: [&str; 5] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
];

/// Returns the arguments for cargo, which is to run in the checkout.
pub(crate) fn arguments(target_dir: &str) -> [&str; 8] {
    [
        "build",
        "--release",
        "--package",
        "patchbed-guest",
        "--target",
        "x86_64-unknown-linux-gnu",
        "--target-dir",
        target_dir,
    ]
}
