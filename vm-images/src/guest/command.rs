// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cargo command that compiles the guest's PID 1. The build script of `xtask`
//! includes this file, so it uses only the standard library.

/// Path of the program below the target folder.
pub(crate) const PROGRAM: &str = "x86_64-unknown-linux-gnu/release/patchbed-guest";

/// The program is static, because the guest has no dynamic loader.
pub(crate) const VARIABLES: [(&str, &str); 1] = [("RUSTFLAGS", "-C target-feature=+crt-static")];

/// Variables of an outer cargo or clippy that would change this build.
pub(crate) const OUTER_VARIABLES: [&str; 5] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
];

/// Returns the arguments for cargo, which must run in the workspace.
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
