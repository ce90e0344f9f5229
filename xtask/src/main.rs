// SPDX-License-Identifier: MIT OR Apache-2.0
//! `patchbed`: the command line.
//!
//! `main` parses the arguments, runs a command and maps its result to an exit code.

mod cli;
mod commands;

use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use patchbed_host::cancel::Cancel;
use xtask::engine::program;
use xtask::engine::session::Session;
use xtask::exit::{self, Exit};
use xtask::report;
use xtask::report::progress::Progress;

use crate::cli::{Cli, Command};

fn main() -> std::process::ExitCode {
    let name = program::name();
    patchbed_host::program::set_name(name);
    let typed = Cli::command().name(name).bin_name(name).get_matches();
    let cli = Cli::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
    run(&cli)
        .unwrap_or_else(|error| report_error(&error))
        .into()
}

/// Runs the command.
fn run(cli: &Cli) -> anyhow::Result<Exit> {
    let cancel = cancel_on_signals()?;
    let progress = Progress::start();
    let session = Session::start(&cli.data, cancel, Arc::new(progress.clone()))?;
    let session = &session;
    let result = match &cli.command {
        Command::Test(args) => commands::test::run(args, session),
        Command::Watch(args) => commands::watch::run(args, session),
        Command::Apply(args) => commands::apply::run(args, session),
        Command::Build(args) => commands::build::run(args, session),
        Command::Generate(args) => commands::generate::run(args, session),
        Command::New(args) => commands::new::run(args, session),
        Command::Inject(args) => commands::inject::run(args, session),
        Command::Boot(args) => commands::boot::run(args, session),
        Command::Report(args) => commands::report::run(args, session),
        Command::B4Check(args) => commands::b4_check::run(args, session),
        Command::Doctor(args) => commands::doctor::run(args, session),
        Command::Ci(args) => commands::ci::run(args, session),
        Command::Bench(args) => commands::bench::run(args, session),
    };
    progress.clear();
    if result.is_err() && session.cancel.is_cancelled() {
        report::line_to_stderr("interrupted; all processes were ended");
        return Ok(Exit::Interrupted);
    }
    result
}

/// Returns a cancellation that is set by Ctrl-C and by a request to terminate.
fn cancel_on_signals() -> anyhow::Result<Cancel> {
    let cancel = Cancel::new();
    let on_signal = cancel.clone();
    ctrlc::set_handler(move || {
        if on_signal.is_cancelled() {
            // The second Ctrl-C ends the program at once; the kernel kills the process
            // groups of its children with it.
            std::process::exit(130);
        }
        on_signal.cancel();
    })?;
    Ok(cancel)
}

/// Prints an error and returns its exit code.
fn report_error(error: &anyhow::Error) -> Exit {
    report::error_to_stderr(&exit::message(error));
    exit::exit_for(error)
}
