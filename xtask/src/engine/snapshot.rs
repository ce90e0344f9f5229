// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares a job's timeline with its snapshot. Snapshots are files of insta, so
//! `cargo insta review` works on them.

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::publish;
use patchbed_host::diff::{Side, unified};

use crate::job_plan::JobPlan;
use crate::text::head;

/// Timelines with more lines are not compared line by line.
const DIFF_LINES_MAX: usize = 5_000;
/// At most this many bytes of a diff go into `result.json`.
const DIFF_BYTES_MAX: usize = 64 * 1024;
/// Unchanged lines around a difference.
const CONTEXT_LINES: usize = 2;
/// Extension of a new snapshot that is not reviewed yet, as insta expects it.
const NEW: &str = "snap.new";
/// Reported if config and checkout have no snapshot folder.
const NO_FOLDER: &str = "no snapshots for this config and checkout";

/// Destination of a timeline that differs from its snapshot.
#[derive(Clone, Copy, Debug)]
pub enum Outlet<'a> {
    /// Beside the snapshot, for `cargo insta review`.
    Beside,
    /// This folder, if the snapshots are not part of the user's checkout.
    Folder(&'a Utf8Path),
    /// Not written.
    None,
}

/// Returns the difference of `timeline` from its snapshot, or `None` if they are equal. A
/// different timeline is written to `outlet`, if config and checkout have a snapshot folder.
///
/// # Errors
/// When it cannot be written.
pub fn difference(
    folder: &Utf8Path,
    job: &JobPlan,
    timeline: &str,
    outlet: Outlet<'_>,
) -> anyhow::Result<Option<String>> {
    let place = place(folder, job);
    if !place.is_dir() {
        return Ok(Some(NO_FOLDER.to_owned()));
    }
    let name = format!("{}.{NEW}", job.test);
    let new = match outlet {
        // In CI, new snapshots cannot be reviewed.
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
        None => "no snapshot".to_owned(),
        Some(before) => shortened_diff(before, timeline.trim_end()),
    };
    if let Some(path) = &new {
        let record = format!(
            "---\nsource: xtask/src/snapshot.rs\n---\n{}\n",
            timeline.trim_end()
        );
        publish(path, record.as_bytes()).with_context(|| format!("writing `{path}`"))?;
    }
    match (outlet, new) {
        (Outlet::Beside, Some(_)) => {
            text += if before.is_none() { "; " } else { "\n" };
            text += "run `cargo insta review` to accept the new result";
        }
        (Outlet::Folder(_) | Outlet::None, Some(path)) => {
            text += if before.is_none() { "; " } else { "\n" };
            text += &format!("the new result is in `{path}`");
        }
        (_, None) => {}
    }
    Ok(Some(text))
}

/// The guest controls the length of a timeline, and a diff takes quadratic time.
fn shortened_diff(recorded: &str, now: &str) -> String {
    let (before, after) = (recorded.lines().count(), now.lines().count());
    match before.max(after) > DIFF_LINES_MAX {
        true => format!("{after} lines instead of {before}: too many for a diff"),
        false => head(&diff(recorded, now), DIFF_BYTES_MAX),
    }
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

/// Returns the timeline in a snapshot file: the text after insta's header.
fn content(record: &str) -> &str {
    let content = record.splitn(3, "---\n").nth(2);
    content.unwrap_or(record).trim_end()
}

/// Returns the snapshot folder of a job's config and checkout.
pub fn place(folder: &Utf8Path, job: &JobPlan) -> Utf8PathBuf {
    folder.join(&job.config).join(&job.checkout)
}

/// Returns the snapshot of a job in insta's format, if it exists.
pub fn recorded(folder: &Utf8Path, job: &JobPlan) -> Option<String> {
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

    /// Two folders: a snapshot folder with `a` as snapshot of a job, and a run folder.
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
    fn difference_without_a_snapshot_folder_writes_no_file() {
        let (_place, records, run) = folders();
        let text = difference(&records, &job("new"), "a\n", Outlet::Folder(&run)).unwrap();
        assert_eq!(text.unwrap(), NO_FOLDER);
        assert!(!records.join("new").exists());
        assert_eq!(run.read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn difference_with_outlet_folder_writes_a_new_snapshot_there() {
        let (_place, records, run) = folders();
        let text = difference(&records, &job("known"), "b\n", Outlet::Folder(&run)).unwrap();
        let text = text.unwrap();
        assert!(text.contains("\n-a\n+b\n"), "{text}");
        let path = run.join("s.snap.new");
        assert!(
            text.ends_with(&format!("the new result is in `{path}`")),
            "{text}"
        );
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written, "---\nsource: xtask/src/snapshot.rs\n---\nb\n");
        let there = records.join("known/base").read_dir_utf8().unwrap();
        assert_eq!(there.count(), 1, "the snapshots are unchanged");
    }

    #[test]
    fn difference_of_an_equal_timeline_removes_an_older_new_snapshot() {
        let (_place, records, run) = folders();
        let outlet = Outlet::Folder(&run);
        difference(&records, &job("known"), "b\n", outlet).unwrap();
        assert!(run.join("s.snap.new").is_file());
        let text = difference(&records, &job("known"), "a\n", outlet).unwrap();
        assert_eq!(text, None);
        assert!(!run.join("s.snap.new").exists());
    }

    #[test]
    fn difference_with_outlet_none_writes_no_file_and_prints_no_path() {
        let (place, records, _run) = folders();
        let text = difference(&records, &job("known"), "a\nb\n", Outlet::None).unwrap();
        let text = text.unwrap();
        assert!(text.ends_with("\n a\n+b"), "{text}");
        assert!(!text.contains(place.path().to_str().unwrap()), "{text}");
    }

    /// `cargo insta accept` renames the new file, so insta must read the same text from it.
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
