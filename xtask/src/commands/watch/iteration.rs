// SPDX-License-Identifier: MIT OR Apache-2.0
//! An iteration of `watch`: tests the current files and prints the result.

use std::time::Instant;

use xtask::engine::request::Request;
use xtask::engine::result_cache::{self, ResultCache};
use xtask::engine::run::{self, Finished};
use xtask::engine::session::Session;
use xtask::exit::message;
use xtask::report;
use xtask::report::watch::{self, Iteration};

use crate::cli::TestArgs;
use crate::commands::show;

/// Tests the current files and prints the result; prints nothing if it is cancelled.
pub(super) fn run(since: Instant, args: &TestArgs, session: &Session, cache: &ResultCache) {
    let tested = test_files(args, session, cache);
    session.observer.clear();
    if session.cancel.is_cancelled() {
        cache.printed_error();
        return;
    }
    let iteration = match &tested {
        Ok(None) => Iteration::Unaffected,
        Ok(Some(run)) => Iteration::Judged {
            jobs: &run.result.jobs,
            took: since.elapsed(),
            parts: &run.times,
            not_tested: run.result.not_tested(),
        },
        Err(error) => {
            cache.printed_error();
            report::error_to_stderr(&message(error));
            Iteration::Failed
        }
    };
    report::line_to_stderr(&watch::line(&result_cache::now("%H:%M:%S"), &iteration));
}

/// Tests the current files; `None` if the last printed result was of the same inputs.
fn test_files(
    args: &TestArgs,
    session: &Session,
    cache: &ResultCache,
) -> anyhow::Result<Option<Finished>> {
    let request = Request::look_up(&args.options, session)?;
    let finished = run::run_changed(&request, &args.options, None, Some(cache), session)?;
    if let Some(run) = &finished {
        session.observer.clear();
        show::run(
            &run.result,
            None,
            &run.plan,
            &args.show,
            &run.folder,
            session,
        )?;
    }
    Ok(finished)
}
