// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of the series that is in the kernels that were run. A pass on a kernel without
//! the changed files does not test the series.

use std::collections::BTreeSet;

use kernel_patches::coverage::{self, PatchCoverage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patch::{PatchResult, span};
use crate::text::first_few;

/// At most this many files are named in a sentence.
const FILES_MAX: usize = 8;

/// The part of the series that is in the kernels that were run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// The reason why the run does not test the series or a part of it, in one sentence that
    /// begins with `not tested: `. Absent if the run tests the whole series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The patches that are not tested completely.
    pub not_tested: Vec<NotTested>,
    /// Numbers of the patches that do not change the code of any kernel.
    pub unchanged: Vec<usize>,
    /// Whether the images with and without the series have the same code.
    pub same_code: bool,
    /// Changed files that no kernel is built from: documentation, tools, comments.
    pub apart: Vec<String>,
    /// Sentences on prerequisites that are not in the kernels completely.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A patch that is not tested completely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotTested {
    /// Its number, from 1.
    pub patch: usize,
    /// The files that are not tested.
    pub files: Vec<String>,
    /// The reason.
    pub why: Why,
    /// Whether no file of the patch is tested.
    pub whole: bool,
}

/// The reason why files are not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// No kernel that was run is built from the files.
    NotInKernel,
    /// The images with and without the series have the same code.
    SameCode,
    /// No kernel is ever built from the files. This alone does not fail a run.
    NoKernelFile,
}

impl Coverage {
    /// Returns the coverage of a series, with notes on its prerequisites `below`, by name.
    pub fn of(series: &coverage::Coverage, below: &[(String, coverage::Coverage)]) -> Self {
        let patches = &series.patches;
        let same_code = series.is_same_code;
        let not_tested = patches.iter().filter_map(|one| not_tested(one, same_code));
        let not_tested: Vec<NotTested> = not_tested.collect();
        Self {
            summary: summary(series, &not_tested),
            not_tested,
            unchanged: series.unchanged.clone(),
            same_code,
            apart: unique(patches.iter().flat_map(|one| &one.apart)),
            notes: below.iter().filter_map(note).collect(),
        }
    }

    /// Returns the coverage of a run in which no test ran on a checkout with the series.
    pub fn without_tests() -> Self {
        Self {
            summary: Some("not tested: no test ran on the series".to_owned()),
            ..Self::default()
        }
    }

    /// Checks that a patch that is not tested has a summary, which decides the exit code.
    ///
    /// # Errors
    /// Names the first patch without one.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut failing = self
            .not_tested
            .iter()
            .filter(|one| one.why != Why::NoKernelFile);
        match failing.next() {
            Some(one) if self.summary.is_none() => Err(format!(
                "`coverage`: patch {} is not tested, but `summary` is absent",
                one.patch
            )),
            _ => Ok(()),
        }
    }

    fn of_patch(&self, number: usize) -> Option<&NotTested> {
        self.not_tested.iter().find(|one| one.patch == number)
    }

    /// Corrects the sentences on patches that are not in a kernel.
    pub(super) fn correct(&self, patches: &mut [PatchResult]) {
        for patch in patches {
            let range = patch.first..=patch.last;
            let lacking: Vec<&NotTested> = range.clone().filter_map(|n| self.of_patch(n)).collect();
            let whole = lacking.iter().filter(|one| one.whole).count();
            if whole == range.clone().count() {
                patch.changes.clear();
                let is = if patch.first == patch.last {
                    "is"
                } else {
                    "are"
                };
                let subject = span(patch.first, patch.last);
                patch.sentence = format!("{subject} {is} not tested: {}", reason(&lacking));
                continue;
            }
            let failing: Vec<&NotTested> = lacking
                .into_iter()
                .filter(|one| one.why != Why::NoKernelFile)
                .collect();
            if !failing.is_empty() {
                patch.sentence += &format!("; not tested: {}", reason(&failing));
            } else if patch.changes.is_empty() && range.clone().all(|n| self.unchanged.contains(&n))
            {
                patch.sentence += " and no code of a kernel that was run";
            }
        }
    }
}

