// SPDX-License-Identifier: GPL-2.0-only
//! The command line as typed.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The series that is judged when none is named.
pub(crate) const DEFAULT_SERIES: &str = "flb-refcount";
/// The machine that is used when none is named.
pub(crate) const DEFAULT_MACHINE: &str = "edu-pair";

const EXIT_CODES: &str = "\
Exit codes: 0 every verdict as expected; 1 a finding (unexpected outcome, splat or snapshot); \
2 wrong input; 3 infrastructure; 130 interrupted.";

const CANARY_NOTES: &str = "\
A kernel module of ours does the harm, and only of the kinds that this kernel is \
built to notice. For each guest a line says what the tool made of it. `hang` takes \
as long as the tool waits for a guest that is silent; other kinds take up to a \
minute.

Exit codes: 0 every canary was pulled; 1 one could not be, or is not in this kernel; \
2 wrong input; 3 infrastructure; 130 interrupted.";

const WATCH_NOTES: &str = "\
Watched are the series and its prerequisites, the scenarios and their recorded results, \
machine, profiles, and a kernel tree that is a directory. A cell runs anew when what it \
rests on has changed by content; the others keep their result, marked `=` in the table and \
`kept` in result.json. A mistake is shown, and the next save waited for. A save while cells \
run ends them and begins anew. Every turn has a run folder; `--out` is refused.

No kernel is made to show that its complaints are seen: what `test` had one of the same \
configuration show is told, and where that is nothing, a note says so. `--no-canaries` is \
refused.

Ctrl-C ends it, with exit code 130; 2 wrong input; 3 infrastructure.";

const BENCH_NOTES: &str = "\
The sides of a case run in turns, after a run of each to warm up. How long a job takes \
never decides the exit code: 0 measured; 1 a job went wrong, so there is no figure; \
2 wrong input; 3 infrastructure; 130 interrupted.";

const B4_NOTES: &str = "\
Nothing runs: judge the series first, best with the mbox that `b4 am` wrote. In the \
configuration of the kernel's repository:
  git config b4.review-perpatch-check-cmd 'CHECKOUT/target/debug/xtask b4-check'
  git config b4.review-series-check-cmd 'CHECKOUT/target/debug/xtask b4-check --whole'

Exit codes: 0 answered, whatever the answer; 2 wrong input; 3 infrastructure.";

/// Patch-series testbed and kselftest generator for Linux.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXIT_CODES)]
#[command(max_term_width = 80)]
pub(crate) struct Cli {
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
    /// Apply a series to a tree and show the stacks, without building
    Apply(ApplyArgs),
    /// Build the kernels of the stacks
    Build(BuildArgs),
    /// Write the generated selftests, or check that they are up to date
    Generate(GenerateArgs),
    /// Boot a kernel in the test VM and say how long it took
    Boot(BootArgs),
    /// Make a kernel go wrong on purpose, and keep what it says
    #[command(after_help = CANARY_NOTES)]
    Canary(CanaryArgs),
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

/// Which source states to make.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Kernel tree: a directory, or GIT@REV [default: the newest
    /// linux-source-7.x that Debian offers]
    #[arg(long, value_name = "TREE")]
    pub(crate) kernel: Option<String>,

    /// Series to judge: one of ours by name, a folder of .patch files, one patch,
    /// or an mbox
    #[arg(long, value_name = "SERIES", default_value = DEFAULT_SERIES)]
    pub(crate) series: String,

    /// Series to apply first, part of every stack; may be repeated. Given once,
    /// it replaces the default list [default: pci-liveupdate, liveupdate-test-driver,
    /// pciehp-lock-order]
    #[arg(long, value_name = "SERIES")]
    pub(crate) prereq: Vec<String>,

    /// Name of a series of ours whose place the named ones take, in other words:
    /// scenarios that fail without it should pass; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) provides: Vec<String>,

    /// Stacks, separated by commas: base (without the series), series (with it), each
    /// (after every patch), patch-N (after its first N patches), mutants (the series with
    /// a mistake put into it, each in its turn), mutant-NAME (one of them)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "base,series"
    )]
    pub(crate) stacks: Vec<String>,
}

/// Which kernel configurations to use.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProfileArgs {
    /// Kernel configuration: fast or kasan; several separated by commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "fast"
    )]
    pub(crate) profile: Vec<String>,
}

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
    pub(crate) profiles: ProfileArgs,

    /// Machine to run on, from vm-images/machines [default: the one that a
    /// scenario names]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,

    /// VMs at once [default: one for each core, as far as memory allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) jobs: Option<u32>,

    /// Run every cell this many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: u32,

    /// Let scenarios that leave no trace share a guest where all of them pass;
    /// otherwise each has a guest of its own
    #[arg(long)]
    pub(crate) batch: bool,

    /// Boot every guest, instead of booting each kernel once and going on from
    /// there: slower, and each cell sees a boot of its own
    #[arg(long)]
    pub(crate) no_template: bool,

    /// Do not show first that each kernel's complaints are seen: a pass then says
    /// less
    #[arg(long)]
    pub(crate) no_canaries: bool,

    /// Keep the memory of a guest that hangs in its cell's folder: a file as large as
    /// the machine's memory
    #[arg(long)]
    pub(crate) dump_hangs: bool,

    /// Run folder, new or empty [default: target/testbed/runs/<id>]
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

