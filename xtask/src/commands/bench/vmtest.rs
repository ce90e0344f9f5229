// SPDX-License-Identifier: GPL-2.0-only
//! The tree's own `vmtest.sh` as a side: the one to beat.
//!
//! It runs in a working copy of the tree, never in the tree itself, with its
//! objects cached warm there. To make it boot the kernel that we boot, the copy's
//! `config.x86_64` holds our config's configuration; the script adds what it
//! asks of every kernel, builds, and goes about it as shipped.

use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::worktree::WorkTree;
use patchbed_host::cache::Cache;
use patchbed_host::files::read_plain;
use patchbed_host::process::{Output, Tool};

use super::case::{Bench, Came, Sample, Side};
use super::ours::{Figure, Ours};
use super::{fragment, leftovers};
use crate::cli::BenchArgs;
use crate::commands::bench::sources;
use crate::commands::build::{build_all, find_configs};
use crate::commands::sources::Sources;
use crate::exit::bad_input;
use crate::session::Session;

/// Where the script and its configurations lie in the tree.
const FOLDER: &str = "tools/testing/selftests/liveupdate";
/// The test that both sides run.
const TEST: &str = "luo_kexec_simple";
/// The first run builds a kernel.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// A guest that says more is broken, in bytes.
const SERIAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The checkout that is compared: what a developer of the series would run.
const CHECKOUT: &str = "series";
/// The config that both sides build.
const CONFIG: &str = "fast";

/// Which kernel the script is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Ours,
    Its,
}

/// Gets ready: ours against the script with our kernel's configuration.
pub(crate) fn same_kernel(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    bench(args, Kernel::Ours, session)
}

/// Gets ready: ours against the script as it is shipped.
pub(crate) fn as_shipped(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    bench(args, Kernel::Its, session)
}

fn bench(args: &BenchArgs, kernel: Kernel, session: &Session) -> anyhow::Result<Bench> {
    let sources = sources(args, CHECKOUT, session)?;
    let script = Script::prepare(&sources, kernel, session)?;
    let test = format!("liveupdate:{TEST}");
    let mut words = vec![
        "--kselftest",
        &test,
        "--checkouts",
        CHECKOUT,
        "--config",
        CONFIG,
    ];
    words.extend(args.tree.iter().flat_map(|tree| ["--tree", tree]));
    Ok(Bench {
        sides: vec![
            Box::new(Ours::test("ours", &words, 1, Figure::Wall)),
            Box::new(script),
        ],
        notes: vec![format!(
            "both on {}, checkout {CHECKOUT}",
            sources.tree.label()
        )],
    })
}

#[derive(Debug)]
struct Script {
    name: String,
    work: WorkTree,
    /// The configuration of the kernel that ours boots, to compare with.
    config: Option<Utf8PathBuf>,
}

impl Script {
    fn prepare(sources: &Sources, kernel: Kernel, session: &Session) -> anyhow::Result<Self> {
        let checkout = sources
            .checkouts
            .first()
            .ok_or_else(|| anyhow::anyhow!("there is no checkout to compare on"))?;
        let (folder, name) = match kernel {
            Kernel::Ours => ("vmtest-fast", "the tree's own vmtest.sh"),
            Kernel::Its => ("vmtest-stock", "the tree's own vmtest.sh and kernel"),
        };
        let cache = Cache::at(session.cache.dir(&["bench"])?)?;
        let work = WorkTree::take(
            &cache,
            &sources.tree,
            folder,
            &session.cancel,
            &session.progress,
        )?;
        work.turn_into(&sources.tree, &checkout.overlay, &session.progress)?;
        let script = Self {
            name: name.to_owned(),
            config: match kernel {
                Kernel::Ours => Some(lay_configuration(&work, sources, session)?),
                Kernel::Its => None,
            },
            work,
        };
        if !script.path().is_file() {
            return Err(bad_input(
                format!("{} has no `{FOLDER}/vmtest.sh`", sources.tree.label()),
                "name a tree that has it with `--tree`",
            ));
        }
        script.forget_killed()?;
        Ok(script)
    }

