// SPDX-License-Identifier: GPL-2.0-only
//! Rules of the house that no other tool checks.
#![expect(clippy::unwrap_used, reason = "a test may fall over")]

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
        "not a git checkout: nothing can be checked"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(PathBuf::from).collect()
}

/// Returns the targets of the links `[text](target)` in a page.
fn links(text: &str) -> Vec<&str> {
    let behind = text.split("](").skip(1);
    behind.filter_map(|rest| rest.split(')').next()).collect()
}

/// Returns the names by which the headings of a page can be linked to, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_in_every_page_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    let mut broken = Vec::new();
    let pages = files().into_iter();
    for page in pages.filter(|file| file.extension().is_some_and(|end| end == "md")) {
        let text = fs_err::read_to_string(root().join(&page)).unwrap();
        for link in links(&text)
            .into_iter()
            .filter(|link| !link.contains("://"))
        {
            checked += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => root().join(&page),
                file => root().join(&page).with_file_name(file),
            };
            let is_there = target.exists()
                && (heading.is_empty()
                    || anchors(&fs_err::read_to_string(&target).unwrap())
                        .iter()
                        .any(|name| name == heading));
            if !is_there {
                broken.push(format!("{}: `{link}`", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
    assert!(checked > 0, "no link was found in any page");
}

/// The reasons of `#[ignore]` for which a step of `ci` has what the test needs.
const NEEDS: [&str; 4] = [
    "needs a kernel in `PATCHBED_TEST_KERNEL`",
    "needs a kernel in `PATCHBED_TEST_KERNEL` and its fault.ko in `PATCHBED_TEST_FAULT`",
    "needs ccache",
    "needs the programs that `cargo xtask doctor` checks",
];

#[test]
fn every_ignored_test_is_run_by_a_step_of_ci() {
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
fn patches_of_ours_name_nobody() {
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
                "{}: `{line}`: people sign for themselves",
                file.display()
            );
        }
    }
}
