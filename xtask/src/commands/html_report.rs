// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTML report of a run, made from its result and the recorded output of its jobs.

use crate::commands::generate;
use crate::comparison::Comparison;
use crate::evidence::Evidence;
use crate::render::html;
use crate::render::report::Report;
use crate::run_folder::RunFolder;
use crate::session::Session;

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
    let scenarios = generate::scenarios(session)?;
    let result = report.result;
    let evidence = Evidence::gather(result, folder, report.run, report.options, &scenarios);
    Ok(html::text(result, against, &evidence))
}
