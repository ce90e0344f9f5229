// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of a run, as the command line and other users of the library give them.

use clap::{Args, ValueEnum};

/// The machine of `boot` and `inject`, if no other is given.
pub const DEFAULT_MACHINE: &str = "edu-pair";

/// The checkouts that are tested by default.
const DEFAULT_CHECKOUTS: [&str; 2] = ["base", "series"];

/// The kernel config that is used by default.
const DEFAULT_CONFIG: &str = "fast";

/// Which checkouts to make.
#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// Kernel tree: a directory, or GIT@REV [default: the newest linux-source-7.x
    /// package of Debian]
    #[arg(long, value_name = "TREE")]
    pub tree: Option<String>,

    /// Series to test: the name of a known series, a folder of .patch files, a single
    /// patch, or an mbox [default: set by the catalogue; flb-refcount in
    /// liveupdate-pci]
    #[arg(long, value_name = "SERIES")]
    pub series: Option<String>,

    /// Series to apply first, in every checkout; may be repeated. Replaces the list of the
    /// catalogue [default: set by the catalogue]
    #[arg(long, value_name = "SERIES")]
    pub prereq: Vec<String>,

    /// Treat the given series as an implementation of the known series NAME: scenarios
    /// with NAME in `fails_without` are expected to pass; may be repeated
    #[arg(long, value_name = "NAME")]
    pub provides: Vec<String>,

    /// Checkouts to test, separated by commas: base (without the series), series (with
    /// it), each (after every patch), patch-N (after its first N patches), mutants (each
    /// mutant of the series), mutant-NAME (a single mutant)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_values_t = DEFAULT_CHECKOUTS.map(str::to_owned)
    )]
    pub checkouts: Vec<String>,
}

/// Which kernel configs to use.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Kernel config: fast or kasan; several separated by commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = DEFAULT_CONFIG
    )]
    pub config: Vec<String>,
}

impl Default for SourceArgs {
    fn default() -> Self {
        Self {
            tree: None,
            series: None,
            prereq: Vec::new(),
            provides: Vec::new(),
            checkouts: DEFAULT_CHECKOUTS.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for ConfigArgs {
    fn default() -> Self {
        Self {
            config: vec![DEFAULT_CONFIG.to_owned()],
        }
    }
}

/// The options of a run.
#[derive(Args, Clone, Debug)]
pub struct TestOptions {
    /// Names of scenarios to run [default: all, or none with `--kselftest`]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,

    /// Kselftests of the kernel tree to run: a TARGET in tools/testing/selftests; without
    /// TEST, all tests that `make run_tests` runs; may be repeated
    #[arg(long, value_name = "TARGET[:TEST]")]
    pub kselftest: Vec<String>,

    /// The options that select the kernels.
    #[command(flatten)]
    pub source: SourceArgs,

    /// The options that select the configs.
    #[command(flatten)]
    pub configs: ConfigArgs,

    /// Machine to run on, from vm-images/machines [default: the machine that the
    /// scenario names]
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,

    /// Number of VMs at once [default: one per core, limited by the memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: Option<u32>,

    /// Number of runs of each job
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,

    /// Run scenarios that leave no state behind in a shared VM; if one of them does not
    /// pass, each is run again in its own VM
    #[arg(long)]
    pub batch: bool,

    /// Boot every guest instead of restoring a checkpoint of the booted kernel: slower,
    /// but every job has its own boot
    #[arg(long)]
    pub cold_boot: bool,

    /// Skip the fault-injection self-check of each build; an option of `test` only.
    #[arg(skip)]
    pub no_self_check: bool,

    /// Write the memory of a hung guest to its job's folder; the file is as large as the
    /// memory of the machine
    #[arg(long)]
    pub dump_hangs: bool,

    /// Whether to compare results with the recorded snapshots [default: check for the
    /// project's own series, ignore otherwise]
    #[arg(long, value_name = "HOW")]
    pub snapshots: Option<Snapshots>,
}

impl Default for TestOptions {
    /// Returns the defaults of the command line.
    fn default() -> Self {
        Self {
            scenarios: Vec::new(),
            kselftest: Vec::new(),
            source: SourceArgs::default(),
            configs: ConfigArgs::default(),
            machine: None,
            jobs: None,
            repeat: 1,
            batch: false,
            cold_boot: false,
            no_self_check: false,
            dump_hangs: false,
            snapshots: None,
        }
    }
}

impl TestOptions {
    /// Returns the words of the command line that select the tests and the config, each with
    /// a leading blank.
    pub fn words(&self) -> String {
        let names = self.scenarios.iter().map(|name| format!(" {name}"));
        let kselftests = self.kselftest.iter();
        let kselftests = kselftests.map(|name| format!(" --kselftest {name}"));
        let config = format!(" --config {}", self.configs.config.join(","));
        names.chain(kselftests).chain([config]).collect()
    }
}

/// Whether results are compared with their snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Snapshots {
    /// A difference is a finding. The new result is written for `cargo insta review`:
    /// beside the snapshot in a checkout, to the run folder otherwise
    Check,
    /// Do not compare
    Ignore,
}
