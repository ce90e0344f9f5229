// SPDX-License-Identifier: MIT OR Apache-2.0
//! `b4-check`: a check command of b4. Reads a mail from standard input and prints the
//! results of runs of the same series, in b4's format.
//!
//! A run matches by message-id if run and mail have one, otherwise by the content of the
//! patch. No test is run, because b4 waits for the answer.

use std::collections::BTreeSet;
use std::io::Read;

use camino::Utf8Path;
use kernel_patches::mail::{self, Mail};
use patchbed_host::files::{listing, read_plain};
use serde_json::Value;

use crate::cli::B4CheckArgs;
use xtask::engine::program;
use xtask::engine::run_folder::{self, RunFolder};
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report;
use xtask::report::b4;
use xtask::report::input::Report;
use xtask::result::Provenance;

/// Limit of the size of a mail.
const MAIL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Limit of the size of b4's file about a series.
const TRACKING_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The mail that b4 passes, and the other mails of its series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Query {
    /// SHA-256 of the changes, if the mail is a patch.
    diff: Option<String>,
    message_id: Option<String>,
    /// Message-ids of the same series, from b4's tracking file.
    of_series: BTreeSet<String>,
}

/// The part of a run that matches a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Series,
    /// From 1.
    Patch(usize),
}

/// Reads the mail and prints the results of the newest matching run.
pub(crate) fn run(args: &B4CheckArgs, session: &Session) -> anyhow::Result<Exit> {
    let query = Query::read()?;
    let answer = match &args.run {
        Some(path) => answer(&query, &RunFolder::open(path)?, args.whole)?,
        None => newest(&query, session, args.whole)?,
    };
    report::data_to_stdout(&answer.unwrap_or_else(b4::unknown))?;
    Ok(Exit::Ok)
}

