// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs `checkpatch.pl --strict` of the kernel on the patches, the generated C and the fault
//! module.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::tree::{Tree, TreeRequest};
use patchbed_host::events::Activity;
use patchbed_host::process::Tool;

use xtask::engine::session::Session;

const LIMIT: Duration = Duration::from_secs(300);
/// Added by the person who submits a patch: a sign-off and an entry in MAINTAINERS. Commit ids
/// cannot be checked without the history of the kernel.
const IGNORED_IN_PATCHES: &str = "MISSING_SIGN_OFF,FILE_PATH_CHANGES,UNKNOWN_COMMIT_ID";
/// The fault `bug` calls `BUG()`.
const IGNORED_IN_FAULTS: &str = "AVOID_BUG";

/// Returns the problems, each with its file and line.
///
/// # Errors
/// When there is no kernel tree, no file to check, or checkpatch cannot be run.
pub(crate) fn problems(session: &Session) -> anyhow::Result<Vec<String>> {
    let tree = Tree::open(&TreeRequest::Default, &session.context())?;
    let patches = files(&session.layout.series(), &["patch"]);
    let sources = files(&session.layout.generated(), &["c", "h"]);
    let faults = files(&session.layout.faults(), &["c", "h"]);
    anyhow::ensure!(
        !patches.is_empty(),
        "no patches to check below kernel-patches"
    );
    anyhow::ensure!(!sources.is_empty(), "no generated C to check");
    anyhow::ensure!(!faults.is_empty(), "no faults to check");
    let groups: [(&[Utf8PathBuf], &[&str]); 3] = [
        (&patches, &["--ignore", IGNORED_IN_PATCHES]),
        (&sources, &["--file"]),
        (&faults, &["--file", "--ignore", IGNORED_IN_FAULTS]),
    ];
    let all: Vec<(&Utf8PathBuf, &[&str])> = groups
        .into_iter()
        .flat_map(|(files, options)| files.iter().map(move |file| (file, options)))
        .collect();
    let activity = Activity::start(&*session.observer, "checkpatch", Some(all.len() as u64));
    let mut problems = Vec::new();
    for (count, (file, options)) in all.into_iter().enumerate() {
        activity.advance(count as u64, file.file_name().unwrap_or_default());
        problems.extend(check(&tree, file, options, session)?);
    }
    Ok(problems)
}

fn check(
    tree: &Tree,
    file: &Utf8Path,
    options: &[&str],
    session: &Session,
) -> anyhow::Result<Option<String>> {
    let perl = Tool::new("perl")
        .arg(tree.root().join("scripts/checkpatch.pl"))
        .args([
            "--strict",
            "--no-tree",
            "--terse",
            "--show-types",
            "--color=never",
            "--no-summary",
        ])
        .cwd(tree.root())
        .env("LC_ALL", "C")
        .deadline("checkpatch", LIMIT);
    let output = perl
        .args(options)
        .arg(file)
        .run_unchecked(&session.cancel)?;
    let findings = output.stdout_text();
    if output.status.success() && findings.trim().is_empty() {
        return Ok(None);
    }
    let shown = session.layout.shown(file);
    Ok(Some(format!(
        "{shown}:\n{findings}{}",
        output.stderr_text()
    )))
}

/// Returns the files below `folder` with one of these endings, sorted.
fn files(folder: &Utf8Path, endings: &[&str]) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder
            .read_dir_utf8()
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            let path = entry.path().to_owned();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|ending| endings.contains(&ending))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