/// Returns the reason why patches are not tested.
fn reason(lacking: &[&NotTested]) -> String {
    let files = |why: Why| {
        let matching = lacking.iter().filter(|one| one.why == why);
        let files = unique(matching.flat_map(|one| &one.files));
        (!files.is_empty()).then(|| list(&files))
    };
    let outside =
        files(Why::NotInKernel).map(|files| format!("not in any kernel that was run: {files}"));
    let same = files(Why::SameCode).map(|files| {
        format!("the kernels with and without the series have the same code: {files}")
    });
    let apart = files(Why::NoKernelFile).map(|files| format!("no kernel is built from {files}"));
    let reasons: Vec<String> = [outside, same, apart].into_iter().flatten().collect();
    match reasons.is_empty() {
        true => "it does not change the content of any file".to_owned(),
        false => reasons.join("; "),
    }
}

fn not_tested(patch: &PatchCoverage, same_code: bool) -> Option<NotTested> {
    let in_kernel = patch.in_kernel().count();
    let tested = patch.inside.len() - if same_code { in_kernel } else { 0 };
    let (files, why) = if !patch.outside.is_empty() {
        (unique(&patch.outside), Why::NotInKernel)
    } else if same_code && in_kernel > 0 {
        (unique(patch.in_kernel()), Why::SameCode)
    } else if tested == 0 {
        (unique(&patch.apart), Why::NoKernelFile)
    } else {
        return None;
    };
    Some(NotTested {
        patch: patch.number,
        files,
        why,
        whole: tested == 0,
    })
}

fn summary(series: &coverage::Coverage, not_tested: &[NotTested]) -> Option<String> {
    let of = |why: Why| {
        let matching = not_tested.iter().filter(move |one| one.why == why);
        matching.flat_map(|one| &one.files)
    };
    let failing = || of(Why::NotInKernel).chain(of(Why::SameCode));
    let is_untested = !series.patches.is_empty()
        && not_tested.len() == series.patches.len()
        && not_tested.iter().all(|one| one.whole);
    let files = unique(failing());
    let text = match (is_untested, files.is_empty()) {
        (false, true) => return None,
        (false, false) => format!(
            "a part of the series is not in any kernel that was run: {}",
            list(&files)
        ),
        (true, true) if series.patches.iter().all(|one| one.apart.is_empty()) => {
            "the series does not change the content of any file".to_owned()
        }
        (true, true) => format!(
            "no kernel is built from the files that the series changes: {}",
            list(&unique(of(Why::NoKernelFile)))
        ),
        (true, false) if of(Why::NotInKernel).next().is_none() => format!(
            "the series does not change the code of any kernel that was run: {}",
            list(&files)
        ),
        (true, false) => format!(
            "the series is not in any kernel that was run: {}",
            list(&files)
        ),
    };
    let equal = match series.is_same_code {
        true => "; the kernels with and without the series have the same code",
        false => "",
    };
    Some(format!("not tested: {text}{equal}"))
}

fn note((name, below): &(String, coverage::Coverage)) -> Option<String> {
    let outside = unique(below.patches.iter().flat_map(|one| &one.outside));
    let is_inside = below.patches.iter().any(|one| !one.inside.is_empty());
    let text = match (outside.is_empty(), is_inside) {
        (true, _) => return None,
        (false, true) => "a part is not in any kernel that was run",
        (false, false) => "not in any kernel that was run",
    };
    Some(format!("prerequisite `{name}`: {text}: {}", list(&outside)))
}

fn unique<'a, P: AsRef<str> + 'a>(paths: impl IntoIterator<Item = &'a P>) -> Vec<String> {
    let paths: BTreeSet<&str> = paths.into_iter().map(AsRef::as_ref).collect();
    paths.into_iter().map(str::to_owned).collect()
}

