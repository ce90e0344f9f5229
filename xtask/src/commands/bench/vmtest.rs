// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `vmtest.sh` of the kernel tree as a side of a case.
//!
//! It runs in a working copy of the tree, not in the tree itself, and keeps its objects there
//! between runs. To build the same kernel as patchbed, the copy's `config.x86_64` is replaced
//! by the configuration of our kernel; the script adds the options that it requires of every
//! kernel.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::InProgress;
use kernel_patches::worktree::WorkTree;
use patchbed_host::cache::{Cache, publish};
use patchbed_host::context::Context as RunContext;
use patchbed_host::files::read_plain;
use patchbed_host::process::Tool;
use xtask::engine::build::{build_all, find_configs};
use xtask::engine::options::SourceArgs;
use xtask::engine::session::Session;
use xtask::engine::sources::{SourceRequest, Sources};
use xtask::exit::bad_input;

use super::command::{self, Once, Outcome, Sample, last_lines};
use crate::cli::BenchArgs;

/// The limit of `make savedefconfig`.
const SAVE_LIMIT: Duration = Duration::from_secs(600);
/// Limit of the size of the console log.
const SERIAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The checkout that both sides test.
const CHECKOUT: &str = "series";

/// Off in our kernels. `vmtest.sh` requires an option that depends on it. Without this line,
/// the script can enable both; by itself, the option has no effect.
const TESTING_MENU_OFF: &str = "# CONFIG_RUNTIME_TESTING_MENU is not set";

/// The script in its working copy of the tree.
#[derive(Debug)]
struct Script {
    work: WorkTree,
    /// Its path below the tree.
    path: Utf8PathBuf,
    args: Vec<String>,
    /// The configuration of the kernel that patchbed boots, if the script uses it too.
    config: Option<Utf8PathBuf>,
    /// The tree and the checkout.
    label: String,
}

/// Returns a run of the script `call`, with the kernel of a config of patchbed or with its own.
pub(super) fn prepare(
    call: &str,
    config: Option<&str>,
    args: &BenchArgs,
    session: &Session,
) -> anyhow::Result<Box<Once>> {
    let mut words = call.split_whitespace().map(str::to_owned);
    let path = Utf8PathBuf::from(words.next().unwrap_or_default());
    let source = SourceArgs {
        tree: args.tree.clone(),
        checkouts: vec![CHECKOUT.to_owned()],
        ..SourceArgs::default()
    };
    let sources = SourceRequest::from_args(&source, session)?.apply(session)?;
    let work = working_copy(&path, config.unwrap_or("stock"), &sources, session)?;
    let config = match config {
        Some(config) => {
            let place = work.source().join(&path).with_file_name("config.x86_64");
            Some(write_config(config, &place, &work, &sources, session)?)
        }
        None => None,
    };
    let script = Script {
        work,
        path,
        args: words.collect(),
        config,
        label: format!("{}, checkout {CHECKOUT}", sources.tree.label()),
    };
    Ok(Box::new(move |folder, session| {
        script.once(folder, session)
    }))
}

/// Makes the working copy for a kernel. Objects of a killed run are removed: they may be
/// incomplete, and make does not build an object again that is newer than its source.
fn working_copy(
    script: &Utf8Path,
    kernel: &str,
    sources: &Sources,
    session: &Session,
) -> anyhow::Result<WorkTree> {
    let checkout = sources.checkouts.first();
    let checkout = checkout.context("there is no checkout to compare on")?;
    let tree = &sources.tree;
    let context = RunContext {
        cache: Cache::at(session.cache.dir(&["bench"])?)?,
        ..session.context()
    };
    let work = WorkTree::lock(tree, &format!("vmtest-{kernel}"), &context)?;
    work.switch_to(tree, &checkout.overlay, &*session.observer)?;
    if !work.source().join(script).is_file() {
        return Err(bad_input(
            format!("{} has no `{script}`", tree.label()),
            "give a tree that has it with `--tree`",
        ));
    }
    let objects = work.objects();
    fs::create_dir_all(&objects)?;
    InProgress::of(work.home()).delete_partial(&objects)?;
    Ok(work)
}

impl Script {
    /// Runs the script once. Its marker remains if it is killed.
    fn once(&self, folder: &Utf8Path, session: &Session) -> anyhow::Result<Outcome> {
        let work = &self.work;
        let tool = Tool::new(work.source().join(&self.path))
            .args(&self.args)
            .args(["-d", work.objects().as_str(), "-k"])
            .args(["-w", folder.join("workspace").as_str()])
            .cwd(folder)
            .log_to(folder.join("log"));
        let in_progress = InProgress::of(work.home());
        in_progress.begin()?;
        let (output, measured) = command::run(clean(tool), folder, session);
        in_progress.end(&output)?;
        let output = output?;
        let serial = folder.join("workspace/qemu.serial");
        let serial = read_plain(&serial, SERIAL_BYTES_MAX).unwrap_or_default();
        let text = output.stdout_text() + &output.stderr_text();
        let console = String::from_utf8_lossy(&serial);
        if let Some(why) = failure(output.status.success(), &text, &console)? {
            let last_lines = last_lines(&output);
            return Ok(Outcome::Failed(format!(
                "{why}; its last lines:\n{last_lines}"
            )));
        }
        Ok(Outcome::Passed(Sample {
            figure: measured.secs,
            notes: BTreeSet::from([format!("{}, {}", self.label, self.kernel())]),
            ..Sample::default()
        }))
    }

