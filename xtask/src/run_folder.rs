// SPDX-License-Identifier: GPL-2.0-only
//! The run folder: what a run leaves behind, and `latest` that points to it.

use std::collections::BTreeSet;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::publish;
use patchbed_host::files::read_plain;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::bad_input;
use crate::layout::Layout;
use crate::plan::{self, JobPlan, Plan};
use crate::program;
use crate::result::{JobResult, RunResult};

/// What the run was to do.
pub(crate) const PLAN: &str = "plan.json";
/// What it came to.
pub(crate) const RESULT: &str = "result.json";
/// No file of ours is larger, in bytes.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// No process has so many runs in one second.
const RUNS_A_SECOND_MAX: u32 = 100;
/// Old runs beyond this number are removed, oldest first.
const RUNS_KEPT: usize = 50;

const OUT_HINT: &str = "give a new or an empty folder with `--out`";

/// A run's folder.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: Utf8PathBuf,
}

impl RunFolder {
    /// Makes the folder for a run of `plan`: `out`, or a new one among the runs.
    ///
    /// # Errors
    /// When it cannot be made, or `out` holds something already.
    pub(crate) fn create(
        out: Option<&Utf8Path>,
        layout: &Layout,
        plan: &Plan,
    ) -> anyhow::Result<Self> {
        let folder = match out {
            Some(out) => Self::create_at(out)?,
            None => Self {
                path: Self::reserve(layout)?,
            },
        };
        folder.begin(plan)?;
        Ok(folder)
    }

    /// Looks whether a run folder can be made at `out`, and makes nothing yet.
    ///
    /// # Errors
    /// When something is there that is no empty folder, or it lies in no folder.
    pub(crate) fn check_out(out: &Utf8Path) -> anyhow::Result<()> {
        let wrong = |what: String| Err(bad_input(what, OUT_HINT));
        if out.is_symlink() || out.exists() {
            return match out.read_dir_utf8() {
                Err(error) => wrong(format!("`{out}` is no folder to use: {error}")),
                Ok(mut entries) => match entries.next() {
                    Some(_) => wrong(format!("`{out}` is not empty")),
                    None => Ok(()),
                },
            };
        }
        let mut above = out.ancestors().skip(1);
        match above.find(|path| path.exists()) {
            Some(path) if !path.is_dir() => wrong(format!("`{path}` is no folder")),
            _ => Ok(()),
        }
    }

    fn create_at(out: &Utf8Path) -> anyhow::Result<Self> {
        Self::check_out(out)?;
        if let Err(error) = fs::create_dir_all(out) {
            return Err(bad_input(format!("cannot make `{out}`: {error}"), OUT_HINT));
        }
        Ok(Self {
            path: out.canonicalize_utf8()?,
        })
    }

