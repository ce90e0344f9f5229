// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `vmtest.sh` of the kernel tree as a side.
//!
//! It runs in a working copy of the tree, not in the tree itself, and keeps its objects there
//! between runs. To build the same kernel as patchbed, the copy's `config.x86_64` is replaced
//! by the configuration of our kernel; the script adds the options that it requires of every
//! kernel.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::worktree::WorkTree;
use patchbed_host::cache::Cache;
use patchbed_host::context::Context as RunContext;
use patchbed_host::files::read_plain;
use patchbed_host::process::{Output, Tool};

use super::case::{Bench, Outcome, Sample, Side};
use super::test_run::{Figure, TestRun};
use super::{fragment, leftovers};
use crate::cli::BenchArgs;
use crate::commands::bench::sources;
use xtask::engine::build::{build_all, find_configs};
use xtask::engine::session::Session;
use xtask::engine::sources::Sources;
use xtask::exit::bad_input;

/// Where the script and its configurations lie in the tree.
const FOLDER: &str = "tools/testing/selftests/liveupdate";
/// The kselftest that both sides run.
const TEST: &str = "luo_kexec_simple";
/// The first run builds a kernel.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Limit of the size of the console log.
const SERIAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The checkout that both sides test.
const CHECKOUT: &str = "series";
/// The config that both sides build.
const CONFIG: &str = "fast";

/// The kernel configuration that the script uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KernelConfig {
    /// The configuration of the kernel that patchbed boots.
    Same,
    /// The script's own.
    Stock,
}

/// Prepares the case `vmtest`: patchbed and the script, with the same kernel configuration.
pub(crate) fn same_kernel(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    bench(args, KernelConfig::Same, session)
}

/// Prepares the case `vmtest-stock`: patchbed and the unchanged script.
pub(crate) fn as_shipped(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    bench(args, KernelConfig::Stock, session)
}

fn bench(args: &BenchArgs, kernel: KernelConfig, session: &Session) -> anyhow::Result<Bench> {
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
            Box::new(TestRun::new("patchbed", &words, 1, Figure::Wall)),
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
    /// The configuration of the kernel that patchbed boots, if the script is to use it.
    config: Option<Utf8PathBuf>,
}

impl Script {
    fn prepare(sources: &Sources, kernel: KernelConfig, session: &Session) -> anyhow::Result<Self> {
        let checkout = sources
            .checkouts
            .first()
            .context("there is no checkout to compare on")?;
        let (folder, name) = match kernel {
            KernelConfig::Same => ("vmtest-fast", "vmtest.sh of the tree"),
            KernelConfig::Stock => ("vmtest-stock", "vmtest.sh of the tree, own kernel config"),
        };
        let cache = Cache::at(session.cache.dir(&["bench"])?)?;
        let work = WorkTree::lock(
            &sources.tree,
            folder,
            &RunContext {
                cache,
                ..session.context()
            },
        )?;
        work.switch_to(&sources.tree, &checkout.overlay, &*session.observer)?;
        let script = Self {
            name: name.to_owned(),
            config: match kernel {
                KernelConfig::Same => Some(write_config(&work, sources, session)?),
                KernelConfig::Stock => None,
            },
            work,
        };
        if !script.path().is_file() {
            return Err(bad_input(
                format!("{} has no `{FOLDER}/vmtest.sh`", sources.tree.label()),
                "give a tree that has it with `--tree`",
            ));
        }
        script.remove_partial_objects()?;
        Ok(script)
    }

    fn path(&self) -> Utf8PathBuf {
        self.work.source().join(FOLDER).join("vmtest.sh")
    }

    /// The file that exists while the script runs; it remains if the script is killed.
    fn in_progress(&self) -> Utf8PathBuf {
        self.work.home().join("in_progress")
    }

    /// Removes object files of a killed run. They may be incomplete, and make does not build
    /// an object again that is newer than its source.
    fn remove_partial_objects(&self) -> anyhow::Result<()> {
        let objects = self.work.objects();
        fs::create_dir_all(&objects)?;
        if let Ok(mark) = fs::metadata(self.in_progress()) {
            remove_since(&objects, mark.modified()?)?;
            fs::remove_file(self.in_progress())?;
        }
        Ok(())
    }

