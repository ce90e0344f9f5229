// SPDX-License-Identifier: MIT OR Apache-2.0
//! `generate`: writes kselftests, JSON schemas and documents from scenarios and Rust types.
//! `--into` writes the kselftests into a kernel tree and commits them.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::tree::git;
use patchbed_host::cache::publish;
use patchbed_host::diff::{Side, unified};
use patchbed_host::files::read_plain;
use patchbed_host::process::{Output, quote};
use selftests::catalogue::{Catalogue, MANIFEST};
use selftests::generate::{self, Difference};
use selftests::scenario::{self, ScenarioFile};
use vm_images::machine_file;

use crate::cli::GenerateArgs;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report;
use xtask::report::comparison;
use xtask::result;

/// Limit of the lines that are printed of each diff.
const LINES_SHOWN_MAX: usize = 60;
const GIT_LIMIT: Duration = Duration::from_secs(120);
/// Limit of the size of the Makefile.
const MAKEFILE_BYTES_MAX: u64 = 1024 * 1024;
/// Limit of the uncommitted changes that an error lists.
const CHANGES_SHOWN_MAX: usize = 20;
/// The folder of the kselftests in a kernel tree.
const TESTS: &str = "tools/testing/selftests";

/// Writes the files, or prints how they differ.
pub(crate) fn run(args: &GenerateArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.into.is_none() && !session.layout.owns_catalogue() {
        session.layout.checkout("generate")?;
    }
    if args.check {
        let differences = differences(session)?;
        if differences.is_empty() {
            report::to_stdout("generated files are up to date")?;
            return Ok(Exit::Ok);
        }
        report::to_stdout(&differences.join("\n"))?;
        return Ok(Exit::Finding);
    }
    if let Some(tree) = &args.into {
        return write_into(tree, session);
    }
    for session in session.each_catalogue()? {
        write(&session)?;
    }
    for (path, text) in project_schemas(session) {
        fs::write(path, text)?;
    }
    Ok(Exit::Ok)
}

/// Writes the files of a catalogue.
fn write(session: &Session) -> anyhow::Result<()> {
    let catalogue = session.catalogue()?;
    let scenario_files = catalogue.scenario_files()?;
    let folder = catalogue.generated();
    for change in generate::write(&catalogue, &scenario_files, &folder)? {
        let verb = match change.expected {
            Some(_) => "updated",
            None => "deleted",
        };
        report::to_stdout(&format!("{verb} {folder}/{}", change.name))?;
    }
    for (path, text) in documents(&catalogue, &scenario_files) {
        publish(&path, text.as_bytes())?;
    }
    let variants: usize = scenario_files.iter().map(|file| file.variants.len()).sum();
    report::to_stdout(&format!(
        "{variants} scenarios from {} scenario files generated into {folder}",
        scenario_files.len()
    ))?;
    Ok(())
}

/// Returns how the checked-in files differ from the generated text.
pub(crate) fn differences(session: &Session) -> anyhow::Result<Vec<String>> {
    let mut differences = Vec::new();
    let mut files = project_schemas(session);
    for session in session.each_catalogue()? {
        let catalogue = session.catalogue()?;
        let scenario_files = catalogue.scenario_files()?;
        let of_folder = generate::check(&catalogue, &scenario_files, &catalogue.generated())?;
        differences.extend(of_folder.iter().map(describe));
        files.extend(documents(&catalogue, &scenario_files));
    }
    for (path, text) in files {
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            differences.push(format!("`{path}` is not up to date"));
        }
    }
    if !differences.is_empty() {
        differences.push("hint: run `cargo xtask generate` and commit the result".to_owned());
    }
    Ok(differences)
}

fn describe(difference: &Difference) -> String {
    let name = &difference.name;
    match (&difference.found, &difference.expected) {
        (Some(found), Some(expected)) => {
            let side = |name, text| Side { name, text };
            let shown = unified(side("checked in", found), side("generated", expected), 2);
            let lines: Vec<&str> = shown.lines().take(LINES_SHOWN_MAX).collect();
            format!("`{name}` is not up to date:\n{}", lines.join("\n"))
        }
        (Some(_), None) => format!("`{name}` has no scenario"),
        (None, _) => format!("`{name}` is missing"),
    }
}

