// SPDX-License-Identifier: GPL-2.0-only
//! The author's loop: a line of C in a patch is changed, and something is asked again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::case::{Bench, Came, Sample, Side};
use super::ours::{Figure, Ours};
use crate::cli::{BenchArgs, DEFAULT_SERIES};
use crate::program;
use crate::record::Record;
use crate::run_folder::RunFolder;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(3600);
/// How the series that was edited is called when talking to people.
const EDITED: &str = "EDITED";

/// What is asked after the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// Whether all scenarios pass on it.
    Result,
    /// A kernel of it, and nothing else.
    Kernel,
}

/// What somebody runs while editing: a few scenarios, one of them with a kexec.
const SCENARIOS: [&str; 4] = [
    "get-outgoing-without-preserve",
    "live-update-kexec",
    "outgoing-flb-held-while-last-file-goes",
    "sysfs-remove-while-preserved",
];

/// Gets ready: from the edit to the verdict.
pub(crate) fn result(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    bench(Question::Result, "edit to result", args)
}

/// Gets ready: from the edit to a kernel.
pub(crate) fn mutant(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    bench(Question::Kernel, "one more kernel", args)
}

fn bench(question: Question, name: &str, args: &BenchArgs) -> anyhow::Result<Bench> {
    let side = Edited {
        name: name.to_owned(),
        question,
        jobs: SCENARIOS.len(),
        tree: args.tree.clone(),
        seen: Images::default(),
    };
    Ok(Bench {
        sides: vec![Box::new(side)],
        notes: vec![format!(
            "{EDITED} is a copy of {DEFAULT_SERIES} with a text that the kernel keeps before the \
             first call that its patches add to a .c file, another one each time; no two images \
             were the same"
        )],
    })
}

/// One of our commands on a series that is edited anew each time.
#[derive(Debug)]
struct Edited {
    name: String,
    question: Question,
    jobs: usize,
    tree: Option<String>,
    seen: Images,
}

/// The images of the rounds so far, by the sum of their content.
#[derive(Debug, Default)]
struct Images(RefCell<BTreeSet<[u8; 32]>>);

impl Images {
    /// Takes note of a round's image; returns what is wrong when there was one like
    /// it: its guests would go on from the checkpoint that another round had to make.
    fn report(&self, image: &Utf8Path) -> std::io::Result<Option<String>> {
        let mut sum = Sha256::new();
        std::io::copy(&mut fs::File::open(image)?, &mut sum)?;
        let is_new = self.0.borrow_mut().insert(sum.finalize().into());
        let why = "the edit changed nothing in the kernel: its image is that of an earlier round";
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

    fn ours(&self, series: &str) -> Ours {
        let words = [&SCENARIOS[..], &self.words(series)].concat();
        Ours::test(&self.name, &words, self.jobs, Figure::Wall)
    }

    /// Builds, and sees that it was one kernel, and none from the cache.
    fn build(&self, series: &Utf8Path, session: &Session) -> anyhow::Result<(Came, Utf8PathBuf)> {
        let words = self.words(series.as_str());
        let tool = super::ours::ourselves(session)?
            .arg("build")
            .args(words)
            .deadline("measured command", LIMIT);
        let begun = Instant::now();
        let output = tool.run(&session.cancel)?;
        let took = begun.elapsed();
        let image = built_image(&output.stdout_text())
            .with_context(|| format!("`{}` did not build one kernel", self.command()))?;
        Ok((Came::Right(Sample::new(took.as_secs_f64())), image))
    }
}

impl Side for Edited {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> String {
        match self.question {
            Question::Result => self.ours(EDITED).command(),
            Question::Kernel => {
                let words = self.words(EDITED).join(" ");
                format!("{} build {words}", program::name())
            }
        }
    }

