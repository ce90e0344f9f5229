// SPDX-License-Identifier: MIT OR Apache-2.0
//! A side that changes a line of C in a patch, then runs `test` or `build`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::case::{Bench, Outcome, Sample, Side};
use super::test_run::{Figure, TestRun, this_program};
use crate::cli::{BenchArgs, DEFAULT_SERIES};
use xtask::engine::job::Job;
use xtask::engine::program;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;

const LIMIT: Duration = Duration::from_secs(3600);
/// The name of the edited series in printed commands.
const EDITED: &str = "EDITED";

/// The command that runs after the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// `test` of all [`SCENARIOS`].
    Test,
    /// `build` of the series.
    Build,
}

/// A few scenarios, as run while editing; one of them has a kexec.
const SCENARIOS: [&str; 4] = [
    "get-outgoing-without-preserve",
    "live-update-kexec",
    "outgoing-flb-held-while-last-file-goes",
    "sysfs-remove-while-preserved",
];

/// Prepares the case `edit`: from the edit to the results.
pub(crate) fn result(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    bench(Action::Test, "edit to result", args)
}

/// Prepares the case `mutant`: from the edit to a kernel image.
pub(crate) fn mutant(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    bench(Action::Build, "one more kernel", args)
}

fn bench(action: Action, name: &str, args: &BenchArgs) -> anyhow::Result<Bench> {
    let side = Edited {
        name: name.to_owned(),
        action,
        jobs: SCENARIOS.len(),
        tree: args.tree.clone(),
        images: Images::default(),
    };
    Ok(Bench {
        sides: vec![Box::new(side)],
        notes: vec![format!(
            "{EDITED} is a copy of {DEFAULT_SERIES}; in each round, a different string is added \
             before the first call that its patches add to a .c file; no two kernel images were \
             equal"
        )],
    })
}

/// A command on a copy of the series that is edited before each run.
#[derive(Debug)]
struct Edited {
    name: String,
    action: Action,
    jobs: usize,
    tree: Option<String>,
    images: Images,
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

impl Edited {
    fn words<'a>(&'a self, series: &'a str) -> Vec<&'a str> {
        let mut words = vec!["--series", series, "--provides", DEFAULT_SERIES];
        words.extend(["--checkouts", "series", "--config", "fast"]);
        words.extend(self.tree.iter().flat_map(|tree| ["--tree", tree]));
        words
    }

    fn test_run(&self, series: &str) -> TestRun {
        let words = [&SCENARIOS[..], &self.words(series)].concat();
        TestRun::new(&self.name, &words, self.jobs, Figure::Wall)
    }

    /// Runs `build`, and checks that it built one kernel and took none from the cache.
    fn build(
        &self,
        series: &Utf8Path,
        session: &Session,
    ) -> anyhow::Result<(Outcome, Utf8PathBuf)> {
        let words = self.words(series.as_str());
        let tool = this_program(session)?
            .arg("build")
            .args(words)
            .deadline("measured command", LIMIT);
        let begun = Instant::now();
        let output = tool.run(&session.cancel)?;
        let took = begun.elapsed();
        let image = built_image(&output.stdout_text())
            .with_context(|| format!("`{}` did not build one kernel", self.command()))?;
        Ok((Outcome::Passed(Sample::new(took.as_secs_f64())), image))
    }
}

impl Side for Edited {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> String {
        match self.action {
            Action::Test => self.test_run(EDITED).command(),
            Action::Build => {
                let words = self.words(EDITED).join(" ");
                format!("{} build {words}", program::name())
            }
        }
    }

    fn once(&self, folder: &Utf8Path, session: &Session) -> anyhow::Result<Outcome> {
        let series = folder.join(DEFAULT_SERIES);
        copy_folder(&session.layout.series().join(DEFAULT_SERIES), &series)?;
        edit_first(&series, &stamp())?;
        let (outcome, image) = match self.action {
            Action::Build => self.build(&series, session)?,
            Action::Test => {
                let outcome = self.test_run(series.as_str()).once(folder, session)?;
                if let Outcome::Failed(_) = outcome {
                    return Ok(outcome);
                }
                (outcome, image_of(&folder.join("run"))?)
            }
        };
        let failure = self.images.insert(&image)?;
        remove_kernel(&image, session)?;
        Ok(failure.map_or(outcome, Outcome::Failed))
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

fn copy_folder(from: &Utf8Path, to: &Utf8Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
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
        copy_folder(&root.join("kernel-patches").join(DEFAULT_SERIES), &copy).unwrap();
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
