// SPDX-License-Identifier: GPL-2.0-only
//! The page of a run: reads what its cells left behind, and writes `report.html` beside
//! them.

use camino::Utf8PathBuf;
use fs_err as fs;

use crate::commands::generate;
use crate::comparison::Comparison;
use crate::evidence::Evidence;
use crate::render::html;
use crate::result::RunResult;
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Writes the page into the run folder and returns its path. `against` is what changed since
/// an earlier run, and that run's name; `run` is the folder's name
/// for people, `again` are the options that make the same run again.
///
/// # Errors
/// When a scenario holds a mistake, or the page cannot be written.
pub(crate) fn write(
    result: &RunResult,
    against: Option<(&Comparison, &str)>,
    folder: &RunFolder,
    run: &str,
    again: &str,
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let scenarios = generate::scenarios(session)?;
    let evidence = Evidence::gather(result, folder, run, again, &scenarios);
    let path = folder.path().join(html::FILE_NAME);
    fs::write(&path, html::page(result, against, &evidence))?;
    Ok(path)
}
