// SPDX-License-Identifier: GPL-2.0-only
//! Compares a job's timeline with the recorded one. The files have insta's format, and a
//! difference is left as `NAME.snap.new`, so that `cargo insta review` can accept it.

use std::io::{self, ErrorKind};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::diff::{Side, unified};

use crate::plan::JobPlan;

/// The front matter of a record. insta requires the field `source` in it.
const HEAD: &str = "---\nsource: xtask/src/snapshot.rs\n---\n";
const SEPARATOR: &str = "---\n";

/// What to do about a difference that is right.
const ACCEPT: &str = "if it is right, accept it with `cargo insta review`";

/// Unchanged lines around a difference.
const CONTEXT_LINES: usize = 2;

/// Whether a difference is left as `NAME.snap.new` beside the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Write,
    Leave,
}

impl Pending {
    /// Returns what the value of the environment variable `CI` asks for. The checkout of a
    /// CI system is thrown away, so a file in it helps no reviewer.
    fn for_ci(value: Option<&str>) -> Self {
        match value {
            None | Some("" | "0" | "false") => Self::Write,
            Some(_) => Self::Leave,
        }
    }
}

/// Returns how `timeline` differs from the recorded one, or `None` when it does
/// not. A difference is written beside the record for `cargo insta review`, where the
/// config and the checkout have a folder of records.
pub(crate) fn difference(folder: &Utf8Path, job: &JobPlan, timeline: &str) -> Option<String> {
    let pending = Pending::for_ci(std::env::var("CI").ok().as_deref());
    difference_with(folder, job, timeline, pending)
}

fn difference_with(
    folder: &Utf8Path,
    job: &JobPlan,
    timeline: &str,
    pending: Pending,
) -> Option<String> {
    let place = place(folder, job);
    if !place.is_dir() {
        return Some("nothing is recorded for its config and checkout yet".to_owned());
    }
    let now = timeline.trim_end();
    let path = record_path(folder, job);
    let shown = match fs::read_to_string(&path) {
        Ok(record) if content(&record) == now => {
            return match pending {
                Pending::Write => remove_pending(&path).err().map(|error| error.to_string()),
                Pending::Leave => None,
            };
        }
        Ok(record) => diff(content(&record), now),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            "nothing is recorded for it yet".to_owned()
        }
        Err(error) => return Some(format!("its record cannot be read: {error}")),
    };
    let hint = match pending {
        Pending::Leave => ACCEPT.to_owned(),
        Pending::Write => match fs::write(pending_path(&path), format!("{HEAD}{now}\n")) {
            Ok(()) => ACCEPT.to_owned(),
            Err(error) => format!("it cannot be left for `cargo insta review`: {error}"),
        },
    };
    let separator = if shown.contains('\n') { "\n" } else { "; " };
    Some(format!("{shown}{separator}{hint}"))
}

/// Returns where what is recorded of a job's config and checkout is.
pub(crate) fn place(folder: &Utf8Path, job: &JobPlan) -> Utf8PathBuf {
    folder.join(&job.config).join(&job.checkout)
}

/// Returns what is recorded of a job, in insta's format, if anything is.
pub(crate) fn recorded(folder: &Utf8Path, job: &JobPlan) -> Option<String> {
    fs::read_to_string(record_path(folder, job)).ok()
}

fn record_path(folder: &Utf8Path, job: &JobPlan) -> Utf8PathBuf {
    place(folder, job).join(format!("{}.snap", job.test))
}

fn pending_path(record: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{record}.new"))
}