    fn tool(&self, folder: &Utf8Path) -> Tool {
        let tool = Tool::new(self.path())
            .args(["-t", "x86_64", "-T", TEST])
            .args(["-d", self.work.objects().as_str()])
            .args(["-w", folder.join("workspace").as_str(), "-k"])
            .cwd(folder)
            .log_to(folder.join("log"))
            .deadline("vmtest.sh", LIMIT)
            .env(leftovers::MARK, folder);
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

    fn once(&self, folder: &Utf8Path, session: &Session) -> anyhow::Result<Outcome> {
        let tool = self.tool(folder);
        fs::write(self.in_progress(), "")?;
        let begun = Instant::now();
        let ran = tool.run_unchecked(&session.cancel);
        let took = begun.elapsed();
        leftovers::end(folder.as_str());
        let output = ran?;
        // The script was not killed, so all objects are complete.
        fs::remove_file(self.in_progress())?;
        let serial = folder.join("workspace/qemu.serial");
        let serial = read_plain(&serial, SERIAL_BYTES_MAX).unwrap_or_default();
        let run = ScriptRun {
            is_success: output.status.success(),
            output: &all(&output),
            console: &String::from_utf8_lossy(&serial),
        };
        Ok(match run.failure() {
            Some(Failure::Skipped(why)) => {
                anyhow::bail!("`{}` did not run the test: {why}", self.command())
            }
            Some(Failure::Failed(why)) => Outcome::Failed(why),
            None => Outcome::Passed(Sample::new(took.as_secs_f64())),
        })
    }

    fn notes(&self) -> Vec<String> {
        let Some(config) = &self.config else {
            return vec![format!("{}: its own kernel configuration", self.name)];
        };
        let read = |path: &Utf8Path| fs::read_to_string(path).unwrap_or_default();
        let of_script = read(&self.work.objects().join(".config"));
        let differing = fragment::differing(&read(config), &of_script);
        let options = if differing.is_empty() {
            "none".to_owned()
        } else {
            differing.join(", ")
        };
        vec![format!(
            "{}: options of its kernel that differ from the kernel of patchbed: {options}",
            self.name
        )]
    }
}

/// Replaces the script's configuration by that of our kernel; returns the path of the
/// complete configuration.
fn write_config(
    work: &WorkTree,
    sources: &Sources,
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let configs = find_configs(&[CONFIG.to_owned()], session)?;
    let built = build_all(sources, &configs, None, session)?;
    let built = built
        .first()
        .context("there is no kernel to compare with")?;
    let config = built.kernel.dir.join("config");
    let text = fragment::of(&built.kernel.id, &config, work, session)?;
    let place = work.source().join(FOLDER).join("config.x86_64");
    if !fs::read_to_string(&place).is_ok_and(|current| current == text) {
        // Replaces the symbolic link to the tree's file, and does not write through it.
        patchbed_host::cache::publish(&place, text.as_bytes())?;
    }
    Ok(config)
}

/// Removes the files below `folder` that were written at `begun` or later.
///
/// A similar function in `kernel-patches` keeps `.config`, which it has written by then; here
/// the script writes it again.
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

/// The exit status and the output of a run of the script.
#[derive(Clone, Copy, Debug)]
struct ScriptRun<'a> {
    is_success: bool,
    output: &'a str,
    console: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// The test did not run. The script's exit status is 0 then, too.
    Skipped(String),
    Failed(String),
}

impl ScriptRun<'_> {
    /// Returns why the run does not count as a passed test, by the script's output and the
    /// console of both kernels.
    fn failure(&self) -> Option<Failure> {
        let lines = || self.output.lines().map(str::trim);
        if let Some(line) = lines().find(|line| line.contains("# SKIP")) {
            return Some(Failure::Skipped(line.to_owned()));
        }
        let failed = |why: &str| {
            let tail: Vec<&str> = lines().collect();
            let tail = tail[tail.len().saturating_sub(20)..].join("\n");
            Some(Failure::Failed(format!("{why}; its last lines:\n{tail}")))
        };
        let passed = format!("ok 1 {TEST} succeeded");
        if !self.is_success || !lines().any(|line| line == passed) {
            return failed("the script did not report that the test passed");
        }
        let boots: Vec<usize> = positions(self.console, "Linux version ");
        let words: Vec<usize> = positions(self.console, "TEST PASSED");
        match (boots.as_slice(), words.as_slice()) {
            ([_, second], [word]) if second < word => None,
            _ => failed(&format!(
                "the console has {} boots and {} passed tests, expected 2 and 1",
                boots.len(),
                words.len()
            )),
        }
    }
}

fn positions(text: &str, pattern: &str) -> Vec<usize> {
    text.match_indices(pattern).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "TAP version 13\n1..1\nok 1 luo_kexec_simple succeeded\n";
    const CONSOLE: &str = "Linux version 7\n# [BOOT 1]\nLinux version 7\n# [BOOT 2]\n\
                           --- SIMPLE KEXEC TEST PASSED ---\n";

    fn failure(is_success: bool, output: &str, console: &str) -> Option<Failure> {
        ScriptRun {
            is_success,
            output,
            console,
        }
        .failure()
    }

    #[test]
    fn failure_is_none_if_output_and_console_report_a_pass() {
        assert_eq!(failure(true, GOOD, CONSOLE), None);
        let failed = |output, console| {
            let failure = failure(true, output, console);
            matches!(failure, Some(Failure::Failed(_)))
        };
        assert!(failed("TAP version 13\n1..1\nnot ok 1 Failed\n", CONSOLE));
        assert!(failed(GOOD, "Linux version 7\nTEST PASSED\n"), "one kernel");
        assert!(failed(GOOD, "Linux version 7\nLinux version 7\n"));
        assert!(failed(GOOD, ""), "no console");
        assert_eq!(
            failure(false, GOOD, CONSOLE).map(|failure| matches!(failure, Failure::Failed(_))),
            Some(true)
        );
    }

    #[test]
    fn remove_since_removes_new_files_and_keeps_old_ones() {
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
    fn failure_reports_a_skip_although_the_exit_status_is_0() {
        let output = "1..1\nok 1 # SKIP CONFIG_LIVEUPDATE_TEST=y is missing\n";
        assert_eq!(
            failure(true, output, ""),
            Some(Failure::Skipped(
                "ok 1 # SKIP CONFIG_LIVEUPDATE_TEST=y is missing".to_owned()
            ))
        );
    }
}
