// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arguments of `bench`.

use clap::{Args, ValueEnum};

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