    fn path(&self) -> Utf8PathBuf {
        self.work.source().join(FOLDER).join("vmtest.sh")
    }

    /// The file that is there while the script runs, and stays when it is killed.
    fn in_progress(&self) -> Utf8PathBuf {
        self.work.home().join("in_progress")
    }

    /// Drops what a run that was killed may have left half written: make takes
    /// an object that is newer than its source for a good one.
    fn forget_killed(&self) -> anyhow::Result<()> {
        let objects = self.work.objects();
        fs::create_dir_all(&objects)?;
        if let Ok(mark) = fs::metadata(self.in_progress()) {
            remove_since(&objects, mark.modified()?)?;
            fs::remove_file(self.in_progress())?;
        }
        Ok(())
    }

    fn tool(&self, place: &Utf8Path) -> Tool {
        let tool = Tool::new(self.path())
            .args(["-t", "x86_64", "-T", TEST])
            .args(["-d", self.work.objects().as_str()])
            .args(["-w", place.join("workspace").as_str(), "-k"])
            .cwd(place)
            .log_to(place.join("log"))
            .deadline("vmtest.sh", LIMIT)
            .env(leftovers::MARK, place);
        fragment::clean(tool)
    }
}

impl Side for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> String {
        format!("{FOLDER}/vmtest.sh -t x86_64 -T {TEST}")
    }

    fn once(&self, place: &Utf8Path, session: &Session) -> anyhow::Result<Came> {
        let tool = self.tool(place);
        fs::write(self.in_progress(), "")?;
        let begun = Instant::now();
        let ran = tool.run_unchecked(&session.cancel);
        let took = begun.elapsed();
        leftovers::end(place.as_str());
        let output = ran?;
        // It ended by itself, for better or worse, and left nothing half made.
        fs::remove_file(self.in_progress())?;
        let serial = place.join("workspace/qemu.serial");
        let serial = read_plain(&serial, SERIAL_BYTES_MAX).unwrap_or_default();
        let said = Said {
            is_success: output.status.success(),
            output: &all(&output),
            console: &String::from_utf8_lossy(&serial),
        };
        Ok(match said.report() {
            Some(Trouble::Skipped(why)) => {
                anyhow::bail!("`{}` did not run the test: {why}", self.command())
            }
            Some(Trouble::Failed(why)) => Came::Wrong(why),
            None => Came::Right(Sample::new(took.as_secs_f64())),
        })
    }

    fn notes(&self) -> Vec<String> {
        let Some(ours) = &self.config else {
            return vec![format!("{}: a kernel of its own configuration", self.name)];
        };
        let read = |path: &Utf8Path| fs::read_to_string(path).unwrap_or_default();
        let its = read(&self.work.objects().join(".config"));
        let differing = fragment::differing(&read(ours), &its);
        let what = if differing.is_empty() {
            "none".to_owned()
        } else {
            differing.join(", ")
        };
        vec![format!(
            "{}: options of its kernel that are not as ours: {what}",
            self.name
        )]
    }
}

/// Puts the configuration of the kernel that we boot where the script takes its
/// own from; returns the whole of it.
fn lay_configuration(
    work: &WorkTree,
    sources: &Sources,
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let configs = find_configs(&[CONFIG.to_owned()], session)?;
    let built = build_all(sources, &configs, None, session)?;
    let built = built
        .first()
        .ok_or_else(|| anyhow::anyhow!("there is no kernel to compare with"))?;
    let config = built.kernel.dir.join("config");
    let text = fragment::of(&built.kernel.id, &config, work, session)?;
    let place = work.source().join(FOLDER).join("config.x86_64");
    if !fs::read_to_string(&place).is_ok_and(|there| there == text) {
        // In place of the link to the tree's own file, and never through it.
        patchbed_host::cache::publish(&place, text.as_bytes())?;
    }
    Ok(config)
}