/// A difference that is gone must not be offered for review.
fn remove_pending(record: &Utf8Path) -> io::Result<()> {
    match fs::remove_file(pending_path(record)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the text of a record without its front matter and the line feeds at its end.
fn content(record: &str) -> &str {
    let text = record
        .strip_prefix(SEPARATOR)
        .and_then(|rest| rest.split_once("\n---\n"))
        .map_or(record, |(_, content)| content);
    text.trim_end()
}

fn diff(recorded: &str, now: &str) -> String {
    let (recorded, now) = (format!("{recorded}\n"), format!("{now}\n"));
    let side = |name, text| Side { name, text };
    let diff = unified(
        side("recorded", &recorded),
        side("now", &now),
        CONTEXT_LINES,
    );
    diff.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(scenario: &str) -> JobPlan {
        JobPlan {
            test: scenario.to_owned(),
            config: "fast".to_owned(),
            checkout: "base".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    /// A folder of records, in which `s` has the timeline `a`, `b`.
    struct Records {
        _temporary: tempfile::TempDir,
        folder: Utf8PathBuf,
        record: Utf8PathBuf,
        pending: Utf8PathBuf,
    }

    fn records() -> Records {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).unwrap();
        let record = record_path(&folder, &job("s"));
        fs::create_dir_all(record.parent().unwrap()).unwrap();
        fs::write(&record, format!("{HEAD}a\nb\n")).unwrap();
        Records {
            _temporary: temporary,
            folder,
            pending: pending_path(&record),
            record,
        }
    }

    fn write(records: &Records, timeline: &str) -> Option<String> {
        difference_with(&records.folder, &job("s"), timeline, Pending::Write)
    }

    #[test]
    fn difference_without_folder_of_records_creates_none() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let told = difference_with(folder, &job("s"), "a\n", Pending::Write).unwrap();
        assert_eq!(told, "nothing is recorded for its config and checkout yet");
        assert_eq!(folder.read_dir_utf8().unwrap().count(), 0);
    }

    #[test]
    fn difference_shows_a_unified_diff_and_leaves_the_new_timeline() {
        let records = records();
        let told = write(&records, "a\nc\n").unwrap();
        assert_eq!(
            told,
            format!("--- recorded\n+++ now\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n{ACCEPT}")
        );
        let pending = fs::read_to_string(&records.pending).unwrap();
        assert_eq!(pending, format!("{HEAD}a\nc\n"));
        let record = fs::read_to_string(&records.record).unwrap();
        assert_eq!(record, format!("{HEAD}a\nb\n"), "the record is untouched");
    }

    #[test]
    fn difference_of_an_equal_timeline_is_none_and_removes_the_pending_file() {
        let records = records();
        write(&records, "a\nc\n").unwrap();
        assert_eq!(write(&records, "a\nb\n\n"), None);
        assert!(!records.pending.exists());
        assert_eq!(write(&records, "a\nb\n"), None, "nothing is left to remove");
    }

    #[test]
    fn difference_in_ci_leaves_the_folder_as_it_is() {
        let records = records();
        for (timeline, differs) in [("a\nc\n", true), ("a\nb\n", false)] {
            let told = difference_with(&records.folder, &job("s"), timeline, Pending::Leave);
            assert_eq!(told.is_some(), differs);
        }
        assert!(!records.pending.exists());
    }

    #[test]
    fn difference_of_an_unknown_scenario_leaves_its_timeline() {
        let records = records();
        let unknown = job("new");
        let told = difference_with(&records.folder, &unknown, "x\n", Pending::Write).unwrap();
        assert_eq!(told, format!("nothing is recorded for it yet; {ACCEPT}"));
        let left = pending_path(&record_path(&records.folder, &unknown));
        assert_eq!(fs::read_to_string(left).unwrap(), format!("{HEAD}x\n"));
    }

    #[test]
    fn for_ci_writes_only_where_ci_is_unset_or_off() {
        for off in [None, Some(""), Some("0"), Some("false")] {
            assert_eq!(Pending::for_ci(off), Pending::Write);
        }
        for on in [Some("true"), Some("1"), Some("woodpecker")] {
            assert_eq!(Pending::for_ci(on), Pending::Leave);
        }
    }

    #[test]
    fn content_keeps_separators_in_the_timeline() {
        assert_eq!(content(&format!("{HEAD}a\n---\nb\n")), "a\n---\nb");
        assert_eq!(content("no front matter\n"), "no front matter");
    }

    /// `cargo insta accept` renames the pending file, so insta has to find the same text
    /// in it, and records that insta wrote have to have the same text here.
    #[test]
    fn pending_file_is_a_snapshot_that_insta_accepts() {
        let records = records();
        let timeline = "a\n  \u{1b}[1m: \"quoted\" --- \n---\n\nlast\n";
        write(&records, timeline).unwrap();
        let read = insta::Snapshot::from_file(records.pending.as_std_path()).unwrap();
        assert_eq!(read.metadata().source(), Some("xtask/src/snapshot.rs"));
        let insta::internals::SnapshotContents::Text(text) = read.contents() else {
            panic!("not a text")
        };
        assert_eq!(text.to_string(), timeline.trim_end());

        read.save(records.record.as_std_path()).unwrap();
        let saved = fs::read_to_string(&records.record).unwrap();
        assert_eq!(saved, fs::read_to_string(&records.pending).unwrap());
        assert_eq!(write(&records, timeline), None);
    }
}
