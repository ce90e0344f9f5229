// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the repository's files that no other tool makes: links in documents, reasons of
//! ignored tests, tags in patches.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the files under version control, relative to the top folder.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "`git ls-files` failed: the tests need a git checkout"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(PathBuf::from).collect()
}

/// Returns the targets of the links `[text](target)` in a document.
fn links(text: &str) -> Vec<&str> {
    let behind = text.split("](").skip(1);
    behind.filter_map(|rest| rest.split(')').next()).collect()
}

/// Returns the anchors of the headings of a document, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let valid = words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            valid.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn links_in_documents_have_an_existing_file_and_heading() {
    let mut checked = 0;
    let mut broken = Vec::new();
    let documents = files().into_iter();
    for document in documents.filter(|file| file.extension().is_some_and(|end| end == "md")) {
        let text = fs_err::read_to_string(root().join(&document)).unwrap();
        for link in links(&text)
            .into_iter()
            .filter(|link| !link.contains("://"))
        {
            checked += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => root().join(&document),
                file => root().join(&document).with_file_name(file),
            };
            let exists = target.exists()
                && (heading.is_empty()
                    || anchors(&fs_err::read_to_string(&target).unwrap())
                        .iter()
                        .any(|name| name == heading));
            if !exists {
                broken.push(format!("{}: `{link}`", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links: {broken:#?}");
    assert!(checked > 0, "no link was found in any document");
}

/// The reasons of `#[ignore]` for which a step of `ci` runs the test.
const NEEDS: [&str; 4] = [
    "needs a kernel in `PATCHBED_TEST_KERNEL`",
    "needs a kernel in `PATCHBED_TEST_KERNEL` and its fault.ko in `PATCHBED_TEST_FAULT`",
    "needs ccache",
    "needs the programs that `cargo xtask doctor` checks",
];

#[test]
fn ignored_tests_have_a_reason_for_which_a_step_of_ci_runs_them() {
    let mut found = 0;
    for file in files() {
        if file.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let text = fs_err::read_to_string(root().join(&file)).unwrap();
        for line in text.lines().map(str::trim) {
            let Some(reason) = line.strip_prefix("#[ignore") else {
                continue;
            };
            found += 1;
            let is_run = NEEDS.iter().any(|need| reason == format!(" = \"{need}\"]"));
            assert!(is_run, "{}: no step of `ci` runs `{line}`", file.display());
        }
    }
    assert!(found > 0, "no ignored test was found");
}

#[test]
fn patches_have_no_tags_of_people() {
    for file in files()
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "patch"))
    {
        let text = fs_err::read_to_string(root().join(file)).unwrap();
        for line in text.lines() {
            let tag = line
                .split_once("-by: ")
                .is_some_and(|(tag, _)| !tag.contains(' '));
            assert!(
                !tag,
                "{}: remove `{line}`: the person who submits the patch adds tags",
                file.display()
            );
        }
    }
}
