// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates a folder of kernel selftests from scenarios: one C program per scenario
//! file, the shared headers, and the Makefile, `config` and `settings` of kselftest. The
//! output depends on the scenarios alone: no dates, host names or host paths.

mod c;
mod call;
mod compile;
mod expect;
mod folder;
mod headers;
mod needs;
mod program;
mod step;
mod upstream;
mod variants;

pub use compile::{Compile, CompileError, compile};
pub use folder::{Difference, check, write};
pub use upstream::{commit_message, files_for_tree, with_target};

use std::collections::BTreeMap;

use headers::HEADERS;

use crate::scenario::{Action, Scenario, ScenarioFile};

pub(crate) use expect::INTERLEAVING;

/// The name of the folder under `tools/testing/selftests`.
pub const FOLDER: &str = "liveupdate_pci";
/// The subfolder of kernel modules that tests load.
pub const MODULES: &str = "test_modules";
/// The generator's name in generated files.
const GENERATOR: &str = "`cargo xtask generate`";
/// The first line of files with `#` comments; kselftest skips it in `settings` and `config`.
const HASH_TAG: &str = "# SPDX-License-Identifier: GPL-2.0-only\n";
/// Default time limit of kselftest for a program.
const KSELFTEST_TIMEOUT_SECS: u64 = 45;

/// Kernel options that the tests need.
const CONFIG: &str = "\
# SPDX-License-Identifier: GPL-2.0-only
CONFIG_DEBUG_FS=y
CONFIG_DYNAMIC_FTRACE=y
CONFIG_FAILSLAB=y
CONFIG_FAULT_INJECTION=y
CONFIG_FAULT_INJECTION_DEBUG_FS=y
CONFIG_FTRACE=y
CONFIG_FUNCTION_TRACER=y
CONFIG_HOTPLUG_PCI=y
CONFIG_HOTPLUG_PCI_PCIE=y
CONFIG_KEXEC_FILE=y
CONFIG_KEXEC_HANDOVER=y
CONFIG_KPROBES=y
CONFIG_KPROBE_EVENTS=y
CONFIG_LIVEUPDATE=y
CONFIG_LIVEUPDATE_MEMFD=y
CONFIG_LIVEUPDATE_TEST_DRIVER=y
CONFIG_MEMFD_CREATE=y
CONFIG_MODULES=y
CONFIG_MODULE_UNLOAD=y
CONFIG_PCI=y
CONFIG_PCIEPORTBUS=y
CONFIG_PCI_IOV=y
CONFIG_PCI_LIVEUPDATE=y
CONFIG_SHMEM=y
CONFIG_TMPFS=y
";

/// The modules are built only if the build directory of a kernel exists.
const MODULES_RULE: &str = "\
KDIR ?= /lib/modules/$(shell uname -r)/build
ifneq ($(wildcard $(KDIR)),)
TEST_GEN_MODS_DIR := test_modules
endif
";

/// The end of the Makefile. Trees with libliveupdate use it for sessions.
const LIBLIVEUPDATE: &str = "\
ifneq ($(wildcard ../liveupdate/lib/libliveupdate.mk),)
CFLAGS += -DLU_HAVE_LIBLIVEUPDATE
endif

include ../lib.mk

ifneq ($(wildcard ../liveupdate/lib/libliveupdate.mk),)
include ../liveupdate/lib/libliveupdate.mk

$(TEST_GEN_PROGS): $(LIBLIVEUPDATE_O)
endif
";

/// Seconds by which the time limit of the harness exceeds that of the guest's PID 1, so
/// that PID 1 detects a hang first.
const HARNESS_GRACE_SECS: u64 = 60;

/// Returns the C program of a scenario file.
#[must_use]
pub fn program(scenario_file: &ScenarioFile) -> String {
    c::print(&program::program(scenario_file))
}

/// Returns the generated folder: file names and their contents.
#[must_use]
pub fn files(scenario_files: &[ScenarioFile]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for scenario_file in scenario_files {
        let name = format!("{}.c", scenario_file.first().identifier());
        files.insert(name, program(scenario_file));
    }
    let mut names: Vec<String> = scenario_files
        .iter()
        .map(|file| file.first().identifier())
        .collect();
    names.sort();
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    files.extend(HEADERS.iter().map(owned));
    files.insert("Makefile".to_owned(), makefile(&names));
    files.insert(".gitignore".to_owned(), gitignore(&names));
    files.extend(modules().map(|(name, text)| (format!("{MODULES}/{name}"), text.to_owned())));
    files.insert("config".to_owned(), CONFIG.to_owned());
    files.extend(settings(scenario_files).map(|text| ("settings".to_owned(), text)));
    files
}