/// Returns the schema and the documents of a catalogue: their paths and their text.
fn documents(catalogue: &Catalogue, scenario_files: &[ScenarioFile]) -> [(Utf8PathBuf, String); 3] {
    let files = [
        ("scenario.schema.json", scenario::json_schema(catalogue)),
        ("SCENARIOS.md", scenario::reference(catalogue)),
        (
            "CATALOGUE.md",
            scenario::overview(catalogue, scenario_files),
        ),
    ];
    files.map(|(name, text)| (catalogue.folder.join(name), text))
}

/// Returns the other schemas: their paths and their text; none outside of the checkout.
fn project_schemas(session: &Session) -> Vec<(Utf8PathBuf, String)> {
    let Ok(root) = session.layout.checkout("generate") else {
        return Vec::new();
    };
    let files = [
        ("vm-images/machine.schema.json", machine_file::json_schema()),
        ("xtask/result.schema.json", result::json_schema()),
        ("xtask/comparison.schema.json", comparison::json_schema()),
    ];
    files.map(|(path, text)| (root.join(path), text)).into()
}

/// Writes the generated folder into a tree, and commits it if the tree is a git repository.
///
/// # Errors
/// When it is not a kernel tree, or files that are not in git would be overwritten.
fn write_into(tree: &Utf8Path, session: &Session) -> anyhow::Result<Exit> {
    let catalogue = session.catalogue()?;
    let scenario_files = &catalogue.scenario_files()?;
    let place = Place::find(tree, &catalogue, session)?;
    let is_git = place.is_git()?;
    place.check_free(is_git)?;
    place.check_is_ours()?;
    let with_target = place.makefile_with_target()?;
    replace_folder(&place.folder, &catalogue, scenario_files)?;
    if let Some(text) = with_target {
        fs::write(&place.makefile, text)?;
    }
    let done = if is_git {
        place.commit(scenario_files)?
    } else {
        "not committed: the tree is not a git repository".to_owned()
    };
    report::to_stdout(&format!(
        "{}: {done}\n\
         before you submit it, add an `F:` line to MAINTAINERS and your Signed-off-by\n\
         build and run: make -C {} headers && make -C {} TARGETS={} run_tests",
        place.folder,
        quote(place.tree.as_str()),
        quote(place.tree.join(TESTS).as_str()),
        catalogue.manifest.kselftest()
    ))?;
    Ok(Exit::Ok)
}

/// The paths that are written in a tree. They are absolute, because git runs in the tree.
struct Place<'a> {
    session: &'a Session,
    catalogue: &'a Catalogue,
    tree: Utf8PathBuf,
    folder: Utf8PathBuf,
    makefile: Utf8PathBuf,
}

impl<'a> Place<'a> {
    fn find(
        tree: &Utf8Path,
        catalogue: &'a Catalogue,
        session: &'a Session,
    ) -> anyhow::Result<Self> {
        let no_tree = || {
            bad_input(
                format!("`{tree}` is not a kernel tree: it has no `{TESTS}`"),
                "give the top folder of a kernel source tree",
            )
        };
        let whole = tree.canonicalize_utf8().map_err(|_| no_tree())?;
        let tests = whole.join(TESTS);
        let makefile = tests.join("Makefile");
        if !tests.join("lib.mk").is_file() || !makefile.is_file() {
            return Err(no_tree());
        }
        let place = Self {
            session,
            catalogue,
            folder: tests.join(catalogue.manifest.kselftest()),
            tree: whole,
            makefile,
        };
        place.check_is_within()?;
        Ok(place)
    }

    /// Refuses symbolic links in the path, which may point out of the tree, and a file in the
    /// place of the folder.
    fn check_is_within(&self) -> anyhow::Result<()> {
        let folders = self.folder.ancestors();
        let folders = folders.take_while(|folder| *folder != self.tree);
        for path in folders.chain([self.makefile.as_path()]) {
            if path.is_symlink() {
                return Err(bad_input(
                    format!("cannot write to `{path}`: it is a symbolic link"),
                    "replace the link by its target",
                ));
            }
        }
        if self.folder.exists() && !self.folder.is_dir() {
            return Err(bad_input(
                format!("`{}` is not a folder", self.folder),
                "move it away",
            ));
        }
        Ok(())
    }

