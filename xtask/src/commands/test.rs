// SPDX-License-Identifier: MIT OR Apache-2.0
//! `test`: runs the tests and prints the results.

use xtask::engine::request::Request;
use xtask::engine::run;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::exit::Exit;
use xtask::report;

use crate::cli::TestArgs;
use crate::commands::{doctor, show};

/// Runs the tests and prints the results.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    let request = Request::look_up(&args.options, session)?;
    if let Some(out) = &args.out {
        RunFolder::check_out(out)?;
    }
    if !args.dry_run {
        doctor::require(args.install, session)?;
    }
    request.source_request.tree.check(&session.cancel)?;
    if args.dry_run {
        report::to_stdout(&report::plan::text(&request.plan))?;
        return Ok(Exit::Ok);
    }
    let run = run::run(&request, &args.options, args.out.as_deref(), session)?;
    session.observer.clear();
    show::run(
        &run.result,
        None,
        &run.plan,
        &args.show,
        &run.folder,
        session,
    )?;
    Ok(run.result.exit())
}
