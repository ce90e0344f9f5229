// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arguments of `test` and `watch`.

use camino::Utf8PathBuf;
use clap::Args;
use xtask::engine::options::TestOptions;

use super::ShowArgs;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) options: TestOptions,

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
}
