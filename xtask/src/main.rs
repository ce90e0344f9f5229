// SPDX-License-Identifier: MIT OR Apache-2.0
//! `patchbed`: command line, plan, commands and renderers.
//!
//! `main` parses the arguments, runs a command and maps its result to an exit code. Commands
//! do the work; renderers print.

mod builtin;
mod checkouts;
mod cli;
mod commands;
mod comparison;
mod evidence;
mod exit;
mod host;
mod layout;
mod plan;
mod program;
mod record;
mod render;
mod result;
mod run_folder;
mod session;
mod snapshot;

use clap::{CommandFactory, FromArgMatches};

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::session::Session;

fn main() -> std::process::ExitCode {
    let name = program::name();
    patchbed_host::program::set_name(name);
    let typed = Cli::command().name(name).bin_name(name).get_matches();
    let cli = Cli::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
    let session = match Session::start(cli.data.as_deref()) {
        Ok(session) => session,
        Err(error) => return report_error(&error).into(),
    };
    let result = match &cli.command {
        Command::Test(args) => commands::test::run(args, &session),
        Command::Watch(args) => commands::watch::run(args, &session),
        Command::Apply(args) => commands::apply::run(args, &session),
        Command::Build(args) => commands::build::run(args, &session),
        Command::Generate(args) => commands::generate::run(args, &session),
        Command::Inject(args) => commands::inject::run(args, &session),
        Command::Boot(args) => commands::boot::run(args, &session),
        Command::Report(args) => commands::report::run(args, &session),
        Command::B4Check(args) => commands::b4_check::run(args, &session),
        Command::Doctor(args) => commands::doctor::run(args, &session),
        Command::Ci(args) => commands::ci::run(args, &session),
        Command::Bench(args) => commands::bench::run(args, &session),
    };
    session.progress.clear();
    let exit = match result {
        Ok(exit) => exit,
        Err(_) if session.cancel.is_cancelled() => {
            render::line_to_stderr("interrupted; all processes were ended");
            Exit::Interrupted
        }
        Err(error) => report_error(&error),
    };
    exit.into()
}

/// Prints an error and returns its exit code.
fn report_error(error: &anyhow::Error) -> Exit {
    render::error_to_stderr(&exit::message(error));
    exit::exit_for(error)
}
