// SPDX-License-Identifier: GPL-2.0-only
//! A mark beside the objects while make runs, which stays when make is killed.
//!
//! What was written since the mark may be half written: make takes an object that
//! is newer than its source for a good one, and runs any tool that it has built.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::process::{Output, ProcessError};

use crate::error::Error;

/// The mark of one build folder.
#[derive(Debug)]
pub(super) struct InProgress(Utf8PathBuf);

impl InProgress {
    /// Returns the mark of the build folder `home`.
    pub(super) fn of(home: &Utf8Path) -> Self {
        Self(home.join("in_progress"))
    }

    /// Runs make under the mark. It goes when make ended by itself, for better or
    /// worse: then it has removed what it could not finish.
    pub(super) fn during(
        &self,
        run: impl FnOnce() -> Result<Output, ProcessError>,
    ) -> Result<Result<Output, ProcessError>, Error> {
        fs::write(&self.0, "").map_err(Error::host("marking a build as begun"))?;
        let ended = run();
        if is_by_itself(&ended) {
            fs::remove_file(&self.0).map_err(Error::host("marking a build as ended"))?;
        }
        Ok(ended)
    }

    /// Removes from `objects` what a build that was killed may have left half
    /// written. A configuration is kept: whether it is whole is remembered apart.
    pub(super) fn forget(&self, objects: &Utf8Path) -> Result<(), Error> {
        let Ok(begun) = fs::metadata(&self.0).and_then(|meta| meta.modified()) else {
            return Ok(());
        };
        let is_there = objects.is_dir();
        for entry in is_there
            .then(|| walkdir::WalkDir::new(objects))
            .into_iter()
            .flatten()
        {
            let entry = entry.map_err(Error::host("looking through a killed build"))?;
            let newer = entry.metadata().ok().and_then(|meta| meta.modified().ok());
            let is_config = entry.file_name() == ".config";
            if entry.file_type().is_file() && !is_config && newer.is_some_and(|time| time >= begun)
            {
                fs::remove_file(entry.path()).map_err(Error::host("removing half a build"))?;
            }
        }
        fs::remove_file(&self.0).map_err(Error::host("removing half a build"))
    }
}

fn is_by_itself(ended: &Result<Output, ProcessError>) -> bool {
    match ended {
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

    /// Runs a shell that leaves `new` in the objects, has another run forget what
    /// is half made, and returns what is left.
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
        let mark = InProgress::of(home);
        let _ = mark.during(|| shell.run(&Cancel::new())).unwrap();
        InProgress::of(home).forget(&objects).unwrap();
        assert!(!home.join("in_progress").exists());
        let there = [".config", "old", "scripts/new"].into_iter();
        there
            .filter(|name| objects.join(name).exists())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn what_make_left_when_it_was_killed_is_forgotten() {
        let all = [".config", "old", "scripts/new"];
        assert_eq!(left_after("exit 0"), all);
        assert_eq!(left_after("exit 2"), all);
        assert_eq!(left_after("kill -9 $$"), [".config", "old"]);
    }

    #[test]
    fn a_build_that_was_stopped_may_have_no_objects_yet() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let mark = InProgress::of(home);
        let stopped = || {
            Err(ProcessError::Cancelled {
                command: "make".to_owned(),
            })
        };
        assert!(mark.during(stopped).unwrap().is_err());
        assert!(home.join("in_progress").exists());
        mark.forget(&home.join("obj")).unwrap();
        assert!(!home.join("in_progress").exists());
    }
}
