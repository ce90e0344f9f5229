// SPDX-License-Identifier: GPL-2.0-only
//! The run folder: what a run leaves behind, and `latest` that points to it.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Serialize;

use crate::exit::bad_input;
use crate::layout::Layout;

/// Old runs beyond this number are removed, oldest first.
const RUNS_KEPT: usize = 50;

/// A run's folder.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: Utf8PathBuf,
}

impl RunFolder {
    /// Makes the folder for a run: `out`, or a new one among the runs.
    ///
    /// # Errors
    /// When it cannot be made, or `out` holds something else.
    pub(crate) fn create(out: Option<&Utf8Path>, layout: &Layout) -> anyhow::Result<Self> {
        let Some(out) = out else {
            return Self::create_among_runs(&layout.runs());
        };
        let holds_things = out
            .read_dir_utf8()
            .is_ok_and(|mut entries| entries.next().is_some());
        if holds_things && !out.join("plan.json").is_file() {
            return Err(bad_input(
                format!("`{out}` is not empty and not a run folder"),
                "give a new folder with `--out`",
            ));
        }
        fs::create_dir_all(out)?;
        Ok(Self {
            path: out.canonicalize_utf8()?,
        })
    }

    fn create_among_runs(runs: &Utf8Path) -> anyhow::Result<Self> {
        fs::create_dir_all(runs)?;
        let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
        let id = format!("{stamp}-{}", std::process::id());
        let path = runs.join(&id);
        fs::create_dir_all(&path)?;
        let link = runs.join(format!(".latest-{id}"));
        fs_err::os::unix::fs::symlink(&id, &link)?;
        fs::rename(&link, runs.join("latest"))?;
        prune(runs);
        Ok(Self { path })
    }

    /// Returns the folder of a finished run.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn open(path: &Utf8Path) -> anyhow::Result<Self> {
        if !path.join("result.json").is_file() {
            return Err(bad_input(
                format!("`{path}` is not the folder of a finished run"),
                "runs are in `target/testbed/runs`; `latest` is the newest",
            ));
        }
        Ok(Self {
            path: path.canonicalize_utf8()?,
        })
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
        Ok(fs::write(self.path.join(name), text)?)
    }
}

/// Removes the oldest runs; a run folder that does not go is no reason to fail.
fn prune(runs: &Utf8Path) {
    let mut old: Vec<Utf8PathBuf> = runs
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path().to_owned())
        .filter(|path| path.join("plan.json").is_file() && !path.is_symlink())
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(RUNS_KEPT);
    for path in &old[..surplus] {
        let _ = fs::remove_dir_all(path);
    }
}