/// How to show what a run came to.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArgs {
    /// Formats, separated by commas. One is printed on standard output; of several, the
    /// table is. All but table and json are also files in the run folder
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "table"
    )]
    pub(crate) format: Vec<Format>,

    /// In the table, show every row and every finding
    #[arg(long)]
    pub(crate) all_rows: bool,

    /// Name of the CI system that reports to KCIDB
    #[arg(long, value_name = "NAME", default_value = "flb_testbed", value_parser = origin)]
    pub(crate) origin: String,
}

/// Refuses what is no name to KCIDB.
fn origin(text: &str) -> Result<String, String> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("use small letters, digits and `_`".to_owned())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Scenarios against stacks, and what a person should look at
    Table,
    /// result.json, which is always written; its schema is xtask/result.schema.json
    Json,
    /// junit.xml, for CI systems; a failure that is as expected is a passing case
    Junit,
    /// kcidb.json, for dashboards of the kernel; failures are told as they are
    Kcidb,
    /// lore.txt, a reply to the mailing list that a person reads and sends
    Lore,
    /// github.md, the summary of a step; in a workflow also annotations
    Github,
    /// report.html, the whole run as one page for a browser; the table is printed
    Html,
    /// b4.json, what a check command tells `b4 review`; see `b4-check`
    B4,
}

impl Format {
    /// Returns the name of its file in the run folder, if it is written there when asked for.
    pub(crate) const fn file_name(self) -> Option<&'static str> {
        match self {
            Self::Table | Self::Json => None,
            Self::Junit => Some("junit.xml"),
            Self::Kcidb => Some("kcidb.json"),
            Self::Lore => Some("lore.txt"),
            Self::Github => Some("github.md"),
            Self::Html => Some(crate::render::html::FILE_NAME),
            Self::B4 => Some("b4.json"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Snapshots {
    /// A difference is a finding; review it with `cargo insta review`
    Check,
    /// Do not look
    Ignore,
}

#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Also write the differing files of each stack below this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) profiles: ProfileArgs,
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

    /// Profile whose memory and time limits fit the kernel
    #[arg(long, value_name = "NAME", default_value = "fast")]
    pub(crate) profile: String,

    /// Folder for the console log and what the guest said
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct CanaryArgs {
    /// Canaries to pull, each in a guest of its own; those that share one are joined
    /// by `+`, and pulled in that order [default: none, but say which there are]
    #[arg(value_name = "WORD[+WORD]")]
    pub(crate) words: Vec<String>,

    /// Kernel tree: a directory, or GIT@REV [default: as for `test`]
    #[arg(long, value_name = "TREE")]
    pub(crate) kernel: Option<String>,

    /// Stack of the project's own series to pull them on
    #[arg(long, value_name = "NAME", default_value = "series")]
    pub(crate) stack: String,

    /// Kernel configuration: fast or kasan
    #[arg(long, value_name = "NAME", default_value = "fast")]
    pub(crate) profile: String,

    /// Machine to run on, from vm-images/machines [default: edu-pair-leaks for
    /// `leak`, otherwise edu-pair]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,

    /// Boot every guest, instead of going on from where the kernel booted once
    #[arg(long)]
    pub(crate) no_template: bool,

    /// Folder for a folder each, with the console's raw `serial.log` in it
    /// [default: target/testbed/canaries]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Run folder
    #[arg(value_name = "RUN", default_value = "target/testbed/runs/latest")]
    pub(crate) run: Utf8PathBuf,

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

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Cases by name, see `--list` [default: those that take minutes]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Say what there is to measure, and measure nothing
    #[arg(long)]
    pub(crate) list: bool,

    /// Measured rounds; fewer than 3 give figures and no ratio [default: as
    /// the case says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,

    /// Kernel tree: a directory, or GIT@REV [default: as for `test`]
    #[arg(long, value_name = "TREE")]
    pub(crate) kernel: Option<String>,

    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: BenchFormat,

    /// Also put the figures into BENCHMARKS.md
    #[arg(long)]
    pub(crate) record: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    /// Figures, host, and a last line for each case
    Text,
    /// Every single figure
    Json,
    /// The sections that BENCHMARKS.md holds
    Markdown,
}
