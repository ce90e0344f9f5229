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
use crate::problems::caused_by_host;

const COMPILE_LIMIT: Duration = Duration::from_secs(1800);
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// Number of words read from a Makefile.
const WORDS_MAX: usize = 4000;
/// Number of lines quoted from a failed listing.
const LINES_SHOWN: usize = 12;

/// The variables in which a kselftest Makefile lists its files. `run_tests` runs the files
/// of the first three.
const VARIABLES: [(&str, Part); 7] = [
    ("TEST_GEN_PROGS", Part::Run),
    ("TEST_CUSTOM_PROGS", Part::Run),
    ("TEST_PROGS", Part::Run),
    ("TEST_GEN_PROGS_EXTENDED", Part::ByHand),
    ("TEST_PROGS_EXTENDED", Part::ByHand),
    ("TEST_GEN_FILES", Part::Generated),
    ("TEST_FILES", Part::File),
];

/// The role of a file.
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

/// The results of a build.
#[derive(Debug)]
pub(super) struct Built {
    /// The copy of the tree.
    pub(super) source: Utf8PathBuf,
    /// The output folder of the TARGET.
    pub(super) output: Utf8PathBuf,
    /// The entries of the TARGET's Makefile.
    pub(super) words: Vec<(Part, String)>,
    /// The error output of make and the compiler.
    pub(super) problems: String,
}

/// Builds the selftests of the TARGET in `work`.
pub(super) fn build(
    request: &Request<'_>,
    work: &Utf8Path,
    context: &Context,
) -> Result<Built, Error> {
    let name = format!("building the kselftests `{}`", request.target);
    let _activity = context.activity(name, None);
    let builder = Builder {
        source: work.join("src"),
        objects: work.join("out"),
        target: request.target,
        cancel: &context.cancel,
    };
    source::copy(request, &builder.source)?;
    let headers = builder.objects.join("usr");
    fs::create_dir_all(&headers).doing("creating a folder")?;
    fs_err::os::unix::fs::symlink(
        request.kernel.headers().join("include"),
        headers.join("include"),
    )
    .doing("linking a kernel's headers")?;
    let problems = builder.compile()?;
    Ok(Built {
        words: builder.list()?,
        source: builder.source.clone(),
        output: builder.output(),
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
        let make = Tool::new("make")
            .args(["-C", folder.as_str()])
            .arg(format!("O={}", self.objects))
            // Build variables of the user must have no effect.
            .env_clear()
            .env("LC_ALL", "C");
        ["PATH", "HOME", "TMPDIR"]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .fold(make, |make, (name, value)| make.env(name, value))
    }

    /// Builds all tests, continuing after errors, and returns the error output.
    fn compile(&self) -> Result<String, Error> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        // Reproducible output in any folder. `-static` is in both flags because some
        // Makefiles do not pass `USERLDFLAGS`.
        let flags = format!("-static -ffile-prefix-map={}/=", self.source);
        let output = self
            .make(&self.source.join(SELFTESTS))
            // Continue after a failure; do not interleave the output of rules.
            .args(["-k", &format!("-j{jobs}"), "-Otarget"])
            .arg(format!("TARGETS={}", self.target))
            .arg("SKIP_TARGETS=")
            .arg(format!("USERCFLAGS={flags}"))
            .arg("USERLDFLAGS=-static -s")
            .arg("all")
            .deadline("selftest build", COMPILE_LIMIT)
            .run_unchecked(self.cancel)
            .doing(self.doing())?;
        let problems = output.stderr_text();
        let host_message = caused_by_host(&problems).filter(|_| !output.status.success());
        if let Some(line) = host_message {
            let source = std::io::Error::other(line.to_owned());
            return Err(Error::infrastructure(self.doing(), source));
        }
        Ok(problems)
    }

    /// Evaluates the variables of the TARGET's Makefile.
    fn list(&self) -> Result<Vec<(Part, String)>, Error> {
        let names: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
        let rule = format!(
            "patchbed-list: ; @:$(foreach v,{},$(foreach f,$($v),$(info patchbed: $v $f)))",
            names.join(" ")
        );
        let output = self
            .make(&self.source.join(SELFTESTS).join(self.target))
            .arg("-s")
            .arg(format!("OUTPUT={}", self.output()))
            .arg(format!("--eval={rule}"))
            .arg("patchbed-list")
            .env(
                "KHDR_INCLUDES",
                format!("-isystem {}/usr/include", self.objects),
            )
            .deadline("selftest list", LIST_LIMIT)
            .run_unchecked(self.cancel)
            .doing(self.doing())?;
        if !output.status.success() {
            let text = output.stderr_text();
            let lines: Vec<&str> = text.lines().take(LINES_SHOWN).collect();
            return Err(Error::input_without_hint(format!(
                "listing the kselftests `{}`: make failed:\n{}",
                self.target,
                lines.join("\n").replace(&format!("{}/", self.source), "")
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
    for line in listed.lines() {
        let Some((variable, word)) = line
            .strip_prefix("patchbed: ")
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        let known = VARIABLES.iter().find(|(name, _)| *name == variable);
        let Some((_, part)) = known.filter(|_| words.len() < WORDS_MAX) else {
            continue;
        };
        if words.iter().all(|(_, other)| other != word) {
            words.push((*part, word.to_owned()));
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
