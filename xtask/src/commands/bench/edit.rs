// SPDX-License-Identifier: MIT OR Apache-2.0
//! A side that changes a line of C in a patch, then runs `test` or `build`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::process::Tool;
use sha2::{Digest as _, Sha256};
use xtask::engine::job::Job;
use xtask::engine::options::DEFAULT_SERIES;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;

use super::case::{Bench, Outcome, Sample, Side};
use super::test_run::{Figure, TestRun, shown, this_program};
use crate::cli::BenchArgs;

const LIMIT: Duration = Duration::from_secs(3600);
/// The name of the edited series in printed commands.
const EDITED: &str = "EDITED";
/// A few scenarios, as run while editing; one of them has a kexec.
const SCENARIOS: [&str; 4] = [
    "get-outgoing-without-preserve",
    "live-update-kexec",
    "outgoing-flb-held-while-last-file-goes",
    "sysfs-remove-while-preserved",
];

/// Prepares the case `edit`: from the edit to the results.
pub(super) fn result(args: &BenchArgs) -> Bench {
    let name = "edit to result";
    let words = format!("{} {}", SCENARIOS.join(" "), options());
    let test = TestRun::new(name, &words, SCENARIOS.len(), Figure::Wall, args);
    let command = test.command(&["--series", EDITED]);
    bench(name, command, move |series, folder, session| {
        let outcome = test.once(&["--series", series.as_str()], folder, session)?;
        let image = match &outcome {
            Outcome::Passed(_) => Some(image_of(&folder.join("run"))?),
            Outcome::Failed(_) => None,
        };
        Ok((outcome, image))
    })
}

/// Prepares the case `mutant`: from the edit to a kernel image.
pub(super) fn mutant(args: &BenchArgs) -> Bench {
    let tree = args.tree.clone();
    let options = options();
    let words = move |series: &str| -> Vec<String> {
        let words = ["build", "--series", series].into_iter();
        let tree = tree.iter().flat_map(|tree| ["--tree", tree]);
        let words = words.chain(options.split_whitespace()).chain(tree);
        words.map(str::to_owned).collect()
    };
    let command = shown(words(EDITED).iter().map(String::as_str));
    bench("one more kernel", command, move |series, _, session| {
        build(&words(series.as_str()), session)
    })
}

/// Returns the options that select the edited series on one checkout.
fn options() -> String {
    format!("--provides {DEFAULT_SERIES} --checkouts series --config fast")
}

/// Returns a case with one side: `run` gets the edited series and an empty folder, and returns
/// the outcome and the kernel image of the series, unless it failed.
fn bench(
    name: &str,
    command: String,
    run: impl Fn(&Utf8Path, &Utf8Path, &Session) -> anyhow::Result<(Outcome, Option<Utf8PathBuf>)>
    + 'static,
) -> Bench {
    let images = Images::default();
    let once = move |folder: &Utf8Path, session: &Session| -> anyhow::Result<Outcome> {
        let series = folder.join(DEFAULT_SERIES);
        let original = session.layout.series().join(DEFAULT_SERIES);
        copy_folder(&original, &series, &session.cancel)?;
        edit_first(&series, &stamp())?;
        let (outcome, image) = run(&series, folder, session)?;
        let Some(image) = image else {
            return Ok(outcome);
        };
        let failure = images.insert(&image)?;
        remove_kernel(&image, session)?;
        Ok(failure.map_or(outcome, Outcome::Failed))
    };
    Bench {
        sides: vec![Side {
            name: name.to_owned(),
            command,
            once: Box::new(once),
        }],
        notes: vec![format!(
            "{EDITED} is a copy of {DEFAULT_SERIES}; in each round, a different string is added \
             before the first call that its patches add to a .c file; no two kernel images were \
             equal"
        )],
    }
}

/// Runs `build`, and checks that it built one kernel and took none from the cache.
fn build(words: &[String], session: &Session) -> anyhow::Result<(Outcome, Option<Utf8PathBuf>)> {
    let tool = this_program(session)?.args(words);
    let begun = Instant::now();
    let output = tool
        .deadline("measured command", LIMIT)
        .run(&session.cancel)?;
    let figure = begun.elapsed().as_secs_f64();
    let image = built_image(&output.stdout_text())
        .with_context(|| format!("`{}` did not build one kernel", words.join(" ")))?;
    let sample = Sample {
        figure,
        ..Sample::default()
    };
    Ok((Outcome::Passed(sample), Some(image)))
}

/// The hashes of the kernel images of all rounds.
#[derive(Debug, Default)]
struct Images(RefCell<BTreeSet<[u8; 32]>>);

impl Images {
    /// Adds the image of a round. Returns an error text if an earlier round had the same
    /// image, because then the round could use the checkpoint of the earlier round.
    fn insert(&self, image: &Utf8Path) -> std::io::Result<Option<String>> {
        let mut sum = Sha256::new();
        std::io::copy(&mut fs::File::open(image)?, &mut sum)?;
        let is_new = self.0.borrow_mut().insert(sum.finalize().into());
        let why = "the edit did not change the kernel: an earlier round had the same image";
        Ok((!is_new).then(|| why.to_owned()))
    }
}

/// Returns a text that no earlier run used, so that no cache has a kernel with it.
fn stamp() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}

fn image_of(run: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let folder = RunFolder::open(run)?;
    let plan = folder.plan()?;
    let job = plan.jobs.first().context("the run had no jobs")?;
    Ok(Job::read(job, &folder)?.binaries.image)
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
    copy.deadline("copying the series", LIMIT).run(cancel)?;
    Ok(())
}

/// Edits the first patch of a series that adds C.
fn edit_first(series: &Utf8Path, stamp: &str) -> anyhow::Result<()> {
    let mut patches: Vec<Utf8PathBuf> = series
        .read_dir_utf8()?
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .filter(|path| path.extension() == Some("patch"))
        .collect();
    patches.sort();
    for path in patches {
        if let Some(text) = edit(&fs::read_to_string(&path)?, stamp) {
            return Ok(fs::write(path, text)?);
        }
    }
    anyhow::bail!("no patch of {DEFAULT_SERIES} adds a call to a function in a .c file")
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
    fn insert_reports_an_image_of_an_earlier_round() {
        let dir = tempfile::tempdir().unwrap();
        let image = Utf8Path::from_path(dir.path()).unwrap().join("bzImage");
        let images = Images::default();
        let mut round = |content: &str| {
            fs::write(&image, content).unwrap();
            images.insert(&image).unwrap().is_some()
        };
        assert_eq!(
            ["a", "b", "b", "a"].map(&mut round),
            [false, false, true, true]
        );
    }

    #[test]
    fn edit_first_finds_a_call_in_the_default_series() {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let copy = Utf8Path::from_path(dir.path()).unwrap().join("copy");
        let series = root.join("kernel-patches").join(DEFAULT_SERIES);
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
