// SPDX-License-Identifier: MIT OR Apache-2.0
//! The run folder: the files of a run, and the link `latest`.

use std::collections::BTreeSet;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::publish;
use patchbed_host::files::read_plain;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::layout::Layout;
use crate::engine::plan::Plan;
use crate::engine::program;
use crate::exit::bad_input;
use crate::job_plan::{self, JobPlan};
use crate::result::{JobResult, RunResult};

/// File name of the plan.
pub const PLAN: &str = "plan.json";
/// File name of the result.
pub const RESULT: &str = "result.json";
/// Larger JSON files are not read, in bytes.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Limit for the runs of one process in one second.
const RUNS_A_SECOND_MAX: u32 = 100;
/// The oldest runs beyond this number are deleted.
const RUNS_MAX: usize = 50;

const OUT_HINT: &str = "give a new or an empty folder with `--out`";

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: Utf8PathBuf,
}

impl RunFolder {
    /// Creates the folder for a run of `plan`: `out`, or a new folder among the runs.
    ///
    /// # Errors
    /// When it cannot be created, or `out` is not empty.
    pub fn create(out: Option<&Utf8Path>, layout: &Layout, plan: &Plan) -> anyhow::Result<Self> {
        let folder = match out {
            Some(out) => Self::create_at(out)?,
            None => Self {
                path: Self::reserve(layout)?,
            },
        };
        folder.begin(plan)?;
        Ok(folder)
    }

    /// Checks whether a run folder can be created at `out`, without creating it.
    ///
    /// # Errors
    /// When it exists and is not an empty folder, or its parent is not a folder.
    pub fn check_out(out: &Utf8Path) -> anyhow::Result<()> {
        let wrong = |error: String| Err(bad_input(error, OUT_HINT));
        if out.is_symlink() || out.exists() {
            return match out.read_dir_utf8() {
                Err(error) => wrong(format!("cannot use `{out}` as run folder: {error}")),
                Ok(mut entries) => match entries.next() {
                    Some(_) => wrong(format!("`{out}` is not empty")),
                    None => Ok(()),
                },
            };
        }
        let mut above = out.ancestors().skip(1);
        match above.find(|path| path.exists()) {
            Some(path) if !path.is_dir() => wrong(format!("`{path}` is not a folder")),
            _ => Ok(()),
        }
    }

    fn create_at(out: &Utf8Path) -> anyhow::Result<Self> {
        Self::check_out(out)?;
        if let Err(error) = fs::create_dir_all(out) {
            return Err(bad_input(
                format!("cannot create `{out}`: {error}"),
                OUT_HINT,
            ));
        }
        Ok(Self {
            path: out.canonicalize_utf8()?,
        })
    }