    /// Returns how the kernel of the script differs from the kernel of patchbed.
    fn kernel(&self) -> String {
        let Some(config) = &self.config else {
            return "its own kernel configuration".to_owned();
        };
        let read = |path: &Utf8Path| fs::read_to_string(path).unwrap_or_default();
        let of_script = read(&self.work.objects().join(".config"));
        let options = match differing(&read(config), &of_script).join(", ") {
            none if none.is_empty() => "none".to_owned(),
            some => some,
        };
        format!("options of its kernel that differ from the kernel of patchbed: {options}")
    }
}

/// Builds the kernel of a config, and writes its configuration to `place` in the working copy.
/// Returns the path of the complete configuration.
fn write_config(
    config: &str,
    place: &Utf8Path,
    work: &WorkTree,
    sources: &Sources,
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let configs = find_configs(&[config.to_owned()], session)?;
    let built = build_all(sources, &configs, None, session)?;
    let built = built.first();
    let built = built.context("there is no kernel to compare with")?;
    let config = built.kernel.dir.join("config");
    let text = fragment(&config, work, session)?;
    if !fs::read_to_string(place).is_ok_and(|current| current == text) {
        // Replaces the symbolic link to the tree's file, and does not write through it.
        publish(place, text.as_bytes())?;
    }
    Ok(config)
}

/// Returns the options in which a configuration differs from the defaults, by
/// `make savedefconfig`. The script starts a process for each line of its configuration, so the
/// 2000 lines of a whole `.config` would slow it down.
fn fragment(config: &Utf8Path, work: &WorkTree, session: &Session) -> anyhow::Result<String> {
    let folder = work.home().join("fragment");
    fs::create_dir_all(&folder)?;
    fs::copy(config, folder.join(".config"))?;
    let make = Tool::new("make")
        .args(["-s", "-C", work.source().as_str()])
        .arg(format!("O={folder}"))
        .arg("savedefconfig")
        .deadline("savedefconfig", SAVE_LIMIT);
    clean(make).run(&session.cancel)?;
    let text = fs::read_to_string(folder.join("defconfig"))?;
    Ok(without_closed_menu(&text))
}

/// Removes the caller's environment from a call, except the variables that all tools need.
fn clean(tool: Tool) -> Tool {
    ["PATH", "HOME", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .fold(tool.env_clear(), |tool, (name, value)| {
            tool.env(name, value)
        })
        .env("LC_ALL", "C")
}

fn without_closed_menu(text: &str) -> String {
    let lines = text.lines().filter(|line| *line != TESTING_MENU_OFF);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the options that are set and differ between two configurations, by name.
fn differing<'a>(first: &'a str, second: &'a str) -> Vec<&'a str> {
    let options = |text: &'a str| -> BTreeSet<&'a str> {
        let lines = text.lines();
        lines.filter(|line| line.starts_with("CONFIG_")).collect()
    };
    let (first, second) = (options(first), options(second));
    let differing = first.symmetric_difference(&second);
    let names: BTreeSet<&str> = differing
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.into_iter().collect()
}

/// Returns why a run of the script does not count as a passed test, by its output and the
/// console of both kernels.
///
/// # Errors
/// When the test was skipped. The script's exit status is 0 then, too.
fn failure(is_success: bool, output: &str, console: &str) -> anyhow::Result<Option<String>> {
    let mut lines = output.lines().map(str::trim);
    if let Some(line) = lines.clone().find(|line| line.contains("# SKIP")) {
        anyhow::bail!("`vmtest.sh` did not run the test: {line}");
    }
    let is_passed = |line: &str| line.starts_with("ok 1 ") && line.ends_with(" succeeded");
    if !is_success || !lines.any(is_passed) {
        return Ok(Some(
            "the script did not report that the test passed".to_owned(),
        ));
    }
    let boots = positions(console, "Linux version ");
    let words = positions(console, "TEST PASSED");
    let is_in_second = matches!((&boots[..], &words[..]), ([_, second], [word]) if second < word);
    let (boots, words) = (boots.len(), words.len());
    Ok((!is_in_second).then(|| {
        format!("the console has {boots} boots and {words} passed tests, expected 2 and 1")
    }))
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

    #[test]
    fn failure_is_none_if_output_and_console_report_a_pass() {
        let failed = |output, console| failure(true, output, console).unwrap().is_some();
        assert!(!failed(GOOD, CONSOLE));
        assert!(failed("TAP version 13\n1..1\nnot ok 1 Failed\n", CONSOLE));
        assert!(failed(GOOD, "Linux version 7\nTEST PASSED\n"), "one kernel");
        assert!(failed(GOOD, "Linux version 7\nLinux version 7\n"));
        assert!(failed(GOOD, ""), "no console");
        assert!(failure(false, GOOD, CONSOLE).unwrap().is_some());
    }

    #[test]
    fn failure_reports_a_skip_although_the_exit_status_is_0() {
        let output = "1..1\nok 1 # SKIP CONFIG_LIVEUPDATE_TEST=y is missing\n";
        let error = failure(true, output, "").unwrap_err().to_string();
        assert!(error.ends_with("ok 1 # SKIP CONFIG_LIVEUPDATE_TEST=y is missing"));
    }

    #[test]
    fn differing_returns_changed_missing_and_added_options() {
        let ours = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=1\nCONFIG_D=y\n";
        let its = "# Linux/x86\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=2\n";
        assert_eq!(differing(ours, its), ["CONFIG_B", "CONFIG_C", "CONFIG_D"]);
        assert!(differing(its, its).is_empty());
    }

    #[test]
    fn without_closed_menu_removes_the_line_of_the_testing_menu() {
        let text = format!("CONFIG_A=y\n{TESTING_MENU_OFF}\n# CONFIG_B is not set\n");
        let cached = "CONFIG_A=y\n# CONFIG_B is not set\n";
        assert_eq!(without_closed_menu(&text), cached);
    }
}
