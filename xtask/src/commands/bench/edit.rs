// SPDX-License-Identifier: MIT OR Apache-2.0
//! The side of a case that changes a line of C in a patch, then runs `test` or `build`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::content::ContentId;
use patchbed_host::files::listing;
use patchbed_host::process::Tool;
use xtask::engine::job::Job;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;

use super::command::{Once, Outcome, Sample, TestRun, run_own, shown};

/// The series that is copied and edited.
const ORIGINAL: &str = "flb-refcount";
const COPY_LIMIT: Duration = Duration::from_secs(60);
/// Stands for the edited series in a command.
pub(super) const EDITED: &str = "EDITED";

/// Returns a run of `test` or `build` on the edited series, from the edit to the results or to
/// the kernel image.
pub(super) fn prepare(words: Vec<String>, run: TestRun) -> Box<Once> {
    let images = RefCell::new(BTreeSet::new());
    Box::new(move |folder, session| {
        let series = folder.join(ORIGINAL);
        let original = session.layout.series().join(ORIGINAL);
        copy_folder(&original, &series, &session.cancel)?;
        edit_first(&series, &stamp())?;
        let replaced = words.iter().map(|word| match word.as_str() {
            EDITED => series.to_string(),
            _ => word.clone(),
        });
        let words: Vec<String> = replaced.collect();
        let outcome = match words[0].as_str() {
            "build" => build(&words, folder, session)?,
            _ => test(run, &words, folder, session)?,
        };
        let (sample, image) = match outcome {
            Outcome::Passed(passed) => passed,
            Outcome::Failed(why) => return Ok(Outcome::Failed(why)),
        };
        let is_new = is_new(&image, &mut images.borrow_mut())?;
        remove_kernel(&image, session)?;
        if !is_new {
            let why = "the edit did not change the kernel: an earlier round had the same image";
            return Ok(Outcome::Failed(why.to_owned()));
        }
        Ok(Outcome::Passed(sample))
    })
}

/// Runs `build`, which must build one kernel and take none from the cache. Returns its image.
fn build(
    words: &[String],
    folder: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Outcome<(Sample, Utf8PathBuf)>> {
    let (output, measured) = match run_own(words, &[], folder, session)? {
        Outcome::Passed(ended) => ended,
        Outcome::Failed(why) => return Ok(Outcome::Failed(why)),
    };
    let image = built_image(&output.stdout_text())
        .with_context(|| format!("`{}` did not build one kernel", shown(words)))?;
    let sample = Sample {
        figure: measured.secs,
        ..Sample::default()
    };
    Ok(Outcome::Passed((sample, image)))
}

/// Runs `test`. Returns the kernel image of its first job.
fn test(
    run: TestRun,
    words: &[String],
    folder: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Outcome<(Sample, Utf8PathBuf)>> {
    let sample = match run.once(words, folder, session)? {
        Outcome::Passed(sample) => sample,
        Outcome::Failed(why) => return Ok(Outcome::Failed(why)),
    };
    let run = RunFolder::open(&folder.join("run"))?;
    let plan = run.plan()?;
    let job = plan.jobs.first().context("the run had no jobs")?;
    Ok(Outcome::Passed((
        sample,
        Job::read(job, &run)?.binaries.image,
    )))
}

/// Adds the image of a round, and returns whether no earlier round had the same image. With the
/// same image, the round could use the checkpoint of the earlier round.
fn is_new(image: &Utf8Path, known: &mut BTreeSet<String>) -> std::io::Result<bool> {
    let content = ContentId::new("image").part(fs::read(image)?);
    Ok(known.insert(content.finish()))
}

/// Returns a text that no earlier run used, so that no cache has a kernel with it.
fn stamp() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}

/// Removes a kernel from the cache; it is never used again.
fn remove_kernel(image: &Utf8Path, session: &Session) -> anyhow::Result<()> {
    let kernels = session.cache.dir(&["kernels"])?;
    match image.parent() {
        Some(dir) if dir.parent() == Some(&kernels) => Ok(fs::remove_dir_all(dir)?),
        _ => Ok(()),
    }
}

/// Parses the output of `build`, `series (fast): IMAGE built`.
fn built_image(text: &str) -> Option<Utf8PathBuf> {
    let mut lines = text.lines();
    let (line, None) = (lines.next()?, lines.next()) else {
        return None;
    };
    let image = line.strip_suffix(" built")?.split_once(": ")?.1;
    Some(image.into())
}

fn copy_folder(from: &Utf8Path, to: &Utf8Path, cancel: &Cancel) -> anyhow::Result<()> {
    let copy = Tool::new("cp").args(["-RL", from.as_str(), to.as_str()]);
    copy.deadline("copying the series", COPY_LIMIT)
        .run(cancel)?;
    Ok(())
}

/// Edits the first patch of a series that adds C.
fn edit_first(series: &Utf8Path, stamp: &str) -> anyhow::Result<()> {
    let mut patches = listing(series)?;
    patches.retain(|path| path.extension() == Some("patch"));
    for path in patches {
        if let Some(text) = edit(&fs::read_to_string(&path)?, stamp) {
            return Ok(fs::write(path, text)?);
        }
    }
    anyhow::bail!("no patch of {ORIGINAL} adds a call to a function in a .c file")
}

/// Returns the patch with `stamp` before the first call that it adds to a .c file, as a
/// string that the compiler must not remove: a comment would not change a kernel without
/// debug information. The number of lines stays the same, so the hunk's header stays valid.
fn edit(patch: &str, stamp: &str) -> Option<String> {
    let mut is_c = false;
    let mut is_edited = false;
    let mut out = String::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ ") {
            is_c = path.ends_with(".c");
        }
        match added_call(line) {
            Some(call) if is_c && !is_edited => {
                out += &format!("+\tbarrier_data(\"{stamp}\"); {call}");
                is_edited = true;
            }
            _ => out += line,
        }
        out.push('\n');
    }
    is_edited.then_some(out)
}

