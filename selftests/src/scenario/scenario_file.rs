// SPDX-License-Identifier: GPL-2.0-only
//! Scenarios that are one file: the same story, told for every combination of
//! its parameters.

use camino::Utf8Path;
use vm_images::machine::MachineError;

use super::machines::Machines;
use super::parameters::{combinations, substitute};
use super::{Scenario, check, raw};
use crate::input::InputError;
use crate::yaml;

/// Scenarios that differ by the values of parameters, or a single one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioFile {
    /// Kebab-case; the name of its file.
    pub name: String,
    /// A scenario for each combination; never empty.
    pub variants: Vec<Scenario>,
}

impl ScenarioFile {
    /// Parses and checks the text of a scenario_file; `file` is the name to report
    /// mistakes under, and its stem must be the scenario_file's name.
    ///
    /// # Errors
    ///
    /// Returns the first mistake with its place.
    pub fn parse(text: &str, file: &str, machines: &Machines) -> Result<Self, InputError> {
        let variants = combinations(text, file)?
            .into_iter()
            .map(|values| {
                let told = substitute(text, &values);
                let shown = |error| as_written(error, text);
                let raw = yaml::parse(&told, file).map_err(shown)?;
                check::scenario(raw, values, &told, file, machines).map_err(shown)
            })
            .collect::<Result<Vec<_>, _>>()?;
        match variants.first() {
            Some(first) => Ok(Self {
                name: first.scenario_file.clone(),
                variants,
            }),
            None => Err(InputError::new(
                file,
                text,
                crate::input::Place { line: 1, column: 1 },
                "every combination of its parameters is excepted",
                None,
            )),
        }
    }

    /// Returns the first variant, for what is the same in all.
    #[must_use]
    pub fn first(&self) -> &Scenario {
        &self.variants[0]
    }
}

/// Shows a mistake in the line as it was written, `$NAME`s and all: the text that it
/// was found in is made from that, line by line.
fn as_written(mut mistake: InputError, text: &str) -> InputError {
    let line = text.lines().nth(mistake.place.line.saturating_sub(1));
    let line = line.unwrap_or_default().trim_end();
    if line != mistake.source_line {
        mistake.source_line = line.chars().take(200).collect();
        // A value is of another length than what stands for it, so that is pointed at.
        let at = line.chars().position(|c| c == '$').unwrap_or(0);
        mistake.place.column = mistake.place.column.min(at + 1);
    }
    mistake
}

/// Returns the JSON schema of the language, as it is checked in.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(raw::RawScenario);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

/// Why scenarios could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A mistake in a scenario.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A mistake in a machine that scenarios run on.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A file that could not be read.
    #[error("read scenarios in `{folder}`: {source}")]
    Read {
        /// The folder of scenarios.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Reads all scenario_files of a folder (`*.yaml`), sorted by name.
///
/// # Errors
///
/// Returns the first mistake, or what could not be read.
pub fn load_all(folder: &Utf8Path, machines: &Machines) -> Result<Vec<ScenarioFile>, LoadError> {
    let unreadable = |source| LoadError::Read {
        folder: folder.to_string(),
        source,
    };
    let mut scenario_files = Vec::new();
    for entry in folder.read_dir_utf8().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.into_path();
        if path.extension() != Some("yaml") {
            continue;
        }
        let text = fs_err::read_to_string(&path).map_err(unreadable)?;
        scenario_files.push(ScenarioFile::parse(&text, path.as_str(), machines)?);
    }
    scenario_files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scenario_files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_checked_in() {
        let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scenario.schema.json");
        let found = fs_err::read_to_string(path).unwrap();
        assert!(found == json_schema(), "run `cargo xtask generate`");
    }
}
