// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that select the kernels: tree, series, checkouts and configs.

use clap::Args;

/// The series that is tested by default.
pub(crate) const DEFAULT_SERIES: &str = "flb-refcount";

/// The machine that is used by default.
pub(crate) const DEFAULT_MACHINE: &str = "edu-pair";

/// Which checkouts to make.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Kernel tree: a directory, or GIT@REV [default: the newest linux-source-7.x
    /// package of Debian]
    #[arg(long, value_name = "TREE")]
    pub(crate) tree: Option<String>,

    /// Series to test: the name of a known series, a folder of .patch files, a single
    /// patch, or an mbox
    #[arg(long, value_name = "SERIES", default_value = DEFAULT_SERIES)]
    pub(crate) series: String,

    /// Series to apply first, in every checkout; may be repeated. Replaces the default
    /// list [default: pci-liveupdate, liveupdate-test-driver, pciehp-lock-order]
    #[arg(long, value_name = "SERIES")]
    pub(crate) prereq: Vec<String>,

    /// Treat the given series as an implementation of the known series NAME: scenarios
    /// that require NAME are expected to pass; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) provides: Vec<String>,

    /// Checkouts to test, separated by commas: base (without the series), series (with
    /// it), each (after every patch), patch-N (after its first N patches), mutants (each
    /// mutant of the series), mutant-NAME (a single mutant)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "base,series"
    )]
    pub(crate) checkouts: Vec<String>,
}

/// Which kernel configs to use.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// Kernel config: fast or kasan; several separated by commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "fast"
    )]
    pub(crate) config: Vec<String>,
}