fn list(files: &[String]) -> String {
    first_few(files, FILES_MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn patch(number: usize, inside: &[&str], outside: &[&str], apart: &[&str]) -> PatchCoverage {
        let paths = |paths: &[&str]| paths.iter().map(Utf8PathBuf::from).collect();
        PatchCoverage {
            number,
            inside: paths(inside),
            outside: paths(outside),
            apart: paths(apart),
        }
    }

    fn coverage(patches: Vec<PatchCoverage>, is_same_code: bool) -> Coverage {
        let unchanged = match is_same_code {
            true => (1..=patches.len()).collect(),
            false => Vec::new(),
        };
        let series = coverage::Coverage {
            patches,
            unchanged,
            is_same_code,
        };
        Coverage::of(&series, &[])
    }

    /// A series of one patch that is not in any kernel.
    pub(crate) fn not_in_kernel() -> Coverage {
        coverage(vec![patch(1, &[], &["drivers/w/a.c"], &[])], true)
    }

    #[test]
    fn summary_names_the_files_that_are_not_tested() {
        let of = |patches, is_same| coverage(patches, is_same).summary;
        let good = || patch(1, &["kernel/a.c"], &[], &["Documentation/a.rst"]);
        let bad = || patch(2, &[], &["arch/arm64/b.c", "drivers/b.c"], &[]);
        assert_eq!(of(vec![good()], false), None);
        assert_eq!(of(vec![], false), None);
        assert_eq!(
            of(vec![good(), patch(2, &[], &[], &["CREDITS"])], false),
            None
        );
        insta::assert_snapshot!(
            of(vec![bad()], false).unwrap(),
            @"not tested: the series is not in any kernel that was run: arch/arm64/b.c, drivers/b.c"
        );
        insta::assert_snapshot!(
            of(vec![good(), bad()], false).unwrap(),
            @"not tested: a part of the series is not in any kernel that was run: arch/arm64/b.c, drivers/b.c"
        );
        insta::assert_snapshot!(
            of(vec![good()], true).unwrap(),
            @"not tested: the series does not change the code of any kernel that was run: kernel/a.c; the kernels with and without the series have the same code"
        );
        insta::assert_snapshot!(
            of(vec![patch(1, &[], &[], &["Documentation/a.rst"])], true).unwrap(),
            @"not tested: no kernel is built from the files that the series changes: Documentation/a.rst; the kernels with and without the series have the same code"
        );
        let selftest = patch(1, &["tools/testing/selftests/kvm/a.c"], &[], &[]);
        assert_eq!(of(vec![selftest], true), None, "its program was run");
    }

    #[test]
    fn correct_replaces_the_sentence_of_a_patch_that_is_not_in_a_kernel() {
        let result = |first, last| PatchResult {
            first,
            last,
            subject: String::new(),
            sentence: format!("patches {first} to {last} change no status"),
            changes: Vec::new(),
        };
        let mut coverage = coverage(
            vec![
                patch(1, &["kernel/a.c"], &[], &[]),
                patch(2, &[], &["drivers/b.c"], &[]),
                patch(3, &[], &[], &["Documentation/c.rst"]),
                patch(4, &["kernel/d.c"], &[], &[]),
            ],
            false,
        );
        coverage.unchanged = vec![4];
        let mut patches = [
            result(1, 1),
            result(2, 2),
            result(3, 3),
            result(4, 4),
            result(1, 4),
        ];
        coverage.correct(&mut patches);
        let sentences: Vec<&str> = patches.iter().map(|one| one.sentence.as_str()).collect();
        insta::assert_snapshot!(sentences.join("\n"), @r"
        patches 1 to 1 change no status
        patch 2 is not tested: not in any kernel that was run: drivers/b.c
        patch 3 is not tested: no kernel is built from Documentation/c.rst
        patches 4 to 4 change no status and no code of a kernel that was run
        patches 1 to 4 change no status; not tested: not in any kernel that was run: drivers/b.c
        ");
    }

    #[test]
    fn of_adds_a_note_for_a_prerequisite_that_is_not_in_a_kernel() {
        let below = |patches| coverage::Coverage {
            patches,
            ..coverage::Coverage::default()
        };
        let below = [
            ("in".to_owned(), below(vec![patch(1, &["a.c"], &[], &[])])),
            ("out".to_owned(), below(vec![patch(1, &[], &["b.c"], &[])])),
        ];
        let coverage = Coverage::of(&coverage::Coverage::default(), &below);
        assert_eq!(coverage.summary, None);
        assert_eq!(
            coverage.notes,
            ["prerequisite `out`: not in any kernel that was run: b.c"]
        );
    }

    #[test]
    fn list_of_ten_files_names_eight() {
        let files: Vec<String> = (0..10).map(|n| format!("{n}.c")).collect();
        assert!(list(&files).ends_with("7.c and 2 more"), "{}", list(&files));
    }
}
