// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scenario files of the data folder.

use selftests::scenario::{self, Machines, Scenario, ScenarioFile};

use crate::engine::session::Session;

/// Returns the project's scenario files.
///
/// # Errors
/// When a scenario file or a machine is invalid.
pub fn scenario_files(session: &Session) -> anyhow::Result<Vec<ScenarioFile>> {
    let machines = Machines::load(&session.layout.machines())?;
    Ok(scenario::load_all(&session.layout.scenarios(), &machines)?)
}

/// Returns the scenarios of all the project's scenario files.
///
/// # Errors
/// As [`scenario_files`].
pub fn scenarios(session: &Session) -> anyhow::Result<Vec<Scenario>> {
    let scenario_files = scenario_files(session)?.into_iter();
    Ok(scenario_files
        .flat_map(|scenario_file| scenario_file.variants)
        .collect())
}
