// SPDX-License-Identifier: GPL-2.0-only
//! What of the series was in the kernels that were run. Without it, a pass says nothing
//! about the series.

use std::collections::BTreeSet;

use kernel_patches::coverage::{self, PatchCoverage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PatchResult;

/// So many files are named in a sentence.
const FILES_MAX: usize = 8;

/// What of the series was in the kernels that were run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Coverage {
    /// Why the run does not test the series, or a part of it, in one sentence that begins
    /// with `not tested: `. NotConfigured when all of it is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<String>,
    /// The patches that are not tested, or not all of them.
    pub(crate) not_tested: Vec<NotTested>,
    /// Numbers of the patches that leave the code of every kernel as it was.
    pub(crate) unchanged: Vec<usize>,
    /// Whether the images with and without the series have the same code.
    pub(crate) same_code: bool,
    /// Changed files that are part of no kernel: documents, tools, comments.
    pub(crate) apart: Vec<String>,
    /// Sentences on prerequisites of which nothing is in a kernel.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// A patch that is not tested, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NotTested {
    /// Its number, from 1.
    pub(crate) patch: usize,
    /// The files.
    pub(crate) files: Vec<String>,
    /// Why they are not tested.
    pub(crate) why: Why,
    /// Whether no other file of the patch is tested.
    pub(crate) whole: bool,
}

/// Why files are not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    /// They are in no kernel that was run.
    NotInKernel,
    /// The images with and without the series have the same code.
    SameCode,
    /// No kernel is built from them. By itself, that does not fail a run.
    NoKernelFile,
}

