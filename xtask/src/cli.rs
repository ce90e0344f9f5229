// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line as typed.

mod bench;
mod notes;
mod test;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};

use self::notes::{B4_NOTES, BENCH_NOTES, EXIT_CODES, INJECT_NOTES, WATCH_NOTES};

pub(crate) use self::bench::{BenchArgs, BenchFormat};
pub(crate) use self::test::TestArgs;
pub(crate) use xtask::engine::options::{ConfigArgs, DEFAULT_MACHINE, DEFAULT_SERIES, SourceArgs};
pub(crate) use xtask::report::format::{Format, ShowArgs};

/// Patch-series testbed and kselftest generator for Linux.
#[derive(Debug, Parser)]
#[command(name = "patchbed", after_help = EXIT_CODES)]
#[command(max_term_width = 80)]
pub(crate) struct Cli {
    /// Folder with series, scenarios, machines and configs, laid out as in a checkout of
    /// patchbed [env: PATCHBED_DATA] [default: the checkout for `cargo xtask`, the
    /// built-in data otherwise]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<Utf8PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Test a series: apply, build, boot, run scenarios, and print a table of results
    #[command(after_help = EXIT_CODES)]
    Test(TestArgs),
    /// Test a series again after every save, running only the jobs that it affects
    #[command(after_help = WATCH_NOTES)]
    Watch(TestArgs),
    /// Apply a series to a tree and list the files that differ in each checkout
    Apply(ApplyArgs),
    /// Build the kernel of each checkout and config, and print the paths of the images
    Build(BuildArgs),
    /// Write the generated kselftests, or check that they are up to date
    Generate(GenerateArgs),
    /// Boot a kernel image in a VM and print the boot time
    Boot(BootArgs),
    /// Inject faults into a kernel and record its reports
    #[command(after_help = INJECT_NOTES)]
    Inject(InjectArgs),
    /// Evaluate the recorded output of a finished run again and print its results
    Report(ReportArgs),
    /// Check command for `b4 review`: read a patch mail, print results of matching runs
    #[command(name = "b4-check", after_help = B4_NOTES)]
    B4Check(B4CheckArgs),
    /// Check that this host has the programs and files that a run needs
    Doctor(DoctorArgs),
    /// Run all checks of the project's CI
    Ci(CiArgs),
    /// Measure the speed of patchbed, and compare it with other tools
    #[command(after_help = BENCH_NOTES)]
    Bench(BenchArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Also write the files that differ, to a folder per checkout below DIR
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
    /// Write nothing; print a diff and fail if the files are not up to date
    #[arg(long)]
    pub(crate) check: bool,

    /// Write the kselftests into this kernel tree instead; commit them if it is a git
    /// repository
    #[arg(long, value_name = "TREE", conflicts_with = "check")]
    pub(crate) into: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct BootArgs {
    /// Kernel image (bzImage)
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Utf8PathBuf,

    /// Machine to boot, from vm-images/machines
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MACHINE)]
    pub(crate) machine: String,

    /// Config of the kernel; sets the memory and the time limits of the VM
    #[arg(long, value_name = "NAME", default_value = "fast")]
    pub(crate) config: String,

    /// Folder for the console log and the messages of the guest [default: `boot` beside
    /// the run folders]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct InjectArgs {
    /// Faults to inject, each argument in its own guest; faults joined by `+` share a
    /// guest and are injected in that order [default: build the
    /// kernel, boot it and list its faults]
    #[arg(value_name = "FAULT[+FAULT]")]
    pub(crate) words: Vec<String>,

    /// Kernel tree: a directory, or GIT@REV [default: as for `test`]
    #[arg(long, value_name = "TREE")]
    pub(crate) tree: Option<String>,

    /// Checkout of the default series into whose kernel the faults are injected
    #[arg(long, value_name = "NAME", default_value = "series")]
    pub(crate) checkout: String,

    /// Kernel config: fast or kasan
    #[arg(long, value_name = "NAME", default_value = "fast")]
    pub(crate) config: String,

    /// Machine to run on, from vm-images/machines [default: edu-pair-leaks for
    /// `leak`, otherwise edu-pair]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,

    /// Boot every guest instead of restoring a checkpoint of the booted kernel
    #[arg(long)]
    pub(crate) cold_boot: bool,

    /// Folder for one folder per guest, each with the raw console log `serial.log`
    /// [default: `faults` beside the run folders]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Run folder [default: `latest` among the run folders]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<Utf8PathBuf>,

    /// Print the changes since this earlier run instead; exit code 1 if a result is
    /// worse, 0 otherwise
    #[arg(long, value_name = "RUN")]
    pub(crate) against: Option<Utf8PathBuf>,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

#[derive(Args, Debug)]
pub(crate) struct B4CheckArgs {
    /// Print the results of the whole series that the mail belongs to, not of its patch
    #[arg(long)]
    pub(crate) whole: bool,

    /// Run folder to read [default: the newest run of the same series]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Install missing packages (needs root)
    #[arg(long)]
    pub(crate) install: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CiArgs {
    /// Install missing host packages first (needs root); implied by CI=true
    #[arg(long)]
    pub(crate) install: bool,

    /// Run only the steps whose names contain TEXT; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,

    /// Minutes after which optional steps are skipped
    #[arg(long, value_name = "MINUTES", default_value_t = 25)]
    pub(crate) budget: u64,
}
