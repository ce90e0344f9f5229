// SPDX-License-Identifier: GPL-2.0-only
//! A generated program to a static binary, with all warnings as errors. Needs a
//! kernel tree for the harness and installed kernel headers; knows no kernel build.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{ProcessError, Tool};

/// How long the compiler may take for one program.
const COMPILER_LIMIT: Duration = Duration::from_secs(120);

/// What to compile, against what.
#[derive(Debug, Clone)]
pub struct Compile<'a> {
    /// The folder of generated files.
    pub folder: &'a Utf8Path,
    /// The program's name, without `.c`.
    pub program: &'a str,
    /// `tools/testing/selftests` of the kernel tree.
    pub kselftest: &'a Utf8Path,
    /// What `headers_install` installed; has `include/linux`.
    pub headers: &'a Utf8Path,
    /// The binary to make.
    pub output: &'a Utf8Path,
}

/// Why a program was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler failed, and said why.
    #[error("compile `{program}`: {source}")]
    Compiler {
        /// The program.
        program: String,
        /// What became of the compiler, with its last lines.
        source: ProcessError,
    },
    /// The tree has no test harness.
    #[error("compile `{program}`: there is no `{header}`; is it a kernel tree?")]
    NoHarness {
        /// The program.
        program: String,
        /// The file that is missing.
        header: Utf8PathBuf,
    },
}

/// Returns the arguments for the compiler.
fn arguments(compile: &Compile<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O2",
        "-static",
        "-D_GNU_SOURCE=",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("-I{}", compile.kselftest));
    arguments.extend([
        "-isystem".to_owned(),
        compile.headers.join("include").to_string(),
    ]);
    // The bare name: it is in the messages of the tests, the folder is not.
    arguments.extend([
        "-o".to_owned(),
        compile.output.to_string(),
        format!("{}.c", compile.program),
        "-lpthread".to_owned(),
    ]);
    arguments
}

/// Compiles one program, statically.
///
/// # Errors
///
/// Returns the compiler's last lines when it fails or warns, or is cancelled.
pub fn compile(compile: &Compile<'_>, cancel: &Cancel) -> Result<(), CompileError> {
    let program = compile.program.to_owned();
    let header = compile.kselftest.join("kselftest_harness.h");
    if !header.is_file() {
        return Err(CompileError::NoHarness { program, header });
    }
    Tool::new("gcc")
        .args(arguments(compile))
        .cwd(compile.folder)
        .env("LC_ALL", "C")
        .deadline("test program's compiler", COMPILER_LIMIT)
        .run(cancel)
        .map_err(|source| CompileError::Compiler { program, source })?;
    Ok(())
}
