// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scenarios of the catalogue.

use selftests::scenario::Scenario;

use crate::engine::session::Session;

/// Returns all scenarios.
///
/// # Errors
/// When a file of the catalogue is invalid or cannot be read.
pub fn scenarios(session: &Session) -> anyhow::Result<Vec<Scenario>> {
    let scenario_files = session.catalogue()?.scenario_files()?.into_iter();
    Ok(scenario_files
        .flat_map(|scenario_file| scenario_file.variants)
        .collect())
}
