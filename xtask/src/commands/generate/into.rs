// SPDX-License-Identifier: GPL-2.0-only
//! `generate --into`: the selftests as a commit in a kernel tree.

use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use selftests::generate;
use selftests::scenario::Family;
use testbed_host::process::{Tool, quote};

use crate::exit::{Exit, bad_input};
use crate::render;
use crate::session::Session;

const GIT_LIMIT: Duration = Duration::from_secs(120);

/// Puts the generated folder into a tree: committed, if the tree is a git repository.
///
/// # Errors
/// When it is no kernel tree, or something there would be overwritten that nobody has a
/// copy of.
pub(super) fn run(tree: &Utf8Path, families: &[Family], session: &Session) -> anyhow::Result<Exit> {
    let tests = tree.join("tools/testing/selftests");
    let makefile = tests.join("Makefile");
    if !tests.join("lib.mk").is_file() || !makefile.is_file() {
        return Err(bad_input(
            format!("`{tree}` is no kernel tree: it has no `tools/testing/selftests`"),
            "give the top folder of a checked-out tree",
        ));
    }
    let folder = tests.join(generate::FOLDER);
    let is_git = git(tree, &["rev-parse", "--is-inside-work-tree"], session)?.is_some();
    check_free(tree, &folder, is_git, session)?;
    let text = fs::read_to_string(&makefile)?;
    let with_target = generate::with_target(&text)
        .map_err(|why| bad_input(format!("`{makefile}`: {why}"), "is it a kernel tree?"))?;
    write(&folder, families)?;
    if let Some(text) = with_target {
        fs::write(&makefile, text)?;
    }
    let paths = [folder.clone(), makefile];
    let done = if is_git {
        commit(tree, &paths, families, session)?
    } else {
        "not committed, as it is no git repository".to_owned()
    };
    render::to_stdout(&format!(
        "{folder}: {done}\n\
         left to you: an `F:` line in MAINTAINERS, and your Signed-off-by\n\
         build and run: make -C {} headers && make -C {} TARGETS={} run_tests",
        quote(tree.as_str()),
        quote(tests.as_str()),
        generate::FOLDER
    ))?;
    Ok(Exit::Ok)
}

/// What is there already is overwritten only if it can be had again.
fn check_free(
    tree: &Utf8Path,
    folder: &Utf8Path,
    is_git: bool,
    session: &Session,
) -> anyhow::Result<()> {
    if !folder.exists() && !is_git {
        return Ok(());
    }
    if !is_git {
        return Err(bad_input(
            format!("`{folder}` is there already"),
            "move it away: it is in no git repository that would keep a copy",
        ));
    }
    let tests = folder.parent().context("a folder of the selftests")?;
    let makefile = tests.join("Makefile");
    let words = [
        "status",
        "--porcelain",
        "--",
        folder.as_str(),
        makefile.as_str(),
    ];
    let changes = git(tree, &words, session)?.context("`git status` failed")?;
    if changes.trim().is_empty() {
        return Ok(());
    }
    Err(bad_input(
        format!(
            "`{tree}` has changes that are not committed:\n{}",
            changes.trim_end()
        ),
        "commit them or take them back",
    ))
}

/// The folder is made what it should be: what was in it is in git.
fn write(folder: &Utf8Path, families: &[Family]) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for (name, text) in generate::files_for_tree(families) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn commit(
    tree: &Utf8Path,
    paths: &[Utf8PathBuf; 2],
    families: &[Family],
    session: &Session,
) -> anyhow::Result<String> {
    let paths = paths.each_ref().map(|path| path.as_str());
    // There is nothing in the folder but what was just written.
    Tool::new("git")
        .args([&["add", "--force", "--"], &paths[..]].concat())
        .cwd(tree)
        .deadline("git add", GIT_LIMIT)
        .run(&session.cancel)?;
    let diff = [&["diff", "--cached", "--quiet", "--"], &paths[..]].concat();
    if git(tree, &diff, session)?.is_some() {
        return Ok("up to date, nothing to commit".to_owned());
    }
    let words = [&["commit", "--quiet", "--file=-", "--"], &paths[..]].concat();
    let message = generate::commit_message(families);
    let output = Tool::new("git")
        .args(words)
        .cwd(tree)
        .stdin(message.into_bytes())
        .deadline("git commit", GIT_LIMIT)
        .run_unchecked(&session.cancel)?;
    if !output.status.success() {
        return Err(bad_input(
            format!(
                "git did not commit it:\n{}",
                output.stderr_text().trim_end()
            ),
            "the files are staged: mend that, and commit them yourself",
        ));
    }
    let revision = git(tree, &["rev-parse", "--short", "HEAD"], session)?.unwrap_or_default();
    Ok(format!("committed as {}", revision.trim()))
}

/// Returns what git says, or `None` when it says no.
fn git(tree: &Utf8Path, words: &[&str], session: &Session) -> anyhow::Result<Option<String>> {
    let output = Tool::new("git")
        .args(words)
        .cwd(tree)
        .env("LC_ALL", "C")
        .deadline("git", GIT_LIMIT)
        .run_unchecked(&session.cancel)?;
    Ok(output.status.success().then(|| output.stdout_text()))
}
