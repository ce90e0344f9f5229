// SPDX-License-Identifier: GPL-2.0-only
//! The program as `cargo install` leaves it: a copy outside the checkout, called from a
//! folder that has nothing to do with it.

#![cfg(feature = "builtin")]
#![expect(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// Folders of an installed program and its user.
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
        // Not by this process: a child of another test's could inherit the open file, and a
        // file that is open for writing cannot be run.
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
    fn said_with(&self, words: &[&str], variables: &[(&str, &Path)]) -> String {
        let output = Command::new(self.path("bin/patchbed"))
            .args(words)
            .current_dir(self.path("cwd"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            // An outer cargo sets it for all that it starts.
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

    fn said(&self, words: &[&str]) -> String {
        self.said_with(words, &[])
    }
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn help_calls_the_program_by_its_installed_name() {
    let place = Place::new();
    let help = place.said(&["test", "--help"]);
    assert!(help.contains("Usage: patchbed test [OPTIONS]"), "{help}");
    assert!(!help.contains("Usage: cargo"), "{help}");
    assert!(!place.path("home/.cache").exists(), "help needs no data");
}

#[test]
fn plan_is_made_from_built_in_data_and_leaves_only_a_cache() {
    let place = Place::new();
    let words = ["test", "--dry-run", "live-update-kexec"];
    let first = place.said(&words);
    assert!(first.starts_with("exit code 0\n"), "{first}");
    assert!(
        first.contains("  live-update-kexec on series (fast)\n"),
        "{first}"
    );
    assert_eq!(
        place.said(&words),
        first,
        "the data is there the second time"
    );
    let left = |folder: &str| {
        let entries = fs::read_dir(place.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    assert_eq!(left("home"), [".cache"]);
    assert_eq!(left("home/.cache/patchbed"), ["data"]);
    assert_eq!(left("home/.cache/patchbed/data").len(), 1);
    assert_eq!(left("cwd"), [] as [&str; 0]);
}

#[test]
fn commands_for_the_checkout_are_refused() {
    let place = Place::new();
    insta::assert_snapshot!(place.said(&["generate"]), @"
    exit code 2
    -- stdout
    -- stderr
    error: `generate` works in a checkout of patchbed alone
    hint: run `cargo xtask generate` there
    ");
    for words in [
        &["generate", "--check"],
        &["ci"][..],
        &["bench", "--record"],
    ] {
        let said = place.said(words);
        assert!(said.starts_with("exit code 2\n"), "{said}");
        assert!(
            said.contains("works in a checkout of patchbed alone"),
            "{said}"
        );
    }
}

#[test]
fn data_that_is_named_takes_the_place_of_the_built_in() {
    let place = Place::new();
    let data = place.path("data");
    for folder in ["kernel-patches", "selftests/scenarios", "vm-images/config"] {
        fs::create_dir_all(data.join(folder)).unwrap();
    }
    let machines = data.join("vm-images/machines");
    let option = ["apply", "--data", data.to_str().unwrap()];
    let refused = place.said(&option);
    assert!(refused.starts_with("exit code 2\n"), "{refused}");
    assert!(
        refused.contains("there is no folder `vm-images/machines`"),
        "{refused}"
    );
    fs::create_dir(machines).unwrap();
    let empty = place.said(&option);
    assert!(
        empty.contains("there is no series `flb-refcount`"),
        "{empty}"
    );
    let named = [("PATCHBED_DATA", data.as_path())];
    assert_eq!(place.said_with(&option[..1], &named), empty);
    assert!(!place.path("home/.cache/patchbed/data").exists());
}

#[test]
fn a_run_that_is_not_named_is_the_latest_below_the_state_folder() {
    let place = Place::new();
    let said = place.said(&["report"]);
    assert!(said.starts_with("exit code 2\n"), "{said}");
    let home = "`PLACE/home/.local/state/patchbed/runs/latest`";
    assert!(said.contains(home), "{said}");
    let state = place.path("state");
    let said = place.said_with(&["report"], &[("XDG_STATE_HOME", &state)]);
    assert!(
        said.contains("`PLACE/state/patchbed/runs/latest`"),
        "{said}"
    );
}

#[test]
fn calling_it_in_a_checkout_prints_which_data_is_used() {
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
    let said = String::from_utf8(output.stderr).unwrap();
    let note = format!(
        "or give `--data {}`",
        checkout().canonicalize().unwrap().display()
    );
    assert!(said.contains(&note), "{said}");
}
