// SPDX-License-Identifier: GPL-2.0-only
//! `test`: the whole chain, from arguments to the table.

pub(crate) mod cells;
mod coverage;
mod detectors;
mod hang;
mod history;
mod inquiry;
pub(crate) mod judge;
pub(crate) mod kselftest;
mod loads;
mod mutants;
pub(crate) mod prepare;
mod ready;
mod running;
mod setting;
pub(crate) mod start;

use jiff::Timestamp;

use self::mutants::Court;
use crate::cli::TestArgs;
use crate::commands::build::build_all;
use crate::commands::{doctor, show};
use crate::exit::Exit;
use crate::render;
use crate::run_folder::RunFolder;
use crate::session::Session;

pub(crate) use self::inquiry::{Inquiry, choose_scenarios};
pub(crate) use self::ready::{Ready, match_up};
pub(crate) use self::running::run_cells;

/// Runs the chain and prints the verdict.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    let began = Timestamp::now();
    let inquiry = Inquiry::look_up(args, session)?;
    if let Some(out) = &args.out {
        RunFolder::check_out(out)?;
    }
    if !args.dry_run {
        doctor::require(args.install, session)?;
    }
    inquiry.request.tree.check(&session.cancel)?;
    if args.dry_run {
        render::to_stdout(&render::plan::text(&inquiry.plan))?;
        return Ok(Exit::Ok);
    }
    let sources = inquiry.request.apply(session)?;
    kselftest::check(&inquiry.kselftests, &sources)?;
    let modules = inquiry.modules(!args.no_canaries)?;
    let kernels = build_all(&sources, &inquiry.profiles, modules.as_ref(), session)?;
    let ready = Ready::make(kernels, &sources, &inquiry, args, session)?;
    let plan = &ready.plan;
    let folder = RunFolder::create(args.out.as_deref(), &session.layout, plan)?;
    let cells = match_up(&inquiry, &ready)?;
    let detectors = detectors::show(&ready, args, &folder, session)?;
    let results = run_cells(&cells, plan, &ready, &folder, args, session, &|_, _| {})?;
    let court = Court {
        inquiry: &inquiry,
        sources: &sources,
        ready: &ready,
        folder: &folder,
        args,
        session,
    };
    let mutants = court.judge(&results)?;
    let result = ready
        .result(results, began, &folder)
        .with_detectors(detectors)
        .with_mutants(mutants);
    folder.finish(&result, &session.layout)?;
    session.progress.clear();
    show::run(&result, None, plan, &args.show, &folder, session)?;
    Ok(result.exit())
}