    /// Writes the plan; of two runs in one folder, the second finds it there.
    fn begin(&self, plan: &Plan) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(plan)?;
        text.push('\n');
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path.join(PLAN))?;
        Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
    }

    /// Makes an empty folder among the runs, in which one may be created, and returns its
    /// path.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn reserve(layout: &Layout) -> anyhow::Result<Utf8PathBuf> {
        let runs = layout.runs()?;
        fs::create_dir_all(&runs)?;
        let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        let path = new_folder(&runs, &format!("{stamp}-{}", std::process::id()))?;
        prune(&runs);
        Ok(path)
    }

    /// Returns the folder at `path`, whatever is there.
    #[cfg(test)]
    pub(crate) const fn at(path: Utf8PathBuf) -> Self {
        Self { path }
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().unwrap_or_default()
    }

    /// Writes what the run came to; from now on it is the latest that is finished.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(&self, result: &RunResult, layout: &Layout) -> anyhow::Result<()> {
        self.write_json(RESULT, result)?;
        let (Some(runs), Some(id)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(());
        };
        // A folder above the runs may be a symbolic link.
        let ours = layout.runs().ok();
        let ours = ours.and_then(|runs| runs.canonicalize_utf8().ok());
        if Some(runs.canonicalize_utf8()?) == ours {
            let link = runs.join(format!(".latest-{id}"));
            fs_err::os::unix::fs::symlink(id, &link)?;
            fs::rename(&link, runs.join("latest"))?;
        }
        Ok(())
    }

    /// Returns the folder of a finished run.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn open(path: &Utf8Path) -> anyhow::Result<Self> {
        if !path.join(RESULT).is_file() {
            return Err(bad_input(
                format!("`{path}` is not the folder of a finished run"),
                "a run prints its folder last; `latest` beside it is the newest finished one",
            ));
        }
        Ok(Self {
            path: path.canonicalize_utf8()?,
        })
    }

    /// Reads what the run was to do and what it came to.
    ///
    /// # Errors
    /// When one is not there, is not what this program writes, or they are not of the same
    /// jobs.
    pub(crate) fn read(&self) -> anyhow::Result<(Plan, RunResult)> {
        let (plan, result) = (self.plan()?, self.result()?);
        let planned: BTreeSet<&JobPlan> = plan.jobs.iter().collect();
        let came: Vec<JobPlan> = result.jobs.iter().map(JobResult::plan).collect();
        let came: BTreeSet<&JobPlan> = came.iter().collect();
        if let Some(job) = came.symmetric_difference(&planned).next() {
            let (there, not) = match planned.contains(job) {
                true => (PLAN, RESULT),
                false => (RESULT, PLAN),
            };
            let what = format!("{} is in `{there}`, and not in `{not}`", job.label());
            return Err(self.damaged(not, what));
        }
        Ok((plan, result))
    }

    /// Reads what the run was to do.
    ///
    /// # Errors
    /// When it is not there, or not what this program writes.
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        let plan: Plan = self.read_json(PLAN)?;
        let checked = plan::check_jobs(&plan.jobs);
        checked.map_err(|what| self.damaged(PLAN, what))?;
        Ok(plan)
    }

    /// Reads what the run came to.
    ///
    /// # Errors
    /// When it is not there, or not what this program writes.
    pub(crate) fn result(&self) -> anyhow::Result<RunResult> {
        let result: RunResult = self.read_json(RESULT)?;
        result.check().map_err(|what| self.damaged(RESULT, what))?;
        Ok(result)
    }

    /// Reads a value that was written as JSON.
    ///
    /// # Errors
    /// When the file is not there, or not what this program writes.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let bytes = read_plain(&self.path.join(name), JSON_BYTES_MAX);
        let bytes = bytes.map_err(|error| self.damaged(name, error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(name, error))
    }

    /// Returns the error that a file of the run is not what this program writes.
    pub(crate) fn damaged(&self, name: &str, what: impl std::fmt::Display) -> anyhow::Error {
        let path = self.path.join(name);
        bad_input(
            format!("`{path}` is damaged: {what}"),
            format!(
                "the run cannot be judged again; make it anew with `{} test`",
                program::name()
            ),
        )
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.write(name, &text)
    }

    /// Writes a file, whole or not at all, and through no link.
    ///
    /// # Errors
    /// When it cannot be written; a folder in its place is wrong input.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        if path.is_dir() && !path.is_symlink() {
            return Err(bad_input(
                format!("`{path}` is a folder, where a file is to be written"),
                "move it away",
            ));
        }
        publish(&path, text.as_bytes()).with_context(|| format!("writing `{path}`"))
    }
}

/// Makes a folder with a name that no other has; one process may have several
/// short runs in a second.
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

/// Removes the oldest runs; a run folder that does not go is no reason to fail.
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
    let surplus = old.len().saturating_sub(RUNS_KEPT);
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
    fn a_place_for_a_run_is_looked_at_and_not_made() {
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
    fn a_file_is_written_through_no_link_and_over_no_folder() {
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

    /// Writes a plan and a result of these scenarios, and returns what is made of them.
    fn read(planned: &[&str], came: &[&str]) -> Result<(Plan, RunResult), String> {
        let place = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(place.path()).unwrap();
        let folder = RunFolder::at(path.to_owned());
        let jobs = |names: &[&str]| -> Vec<JobResult> {
            let job = |name: &&str| job(name, "base", "pass", "pass");
            names.iter().map(job).collect()
        };
        let plan = Plan {
            jobs: jobs(planned).iter().map(JobResult::plan).collect(),
            ..plan::tests::plan()
        };
        let result = RunResult::new(String::new(), String::new(), Vec::new(), jobs(came));
        folder.write_json(PLAN, &plan).unwrap();
        folder.write_json(RESULT, &result).unwrap();
        let read = folder.read();
        read.map_err(|error| format!("{error:#}").replace(path.as_str(), "RUN"))
    }

    #[test]
    fn plan_and_result_have_the_same_jobs_each_once() {
        assert!(read(&["a", "b"], &["a", "b"]).is_ok());
        let said = |planned: &[&str], came: &[&str]| {
            let error = read(planned, came).unwrap_err();
            error.lines().next().unwrap().to_owned()
        };
        insta::assert_snapshot!(
            [
                said(&["a"], &["a", "b"]),
                said(&["a", "b"], &["a"]),
                said(&["a", "a"], &["a"]),
                said(&["a"], &["a", "a"]),
                said(&["../a"], &["a"]),
            ].join("\n"),
            @"
        `RUN/plan.json` is damaged: b on base (fast) is in `result.json`, and not in `plan.json`
        `RUN/result.json` is damaged: b on base (fast) is in `plan.json`, and not in `result.json`
        `RUN/plan.json` is damaged: `jobs[1]`: a on base (fast) is there twice
        `RUN/result.json` is damaged: `jobs[1]`: a on base (fast) is there twice
        `RUN/plan.json` is damaged: `jobs[0]`: `../a` is no plain name
        "
        );
    }
}
