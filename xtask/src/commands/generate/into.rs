// SPDX-License-Identifier: GPL-2.0-only
//! `generate --into`: the selftests as a commit in a kernel tree.

use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::tree::git as clean_git;
use patchbed_host::files::read_plain;
use patchbed_host::process::quote;
use selftests::generate;
use selftests::scenario::ScenarioFile;

use crate::exit::{Exit, bad_input};
use crate::render;
use crate::session::Session;

const GIT_LIMIT: Duration = Duration::from_secs(120);
/// No Makefile is larger, in bytes.
const MAKEFILE_BYTES_MAX: u64 = 1024 * 1024;
/// Of what is not committed, so many lines are shown.
const CHANGES_SHOWN_MAX: usize = 20;

/// Puts the generated folder into a tree: committed, if the tree is a git repository.
///
/// # Errors
/// When it is no kernel tree, or something there would be overwritten that nobody has a
/// copy of.
pub(super) fn run(
    tree: &Utf8Path,
    scenario_files: &[ScenarioFile],
    session: &Session,
) -> anyhow::Result<Exit> {
    let place = Place::find(tree)?;
    let is_git = is_git(&place.tree, session)?;
    place.check_free(is_git, session)?;
    let with_target = place.makefile_with_target()?;
    write(&place.folder, scenario_files)?;
    if let Some(text) = with_target {
        fs::write(&place.makefile, text)?;
    }
    let done = if is_git {
        commit(&place, scenario_files, session)?
    } else {
        "not committed, as it is no git repository".to_owned()
    };
    render::to_stdout(&format!(
        "{}: {done}\n\
         left to you: an `F:` line in MAINTAINERS, and your Signed-off-by\n\
         build and run: make -C {} headers && make -C {} TARGETS={} run_tests",
        place.folder,
        quote(place.tree.as_str()),
        quote(place.tree.join(TESTS).as_str()),
        generate::FOLDER
    ))?;
    Ok(Exit::Ok)
}

/// Where a kernel tree has its tests.
const TESTS: &str = "tools/testing/selftests";

/// What is written to in a tree. Paths are whole, as git runs in the tree itself.
#[derive(Debug)]
struct Place {
    tree: Utf8PathBuf,
    folder: Utf8PathBuf,
    makefile: Utf8PathBuf,
}

impl Place {
    fn find(tree: &Utf8Path) -> anyhow::Result<Self> {
        let no_tree = || {
            bad_input(
                format!("`{tree}` is no kernel tree: it has no `{TESTS}`"),
                "give the top folder of a checked-out tree",
            )
        };
        let whole = tree.canonicalize_utf8().map_err(|_| no_tree())?;
        let tests = whole.join(TESTS);
        let makefile = tests.join("Makefile");
        if !tests.join("lib.mk").is_file() || !makefile.is_file() {
            return Err(no_tree());
        }
        let place = Self {
            folder: tests.join(generate::FOLDER),
            tree: whole,
            makefile,
        };
        place.check_is_within()?;
        Ok(place)
    }

    /// Refuses links on the way, which lead anywhere, and what is there instead of the folder.
    fn check_is_within(&self) -> anyhow::Result<()> {
        let folders = self.folder.ancestors();
        let folders = folders.take_while(|folder| *folder != self.tree);
        for path in folders.chain([self.makefile.as_path()]) {
            if path.is_symlink() {
                return Err(bad_input(
                    format!("`{path}` is a symbolic link, which may lead out of the tree"),
                    "put what it leads to in its place",
                ));
            }
        }
        if self.folder.exists() && !self.folder.is_dir() {
            return Err(bad_input(
                format!("`{}` is no folder", self.folder),
                "move it away",
            ));
        }
        Ok(())
    }

    /// What is there already is overwritten only if it can be had again.
    fn check_free(&self, is_git: bool, session: &Session) -> anyhow::Result<()> {
        if !is_git {
            if !self.folder.exists() {
                return Ok(());
            }
            return Err(bad_input(
                format!("`{}` is there already", self.folder),
                "move it away: it is in no git repository that would keep a copy",
            ));
        }
        // Nobody's configuration hides anything.
        let words = [
            &["status", "--porcelain", "--ignored"],
            &["--untracked-files=all", "--ignore-submodules=none", "--"],
            &self.written()[..],
        ];
        let changes = git(&self.tree, &words.concat(), session)?.context("`git status` failed")?;
        if changes.trim().is_empty() {
            return Ok(());
        }
        Err(bad_input(
            format!(
                "`{}` has changes that are not committed:\n{}",
                self.tree,
                first_lines(&changes)
            ),
            format!(
                "commit them or take them back; `git clean -dX {}` removes what is ignored (`!!`)",
                self.folder
            ),
        ))
    }

