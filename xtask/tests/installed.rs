// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program as installed by `cargo install`: a copy outside the checkout, called from an
//! unrelated folder.

#![cfg(feature = "builtin")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// The folders of an installed program and its user.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["bin", "cwd", "home"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let program = root.path().join("bin/patchbed");
        // Copied by a child process: the child of another test could inherit the open file,
        // and a file that is open for writing cannot be executed.
        let copied = Command::new("cp")
            .args([env!("CARGO_BIN_EXE_patchbed").as_ref(), program.as_os_str()])
            .status()
            .unwrap();
        assert!(copied.success());
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Returns exit code, standard output and standard error.
    fn run_with(&self, words: &[&str], variables: &[(&str, &Path)]) -> String {
        let output = Command::new(self.path("bin/patchbed"))
            .args(words)
            .current_dir(self.path("cwd"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            // An outer cargo sets it for its child processes.
            .env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = format!(
            "exit code {}\n-- stdout\n{}-- stderr\n{}",
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        text.replace(self.root.path().to_str().unwrap(), "PLACE")
    }

    fn run(&self, words: &[&str]) -> String {
        self.run_with(words, &[])
    }
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn help_shows_the_name_of_the_installed_program() {
    let place = Place::new();
    let help = place.run(&["test", "--help"]);
    assert!(help.contains("Usage: patchbed test [OPTIONS]"), "{help}");
    assert!(!help.contains("Usage: cargo"), "{help}");
    assert!(
        !place.path("home/.cache").exists(),
        "help unpacked the data"
    );
}

#[test]
fn dry_run_uses_built_in_data_and_writes_only_the_cache() {
    let place = Place::new();
    let words = ["test", "--dry-run", "live-update-kexec"];
    let first = place.run(&words);
    assert!(first.starts_with("exit code 0\n"), "{first}");
    assert!(
        first.contains("  live-update-kexec on series (fast)\n"),
        "{first}"
    );
    assert_eq!(
        place.run(&words),
        first,
        "the second run uses the unpacked data"
    );
    let entries = |folder: &str| {
        let entries = fs::read_dir(place.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    assert_eq!(entries("home"), [".cache"]);
    assert_eq!(entries("home/.cache/patchbed"), ["data"]);
    assert_eq!(entries("home/.cache/patchbed/data").len(), 1);
    assert_eq!(entries("cwd"), [] as [&str; 0]);
}

#[test]
fn commands_that_need_a_checkout_are_refused() {
    let place = Place::new();
    insta::assert_snapshot!(place.run(&["generate"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: `generate` works only in a checkout of patchbed
    hint: run `cargo xtask generate` in a checkout
    ");
    for words in [
        &["generate", "--check"],
        &["ci"][..],
        &["bench", "--record"],
    ] {
        let output = place.run(words);
        assert!(output.starts_with("exit code 2\n"), "{output}");
        assert!(
            output.contains("works only in a checkout of patchbed"),
            "{output}"
        );
    }
}

#[test]
fn data_option_and_variable_replace_the_built_in_data() {
    let place = Place::new();
    let data = place.path("data");
    for folder in [
        "kernel-patches",
        "selftests/catalogues",
        "selftests/core",
        "vm-images/config",
    ] {
        fs::create_dir_all(data.join(folder)).unwrap();
    }
    let machines = data.join("vm-images/machines");
    let option = ["apply", "--data", data.to_str().unwrap()];
    let refused = place.run(&option);
    assert!(refused.starts_with("exit code 2\n"), "{refused}");
    assert!(
        refused.contains("it has no `vm-images/machines`"),
        "{refused}"
    );
    fs::create_dir(machines).unwrap();
    let empty = place.run(&option);
    let path = "PLACE/data/selftests/catalogues/liveupdate-pci/catalogue.yaml";
    assert!(empty.contains(&format!("cannot read `{path}`")), "{empty}");
    let named = [("PATCHBED_DATA", data.as_path())];
    assert_eq!(place.run_with(&option[..1], &named), empty);
    assert!(!place.path("home/.cache/patchbed/data").exists());
}

#[test]
fn report_without_a_run_uses_the_latest_in_the_state_folder() {
    let place = Place::new();
    let output = place.run(&["report"]);
    assert!(output.starts_with("exit code 2\n"), "{output}");
    let home = "`PLACE/home/.local/state/patchbed/runs/latest`";
    assert!(output.contains(home), "{output}");
    let state = place.path("state");
    let output = place.run_with(&["report"], &[("XDG_STATE_HOME", &state)]);
    assert!(
        output.contains("`PLACE/state/patchbed/runs/latest`"),
        "{output}"
    );
}

#[test]
fn call_in_a_checkout_prints_a_note_about_the_data() {
    let place = Place::new();
    let output = Command::new(place.path("bin/patchbed"))
        .args(["report", "/no/such/run"])
        .current_dir(checkout().join("selftests"))
        .env("HOME", place.path("home"))
        .env_remove("PATCHBED_CACHE")
        .env_remove("PATCHBED_DATA")
        .env_remove("XDG_CACHE_HOME")
        .output()
        .unwrap();
    let output = String::from_utf8(output.stderr).unwrap();
    let note = format!(
        "or give `--data {}`",
        checkout().canonicalize().unwrap().display()
    );
    assert!(output.contains(&note), "{output}");
}
