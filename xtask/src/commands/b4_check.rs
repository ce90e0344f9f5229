// SPDX-License-Identifier: GPL-2.0-only
//! `b4-check`: what the runs that there are say of a mail, in the words of b4's check
//! commands: the mail on standard input, results on standard output.
//!
//! A run is one of the same series when it says so: by message-ids where both have them,
//! else by the content of the patch. Nothing is run, for b4 waits meanwhile.

use std::collections::BTreeSet;
use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::mail::{self, Letter};
use patchbed_host::files::read_plain;
use serde_json::Value;

use crate::cli::B4CheckArgs;
use crate::exit::{Exit, bad_input};
use crate::program;
use crate::render;
use crate::render::b4;
use crate::render::report::Report;
use crate::result::Provenance;
use crate::run_folder::{self, RunFolder};
use crate::session::Session;

/// No mail is larger, in bytes.
const MAIL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What b4 knows of a series, in bytes.
const TRACKING_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// SHA-256 of the changes, if the mail is a patch.
    diff: Option<String>,
    message_id: Option<String>,
    /// Message-ids of the same series, as far as b4 told.
    of_series: BTreeSet<String>,
}

/// What part of a run answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Series,
    /// From 1.
    Patch(usize),
}

/// Answers.
pub(crate) fn run(args: &B4CheckArgs, session: &Session) -> anyhow::Result<Exit> {
    let asked = Asked::read()?;
    let answer = match &args.run {
        Some(path) => answer(&asked, &RunFolder::open(path)?, args.whole)?,
        None => newest(&asked, session, args.whole)?,
    };
    render::data_to_stdout(&answer.unwrap_or_else(b4::unknown))?;
    Ok(Exit::Ok)
}

/// Asks all runs, the newest first; one that cannot be read has nothing to say.
fn newest(asked: &Asked, session: &Session, whole: bool) -> anyhow::Result<Option<String>> {
    let mut runs: Vec<Utf8PathBuf> = session
        .layout
        .runs()?
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path().to_owned())
        .filter(|path| !path.is_symlink() && path.join(run_folder::RESULT).is_file())
        .collect();
    runs.sort();
    for path in runs.iter().rev() {
        if let Ok(Some(said)) = RunFolder::open(path).and_then(|run| answer(asked, &run, whole)) {
            return Ok(Some(said));
        }
    }
    Ok(None)
}

/// Returns what a run says, if it is one of that series.
fn answer(asked: &Asked, run: &RunFolder, whole: bool) -> anyhow::Result<Option<String>> {
    let result = run.result()?;
    let Some(part) = asked.find_in(&result.provenance) else {
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

impl Asked {
    /// Reads what b4 tells: a mail, and in a file the series that it tracks.
    fn read() -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        let stdin = std::io::stdin().lock();
        stdin.take(MAIL_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.is_empty() || bytes.len() as u64 > MAIL_BYTES_MAX {
            return Err(bad_input(
                "standard input is no mail",
                format!(
                    "b4 gives the mail to a check command; by hand: `{} b4-check < MAIL`",
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
            message_id: Letter::of(mail).message_id,
            of_series,
        }
    }

    /// Returns which part of a run is about the mail. Two mails with the same change and
    /// other ids are of two versions of a series, of which one was not judged.
    fn find_in(&self, provenance: &Provenance) -> Option<Part> {
        let judged = provenance.judged.as_ref()?;
        let is_same = |ours: &Option<String>| match (ours, &self.message_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        if let Some(diff) = &self.diff {
            let mut patches = judged.patches.iter();
            let at = patches.position(|one| one.diff_sha256 == *diff && is_same(&one.message_id));
            return at.map(|at| Part::Patch(at + 1));
        }
        let known = judged.patches.iter().map(|patch| &patch.message_id);
        let mut known = known.chain([&judged.message_id]).flatten();
        let is_asked =
            |id: &String| Some(id) == self.message_id.as_ref() || self.of_series.contains(id);
        known.any(is_asked).then_some(Part::Series)
    }
}

/// Reads what b4 knows of the series.
fn read_tracking(path: &Utf8Path) -> anyhow::Result<Value> {
    let wrong = |why: &dyn std::fmt::Display| {
        bad_input(
            format!("`B4_TRACKING_FILE` is `{path}`, which cannot be read: {why}"),
            "b4 sets it to a file of JSON; without it, a mail is known by itself alone",
        )
    };
    let bytes = read_plain(path, TRACKING_BYTES_MAX).map_err(|why| wrong(&why))?;
    serde_json::from_slice(&bytes).map_err(|why| wrong(&why))
}

/// Whatever shape b4 gives its notes, ids are texts in them with an `@`.
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
    use crate::exit::exit_for;
    use crate::result::tests::provenance;

    const DIFF: &str = "---\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n";

    fn asked(headers: &str, body: &str, tracking: &Value) -> Asked {
        let mail = format!("From: A <a@b>\nSubject: [PATCH 2/2] two\n{headers}\n{body}");
        Asked::from(mail.as_bytes(), tracking)
    }

    /// A run of a series whose second patch is `DIFF`.
    fn run_of(message_id: Option<&str>) -> Provenance {
        let mut provenance = provenance();
        let second = &mut provenance.judged.as_mut().unwrap().patches[1];
        second.diff_sha256 = asked("", DIFF, &Value::Null).diff.unwrap();
        second.message_id = message_id.map(str::to_owned);
        provenance
    }

    #[test]
    fn a_patch_is_found_by_content_and_another_version_of_it_is_not() {
        let mail = asked("Message-ID: <v2@x>\n", DIFF, &Value::Null);
        assert_eq!(mail.find_in(&run_of(None)), Some(Part::Patch(2)));
        assert_eq!(mail.find_in(&run_of(Some("v2@x"))), Some(Part::Patch(2)));
        assert_eq!(mail.find_in(&run_of(Some("v1@x"))), None);
        let other = asked("", &DIFF.replace("+b", "+c"), &Value::Null);
        assert_eq!(other.find_in(&run_of(None)), None);
    }

    #[test]
    fn a_tracking_file_that_cannot_be_read_is_wrong_input_and_named() {
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
    fn a_letter_is_found_by_its_id_or_those_that_b4_knows() {
        let cover = asked("Message-ID: <s@example.org>\n", "words", &Value::Null);
        assert_eq!(cover.find_in(&provenance()), Some(Part::Series));
        let stranger = asked("Message-ID: <x@example.org>\n", "words", &Value::Null);
        assert_eq!(stranger.find_in(&provenance()), None);
        let tracking =
            serde_json::json!({"patches": [{"header-info": {"msgid": "one@example.org"}}]});
        let tracked = asked("Message-ID: <x@example.org>\n", "words", &tracking);
        assert_eq!(tracked.find_in(&provenance()), Some(Part::Series));
        assert_eq!(
            tracked.find_in(&Provenance::default()),
            None,
            "an old run knows nothing"
        );
    }
}
