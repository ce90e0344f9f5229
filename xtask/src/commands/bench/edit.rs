// SPDX-License-Identifier: GPL-2.0-only
//! The author's loop: a line of C in a patch is changed, and something is asked again.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::case::{Bench, Came, Sample, Side};
use super::ours::{Figure, Ours};
use crate::cli::{BenchArgs, DEFAULT_SERIES};
use crate::commands::generate;
use crate::commands::test::judge::Record;
use crate::plan::Plan;
use crate::run_folder::{PLAN, RunFolder};
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(3600);
/// How the series that was edited is called when talking to people.
const EDITED: &str = "EDITED";

/// What is asked after the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// Whether all scenarios pass on it.
    Verdict,
    /// A kernel of it, and nothing else.
    Kernel,
}

/// Gets ready: from the edit to the verdict.
pub(crate) fn verdict(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    bench(Question::Verdict, "edit to verdict", args, session)
}

/// Gets ready: from the edit to a kernel.
pub(crate) fn mutant(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    bench(Question::Kernel, "one more kernel", args, session)
}

fn bench(
    question: Question,
    name: &str,
    args: &BenchArgs,
    session: &Session,
) -> anyhow::Result<Bench> {
    let side = Edited {
        name: name.to_owned(),
        question,
        cells: generate::scenarios(session)?.len(),
        tree: args.kernel.clone(),
    };
    Ok(Bench {
        sides: vec![Box::new(side)],
        notes: vec![format!(
            "{EDITED} is a copy of {DEFAULT_SERIES} with a comment behind the first statement that \
             its patches add to a .c file, another one each time"
        )],
    })
}

/// One of our commands on a series that is edited anew each time.
#[derive(Debug)]
struct Edited {
    name: String,
    question: Question,
    cells: usize,
    tree: Option<String>,
}

impl Edited {
    fn words<'a>(&'a self, series: &'a str) -> Vec<&'a str> {
        let mut words = vec!["--series", series, "--provides", DEFAULT_SERIES];
        words.extend(["--stacks", "series", "--profile", "fast"]);
        words.extend(self.tree.iter().flat_map(|tree| ["--kernel", tree]));
        words
    }

    fn ours(&self, series: &str) -> Ours {
        Ours::test(&self.name, &self.words(series), self.cells, Figure::Wall)
    }

    /// Builds, and sees that it was one kernel, and none from the cache.
    fn build(&self, series: &Utf8Path, session: &Session) -> anyhow::Result<(Came, Utf8PathBuf)> {
        let words = self.words(series.as_str());
        let tool = super::ours::cargo_xtask()
            .arg("build")
            .args(words)
            .cwd(session.layout.root())
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
            Question::Verdict => self.ours(EDITED).command(),
            Question::Kernel => {
                format!("cargo xtask build {}", self.words(EDITED).join(" "))
            }
        }
    }

    fn once(&self, place: &Utf8Path, session: &Session) -> anyhow::Result<Came> {
        let series = place.join(DEFAULT_SERIES);
        copy_folder(&session.layout.series().join(DEFAULT_SERIES), &series)?;
        edit_first(&series, &stamp())?;
        let (came, image) = match self.question {
            Question::Kernel => self.build(&series, session)?,
            Question::Verdict => {
                let came = self.ours(series.as_str()).once(place, session)?;
                if let Came::Wrong(_) = came {
                    return Ok(came);
                }
                (came, image_of(&place.join("run"))?)
            }
        };
        forget_kernel(&image, session)?;
        Ok(came)
    }
}

/// Something that was never there before, so that no cache knows the answer.
fn stamp() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}

fn image_of(run: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let folder = RunFolder::open(run)?;
    let plan: Plan = folder.read_json(PLAN)?;
    let cell = plan.cells.first().context("the run had no cells")?;
    Ok(Record::read(cell, &folder)?.binaries.image)
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
    anyhow::bail!("no patch of {DEFAULT_SERIES} adds a statement to a .c file")
}

/// Returns the patch with a comment behind the first statement that it adds to
/// a .c file; no line more or less, so that the hunk's header still holds.
fn edit(patch: &str, stamp: &str) -> Option<String> {
    let mut is_c = false;
    let mut is_edited = false;
    let mut out = String::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ ") {
            is_c = path.ends_with(".c");
        }
        out += line;
        let is_added = line.starts_with('+') && !line.starts_with("+++ ");
        if is_c && !is_edited && is_added && line.ends_with(';') {
            out += &format!(" /* {stamp} */");
            is_edited = true;
        }
        out.push('\n');
    }
    is_edited.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_added_statement_of_a_c_file_gets_a_comment() {
        let patch = "--- a/x.h\n+++ b/x.h\n@@ -1 +1,2 @@\n a;\n+int h;\n\
                     --- a/x.c\n+++ b/x.c\n@@ -1 +1,3 @@\n c;\n+\n+int c;\n+int d;\n";
        let edited = edit(patch, "7").unwrap();
        assert_eq!(edited, patch.replace("+int c;", "+int c; /* 7 */"));
        assert_eq!(edit("+++ b/x.h\n+int h;\n", "7"), None);
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
