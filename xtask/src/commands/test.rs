// SPDX-License-Identifier: MIT OR Apache-2.0
//! `test`: runs the tests and prints the results.

use std::collections::BTreeMap;

use xtask::engine::judge::Analyses;
use xtask::engine::options::TestOptions;
use xtask::engine::request::Request;
use xtask::engine::run::{self, Finished};
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::exit::Exit;
use xtask::report;

use crate::cli::TestArgs;
use crate::commands::{doctor, show};

/// Runs the tests and prints the results.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    let TestArgs {
        run: common, out, ..
    } = args;
    let options = TestOptions {
        no_self_check: args.no_self_check,
        ..common.options.clone()
    };
    let request = Request::look_up(&options, session)?;
    if let Some(out) = out {
        RunFolder::check_out(out)?;
    }
    if !common.dry_run {
        doctor::require(common.install, session)?;
    }
    request.source_request.tree.check(&session.cancel)?;
    if common.dry_run {
        report::to_stdout(&report::plan::text(&request.plan))?;
        return Ok(Exit::Ok);
    }
    let run = run::run(&request, &options, out.as_deref(), session)?;
    session.observer.clear();
    let Finished {
        result,
        plan,
        folder,
        ..
    } = &run;
    let analyses = Analyses::new(folder, BTreeMap::new());
    show::run(
        result,
        None,
        plan,
        &common.show,
        (folder, &analyses),
        session,
    )?;
    Ok(result.exit())
}
