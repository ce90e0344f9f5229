// SPDX-License-Identifier: MIT OR Apache-2.0
//! `test`: applies the series, builds kernels, runs the jobs and prints the results.

mod batches;
pub(crate) mod checkpoints;
mod context;
mod coverage;
mod hang;
mod history;
pub(crate) mod jobs;
pub(crate) mod judge;
pub(crate) mod kselftest;
mod mutants;
pub(crate) mod prepare;
mod provenance;
mod request;
mod running;
mod self_checks;

use jiff::Timestamp;

use self::mutants::MutationRun;
use crate::cli::TestArgs;
use crate::commands::build::build_all;
use crate::commands::{doctor, show};
use crate::exit::Exit;
use crate::render;
use crate::run_folder::RunFolder;
use crate::session::Session;

pub(crate) use self::context::{RunContext, match_up};
pub(crate) use self::request::{Request, choose_scenarios};
pub(crate) use self::running::run_jobs;

/// Runs the tests and prints the results.
pub(crate) fn run(args: &TestArgs, session: &Session) -> anyhow::Result<Exit> {
    let began = Timestamp::now();
    let request = Request::look_up(args, session)?;
    if let Some(out) = &args.out {
        RunFolder::check_out(out)?;
    }
    if !args.dry_run {
        doctor::require(args.install, session)?;
    }
    request.source_request.tree.check(&session.cancel)?;
    if args.dry_run {
        render::to_stdout(&render::plan::text(&request.plan))?;
        return Ok(Exit::Ok);
    }
    let sources = request.source_request.apply(session)?;
    kselftest::check(&request.kselftests, &sources)?;
    let modules = request.modules(!args.no_self_check)?;
    let kernels = build_all(&sources, &request.configs, modules.as_ref(), session)?;
    let context = RunContext::make(kernels, &sources, &request, args, session)?;
    let plan = &context.plan;
    let folder = RunFolder::create(args.out.as_deref(), &session.layout, plan)?;
    let jobs = match_up(&request, &context)?;
    let self_checks = self_checks::run(&context, args, &folder, session)?;
    let results = run_jobs(&jobs, plan, &context, &folder, args, session, &|_, _| {})?;
    let mutation_run = MutationRun {
        request: &request,
        sources: &sources,
        context: &context,
        folder: &folder,
        args,
        session,
    };
    let mutants = mutation_run.run(&results)?;
    let result = context
        .result(results, began, &folder)
        .with_self_checks(self_checks)
        .with_mutants(mutants);
    folder.finish(&result, &session.layout)?;
    session.progress.clear();
    show::run(&result, None, plan, &args.show, &folder, session)?;
    Ok(result.exit())
}
