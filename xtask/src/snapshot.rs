// SPDX-License-Identifier: GPL-2.0-only
//! Compares a job's timeline with the recorded one. Records are files of insta, so that
//! `cargo insta review` works on them.

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::publish;
use patchbed_host::diff::{Side, unified};

use crate::plan::JobPlan;

/// Unchanged lines around a difference.
const CONTEXT_LINES: usize = 2;
/// The end of the name of a result that nobody has reviewed yet, as insta has it.
const NEW: &str = "snap.new";

/// Where a result goes that differs from the recorded one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outlet<'a> {
    /// Beside the record, where `cargo insta review` finds it.
    Beside,
    /// Into this folder: the record is not the user's to change.
    Folder(&'a Utf8Path),
    /// Nowhere.
    None,
}

/// Returns how `timeline` differs from the recorded one, or `None` when it does
/// not. A difference goes to `outlet`, where the config and the checkout have a folder of
/// records.
///
/// # Errors
/// When it cannot be written there.
pub(crate) fn difference(
    folder: &Utf8Path,
    job: &JobPlan,
    timeline: &str,
    outlet: Outlet<'_>,
) -> anyhow::Result<Option<String>> {
    let place = place(folder, job);
    if !place.is_dir() {
        let why = "nothing is recorded for its config and checkout yet";
        return Ok(Some(why.to_owned()));
    }
    let name = format!("{}.{NEW}", job.test);
    let new = match outlet {
        // A checkout that CI made is nobody's to review.
        Outlet::Beside if std::env::var_os("CI").is_some() => None,
        Outlet::Beside => Some(place.join(name)),
        Outlet::Folder(folder) => Some(folder.join(name)),
        Outlet::None => None,
    };
    let recorded = recorded(folder, job);
    let before = recorded.as_deref().map(content);
    if before == Some(timeline.trim_end()) {
        if let Some(left) = new.filter(|path| path.is_file()) {
            fs::remove_file(left)?;
        }
        return Ok(None);
    }
    let mut text = match before {
        None => "nothing is recorded for it yet".to_owned(),
        Some(before) => {
            diff(before, timeline.trim_end())
        }
    };
    if let Some(path) = &new {
        let record = format!(
            "---\nsource: xtask/src/snapshot.rs\n---\n{}\n",
            timeline.trim_end()
        );
        publish(path, record.as_bytes()).with_context(|| format!("writing `{path}`"))?;
    }
    match (outlet, new) {
        (Outlet::Beside, _) => {
            text += if before.is_none() { "; " } else { "\n" };
            text += "if it is right, accept it with `cargo insta review`";
        }
        (_, Some(path)) => {
            text += if before.is_none() { "; " } else { "\n" };
            text += &format!("the new result is in `{path}`");
        }
        (_, None) => {}
    }
    Ok(Some(text))
}

fn diff(recorded: &str, now: &str) -> String {
    // A line that ends the text must equal the same line within the other text.
    let (recorded, now) = (format!("{recorded}\n"), format!("{now}\n"));
    let side = |name, text| Side { name, text };
    let diff = unified(
        side("recorded", &recorded),
        side("now", &now),
        CONTEXT_LINES,
    );
    diff.trim_end().to_owned()
}

/// Returns the timeline in a record: what follows insta's notes on it.
fn content(record: &str) -> &str {
    let content = record.splitn(3, "---\n").nth(2);
    content.unwrap_or(record).trim_end()
}

/// Returns where what is recorded of a job's config and checkout is.
pub(crate) fn place(folder: &Utf8Path, job: &JobPlan) -> Utf8PathBuf {
    folder.join(&job.config).join(&job.checkout)
}

/// Returns what is recorded of a job, in insta's format, if anything is.
pub(crate) fn recorded(folder: &Utf8Path, job: &JobPlan) -> Option<String> {
    let name = format!("{}.snap", job.test);
    fs::read_to_string(place(folder, job).join(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(config: &str) -> JobPlan {
        JobPlan {
            test: "s".to_owned(),
            config: config.to_owned(),
            checkout: "base".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    /// Two folders: of records, with `a` as that of one job, and of a run.
    fn folders() -> (tempfile::TempDir, Utf8PathBuf, Utf8PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(place.path()).unwrap();
        let (records, run) = (root.join("records"), root.join("run"));
        fs::create_dir_all(records.join("known/base")).unwrap();
        fs::create_dir(&run).unwrap();
        let record = "---\nsource: xtask/src/snapshot.rs\n---\na\n";
        fs::write(records.join("known/base/s.snap"), record).unwrap();
        (place, records, run)
    }

    #[test]
    fn no_folder_is_made_for_what_has_no_records() {
        let (_place, records, run) = folders();
        let told = difference(&records, &job("new"), "a\n", Outlet::Folder(&run)).unwrap();
        let why = "nothing is recorded for its config and checkout yet";
        assert_eq!(told.unwrap(), why);
        assert!(!records.join("new").exists());
        assert_eq!(run.read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn difference_outside_a_checkout_goes_into_the_run_folder_as_insta_writes_it() {
        let (_place, records, run) = folders();
        let told = difference(&records, &job("known"), "b\n", Outlet::Folder(&run)).unwrap();
        let told = told.unwrap();
        assert!(told.contains("\n-a\n+b\n"), "{told}");
        let path = run.join("s.snap.new");
        assert!(
            told.ends_with(&format!("the new result is in `{path}`")),
            "{told}"
        );
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written, "---\nsource: xtask/src/snapshot.rs\n---\nb\n");
        let there = records.join("known/base").read_dir_utf8().unwrap();
        assert_eq!(there.count(), 1, "the records are as they were");
    }

    #[test]
    fn a_result_as_recorded_removes_the_new_one_of_an_earlier_run() {
        let (_place, records, run) = folders();
        let outlet = Outlet::Folder(&run);
        difference(&records, &job("known"), "b\n", outlet).unwrap();
        assert!(run.join("s.snap.new").is_file());
        let told = difference(&records, &job("known"), "a\n", outlet).unwrap();
        assert_eq!(told, None);
        assert!(!run.join("s.snap.new").exists());
    }

    #[test]
    fn outlet_none_writes_nothing_and_names_no_path() {
        let (place, records, _run) = folders();
        let told = difference(&records, &job("known"), "a\nb\n", Outlet::None).unwrap();
        let told = told.unwrap();
        assert!(told.ends_with("\n a\n+b"), "{told}");
        assert!(!told.contains(place.path().to_str().unwrap()), "{told}");
    }

    /// `cargo insta accept` renames the new file, so insta has to find the same text in it.
    #[test]
    fn new_file_is_a_snapshot_that_insta_accepts() {
        let (_place, records, run) = folders();
        let timeline = "a\n  \u{1b}[1m: \"quoted\" --- \n---\n\nlast\n";
        difference(&records, &job("known"), timeline, Outlet::Folder(&run)).unwrap();
        let path = run.join("s.snap.new");
        let read = insta::Snapshot::from_file(path.as_std_path()).unwrap();
        assert_eq!(read.metadata().source(), Some("xtask/src/snapshot.rs"));
        let insta::internals::SnapshotContents::Text(text) = read.contents() else {
            panic!("not a text")
        };
        assert_eq!(text.to_string(), timeline.trim_end());
    }
}
