// SPDX-License-Identifier: MIT OR Apache-2.0
//! The versions of compiler and linker.

use patchbed_host::cancel::Cancel;
use patchbed_host::process::Tool;

use crate::error::Error;

/// The compiler and linker of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// First lines of `gcc --version` and `ld --version`.
    pub identity: String,
}

impl Toolchain {
    /// Reads the versions of the host's tools.
    ///
    /// # Errors
    /// When a tool is missing.
    pub fn detect(cancel: &Cancel) -> Result<Self, Error> {
        let mut identity = Vec::new();
        for program in ["gcc", "ld"] {
            let output = Tool::new(program)
                .arg("--version")
                .env("LC_ALL", "C")
                .run(cancel)
                .map_err(Error::tool(format!("reading the version of `{program}`")))?;
            identity.push(
                output
                    .stdout_text()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        Ok(Self {
            identity: identity.join("; "),
        })
    }
}
