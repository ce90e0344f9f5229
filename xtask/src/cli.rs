// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line as typed.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use xtask::engine::layout::DataArgs;
use xtask::engine::options::{ConfigArgs, DEFAULT_MACHINE, SourceArgs, TestOptions};
use xtask::report::format::ShowArgs;

const EXIT_CODES: &str = "\
Exit codes: 0 every result as expected; 1 a finding (unexpected status or \
kernel report, missed fault or mutant, or a difference from a snapshot); 2 wrong input; \
 3 inconclusive, or the series or a part of it was not tested; 130 interrupted.";

const INJECT_NOTES: &str = "\
The kernel module fault.ko injects the faults. It has only the faults that the kernel's \
config can detect. For each guest, the result is printed in one line. `hang` takes as long \
as the timeout for a silent guest; other faults take up to a minute.

Exit codes: 0 every fault was injected; 1 a fault was not injected, or is not in this \
kernel; 2 wrong input; 3 infrastructure; 130 interrupted.";

const WATCH_NOTES: &str = "\
Watched files: the series and its prerequisites, scenarios and their snapshots, machines, \
configs, and the kernel tree if it is a directory. A job is rerun when the hash of its \
build, test, machine or snapshot changes. Other results are reused; they are marked `=` in \
the table and `cached` in result.json. Errors are printed; the command then waits for the \
next save. A save while jobs run cancels them and starts the next iteration. Every iteration \
has its own run folder; the link `latest` beside them leads to the newest.

`watch` does not run the self-check. It reuses the last self-check result of `test` for the \
same kernel configuration, and prints a note if there is none.

Ctrl-C ends the command. Exit codes: 2 wrong input; 3 infrastructure; 130 interrupted.";

const BENCH_NOTES: &str = "\
The sides of a case run alternately, after a warm-up run of each. The exit code does not \
depend on the measured times: 0 measured; 1 a run failed, so there are no figures; \
2 wrong input; 3 infrastructure; 130 interrupted.";

const B4_NOTES: &str = "\
`b4-check` runs no tests: run `test` on the series first, best with the mbox that `b4 am` \
writes. Add to the git configuration of the kernel's repository:
  git config b4.review-perpatch-check-cmd 'patchbed b4-check'
  git config b4.review-series-check-cmd 'patchbed b4-check --whole'
To read the runs of `cargo xtask`, use CHECKOUT/target/debug/patchbed instead.

Exit codes: 0 a result was printed, also if no run matches; 2 wrong input; \
3 infrastructure.";

/// Patch-series testbed and kselftest generator for Linux.
#[derive(Debug, Parser)]
#[command(name = "patchbed", after_help = EXIT_CODES)]
#[command(max_term_width = 80)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) data: DataArgs,

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
    Watch(RunArgs),
    /// Apply a series to a tree and list the files that differ in each checkout
    Apply(ApplyArgs),
    /// Build the kernel of each checkout and config, and print the paths of the images
    Build(BuildArgs),
    /// Write the generated kselftests, or check that they are up to date
    Generate(GenerateArgs),
    /// Write the skeleton of a catalogue, a scenario or a verb
    #[command(subcommand)]
    New(NewArgs),
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

/// The arguments that `test` and `watch` have in common.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) options: TestOptions,

    #[command(flatten)]
    pub(crate) show: ShowArgs,

    /// Print the plan and exit
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Install missing host packages first (needs root)
    #[arg(long)]
    pub(crate) install: bool,
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Skip the fault-injection self-check of each build
    #[arg(long)]
    pub(crate) no_self_check: bool,

    /// Run folder; must be new or empty [default: a new folder, in target/patchbed/runs of
    /// the checkout for `cargo xtask`, in ~/.local/state/patchbed/runs otherwise]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
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

#[derive(Debug, Subcommand)]
pub(crate) enum NewArgs {
    /// Write a catalogue with one scenario
    Catalogue {
        /// The new folder
        #[arg(value_name = "DIR")]
        folder: Utf8PathBuf,
    },
    /// Write a scenario in the catalogue
    Scenario {
        /// Its name: lower-case words with `-` between them
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Write a verb in the catalogue: its entry and its C function
    Verb {
        /// Its key: lower-case words with `_` between them
        #[arg(value_name = "NAME")]
        name: String,
    },
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
    /// guest and are injected in that order [default: list the faults]
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

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Cases to measure, as listed by `--list` [default: the cases that take only
    /// minutes]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// List the cases and measure nothing
    #[arg(long)]
    pub(crate) list: bool,

    /// Number of measured rounds; with fewer than 3, no ratio is printed [default:
    /// set by the case]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,

    /// Kernel tree: a directory, or GIT@REV [default: as for `test`]
    #[arg(long, value_name = "TREE")]
    pub(crate) tree: Option<String>,

    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: BenchFormat,

    /// Also write the figures to BENCHMARKS.md
    #[arg(long)]
    pub(crate) record: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    /// Figures, host, and a summary line for each case
    Text,
    /// The figures of every round
    Json,
    /// The sections of BENCHMARKS.md
    Markdown,
}
