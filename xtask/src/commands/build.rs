// SPDX-License-Identifier: MIT OR Apache-2.0
//! `build`: builds the kernels of checkouts and configs.

use crate::cli::BuildArgs;
use xtask::engine::build::{build_all, find_configs};
use xtask::engine::session::Session;
use xtask::engine::sources::SourceRequest;
use xtask::exit::Exit;
use xtask::report;

/// Builds the kernels and prints the path of each image.
pub(crate) fn run(args: &BuildArgs, session: &Session) -> anyhow::Result<Exit> {
    let source_request = SourceRequest::from_args(&args.source, session)?;
    source_request.refuse_mutants("build")?;
    let configs = find_configs(&args.configs.config, session)?;
    let sources = source_request.apply(session)?;
    let kernels = build_all(&sources, &configs, None, session)?;
    session.observer.clear();
    for built in kernels {
        let how = if built.kernel.is_fresh {
            "built"
        } else {
            "from the cache"
        };
        report::to_stdout(&format!(
            "{} ({}): {} {how}",
            built.checkout,
            built.config,
            built.kernel.image()
        ))?;
    }
    Ok(Exit::Ok)
}