    fn written(&self) -> [&str; 2] {
        [self.folder.as_str(), self.makefile.as_str()]
    }

    /// Returns what the Makefile becomes, if it does not name the folder yet.
    fn makefile_with_target(&self) -> anyhow::Result<Option<String>> {
        let wrong = |why: &dyn std::fmt::Display| {
            let what = format!("`{}`: {why}", self.makefile);
            bad_input(what, "is it a kernel tree?")
        };
        let bytes = read_plain(&self.makefile, MAKEFILE_BYTES_MAX).map_err(|why| wrong(&why))?;
        let text = String::from_utf8(bytes).map_err(|why| wrong(&why))?;
        generate::with_target(&text).map_err(|why| wrong(&why))
    }
}

fn first_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let shown = &lines[..lines.len().min(CHANGES_SHOWN_MAX)];
    match lines.len() - shown.len() {
        0 => shown.join("\n"),
        more => format!("{}\n... and {more} more", shown.join("\n")),
    }
}

/// Returns whether the tree is the top of a git repository. One that lies in another's
/// is refused: whoever has that may ignore all of it.
fn is_git(tree: &Utf8Path, session: &Session) -> anyhow::Result<bool> {
    let output = clean_git()
        .args(["rev-parse", "--show-toplevel"])
        .cwd(tree)
        .deadline("git", GIT_LIMIT)
        .run_unchecked(&session.cancel)?;
    if !output.status.success() {
        if !tree.join(".git").exists() {
            return Ok(false);
        }
        return Err(bad_input(
            format!(
                "git does not take `{tree}` for a repository: {}",
                output.stderr_text().trim()
            ),
            "fix that, or remove its `.git`",
        ));
    }
    let said = output.stdout_text();
    let top = Utf8Path::new(said.trim_end_matches('\n'));
    if top.canonicalize_utf8().is_ok_and(|top| top == tree) {
        return Ok(true);
    }
    Err(bad_input(
        format!("`{tree}` is not the top of a git repository, but lies in that of `{top}`"),
        "give a tree with a repository of its own, or one that lies in none",
    ))
}

/// The folder is made what it should be: what was in it is in git.
fn write(folder: &Utf8Path, scenario_files: &[ScenarioFile]) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for (name, text) in generate::files_for_tree(scenario_files) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn commit(
    place: &Place,
    scenario_files: &[ScenarioFile],
    session: &Session,
) -> anyhow::Result<String> {
    let (tree, paths) = (place.tree.as_path(), place.written());
    // There is nothing in the folder but what was just written.
    clean_git()
        .args([&["add", "--force", "--"], &paths[..]].concat())
        .cwd(tree)
        .deadline("git add", GIT_LIMIT)
        .run(&session.cancel)?;
    let diff = [&["diff", "--cached", "--quiet", "--"], &paths[..]].concat();
    if git(tree, &diff, session)?.is_some() {
        return Ok("up to date, nothing to commit".to_owned());
    }
    let words = [&["commit", "--quiet", "--file=-", "--"], &paths[..]].concat();
    let message = generate::commit_message(scenario_files);
    let output = clean_git()
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
            "the files are staged: fix that, and commit them yourself",
        ));
    }
    let revision = git(tree, &["rev-parse", "--short", "HEAD"], session)?.unwrap_or_default();
    Ok(format!("committed as {}", revision.trim()))
}

/// Returns what git says, or `None` when it says no.
fn git(tree: &Utf8Path, words: &[&str], session: &Session) -> anyhow::Result<Option<String>> {
    let output = clean_git()
        .args(words)
        .cwd(tree)
        .deadline("git", GIT_LIMIT)
        .run_unchecked(&session.cancel)?;
    Ok(output.status.success().then(|| output.stdout_text()))
}
