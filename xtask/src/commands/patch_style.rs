// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel's own `checkpatch.pl --strict` says of our patches, of the
//! generated C and of the faults.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::tree::{Tree, TreeRequest};
use patchbed_host::events::Activity;
use patchbed_host::process::Tool;

use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(300);
/// Left to the person who submits: they sign off and edit MAINTAINERS.
const NOT_OURS: &str = "MISSING_SIGN_OFF,FILE_PATH_CHANGES";
/// What faults are for: one has to say `BUG()`.
const ON_PURPOSE: &str = "AVOID_BUG";

/// Returns the problems, each with its file and line.
///
/// # Errors
/// When there is no tree with a checkpatch, or it cannot run.
pub(crate) fn problems(session: &Session) -> anyhow::Result<Vec<String>> {
    let tree = Tree::open(
        &TreeRequest::Default,
        &session.cache,
        &session.cancel,
        &session.progress,
    )?;
    let patches = files(&session.layout.series(), &["patch"]);
    let sources = files(&session.layout.generated(), &["c", "h"]);
    let faults = files(&session.layout.faults(), &["c", "h"]);
    anyhow::ensure!(
        !patches.is_empty(),
        "no patches to check below kernel-patches"
    );
    anyhow::ensure!(!sources.is_empty(), "no generated C to check");
    anyhow::ensure!(!faults.is_empty(), "no faults to check");
    let kinds: [(&[Utf8PathBuf], &[&str]); 3] = [
        (&patches, &["--ignore", NOT_OURS]),
        (&sources, &["--file"]),
        (&faults, &["--file", "--ignore", ON_PURPOSE]),
    ];
    let all: Vec<(&Utf8PathBuf, &[&str])> = kinds
        .into_iter()
        .flat_map(|(files, how)| files.iter().map(move |file| (file, how)))
        .collect();
    let activity = Activity::start(&session.progress, "checkpatch", Some(all.len() as u64));
    let mut problems = Vec::new();
    for (count, (file, how)) in all.into_iter().enumerate() {
        activity.advance(count as u64, file.file_name().unwrap_or_default());
        problems.extend(check(&tree, file, how, session)?);
    }
    Ok(problems)
}

fn check(
    tree: &Tree,
    file: &Utf8Path,
    how: &[&str],
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
    let output = perl.args(how).arg(file).run_unchecked(&session.cancel)?;
    let said = output.stdout_text();
    if output.status.success() && said.trim().is_empty() {
        return Ok(None);
    }
    let shown = session.layout.shown(file);
    Ok(Some(format!("{shown}:\n{}{}", said, output.stderr_text())))
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
