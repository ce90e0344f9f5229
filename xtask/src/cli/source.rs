// SPDX-License-Identifier: GPL-2.0-only
//! Arguments that say which kernels are made, and from what.

use clap::Args;

/// The series that is judged when none is named.
pub(crate) const DEFAULT_SERIES: &str = "flb-refcount";

/// The machine that is used when none is named.
pub(crate) const DEFAULT_MACHINE: &str = "edu-pair";

/// Which source states to make.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Kernel tree: a directory, or GIT@REV [default: the newest
    /// linux-source-7.x that Debian offers]
    #[arg(long, value_name = "TREE")]
    pub(crate) tree: Option<String>,

    /// Series to judge: one of ours by name, a folder of .patch files, one patch,
    /// or an mbox
    #[arg(long, value_name = "SERIES", default_value = DEFAULT_SERIES)]
    pub(crate) series: String,

    /// Series to apply first, part of every checkout; may be repeated. Given once,
    /// it replaces the default list [default: pci-liveupdate, liveupdate-test-driver,
    /// pciehp-lock-order]
    #[arg(long, value_name = "SERIES")]
    pub(crate) prereq: Vec<String>,

    /// Name of a series of ours whose place the named ones take, in other words:
    /// scenarios that fail without it should pass; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) provides: Vec<String>,

    /// Checkouts, separated by commas: base (without the series), series (with it), each
    /// (after every patch), patch-N (after its first N patches), mutants (the series with
    /// a mistake put into it, each in its turn), mutant-NAME (one of them)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "base,series"
    )]
    pub(crate) checkouts: Vec<String>,
}

/// Which kernel configurations to use.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// Kernel configuration: fast or kasan; several separated by commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "fast"
    )]
    pub(crate) config: Vec<String>,
}