/// Returns the call that a line of a patch adds at the top level of a function's body. A line
/// that is indented further may be the body of an `if` or a loop without braces.
fn added_call(line: &str) -> Option<&str> {
    let call = line.strip_prefix("+\t")?;
    let is_call = call.starts_with(|first: char| first.is_ascii_alphabetic());
    (is_call && call.ends_with(");")).then_some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_adds_the_stamp_before_the_first_added_call_of_a_c_file() {
        let patch = "--- a/x.h\n+++ b/x.h\n@@ -1 +1,2 @@\n a;\n+\th();\n\
                     --- a/x.c\n+++ b/x.c\n@@ -1,3 +1,7 @@\n \tc();\n+\tint n;\n+\tif (n)\n\
                     +\t\td(n,\n+\t\t  n);\n+\te(n);\n+\tf(n);\n";
        let edited = edit(patch, "7").unwrap();
        let stamped = "+\tbarrier_data(\"7\"); e(n);";
        assert_eq!(edited, patch.replace("+\te(n);", stamped));
        assert_eq!(edit("+++ b/x.h\n+\th();\n", "7"), None);
    }

    #[test]
    fn is_new_rejects_an_image_of_an_earlier_round() {
        let dir = tempfile::tempdir().unwrap();
        let image = Utf8Path::from_path(dir.path()).unwrap().join("bzImage");
        let mut images = BTreeSet::new();
        let mut round = |content: &str| {
            fs::write(&image, content).unwrap();
            is_new(&image, &mut images).unwrap()
        };
        assert_eq!(
            ["a", "b", "b", "a"].map(&mut round),
            [true, true, false, false]
        );
    }

    #[test]
    fn edit_first_finds_a_call_in_the_default_series() {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let copy = Utf8Path::from_path(dir.path()).unwrap().join("copy");
        let series = root.join("kernel-patches").join(ORIGINAL);
        copy_folder(&series, &copy, &Cancel::new()).unwrap();
        edit_first(&copy, "7").unwrap();
    }

    #[test]
    fn built_image_rejects_two_kernels_and_a_cached_kernel() {
        let line = "series (fast): /cache/kernels/1/bzImage built\n";
        assert_eq!(built_image(line).unwrap(), "/cache/kernels/1/bzImage");
        assert_eq!(built_image(&line.repeat(2)), None);
        assert_eq!(
            built_image("series (fast): /cache/k/bzImage from the cache\n"),
            None
        );
    }
}