    fn once(&self, place: &Utf8Path, session: &Session) -> anyhow::Result<Came> {
        let series = place.join(DEFAULT_SERIES);
        copy_folder(&session.layout.series().join(DEFAULT_SERIES), &series)?;
        edit_first(&series, &stamp())?;
        let (came, image) = match self.question {
            Question::Kernel => self.build(&series, session)?,
            Question::Result => {
                let came = self.ours(series.as_str()).once(place, session)?;
                if let Came::Wrong(_) = came {
                    return Ok(came);
                }
                (came, image_of(&place.join("run"))?)
            }
        };
        let report = self.seen.report(&image)?;
        forget_kernel(&image, session)?;
        Ok(report.map_or(came, Came::Wrong))
    }
}

/// Something that was never there before, so that no cache knows the answer.
fn stamp() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}

fn image_of(run: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let folder = RunFolder::open(run)?;
    let plan = folder.plan()?;
    let job = plan.jobs.first().context("the run had no jobs")?;
    Ok(Record::read(job, &folder)?.binaries.image)
}

/// Nobody will ask for this kernel again.
fn forget_kernel(image: &Utf8Path, session: &Session) -> anyhow::Result<()> {
    let kernels = session.cache.dir(&["kernels"])?;
    match image.parent() {
        Some(dir) if dir.parent() == Some(&kernels) => Ok(fs::remove_dir_all(dir)?),
        _ => Ok(()),
    }
}

/// Reads what `build` prints, `series (fast): IMAGE built`.
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

/// Returns the patch with `stamp` before the first call that it adds to a .c file,
/// as a text that the compiler must keep: a comment would leave no trace in a kernel
/// without debug information. No line more or less, so that the hunk's header still
/// holds.
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

/// Returns the call that a line of a patch adds right in a function's body. Deeper
/// in, the line may be all that belongs to an `if` or a loop without braces.
fn added_call(line: &str) -> Option<&str> {
    let call = line.strip_prefix("+\t")?;
    let is_call = call.starts_with(|first: char| first.is_ascii_alphabetic());
    (is_call && call.ends_with(");")).then_some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_added_call_of_a_c_file_gets_a_text_before_it() {
        let patch = "--- a/x.h\n+++ b/x.h\n@@ -1 +1,2 @@\n a;\n+\th();\n\
                     --- a/x.c\n+++ b/x.c\n@@ -1,3 +1,7 @@\n \tc();\n+\tint n;\n+\tif (n)\n\
                     +\t\td(n,\n+\t\t  n);\n+\te(n);\n+\tf(n);\n";
        let edited = edit(patch, "7").unwrap();
        let there = "+\tbarrier_data(\"7\"); e(n);";
        assert_eq!(edited, patch.replace("+\te(n);", there));
        assert_eq!(edit("+++ b/x.h\n+\th();\n", "7"), None);
    }

    #[test]
    fn an_image_that_was_there_in_an_earlier_round_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let image = Utf8Path::from_path(dir.path()).unwrap().join("bzImage");
        let seen = Images::default();
        let mut round = |content: &str| {
            fs::write(&image, content).unwrap();
            seen.report(&image).unwrap().is_some()
        };
        assert_eq!(
            ["a", "b", "b", "a"].map(&mut round),
            [false, false, true, true]
        );
    }

    #[test]
    fn the_series_that_is_edited_has_such_a_statement() {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let copy = Utf8Path::from_path(dir.path()).unwrap().join("copy");
        copy_folder(&root.join("kernel-patches").join(DEFAULT_SERIES), &copy).unwrap();
        edit_first(&copy, "7").unwrap();
    }

    #[test]
    fn only_one_kernel_that_was_built_is_one() {
        let line = "series (fast): /cache/kernels/1/bzImage built\n";
        assert_eq!(built_image(line).unwrap(), "/cache/kernels/1/bzImage");
        assert_eq!(built_image(&line.repeat(2)), None);
        assert_eq!(
            built_image("series (fast): /cache/k/bzImage from the cache\n"),
            None
        );
    }
}