/// Returns the results of the newest matching run. Runs that cannot be read are skipped.
fn newest(query: &Query, session: &Session, whole: bool) -> anyhow::Result<Option<String>> {
    let mut runs = listing(&session.layout.runs()?).unwrap_or_default();
    runs.retain(|path| !path.is_symlink() && path.join(run_folder::RESULT).is_file());
    for path in runs.iter().rev() {
        if let Ok(Some(text)) = RunFolder::open(path).and_then(|run| answer(query, &run, whole)) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Returns the results of a run in b4's format, if it matches.
fn answer(query: &Query, run: &RunFolder, whole: bool) -> anyhow::Result<Option<String>> {
    let result = run.result()?;
    let Some(part) = query.find_in(&result.provenance) else {
        return Ok(None);
    };
    let (plan, result) = run.read()?;
    let again = plan.options();
    let report = Report::new(&result, run.path().as_str(), &again);
    Ok(Some(match part {
        Part::Patch(number) if !whole => b4::patch(&report, number),
        Part::Patch(_) | Part::Series => b4::series(&report),
    }))
}

impl Query {
    /// Reads the mail from standard input, and b4's tracking file if there is one.
    fn read() -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        let stdin = std::io::stdin().lock();
        stdin.take(MAIL_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.is_empty() || bytes.len() as u64 > MAIL_BYTES_MAX {
            return Err(bad_input(
                format!(
                    "cannot read a mail from standard input: it is empty or larger than \
                     {MAIL_BYTES_MAX} bytes"
                ),
                format!(
                    "b4 passes the mail to the command; to test it, run `{} b4-check < MAIL`",
                    program::name()
                ),
            ));
        }
        let tracking = std::env::var("B4_TRACKING_FILE").unwrap_or_default();
        let tracking = match tracking.as_str() {
            "" => Value::Null,
            path => read_tracking(path.into())?,
        };
        Ok(Self::from(&bytes, &tracking))
    }

    fn from(mail: &[u8], tracking: &Value) -> Self {
        let patch = mail::parse_one("mail", mail);
        let mut of_series = BTreeSet::new();
        collect_ids(tracking, &mut of_series);
        Self {
            diff: patch.map(|patch| patch.diff_sha256()),
            message_id: Mail::of(mail).message_id,
            of_series,
        }
    }

    /// Returns the part of a run that matches the mail. Mails with the same change and
    /// different ids belong to different versions of a series, so they do not match.
    fn find_in(&self, provenance: &Provenance) -> Option<Part> {
        let judged = provenance.judged.as_ref()?;
        let is_same = |ours: &Option<String>| match (ours, &self.message_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        if let Some(diff) = &self.diff {
            let mut patches = judged.patches.iter();
            let at =
                patches.position(|patch| patch.diff_sha256 == *diff && is_same(&patch.message_id));
            return at.map(|at| Part::Patch(at + 1));
        }
        let known = judged.patches.iter().map(|patch| &patch.message_id);
        let mut known = known.chain([&judged.message_id]).flatten();
        let is_queried =
            |id: &String| Some(id) == self.message_id.as_ref() || self.of_series.contains(id);
        known.any(is_queried).then_some(Part::Series)
    }
}

/// Reads b4's file about the series.
fn read_tracking(path: &Utf8Path) -> anyhow::Result<Value> {
    let wrong = |why: &dyn std::fmt::Display| {
        bad_input(
            format!("cannot read `{path}` of `B4_TRACKING_FILE`: {why}"),
            "b4 sets the variable to a JSON file; without it, only the mail itself is matched",
        )
    };
    let bytes = read_plain(path, TRACKING_BYTES_MAX).map_err(|why| wrong(&why))?;
    serde_json::from_slice(&bytes).map_err(|why| wrong(&why))
}

/// Collects all strings that look like message-ids, because the format of b4's tracking file
/// is not documented.
fn collect_ids(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let id = text.trim_matches(['<', '>']);
            if id.contains('@') && !id.contains(' ') {
                ids.insert(id.to_owned());
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_ids(value, ids)),
        Value::Object(map) => map.values().for_each(|value| collect_ids(value, ids)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::exit::exit_for;
    use xtask::result::{PatchFacts, SeriesFacts};

    const DIFF: &str = "---\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n";

    fn query(headers: &str, body: &str, tracking: &Value) -> Query {
        let mail = format!("From: A <a@b>\nSubject: [PATCH 2/2] two\n{headers}\n{body}");
        Query::from(mail.as_bytes(), tracking)
    }

    /// A run of a series whose second patch is `DIFF`.
    fn run_of(message_id: Option<&str>) -> Provenance {
        let patch = |subject: &str| PatchFacts {
            subject: subject.to_owned(),
            sha256: String::new(),
            diff_sha256: format!("of {subject}"),
            message_id: Some(format!("{subject}@example.org")),
        };
        let second = PatchFacts {
            diff_sha256: query("", DIFF, &Value::Null).diff.unwrap(),
            message_id: message_id.map(str::to_owned),
            ..patch("two")
        };
        Provenance {
            judged: Some(SeriesFacts {
                name: "s".to_owned(),
                title: "a series".to_owned(),
                message_id: Some("s@example.org".to_owned()),
                patches: vec![patch("one"), second],
            }),
            ..Provenance::default()
        }
    }

    #[test]
    fn find_in_matches_a_patch_by_content_and_rejects_other_message_ids() {
        let mail = query("Message-ID: <v2@x>\n", DIFF, &Value::Null);
        assert_eq!(mail.find_in(&run_of(None)), Some(Part::Patch(2)));
        assert_eq!(mail.find_in(&run_of(Some("v2@x"))), Some(Part::Patch(2)));
        assert_eq!(mail.find_in(&run_of(Some("v1@x"))), None);
        let other = query("", &DIFF.replace("+b", "+c"), &Value::Null);
        assert_eq!(other.find_in(&run_of(None)), None);
    }

    #[test]
    fn read_tracking_rejects_missing_and_invalid_files_as_wrong_input() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("tracking");
        let refused = || {
            let error = read_tracking(&path).unwrap_err();
            assert_eq!(exit_for(&error), Exit::Input);
            assert!(error.to_string().contains(path.as_str()), "{error}");
        };
        refused();
        fs_err::write(&path, "no JSON").unwrap();
        refused();
        fs_err::write(&path, "{}").unwrap();
        assert_eq!(read_tracking(&path).unwrap(), serde_json::json!({}));
    }

    #[test]
    fn find_in_matches_a_cover_letter_by_its_id_and_by_tracked_ids() {
        let cover = query("Message-ID: <s@example.org>\n", "words", &Value::Null);
        assert_eq!(cover.find_in(&run_of(None)), Some(Part::Series));
        let unknown = query("Message-ID: <x@example.org>\n", "words", &Value::Null);
        assert_eq!(unknown.find_in(&run_of(None)), None);
        let tracking =
            serde_json::json!({"patches": [{"header-info": {"msgid": "one@example.org"}}]});
        let tracked = query("Message-ID: <x@example.org>\n", "words", &tracking);
        assert_eq!(tracked.find_in(&run_of(None)), Some(Part::Series));
        assert_eq!(
            tracked.find_in(&Provenance::default()),
            None,
            "a run without recorded ids"
        );
    }
}
