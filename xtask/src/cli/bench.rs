// SPDX-License-Identifier: GPL-2.0-only
//! The arguments of `bench`.

use clap::{Args, ValueEnum};

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
    pub(crate) tree: Option<String>,

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
