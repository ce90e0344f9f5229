// SPDX-License-Identifier: MIT OR Apache-2.0
//! A marker file that exists while make runs and stays if make is killed.
//!
//! Files that are newer than the marker may be incomplete. make would reuse them, since
//! they are newer than their sources, and would run incomplete tools.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::process::{Output, ProcessError};

use crate::error::Error;

/// The marker of a build folder.
#[derive(Debug)]
pub(super) struct InProgress(Utf8PathBuf);

impl InProgress {
    /// Returns the marker of the build folder `home`.
    pub(super) fn of(home: &Utf8Path) -> Self {
        Self(home.join("in_progress"))
    }

    /// Runs make with the marker. If make exits, even with an error, the marker is deleted,
    /// since make has then deleted its incomplete targets.
    pub(super) fn during(
        &self,
        run: impl FnOnce() -> Result<Output, ProcessError>,
    ) -> Result<Result<Output, ProcessError>, Error> {
        fs::write(&self.0, "").map_err(Error::infrastructure(
            "creating the in-progress marker of a build",
        ))?;
        let result = run();
        if has_exited(&result) {
            fs::remove_file(&self.0).map_err(Error::infrastructure(
                "deleting the in-progress marker of a build",
            ))?;
        }
        Ok(result)
    }

    /// Deletes the files in `objects` that a killed build may have left incomplete, except
    /// `.config`, whose state is stored separately.
    pub(super) fn delete_partial(&self, objects: &Utf8Path) -> Result<(), Error> {
        let Ok(started) = fs::metadata(&self.0).and_then(|meta| meta.modified()) else {
            return Ok(());
        };
        for entry in objects
            .is_dir()
            .then(|| walkdir::WalkDir::new(objects))
            .into_iter()
            .flatten()
        {
            let entry =
                entry.map_err(Error::infrastructure("listing the files of a killed build"))?;
            let modified = entry.metadata().ok().and_then(|meta| meta.modified().ok());
            let is_config = entry.file_name() == ".config";
            if entry.file_type().is_file()
                && !is_config
                && modified.is_some_and(|time| time >= started)
            {
                fs::remove_file(entry.path()).map_err(Error::infrastructure(
                    "deleting the files of a killed build",
                ))?;
            }
        }
        fs::remove_file(&self.0).map_err(Error::infrastructure(
            "deleting the files of a killed build",
        ))
    }
}

fn has_exited(result: &Result<Output, ProcessError>) -> bool {
    match result {
        Ok(_) => true,
        Err(ProcessError::Failed { status, .. }) => status.code().is_some(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use patchbed_host::cancel::Cancel;
    use patchbed_host::process::Tool;

    use super::*;

    /// Runs a shell that creates `new` and `.config` in the objects, deletes incomplete
    /// files and returns the remaining files.
    fn left_after(script: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let objects = home.join("obj");
        fs::create_dir_all(objects.join("scripts")).unwrap();
        fs::write(objects.join("old"), "").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        let old = std::fs::File::open(objects.join("old")).unwrap();
        old.set_modified(long_ago).unwrap();
        let shell = Tool::new("sh")
            .args(["-c", &format!("touch scripts/new .config; {script}")])
            .cwd(objects.clone());
        let marker = InProgress::of(home);
        let _ = marker.during(|| shell.run(&Cancel::new())).unwrap();
        InProgress::of(home).delete_partial(&objects).unwrap();
        assert!(!home.join("in_progress").exists());
        [".config", "old", "scripts/new"]
            .into_iter()
            .filter(|name| objects.join(name).exists())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn delete_partial_removes_new_files_of_a_killed_build_only() {
        let all = [".config", "old", "scripts/new"];
        assert_eq!(left_after("exit 0"), all);
        assert_eq!(left_after("exit 2"), all);
        assert_eq!(left_after("kill -9 $$"), [".config", "old"]);
    }

    #[test]
    fn delete_partial_accepts_a_missing_object_folder() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let marker = InProgress::of(home);
        let cancelled = || {
            Err(ProcessError::Cancelled {
                command: "make".to_owned(),
            })
        };
        assert!(marker.during(cancelled).unwrap().is_err());
        assert!(home.join("in_progress").exists());
        marker.delete_partial(&home.join("obj")).unwrap();
        assert!(!home.join("in_progress").exists());
    }
}