/// Returns the sources of the kernel modules that tests load, as names and contents.
#[must_use]
pub fn modules() -> [(&'static str, &'static str); 2] {
    [
        ("Makefile", include_str!("test_modules/Makefile")),
        ("sync_point.c", include_str!("test_modules/sync_point.c")),
    ]
}

/// Returns whether the test of a scenario loads a kernel module.
#[must_use]
pub fn needs_modules(scenario: &Scenario) -> bool {
    let actions = scenario.actions();
    actions
        .iter()
        .any(|action| matches!(action, Action::Hold { .. }))
}

/// Returns the arguments that restrict the program of a scenario to one boot.
#[must_use]
pub fn arguments(scenario: &Scenario, boot: usize) -> Vec<String> {
    vec!["-r".to_owned(), scenario.test_name(boot)]
}

/// Returns the environment of a boot:
///
/// - `LIVEUPDATE_TEST_HURRY`: no other work runs in the guest, so the test may expedite
///   RCU grace periods;
/// - `LIVEUPDATE_TEST_BDF`: the addresses of the devices, in the order of the scenario;
/// - `LIVEUPDATE_TEST_KEXEC`: a kexec follows, so a process must keep all files open;
/// - `LIVEUPDATE_TEST_HANDED_OVER`: an earlier boot has run, so a missing session is a
///   failure instead of a skip.
#[must_use]
pub fn environment(
    scenario: &Scenario,
    boot: usize,
    addresses: &[String],
) -> Vec<(String, String)> {
    let follows = boot < scenario.boots.len();
    let handed_over = boot > 1;
    let devices = addresses.join(",");
    [
        (true, "LIVEUPDATE_TEST_HURRY", "1"),
        (!devices.is_empty(), "LIVEUPDATE_TEST_BDF", &devices),
        (follows, "LIVEUPDATE_TEST_KEXEC", "1"),
        (handed_over, "LIVEUPDATE_TEST_HANDED_OVER", "1"),
    ]
    .into_iter()
    .filter(|(holds, _, _)| *holds)
    .map(|(_, name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn test_name(boot: usize) -> String {
    format!("boot_{boot}")
}

fn makefile(names: &[String]) -> String {
    let programs: Vec<_> = names
        .iter()
        .map(|name| format!("TEST_GEN_PROGS += {name}"))
        .collect();
    let headers: Vec<_> = HEADERS
        .iter()
        .map(|(name, _)| format!("LOCAL_HDRS += {name}"))
        .collect();
    [
        format!("{HASH_TAG}# Generated by {GENERATOR}."),
        "\nCFLAGS += -Wall -O2 -g $(KHDR_INCLUDES)\nLDLIBS += -lpthread\n".to_owned(),
        programs.join("\n"),
        format!("\n{}\n", headers.join("\n")),
        MODULES_RULE.to_owned(),
        LIBLIVEUPDATE.to_owned(),
    ]
    .join("\n")
}

fn gitignore(names: &[String]) -> String {
    let mut text = HASH_TAG.to_owned();
    // Output of a module build that the .gitignore of the tree does not cover.
    text += &format!("/{MODULES}/.*\n/{MODULES}/*.ko\n/{MODULES}/*.mod*\n/{MODULES}/*.o\n");
    text += &format!("/{MODULES}/Module.symvers\n/{MODULES}/modules.order\n/libliveupdate/\n");
    text.extend(names.iter().map(|name| format!("/{name}\n")));
    text
}

/// The time limit of the harness for one boot.
fn harness_timeout_secs(scenario_file: &ScenarioFile) -> u64 {
    let limits = scenario_file
        .variants
        .iter()
        .map(|variant| variant.timeout_secs);
    limits.max().unwrap_or_default() + HARNESS_GRACE_SECS
}

/// The `settings` file, if the longest program exceeds the default limit of kselftest.
fn settings(scenario_files: &[ScenarioFile]) -> Option<String> {
    let tests = |scenario_file: &ScenarioFile| {
        scenario_file.variants.len() * scenario_file.first().boots.len()
    };
    let longest = scenario_files
        .iter()
        .map(|scenario_file| harness_timeout_secs(scenario_file) * tests(scenario_file) as u64)
        .max()?;
    (longest > KSELFTEST_TIMEOUT_SECS).then(|| format!("{HASH_TAG}timeout={longest}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Machines;

    fn all() -> Vec<ScenarioFile> {
        let folder = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        crate::scenario::load_all(&folder, &Machines::project()).unwrap()
    }

    fn one(text: &str) -> ScenarioFile {
        ScenarioFile::parse(text, "small.yaml", &Machines::project()).unwrap()
    }

    #[test]
    fn arguments_and_environment_select_one_boot() {
        let scenario_files = all();
        let find = |name: &str| {
            let mut files = scenario_files.iter();
            files.find(|file| file.name == name).unwrap()
        };
        let kexec = find("live-update-kexec").first();
        assert_eq!(arguments(kexec, 2), ["-r", "live_update_kexec.boot_2"]);
        let names = |boot| -> Vec<String> {
            let all = environment(kexec, boot, &[]).into_iter();
            all.map(|(name, _)| name).collect()
        };
        let hurry = "LIVEUPDATE_TEST_HURRY";
        assert_eq!(names(1), [hurry, "LIVEUPDATE_TEST_KEXEC"]);
        assert_eq!(names(2), [hurry, "LIVEUPDATE_TEST_HANDED_OVER"]);
        let single = find("get-outgoing-without-preserve").first();
        let all = environment(
            single,
            1,
            &["0000:01:00.0".to_owned(), "0000:02:00.0".to_owned()],
        );
        let devices = "0000:01:00.0,0000:02:00.0";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            all,
            [pair(hurry, "1"), pair("LIVEUPDATE_TEST_BDF", devices)]
        );
    }

    #[test]
    fn program_gives_harness_a_longer_limit_and_checks_counts_before_comparing() {
        let text = "name: small\ntitle: small\nwhy: because\ntimeout_secs: 100\n\
            boots: [{steps: [{rescan: pci, calls: {f: 1}, log: [{text: x, count: 1}]}]}]\n";
        let scenario_file = one(text);
        let c = program(&scenario_file);
        assert!(c.contains("TEST_F_TIMEOUT(small, boot_1, 160)"), "{c}");
        assert_eq!(
            settings(&[scenario_file]).as_deref(),
            Some("# SPDX-License-Identifier: GPL-2.0-only\ntimeout=160\n")
        );
        // A count that cannot be read is reported first, with a message without a step.
        let check = |head: &str, message: &str| {
            let text = format!("\t{head} {{\n\t\tTH_LOG(\"{message}\");\n\t}}\n");
            c.find(&text).unwrap_or_else(|| panic!("{text} in {c}"))
        };
        let assert = check(
            "ASSERT_LE(0, lu_calls(&self->lu, \"f\"))",
            "cannot read the call counts",
        );
        let expect = c.find("EXPECT_EQ(1, lu_calls(").unwrap();
        assert!(assert < expect);
        let assert = check(
            "ASSERT_LE(0, lu_log_lines(&self->lu, \"x\"))",
            "cannot read the kernel log",
        );
        assert!(assert < c.find("EXPECT_EQ(1, lu_log_lines(").unwrap());
    }

    #[test]
    fn files_are_reproducible_and_free_of_host_paths() {
        let files = files(&all());
        assert_eq!(files, super::files(&all()));
        for (name, text) in &files {
            assert!(
                !text.contains(env!("CARGO_MANIFEST_DIR")),
                "{name} has a path of this host"
            );
            assert!(
                text.ends_with('\n') && !text.contains(" \n"),
                "{name} has trailing blanks"
            );
            assert!(
                text.lines().all(|line| !line.ends_with('\t')),
                "{name} has trailing tabs"
            );
        }
    }

    #[test]
    fn checked_in_folder_is_up_to_date() {
        let folder = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("generated")
            .join(FOLDER);
        let differences = check(&all(), &folder).unwrap();
        assert!(
            differences.is_empty(),
            "{} file(s) differ: run `cargo xtask generate`",
            differences.len()
        );
    }
}
