// SPDX-License-Identifier: GPL-2.0-only
//! Has the tree's own rules compile the selftests of a TARGET, in a copy of their
//! source, and asks its Makefile what they are.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::process::{ProcessError, Tool};

use super::Request;
use super::source::{self, SELFTESTS};
use crate::error::Error;
use crate::problems::caused_by_host;

const COMPILE_LIMIT: Duration = Duration::from_secs(1800);
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// More words than this are not read from a Makefile.
const WORDS_MAX: usize = 4000;
/// Lines of a failed listing that are shown.
const LINES_SHOWN: usize = 12;

/// The variables by which a selftest's Makefile says what it has; the first three
/// are those whose tests the tree's own runner runs.
const VARIABLES: [(&str, Part); 7] = [
    ("TEST_GEN_PROGS", Part::Run),
    ("TEST_CUSTOM_PROGS", Part::Run),
    ("TEST_PROGS", Part::Run),
    ("TEST_GEN_PROGS_EXTENDED", Part::ByHand),
    ("TEST_PROGS_EXTENDED", Part::ByHand),
    ("TEST_GEN_FILES", Part::MadeFile),
    ("TEST_FILES", Part::File),
];

/// What a file is to the selftests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A test that the tree's own runner runs.
    Run,
    /// A program that somebody or something else runs.
    ByHand,
    /// A file that is made, often a program.
    MadeFile,
    /// A file that tests need.
    File,
}

/// What a build left.
#[derive(Debug)]
pub(super) struct Built {
    /// The copy of the tree.
    pub(super) source: Utf8PathBuf,
    /// Where make put what it made of the TARGET.
    pub(super) output: Utf8PathBuf,
    /// What the TARGET's Makefile lists, as written there.
    pub(super) words: Vec<(Part, String)>,
    /// What make and the compiler complained about.
    pub(super) problems: String,
}

/// Builds the TARGET's selftests below `room`.
pub(super) fn build(
    request: &Request<'_>,
    room: &Utf8Path,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<Built, Error> {
    let what = format!("building the selftests `{}`", request.target);
    let _activity = Activity::start(observer, what, None);
    let maker = Maker {
        source: room.join("src"),
        objects: room.join("out"),
        target: request.target,
        cancel,
    };
    source::copy(request.tree, request.checkout, &maker.source)?;
    let headers = maker.objects.join("usr");
    fs::create_dir_all(&headers).map_err(Error::host("making a folder"))?;
    fs_err::os::unix::fs::symlink(
        request.kernel.headers().join("include"),
        headers.join("include"),
    )
    .map_err(Error::host("linking a kernel's headers"))?;
    let problems = maker.compile()?;
    Ok(Built {
        words: maker.list()?,
        source: maker.source.clone(),
        output: maker.output(),
        problems,
    })
}

struct Maker<'a> {
    source: Utf8PathBuf,
    objects: Utf8PathBuf,
    target: &'a str,
    cancel: &'a Cancel,
}

impl Maker<'_> {
    fn output(&self) -> Utf8PathBuf {
        self.objects.join("kselftest").join(self.target)
    }

    fn make(&self, folder: &Utf8Path) -> Tool {
        let make = Tool::new("make")
            .args(["-C", folder.as_str()])
            .arg(format!("O={}", self.objects))
            // What the user's own builds are told must not leak in.
            .env_clear()
            .env("LC_ALL", "C");
        ["PATH", "HOME", "TMPDIR"]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .fold(make, |make, (name, value)| make.env(name, value))
    }

    /// Makes all that can be made, and returns the problems about the rest.
    fn compile(&self) -> Result<String, Error> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        // The same source gives the same bytes, wherever it was copied to. Rules
        // that leave out the flags for linking take them with those for compiling.
        let places = format!("-static -ffile-prefix-map={}/=", self.source);
        let output = self
            .make(&self.source.join(SELFTESTS))
            // Going on after a failure, and each rule's problems in one piece.
            .args(["-k", &format!("-j{jobs}"), "-Otarget"])
            .arg(format!("TARGETS={}", self.target))
            .arg("SKIP_TARGETS=")
            .arg(format!("USERCFLAGS={places}"))
            .arg("USERLDFLAGS=-static -s")
            .arg("all")
            .deadline("selftest build", COMPILE_LIMIT)
            .run_unchecked(self.cancel)
            .map_err(self.failed())?;
        let problems = output.stderr_text();
        let fault = caused_by_host(&problems).filter(|_| !output.status.success());
        if let Some(line) = fault {
            let said = std::io::Error::other(line.to_owned());
            return Err(Error::host(self.doing())(said));
        }
        Ok(problems)
    }

    /// Asks the TARGET's Makefile what it has.
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
            .map_err(self.failed())?;
        if !output.status.success() {
            let said = output.stderr_text();
            let lines: Vec<&str> = said.lines().take(LINES_SHOWN).collect();
            return Err(Error::input(
                format!(
                    "the Makefile of the selftests `{}` does not say what they are:\n{}",
                    self.target,
                    lines.join("\n").replace(&format!("{}/", self.source), "")
                ),
                "fix it, or ask for other selftests",
            ));
        }
        Ok(words(&output.stdout_text()))
    }

    fn failed(&self) -> impl FnOnce(ProcessError) -> Error {
        Error::tool(self.doing())
    }

    fn doing(&self) -> String {
        format!("building the selftests `{}`", self.target)
    }
}

/// Reads `patchbed: VARIABLE WORD`; each word once, under the variable named first.
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
    fn a_makefile_s_words_are_read_and_its_chatter_is_not() {
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
