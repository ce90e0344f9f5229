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
const IN_PATCHES: &str = "--ignore=MISSING_SIGN_OFF,FILE_PATH_CHANGES,UNKNOWN_COMMIT_ID";
/// The fault `bug` calls `BUG()`.
const IN_FAULTS: &str = "--ignore=AVOID_BUG";

/// Returns the problems, each with its file and line.
pub(super) fn problems(session: &Session) -> anyhow::Result<Vec<String>> {
    let tree = Tree::open(&TreeRequest::Default, &session.context())?;
    let layout = &session.layout;
    let groups: [(Utf8PathBuf, &[&str], &[&str]); 3] = [
        (layout.series(), &["patch"], &[IN_PATCHES]),
        (layout.generated(), &["c", "h"], &["--file"]),
        (layout.faults(), &["c", "h"], &["--file", IN_FAULTS]),
    ];
    let mut checks = Vec::new();
    for (folder, endings, options) in groups {
        let files = files(&folder, endings)?;
        let shown = layout.shown(&folder);
        anyhow::ensure!(!files.is_empty(), "no files to check below `{shown}`");
        checks.extend(files.into_iter().map(|file| (file, options)));
    }
    let total = checks.len() as u64;
    let activity = Activity::start(&*session.observer, "checkpatch", Some(total));
    let mut problems = Vec::new();
    for (count, (file, options)) in checks.iter().enumerate() {
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
    let output = Tool::new("perl")
        .arg(tree.root().join("scripts/checkpatch.pl"))
        .args(["--strict", "--no-tree", "--terse", "--show-types"])
        .args(["--color=never", "--no-summary"])
        .args(options)
        .arg(file)
        .cwd(tree.root())
        .env("LC_ALL", "C")
        .deadline("checkpatch", LIMIT)
        .run_unchecked(&session.cancel)?;
    let findings = output.stdout_text();
    if output.status.success() && findings.trim().is_empty() {
        return Ok(None);
    }
    let shown = session.layout.shown(file);
    let errors = output.stderr_text();
    Ok(Some(format!("{shown}:\n{findings}{errors}")))
}

/// Returns the files below `folder` with one of these endings, sorted.
fn files(folder: &Utf8Path, endings: &[&str]) -> std::io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            found.append(&mut files(path, endings)?);
        } else if path.extension().is_some_and(|end| endings.contains(&end)) {
            found.push(path.to_owned());
        }
    }
    found.sort();
    Ok(found)
}
