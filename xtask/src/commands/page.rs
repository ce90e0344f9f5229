// SPDX-License-Identifier: GPL-2.0-only
//! The page of a run: from its result and what its jobs left behind.

use crate::commands::generate;
use crate::comparison::Comparison;
use crate::evidence::Evidence;
use crate::render::html;
use crate::render::report::Report;
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Returns the page. `against` is what changed since an earlier run, and that run's name.
///
/// # Errors
/// When a scenario holds a mistake.
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
