// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles generated programs to static binaries, with all warnings as errors. Needs the
//! harness of a kernel tree and installed kernel headers, but no kernel build.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cancel::Cancel;
use patchbed_host::process::{ProcessError, Tool};

use super::program::Program;
use crate::catalogue::Catalogue;

/// Time limit of one run of the compiler.
const COMPILER_LIMIT: Duration = Duration::from_secs(120);
/// The name of the library in errors.
const LIBRARY: &str = "library of the tests";

/// The compiler for the programs of a kernel.
#[derive(Debug, Clone)]
pub struct Compiler<'a> {
    /// The catalogue of the programs.
    pub catalogue: &'a Catalogue,
    /// `tools/testing/selftests` of the kernel tree.
    pub kselftest: &'a Utf8Path,
    /// The output folder of `make headers_install`; has `include/linux`.
    pub headers: &'a Utf8Path,
    /// An existing folder for the sources.
    pub folder: &'a Utf8Path,
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
    /// A source could not be written.
    #[error("compile: {0}")]
    Write(#[from] std::io::Error),
}

/// The options of the compiler. `-Og` takes less than half of the time of `-O2`. With `-O1`,
/// gcc 12 warns about a bound of `strnlen` that is right.
const OPTIONS: &str = "-Wall -Wextra -Werror -Og -D_GNU_SOURCE=";

impl Compiler<'_> {
    /// Compiles the C files of `lib/` to one object file.
    ///
    /// # Errors
    ///
    /// Returns an error with the last lines of the compiler if it fails, warns or is cancelled.
    pub fn library(&self, output: &Utf8Path, cancel: &Cancel) -> Result<(), CompileError> {
        self.write_library()?;
        let sources = self.catalogue.c_files().map(|(name, _)| name);
        let sources = sources.filter(|name| name.ends_with(".c"));
        let partial = ["-r", "-nostdlib"].into_iter();
        self.run(LIBRARY, partial.chain(sources), output, cancel)
    }

    /// Compiles a program to a static binary that prints its steps.
    ///
    /// # Errors
    ///
    /// Returns an error with the last lines of the compiler if it fails, warns or is cancelled.
    pub fn program(
        &self,
        program: &Program,
        library: &Utf8Path,
        output: &Utf8Path,
        cancel: &Cancel,
    ) -> Result<(), CompileError> {
        self.write_library()?;
        let trace = format!("{}.trace.h", program.name);
        // A relative path, since the messages of the tests contain it.
        let source = format!("{}.c", program.name);
        fs_err::write(self.folder.join(&trace), &program.trace)?;
        fs_err::write(self.folder.join(&source), &program.text)?;
        let arguments = [
            "-static",
            "-include",
            &trace,
            &source,
            library.as_str(),
            "-lpthread",
        ];
        self.run(&program.name, arguments, output, cancel)
    }

    fn write_library(&self) -> Result<(), CompileError> {
        for (name, text) in self.catalogue.c_files() {
            fs_err::write(self.folder.join(name), text)?;
        }
        Ok(())
    }

    fn run<'a>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = &'a str>,
        output: &Utf8Path,
        cancel: &Cancel,
    ) -> Result<(), CompileError> {
        let program = name.to_owned();
        let header = self.kselftest.join("kselftest_harness.h");
        if !header.is_file() {
            return Err(CompileError::NoHarness { program, header });
        }
        let includes = self.headers.join("include");
        Tool::new("gcc")
            .args(OPTIONS.split(' '))
            .args([
                &format!("-I{}", self.kselftest),
                "-isystem",
                includes.as_str(),
            ])
            .args(["-o", output.as_str()])
            .args(arguments)
            .cwd(self.folder)
            .env("LC_ALL", "C")
            .deadline("compiler of the test program", COMPILER_LIMIT)
            .run(cancel)
            .map_err(|source| CompileError::Compiler { program, source })?;
        Ok(())
    }
}
