// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arguments of `test` and `watch`.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use super::{ConfigArgs, ShowArgs, SourceArgs};

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Names of scenarios to run [default: all, or none with `--kselftest`]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,

    /// Kselftests of the kernel tree to run: a TARGET in tools/testing/selftests; without
    /// TEST, all tests that `make run_tests` runs; may be repeated
    #[arg(long, value_name = "TARGET[:TEST]")]
    pub(crate) kselftest: Vec<String>,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) configs: ConfigArgs,

    /// Machine to run on, from vm-images/machines [default: the machine that the
    /// scenario names]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,

    /// Number of VMs at once [default: one per core, limited by the memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) jobs: Option<u32>,

    /// Number of runs of each job
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: u32,

    /// Run scenarios that leave no state behind in a shared VM; if one of them does not
    /// pass, each is run again in its own VM
    #[arg(long)]
    pub(crate) batch: bool,

    /// Boot every guest instead of restoring a checkpoint of the booted kernel: slower,
    /// but every job has its own boot
    #[arg(long)]
    pub(crate) cold_boot: bool,

    /// Skip the fault-injection self-check of each build
    #[arg(long)]
    pub(crate) no_self_check: bool,

    /// Write the memory of a hung guest to its job's folder; the file is as large as the
    /// memory of the machine
    #[arg(long)]
    pub(crate) dump_hangs: bool,

    /// Run folder; must be new or empty [default: a new folder, in target/patchbed/runs of
    /// the checkout for `cargo xtask`, in ~/.local/state/patchbed/runs otherwise]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,

    #[command(flatten)]
    pub(crate) show: ShowArgs,

    /// Print the plan and exit
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Install missing host packages first (needs root)
    #[arg(long)]
    pub(crate) install: bool,

    /// Whether to compare results with the recorded snapshots [default: check for the
    /// project's own series, ignore otherwise]
    #[arg(long, value_name = "HOW")]
    pub(crate) snapshots: Option<Snapshots>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Snapshots {
    /// A difference is a finding. The new result is written for `cargo insta review`:
    /// beside the snapshot in a checkout, to the run folder otherwise
    Check,
    /// Do not compare
    Ignore,
}
