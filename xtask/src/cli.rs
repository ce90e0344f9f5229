// SPDX-License-Identifier: GPL-2.0-only
//! The command line as typed.

mod bench;
mod notes;
mod show;
mod source;
mod test;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};

use self::notes::{B4_NOTES, BENCH_NOTES, EXIT_CODES, INJECT_NOTES, WATCH_NOTES};

pub(crate) use self::bench::{BenchArgs, BenchFormat};
pub(crate) use self::show::{Format, ShowArgs};
pub(crate) use self::source::{ConfigArgs, DEFAULT_MACHINE, DEFAULT_SERIES, SourceArgs};
pub(crate) use self::test::{Snapshots, TestArgs};

/// Patch-series testbed and kselftest generator for Linux.
#[derive(Debug, Parser)]
#[command(name = "patchbed", after_help = EXIT_CODES)]
#[command(max_term_width = 80)]
pub(crate) struct Cli {
    /// Folder with the series, scenarios, machines and configurations, laid out as in
    /// the checkout of patchbed [env: PATCHBED_DATA] [default: the checkout's for `cargo
    /// xtask`, built in otherwise]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<Utf8PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge a series: apply, build, boot, run scenarios, print the table
    #[command(after_help = EXIT_CODES)]
    Test(TestArgs),
    /// Judge a series, and again on every save: what the save can affect runs anew
    #[command(after_help = WATCH_NOTES)]
    Watch(TestArgs),
    /// Apply a series to a tree and show the checkouts, without building
    Apply(ApplyArgs),
    /// Build the kernels of the checkouts
    Build(BuildArgs),
    /// Write the generated selftests, or check that they are up to date
    Generate(GenerateArgs),
    /// Boot a kernel in the test VM and say how long it took
    Boot(BootArgs),
    /// Make a kernel go wrong on purpose, and keep what it says
    #[command(after_help = INJECT_NOTES)]
    Inject(InjectArgs),
    /// Judge a finished run again from what it recorded, and print its table
    Report(ReportArgs),
    /// Answer `b4 review`: read a mail, and tell what the runs there are say of it
    #[command(name = "b4-check", after_help = B4_NOTES)]
    B4Check(B4CheckArgs),
    /// Say what this host lacks, and how to get it
    Doctor(DoctorArgs),
    /// Run all that CI checks
    Ci(CiArgs),
    /// Measure how fast this is, side by side with other ways to the same result
    #[command(after_help = BENCH_NOTES)]
    Bench(BenchArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Also write the differing files of each checkout below this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) configs: ConfigArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// Change nothing; fail with a difference if the files are not up to date
    #[arg(long)]
    pub(crate) check: bool,

    /// Put the selftests into this kernel tree instead, as a commit if it is a git
    /// repository
    #[arg(long, value_name = "TREE", conflicts_with = "check")]
    pub(crate) into: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct BootArgs {
    /// A kernel image (bzImage)
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Utf8PathBuf,

    /// Machine to run on, from vm-images/machines
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MACHINE)]
    pub(crate) machine: String,

    /// Config whose memory and time limits fit the kernel
    #[arg(long, value_name = "NAME", default_value = "fast")]
    pub(crate) config: String,

    /// Folder for the console log and what the guest said [default: `boot` beside the
    /// run folders]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct InjectArgs {
    /// Faults to pull, each in a guest of its own; those that share one are joined
    /// by `+`, and pulled in that order [default: none, but say which there are]
    #[arg(value_name = "WORD[+WORD]")]
    pub(crate) words: Vec<String>,

    /// Kernel tree: a directory, or GIT@REV [default: as for `test`]
    #[arg(long, value_name = "TREE")]
    pub(crate) tree: Option<String>,

    /// Checkout of the project's own series to pull them on
    #[arg(long, value_name = "NAME", default_value = "series")]
    pub(crate) checkout: String,

    /// Kernel configuration: fast or kasan
    #[arg(long, value_name = "NAME", default_value = "fast")]
    pub(crate) config: String,

    /// Machine to run on, from vm-images/machines [default: edu-pair-leaks for
    /// `leak`, otherwise edu-pair]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,

    /// Boot every guest, instead of going on from where the kernel booted once
    #[arg(long)]
    pub(crate) cold_boot: bool,

    /// Folder for a folder each, with the console's raw `serial.log` in it
    /// [default: `faults` beside the run folders]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Run folder [default: `latest` among the run folders]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<Utf8PathBuf>,

    /// Say what changed since this earlier run instead: exit code 0 when nothing is
    /// worse, 1 when something is
    #[arg(long, value_name = "RUN")]
    pub(crate) against: Option<Utf8PathBuf>,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

#[derive(Args, Debug)]
pub(crate) struct B4CheckArgs {
    /// Answer for the whole series that the mail belongs to, not for its patch
    #[arg(long)]
    pub(crate) whole: bool,

    /// Run folder to answer from [default: the newest run of the same series]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Install what is missing (needs root)
    #[arg(long)]
    pub(crate) install: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CiArgs {
    /// Install missing host packages first (needs root); implied by CI=true
    #[arg(long)]
    pub(crate) install: bool,

    /// Run only the steps with this in their names; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,

    /// Minutes after which no further optional step is begun
    #[arg(long, value_name = "MINUTES", default_value_t = 25)]
    pub(crate) budget: u64,
}