    /// Writes the plan. Fails if another run has written its plan to the same folder.
    fn begin(&self, plan: &Plan) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(plan)?;
        text.push('\n');
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path.join(PLAN))?;
        Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
    }

    /// Writes the plan again, with the jobs of kselftests.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn replace_plan(&self, plan: &Plan) -> anyhow::Result<()> {
        self.write_json(PLAN, plan)
    }

    /// Deletes the files of a run without results, and its folder if this program made it.
    pub(crate) fn discard(&self, with_folder: bool) {
        if with_folder {
            let _ = fs::remove_dir_all(&self.path);
            return;
        }
        let entries = self.path.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let _ = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
        }
    }

    /// Creates an empty folder among the runs and returns its path.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn reserve(layout: &Layout) -> anyhow::Result<Utf8PathBuf> {
        let runs = layout.runs()?;
        fs::create_dir_all(&runs)?;
        let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        let path = new_folder(&runs, &format!("{stamp}-{}", std::process::id()))?;
        prune(&runs);
        Ok(path)
    }

    /// Returns the folder at `path` without checks.
    pub const fn at(path: Utf8PathBuf) -> Self {
        Self { path }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap_or_default()
    }

    /// Writes the result, and makes `latest` point to this run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&self, result: &RunResult, layout: &Layout) -> anyhow::Result<()> {
        self.write_json(RESULT, result)?;
        let (Some(runs), Some(id)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(());
        };
        // A folder above the runs may be a symbolic link.
        let default = layout.runs().ok();
        let default = default.and_then(|runs| runs.canonicalize_utf8().ok());
        if Some(runs.canonicalize_utf8()?) == default {
            let link = runs.join(format!(".latest-{id}"));
            fs_err::os::unix::fs::symlink(id, &link)?;
            fs::rename(&link, runs.join("latest"))?;
        }
        Ok(())
    }

    /// Opens the folder of a finished run.
    ///
    /// # Errors
    /// When it has no result.
    pub fn open(path: &Utf8Path) -> anyhow::Result<Self> {
        if !path.join(RESULT).is_file() {
            return Err(bad_input(
                format!("`{path}` is not the folder of a finished run"),
                "give the folder that a run printed, or the link `latest` beside it",
            ));
        }
        Ok(Self {
            path: path.canonicalize_utf8()?,
        })
    }

    /// Reads the plan and the result.
    ///
    /// # Errors
    /// When a file is missing or damaged, or their jobs differ.
    pub fn read(&self) -> anyhow::Result<(Plan, RunResult)> {
        let (plan, result) = (self.plan()?, self.result()?);
        let planned: BTreeSet<&JobPlan> = plan.jobs.iter().collect();
        let done: Vec<JobPlan> = result.jobs.iter().map(JobResult::plan).collect();
        let done: BTreeSet<&JobPlan> = done.iter().collect();
        if let Some(job) = done.symmetric_difference(&planned).next() {
            let (with, without) = match planned.contains(job) {
                true => (PLAN, RESULT),
                false => (RESULT, PLAN),
            };
            let error = format!("{} is in `{with}` but not in `{without}`", job.label());
            return Err(self.damaged(without, error));
        }
        Ok((plan, result))
    }

    /// Reads the plan.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let plan: Plan = self.read_json(PLAN)?;
        let checked = job_plan::check_jobs(&plan.jobs);
        checked.map_err(|error| self.damaged(PLAN, error))?;
        Ok(plan)
    }

    /// Reads the result.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn result(&self) -> anyhow::Result<RunResult> {
        let result: RunResult = self.read_json(RESULT)?;
        let checked = result.check();
        checked.map_err(|error| self.damaged(RESULT, error))?;
        Ok(result)
    }

    /// Reads a value from a JSON file.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let bytes = read_plain(&self.path.join(name), JSON_BYTES_MAX);
        let bytes = bytes.map_err(|error| self.damaged(name, error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(name, error))
    }

    /// Returns the error for a damaged file of the run.
    pub fn damaged(&self, name: &str, error: impl std::fmt::Display) -> anyhow::Error {
        let path = self.path.join(name);
        bad_input(
            format!("`{path}` is damaged: {error}"),
            format!("repeat the run with `{} test`", program::name()),
        )
    }

    /// Returns its path.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Writes a value to a JSON file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.write(name, &text)
    }

    /// Writes a file atomically, without following a link.
    ///
    /// # Errors
    /// When it cannot be written; a folder of this name is wrong input.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        if path.is_dir() && !path.is_symlink() {
            return Err(bad_input(
                format!("cannot write `{path}`: it is a folder"),
                "move or delete it",
            ));
        }
        publish(&path, text.as_bytes()).with_context(|| format!("writing `{path}`"))
    }
}

