// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles a generated program to a static binary, with all warnings as errors. Needs the
//! harness of a kernel tree and installed kernel headers, but no kernel build.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{ProcessError, Tool};

/// Time limit of the compiler for one program.
const COMPILER_LIMIT: Duration = Duration::from_secs(120);

/// Input and output of the compiler.
#[derive(Debug, Clone)]
pub struct Compile<'a> {
    /// The folder of generated files.
    pub folder: &'a Utf8Path,
    /// The name of the program, without `.c`.
    pub program: &'a str,
    /// `tools/testing/selftests` of the kernel tree.
    pub kselftest: &'a Utf8Path,
    /// The output folder of `make headers_install`; has `include/linux`.
    pub headers: &'a Utf8Path,
    /// The binary to make.
    pub output: &'a Utf8Path,
}

/// The error of a failed compilation.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler failed.
    #[error(
        "compile `{program}`: {source}\n\
         hint: fix the call in `verbs.yaml` or the C code in `lib/` of the catalogue"
    )]
    Compiler {
        /// The program.
        program: String,
        /// The error of the compiler, with its last lines.
        source: ProcessError,
    },
    /// The tree has no test harness.
    #[error("compile `{program}`: `{header}` not found; is this a kernel tree?")]
    NoHarness {
        /// The program.
        program: String,
        /// The file that is missing.
        header: Utf8PathBuf,
    },
}

/// The options of the compiler. `-Og` takes less than half of the time of `-O2`. With `-O1`,
/// gcc 12 warns about a bound of `strnlen` that is right.
const OPTIONS: &str = "-Wall -Wextra -Werror -Og -static -D_GNU_SOURCE=";

/// Returns the arguments for the compiler.
fn arguments(compile: &Compile<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = OPTIONS.split(' ').map(str::to_owned).collect();
    arguments.extend([
        format!("-I{}", compile.kselftest),
        "-isystem".to_owned(),
        compile.headers.join("include").to_string(),
        "-o".to_owned(),
        compile.output.to_string(),
        // A relative path, since the messages of the tests contain it.
        format!("{}.c", compile.program),
        "-lpthread".to_owned(),
    ]);
    arguments
}

/// Compiles one program, statically.
///
/// # Errors
///
/// Returns an error with the last lines of the compiler if it fails, warns or is cancelled.
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
        .deadline("compiler of the test program", COMPILER_LIMIT)
        .run(cancel)
        .map_err(|source| CompileError::Compiler { program, source })?;
    Ok(())
}