    /// Refuses to overwrite files of which git has no copy.
    fn check_free(&self, is_git: bool) -> anyhow::Result<()> {
        if !is_git {
            if !self.folder.exists() {
                return Ok(());
            }
            return Err(bad_input(
                format!("`{}` exists, and is not in a git repository", self.folder),
                "move it away",
            ));
        }
        // The options override the user's configuration, which may hide files.
        let words = "status --porcelain --ignored --untracked-files=all --ignore-submodules=none";
        let status = self.git(words, &self.written(), "")?;
        anyhow::ensure!(status.status.success(), "`git status` failed");
        let changes = status.stdout_text();
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
                "commit or revert them; `git clean -dX {}` removes ignored files (`!!`)",
                self.folder
            ),
        ))
    }

    fn written(&self) -> [&str; 2] {
        [self.folder.as_str(), self.makefile.as_str()]
    }

    /// Refuses a folder with other tests, which would be deleted.
    fn check_is_ours(&self) -> anyhow::Result<()> {
        let folder = &self.folder;
        if !folder.exists() || folder.join("kt.h").is_file() {
            return Ok(());
        }
        Err(bad_input(
            format!("`{folder}` has tests that `generate --into` did not write"),
            format!("choose another name for `kselftest` in `{MANIFEST}` of the catalogue"),
        ))
    }

    /// Returns the Makefile with the folder as a target, or `None` if it is one already.
    fn makefile_with_target(&self) -> anyhow::Result<Option<String>> {
        let wrong = |why: &dyn std::fmt::Display| {
            bad_input(
                format!("cannot add a target to `{}`: {why}", self.makefile),
                "give the top folder of a kernel source tree",
            )
        };
        let bytes = read_plain(&self.makefile, MAKEFILE_BYTES_MAX).map_err(|why| wrong(&why))?;
        let text = String::from_utf8(bytes).map_err(|why| wrong(&why))?;
        let folder = self.catalogue.manifest.kselftest();
        generate::with_target(&text, folder).map_err(|why| wrong(&why))
    }

    /// Returns whether the tree is the top of a git repository. A tree inside another repository
    /// is refused, because that repository may ignore the tree and so has no copy of its files.
    fn is_git(&self) -> anyhow::Result<bool> {
        let tree = &self.tree;
        let output = self.git("rev-parse --show-toplevel", &[], "")?;
        if !output.status.success() {
            if !tree.join(".git").exists() {
                return Ok(false);
            }
            return Err(bad_input(
                format!(
                    "git cannot open the repository `{tree}`: {}",
                    output.stderr_text().trim()
                ),
                "repair the repository, or remove its `.git`",
            ));
        }
        let top = output.stdout_text();
        let top = Utf8Path::new(top.trim_end_matches('\n'));
        if top.canonicalize_utf8().is_ok_and(|top| top == *tree) {
            return Ok(true);
        }
        Err(bad_input(
            format!(
                "`{tree}` is not the top of a git repository: it lies in the repository `{top}`"
            ),
            "give a tree with its own repository, or a tree outside of any repository",
        ))
    }

    /// Commits the files, and returns a line about it.
    fn commit(&self, scenario_files: &[ScenarioFile]) -> anyhow::Result<String> {
        let paths = self.written();
        // The folder has only generated files, so `--force` adds no others.
        let added = self.git("add --force", &paths, "")?;
        let errors = added.stderr_text();
        anyhow::ensure!(added.status.success(), "`git add` failed:\n{errors}");
        let diff = self.git("diff --cached --quiet", &paths, "")?;
        if diff.status.success() {
            return Ok("up to date, nothing to commit".to_owned());
        }
        let message = generate::commit_message(self.catalogue, scenario_files);
        let committed = self.git("commit --quiet --file=-", &paths, &message)?;
        if !committed.status.success() {
            return Err(bad_input(
                format!(
                    "`git commit` failed:\n{}",
                    committed.stderr_text().trim_end()
                ),
                "the files are staged; commit them with `git commit`",
            ));
        }
        let revision = self.git("rev-parse --short HEAD", &[], "")?.stdout_text();
        Ok(format!("committed as {}", revision.trim()))
    }

    /// Runs git in the tree, with words that blanks separate, and paths.
    fn git(&self, words: &str, paths: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let end_of_options = (!paths.is_empty()).then_some("--");
        let git = git()
            .args(words.split_whitespace())
            .args(end_of_options)
            .args(paths)
            .cwd(self.tree.clone())
            .stdin(stdin)
            .deadline("git", GIT_LIMIT);
        Ok(git.run_unchecked(&self.session.cancel)?)
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

/// Replaces the folder. [`Place::check_free`] made sure that git has a copy of its files.
fn replace_folder(
    folder: &Utf8Path,
    catalogue: &Catalogue,
    scenario_files: &[ScenarioFile],
) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for (name, text) in generate::files_for_tree(catalogue, scenario_files) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}
