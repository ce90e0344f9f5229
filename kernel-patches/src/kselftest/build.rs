// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the selftests of a TARGET with the tree's Makefiles in a copy of their source,
//! and lists its tests.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::context::Context;
use patchbed_host::process::Tool;

use super::source::{self, Request, SELFTESTS};
use crate::error::{Doing, Error};
use crate::make::{caused_by_host, jobs, make};

const COMPILE_LIMIT: Duration = Duration::from_secs(1800);
const LIST_LIMIT: Duration = Duration::from_secs(60);
const WORDS_MAX: usize = 4000;
const LINES_SHOWN: usize = 12;

/// The variables in which a kselftest Makefile lists its files.
const VARIABLES: [(&str, Part); 7] = [
    ("TEST_GEN_PROGS", Part::Run),
    ("TEST_CUSTOM_PROGS", Part::Run),
    ("TEST_PROGS", Part::Run),
    ("TEST_GEN_PROGS_EXTENDED", Part::ByHand),
    ("TEST_PROGS_EXTENDED", Part::ByHand),
    ("TEST_GEN_FILES", Part::Generated),
    ("TEST_FILES", Part::File),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A test that `run_tests` runs.
    Run,
    /// A program that a user or another test runs.
    ByHand,
    /// A generated file, often a program.
    Generated,
    /// A file that tests need.
    File,
}

#[derive(Debug)]
pub(super) struct Built {
    /// The folder of the build, which contains the other folders.
    pub(super) work: Utf8PathBuf,
    pub(super) source: Utf8PathBuf,
    /// The output folder of the TARGET.
    pub(super) output: Utf8PathBuf,
    /// The entries of the TARGET's Makefile.
    pub(super) words: Vec<(Part, String)>,
    /// The error output of make and the compiler.
    pub(super) problems: String,
}

pub(super) fn build(
    request: &Request<'_>,
    work: &Utf8Path,
    context: &Context,
) -> Result<Built, Error> {
    let builder = Builder {
        source: work.join("src"),
        objects: work.join("out"),
        target: request.target,
        cancel: &context.cancel,
    };
    let _activity = context.activity(builder.doing(), None);
    source::copy(request, &builder.source)?;
    let headers = builder.objects.join("usr");
    fs::create_dir_all(&headers).doing("creating a folder")?;
    let of_kernel = request.kernel.headers().join("include");
    fs_err::os::unix::fs::symlink(of_kernel, headers.join("include"))
        .doing("linking a kernel's headers")?;
    let problems = builder.compile()?;
    Ok(Built {
        work: work.to_owned(),
        words: builder.list()?,
        output: builder.output(),
        source: builder.source,
        problems,
    })
}

struct Builder<'a> {
    source: Utf8PathBuf,
    objects: Utf8PathBuf,
    target: &'a str,
    cancel: &'a Cancel,
}

impl Builder<'_> {
    fn output(&self) -> Utf8PathBuf {
        self.objects.join("kselftest").join(self.target)
    }

    fn make(&self, folder: &Utf8Path) -> Tool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        make(folder, &self.objects).env("PATH", path)
    }

    /// Builds all tests, continuing after errors, and returns the error output.
    fn compile(&self) -> Result<String, Error> {
        // Reproducible output in any folder. `-static` is in both flags because some
        // Makefiles do not pass `USERLDFLAGS`.
        let flags = format!("-static -ffile-prefix-map={}/=", self.source);
        let output = self
            .make(&self.source.join(SELFTESTS))
            // Continue after a failure; do not interleave the output of rules.
            .args(["-k", &jobs(), "-Otarget"])
            .arg(format!("TARGETS={}", self.target))
            .arg(format!("USERCFLAGS={flags}"))
            .args(["SKIP_TARGETS=", "USERLDFLAGS=-static -s", "all"])
            .deadline("selftest build", COMPILE_LIMIT)
            .run_unchecked(self.cancel)
            .doing(self.doing())?;
        let problems = output.stderr_text();
        match caused_by_host(&problems) {
            Some(line) if !output.status.success() => Err(Error::unexpected(self.doing(), line)),
            _ => Ok(problems),
        }
    }

    /// Evaluates the variables of the TARGET's Makefile.
    fn list(&self) -> Result<Vec<(Part, String)>, Error> {
        let names: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
        let rule = format!(
            "patchbed-list: ; @:$(foreach v,{},$(foreach f,$($v),$(info patchbed: $v $f)))",
            names.join(" ")
        );
        let headers = format!("-isystem {}/usr/include", self.objects);
        let output = self
            .make(&self.source.join(SELFTESTS).join(self.target))
            .arg("-s")
            .arg(format!("OUTPUT={}", self.output()))
            .arg(format!("--eval={rule}"))
            .arg("patchbed-list")
            .env("KHDR_INCLUDES", headers)
            .deadline("selftest list", LIST_LIMIT)
            .run_unchecked(self.cancel)
            .doing(self.doing())?;
        if !output.status.success() {
            let text = output
                .stderr_text()
                .replace(&format!("{}/", self.source), "");
            let lines: Vec<&str> = text.lines().take(LINES_SHOWN).collect();
            let (target, lines) = (self.target, lines.join("\n"));
            return Err(Error::input_without_hint(format!(
                "listing the kselftests `{target}`: make failed:\n{lines}"
            )));
        }
        Ok(words(&output.stdout_text()))
    }

    fn doing(&self) -> String {
        format!("building the kselftests `{}`", self.target)
    }
}

/// Parses `patchbed: VARIABLE WORD`; the first variable of a repeated word counts.
fn words(listed: &str) -> Vec<(Part, String)> {
    let mut words: Vec<(Part, String)> = Vec::new();
    let parse = |line: &str| {
        let (variable, word) = line.strip_prefix("patchbed: ")?.split_once(' ')?;
        let (_, part) = VARIABLES.iter().find(|(name, _)| *name == variable)?;
        Some((*part, word.to_owned()))
    };
    for (part, word) in listed.lines().filter_map(parse) {
        if words.len() < WORDS_MAX && words.iter().all(|(_, other)| *other != word) {
            words.push((part, word));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_ignores_other_output_and_repeated_words() {
        let listed = "checking for libcap\npatchbed: TEST_GEN_PROGS /o/a\npatchbed: OTHER /o/x\n\
            patchbed: TEST_FILES b.sh\npatchbed: TEST_GEN_FILES /o/a\n";
        assert_eq!(
            words(listed),
            [
                (Part::Run, "/o/a".to_owned()),
                (Part::File, "b.sh".to_owned())
            ]
        );
    }
}