impl Coverage {
    /// Returns what results say of a series and of its prerequisites, by name.
    pub(crate) fn of(series: &coverage::Coverage, below: &[(String, coverage::Coverage)]) -> Self {
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

    fn of_patch(&self, number: usize) -> Option<&NotTested> {
        self.not_tested.iter().find(|one| one.patch == number)
    }

    /// Corrects what is said of patches that were in no kernel.
    pub(super) fn correct(&self, patches: &mut [PatchResult]) {
        for patch in patches {
            let range = patch.first..=patch.last;
            let lacking: Vec<&NotTested> = range.clone().filter_map(|n| self.of_patch(n)).collect();
            let whole = lacking.iter().filter(|one| one.whole).count();
            if whole == range.clone().count() {
                patch.changes.clear();
                patch.sentence = format!("{} not tested: {}", who(patch), reason(&lacking));
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
                patch.sentence += ", and no code of a kernel that was run";
            }
        }
    }
}

fn who(patch: &PatchResult) -> String {
    match (patch.first, patch.last) {
        (first, last) if first == last => format!("patch {first} is"),
        (first, last) => format!("patches {first} to {last} are"),
    }
}

/// Why patches are not tested, to follow a colon.
fn reason(lacking: &[&NotTested]) -> String {
    let files = |why: Why| {
        let those = lacking.iter().filter(|one| one.why == why);
        let files = unique(those.flat_map(|one| &one.files));
        (!files.is_empty()).then(|| list(&files))
    };
    let outside =
        files(Why::NotInKernel).map(|files| format!("in no kernel that was run: {files}"));
    let same = files(Why::SameCode)
        .map(|files| format!("the images with and without the series are equal: {files}"));
    let apart =
        files(Why::NoKernelFile).map(|files| format!("no kernel is built from it: {files}"));
    let reasons: Vec<String> = [outside, same, apart].into_iter().flatten().collect();
    match reasons.is_empty() {
        true => "the content of no file changes".to_owned(),
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
        let those = not_tested.iter().filter(move |one| one.why == why);
        those.flat_map(|one| &one.files)
    };
    let failing = || of(Why::NotInKernel).chain(of(Why::SameCode));
    let nothing = !series.patches.is_empty()
        && not_tested.len() == series.patches.len()
        && not_tested.iter().all(|one| one.whole);
    let files = unique(failing());
    let what = match (nothing, files.is_empty()) {
        (false, true) => return None,
        (false, false) => format!(
            "part of the series is in no kernel that was run: {}",
            list(&files)
        ),
        (true, true) if series.patches.iter().all(|one| one.apart.is_empty()) => {
            "the series changes the content of no file".to_owned()
        }
        (true, true) => format!(
            "the series changes nothing that a kernel is built from: {}",
            list(&unique(of(Why::NoKernelFile)))
        ),
        (true, false) => format!("nothing of the series is in this kernel: {}", list(&files)),
    };
    let equal = match series.is_same_code {
        true => "; the images with and without the series are equal",
        false => "",
    };
    Some(format!("not tested: {what}{equal}"))
}

fn note((name, below): &(String, coverage::Coverage)) -> Option<String> {
    let outside = unique(below.patches.iter().flat_map(|one| &one.outside));
    let is_inside = below.patches.iter().any(|one| !one.inside.is_empty());
    let what = match (outside.is_empty(), is_inside) {
        (true, _) => return None,
        (false, true) => "a part of it is in no kernel that was run",
        (false, false) => "nothing of it is in a kernel that was run",
    };
    Some(format!("prerequisite `{name}`: {what}: {}", list(&outside)))
}

fn unique<'a, P: AsRef<str> + 'a>(paths: impl IntoIterator<Item = &'a P>) -> Vec<String> {
    let paths: BTreeSet<&str> = paths.into_iter().map(AsRef::as_ref).collect();
    paths.into_iter().map(str::to_owned).collect()
}

fn list(files: &[String]) -> String {
    let shown = files[..files.len().min(FILES_MAX)].join(", ");
    match files.len().saturating_sub(FILES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
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

    /// A series of one patch that no kernel contains.
    pub(crate) fn nothing() -> Coverage {
        coverage(vec![patch(1, &[], &["drivers/w/a.c"], &[])], true)
    }

    #[test]
    fn summary_says_what_is_not_tested() {
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
            @"not tested: nothing of the series is in this kernel: arch/arm64/b.c, drivers/b.c"
        );
        insta::assert_snapshot!(
            of(vec![good(), bad()], false).unwrap(),
            @"not tested: part of the series is in no kernel that was run: arch/arm64/b.c, drivers/b.c"
        );
        insta::assert_snapshot!(
            of(vec![good()], true).unwrap(),
            @"not tested: nothing of the series is in this kernel: kernel/a.c; the images with and without the series are equal"
        );
        insta::assert_snapshot!(
            of(vec![patch(1, &[], &[], &["Documentation/a.rst"])], true).unwrap(),
            @"not tested: the series changes nothing that a kernel is built from: Documentation/a.rst; the images with and without the series are equal"
        );
        let selftest = patch(1, &["tools/testing/selftests/kvm/a.c"], &[], &[]);
        assert_eq!(of(vec![selftest], true), None, "its program was run");
    }

    #[test]
    fn correct_claims_nothing_of_a_patch_that_was_not_in_a_kernel() {
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
        let said: Vec<&str> = patches.iter().map(|one| one.sentence.as_str()).collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        patches 1 to 1 change no status
        patch 2 is not tested: in no kernel that was run: drivers/b.c
        patch 3 is not tested: no kernel is built from it: Documentation/c.rst
        patches 4 to 4 change no status, and no code of a kernel that was run
        patches 1 to 4 change no status; not tested: in no kernel that was run: drivers/b.c
        ");
    }

    #[test]
    fn of_notes_a_prerequisite_that_is_in_no_kernel() {
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
            ["prerequisite `out`: nothing of it is in a kernel that was run: b.c"]
        );
    }

    #[test]
    fn list_names_some_of_many_files() {
        let files: Vec<String> = (0..10).map(|n| format!("{n}.c")).collect();
        assert!(list(&files).ends_with("7.c and 2 more"), "{}", list(&files));
    }
}
