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

#[test]
fn links_in_documents_lead_somewhere() {
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs_err::read_to_string(root().join(page)).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let is_here = link.starts_with("http") || root().join(link).exists();
            assert!(is_here, "{page} links to `{link}`, which is not there");
        }
    }
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
