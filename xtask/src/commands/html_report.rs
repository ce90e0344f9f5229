// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTML report of a run, made from its result and the recorded output of its jobs.

use xtask::engine::run_folder::RunFolder;
use xtask::engine::scenarios;
use xtask::engine::session::Session;
use xtask::report::comparison::Comparison;
use xtask::report::evidence::Evidence;
use xtask::report::html;
use xtask::report::input::Report;

/// Returns the HTML report. `against` is the comparison with an earlier run, and its name.
///
/// # Errors
/// When a scenario file is invalid.
pub(crate) fn text(
    report: &Report<'_>,
    against: Option<(&Comparison, &str)>,
    folder: &RunFolder,
    session: &Session,
) -> anyhow::Result<String> {
    let scenarios = scenarios::scenarios(session)?;
    let result = report.result;
    let evidence = Evidence::gather(result, folder, report.run, report.options, &scenarios);
    Ok(html::text(result, against, &evidence))
}
