// SPDX-License-Identifier: GPL-2.0-only
//! The arguments of `test` and `watch`.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use super::{ConfigArgs, ShowArgs, SourceArgs};

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Scenarios by name [default: all, or none with `--kselftest`]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,

    /// Tests of the tree's own, from a TARGET of its tools/testing/selftests; without
    /// TEST, those that its own runner runs; may be repeated
    #[arg(long, value_name = "TARGET[:TEST]")]
    pub(crate) kselftest: Vec<String>,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) configs: ConfigArgs,

    /// Machine to run on, from vm-images/machines [default: the one that a
    /// scenario names]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,

    /// VMs at once [default: one for each core, as far as memory allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) jobs: Option<u32>,

    /// Run every job this many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: u32,

    /// Let scenarios that leave no trace share a guest where all of them pass;
    /// otherwise each has a guest of its own
    #[arg(long)]
    pub(crate) batch: bool,

    /// Boot every guest, instead of booting each kernel once and going on from
    /// there: slower, and each job sees a boot of its own
    #[arg(long)]
    pub(crate) cold_boot: bool,

    /// Do not show first that each kernel's reports are seen: a pass then says
    /// less
    #[arg(long)]
    pub(crate) no_self_check: bool,

    /// Keep the memory of a guest that hangs in its job's folder: a file as large as
    /// the machine's memory
    #[arg(long)]
    pub(crate) dump_hangs: bool,

    /// Run folder, new or empty [default: a new one in target/patchbed/runs of the
    /// checkout for `cargo xtask`, in ~/.local/state/patchbed/runs otherwise]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,

    #[command(flatten)]
    pub(crate) show: ShowArgs,

    /// Print the plan and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Install missing host packages first (needs root)
    #[arg(long)]
    pub(crate) install: bool,

    /// Whether results are held against the recorded snapshots [default: check
    /// for the project's own series, ignore otherwise]
    #[arg(long, value_name = "HOW")]
    pub(crate) snapshots: Option<Snapshots>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Snapshots {
    /// A difference is a finding. For `cargo insta review`, the new result goes beside
    /// the recorded one in the checkout, otherwise into the run folder
    Check,
    /// Do not look
    Ignore,
}