/// Removes the files below `folder` that were written at `begun` or later.
///
/// `kernel-patches` does the same in its own object folders, for itself, but spares
/// `.config`, which it has made by then; here the script makes it again.
fn remove_since(folder: &Utf8Path, begun: SystemTime) -> std::io::Result<()> {
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_since(entry.path(), begun)?;
        } else if kind.is_file() && entry.metadata()?.modified()? >= begun {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn all(output: &Output) -> String {
    output.stdout_text() + &output.stderr_text()
}

/// What a run of the script left to be judged by.
#[derive(Clone, Copy, Debug)]
struct Said<'a> {
    is_success: bool,
    output: &'a str,
    console: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// The test did not run; the script ends with 0 then, too.
    Skipped(String),
    Failed(String),
}

impl Said<'_> {
    /// Returns what keeps the run from being a test that passed: by the script's
    /// own words, and by the console of both kernels.
    fn report(&self) -> Option<Trouble> {
        let lines = || self.output.lines().map(str::trim);
        if let Some(line) = lines().find(|line| line.contains("# SKIP")) {
            return Some(Trouble::Skipped(line.to_owned()));
        }
        let failed = |why: &str| {
            let tail: Vec<&str> = lines().collect();
            let tail = tail[tail.len().saturating_sub(20)..].join("\n");
            Some(Trouble::Failed(format!("{why}; it said:\n{tail}")))
        };
        let passed = format!("ok 1 {TEST} succeeded");
        if !self.is_success || !lines().any(|line| line == passed) {
            return failed("the script does not say that the test passed");
        }
        let boots: Vec<usize> = positions(self.console, "Linux version ");
        let words: Vec<usize> = positions(self.console, "TEST PASSED");
        match (boots.as_slice(), words.as_slice()) {
            ([_, second], [word]) if second < word => None,
            _ => failed(&format!(
                "on its console there are {} kernels and {} passed tests",
                boots.len(),
                words.len()
            )),
        }
    }
}

fn positions(text: &str, what: &str) -> Vec<usize> {
    text.match_indices(what).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "TAP version 13\n1..1\nok 1 luo_kexec_simple succeeded\n";
    const CONSOLE: &str = "Linux version 7\n# [BOOT 1]\nLinux version 7\n# [BOOT 2]\n\
                           --- SIMPLE KEXEC TEST PASSED ---\n";

    fn report(is_success: bool, output: &str, console: &str) -> Option<Trouble> {
        Said {
            is_success,
            output,
            console,
        }
        .report()
    }

    #[test]
    fn a_test_passed_when_script_and_console_say_so() {
        assert_eq!(report(true, GOOD, CONSOLE), None);
        let failed = |output, console| {
            let report = report(true, output, console);
            matches!(report, Some(Trouble::Failed(_)))
        };
        assert!(failed("TAP version 13\n1..1\nnot ok 1 Failed\n", CONSOLE));
        assert!(failed(GOOD, "Linux version 7\nTEST PASSED\n"), "one kernel");
        assert!(failed(GOOD, "Linux version 7\nLinux version 7\n"));
        assert!(failed(GOOD, ""), "no console");
        assert_eq!(
            report(false, GOOD, CONSOLE).map(|c| matches!(c, Trouble::Failed(_))),
            Some(true)
        );
    }

    #[test]
    fn of_a_killed_run_nothing_new_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(root.join("kernel")).unwrap();
        let now = SystemTime::now();
        for (name, age_secs) in [("old.o", 60), ("kernel/half.o", 0)] {
            fs::write(root.join(name), "").unwrap();
            let file = fs::File::options().append(true).open(root.join(name));
            let time = now - Duration::from_secs(age_secs);
            file.unwrap().into_parts().0.set_modified(time).unwrap();
        }
        remove_since(root, now - Duration::from_secs(1)).unwrap();
        assert!(root.join("old.o").exists() && !root.join("kernel/half.o").exists());
    }

    #[test]
    fn a_skip_is_no_fast_run_although_the_script_ends_with_0() {
        let said = "1..1\nok 1 # SKIP CONFIG_LIVEUPDATE_TEST=y is missing\n";
        assert_eq!(
            report(true, said, ""),
            Some(Trouble::Skipped(
                "ok 1 # SKIP CONFIG_LIVEUPDATE_TEST=y is missing".to_owned()
            ))
        );
    }
}