/// Creates a folder with a new name; a process may start several short runs in one second.
fn new_folder(runs: &Utf8Path, id: &str) -> std::io::Result<Utf8PathBuf> {
    for number in 1..RUNS_A_SECOND_MAX {
        let path = match number {
            1 => runs.join(id),
            more => runs.join(format!("{id}.{more}")),
        };
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(std::io::Error::other("too many runs in one second"))
}

/// Deletes the oldest runs and ignores errors.
fn prune(runs: &Utf8Path) {
    let mut old: Vec<Utf8PathBuf> = runs
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path().to_owned())
        .filter(|path| path.join(PLAN).is_file() && !path.is_symlink())
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(RUNS_MAX);
    for path in &old[..surplus] {
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Exit, exit_for};
    use crate::result::tests::job;

    #[test]
    fn check_out_accepts_new_and_empty_folders_without_creating_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::write(root.join("file"), "").unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        fs_err::os::unix::fs::symlink("gone", root.join("dangling")).unwrap();
        for wrong in ["", "file", "file/below", "dangling"] {
            let error = RunFolder::check_out(&root.join(wrong)).unwrap_err();
            assert_eq!(exit_for(&error), Exit::Input, "{wrong}");
        }
        for right in ["empty", "new", "new/below"] {
            RunFolder::check_out(&root.join(right)).unwrap();
        }
        assert!(!root.join("new").exists());
    }

    #[test]
    fn discard_deletes_the_files_and_keeps_a_folder_of_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let [own, given] = ["own", "given"].map(|name| RunFolder::at(root.join(name)));
        for folder in [&own, &given] {
            fs::create_dir_all(folder.path().join("fast/base")).unwrap();
            fs::write(folder.path().join(PLAN), "{}").unwrap();
        }
        own.discard(true);
        given.discard(false);
        assert!(!own.path().exists());
        assert!(given.path().read_dir_utf8().unwrap().next().is_none());
    }

    #[test]
    fn write_replaces_a_link_and_refuses_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let folder = RunFolder::at(root.to_owned());
        fs::write(root.join("precious"), "mine").unwrap();
        fs_err::os::unix::fs::symlink("precious", root.join("junit.xml")).unwrap();
        folder.write("junit.xml", "new").unwrap();
        assert_eq!(fs::read_to_string(root.join("precious")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(root.join("junit.xml")).unwrap(), "new");
        fs::create_dir(root.join("lore.txt")).unwrap();
        let error = folder.write("lore.txt", "new").unwrap_err();
        assert_eq!(exit_for(&error), Exit::Input);
        assert!(error.to_string().contains("lore.txt"), "{error}");
    }

    /// Writes a plan and a result of these tests, and reads both again.
    fn read(planned: &[&str], done: &[&str]) -> Result<(Plan, RunResult), String> {
        let place = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(place.path()).unwrap();
        let folder = RunFolder::at(path.to_owned());
        let jobs = |names: &[&str]| -> Vec<JobResult> {
            let job = |name: &&str| job(name, "base", "pass", "pass");
            names.iter().map(job).collect()
        };
        let plan = Plan {
            jobs: jobs(planned).iter().map(JobResult::plan).collect(),
            ..crate::engine::plan::tests::plan()
        };
        let result = RunResult::new(String::new(), String::new(), Vec::new(), jobs(done));
        folder.write_json(PLAN, &plan).unwrap();
        folder.write_json(RESULT, &result).unwrap();
        let read = folder.read();
        read.map_err(|error| format!("{error:#}").replace(path.as_str(), "RUN"))
    }

    #[test]
    fn read_rejects_different_or_duplicate_jobs() {
        assert!(read(&["a", "b"], &["a", "b"]).is_ok());
        let error = |planned: &[&str], done: &[&str]| {
            let error = read(planned, done).unwrap_err();
            error.lines().next().unwrap().to_owned()
        };
        insta::assert_snapshot!(
            [
                error(&["a"], &["a", "b"]),
                error(&["a", "b"], &["a"]),
                error(&["a", "a"], &["a"]),
                error(&["a"], &["a", "a"]),
                error(&["../a"], &["a"]),
            ].join("\n"),
            @"
        `RUN/plan.json` is damaged: b on base (fast) is in `result.json` but not in `plan.json`
        `RUN/result.json` is damaged: b on base (fast) is in `plan.json` but not in `result.json`
        `RUN/plan.json` is damaged: `jobs[1]`: duplicate job a on base (fast)
        `RUN/result.json` is damaged: `jobs[1]`: duplicate job a on base (fast)
        `RUN/plan.json` is damaged: `jobs[0]`: invalid name `../a`
        "
        );
    }
}
