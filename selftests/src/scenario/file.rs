// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenario files. A file is one scenario, or one scenario for every combination of its
//! parameters.

use super::check;
use super::model::Scenario;
use super::parameters::{combinations, substitute};
use crate::catalogue::Catalogue;
use crate::input::InputError;
use crate::yaml;

/// The scenarios of a file, which differ by the values of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioFile {
    /// The name of the file without `.yaml`; kebab-case.
    pub name: String,
    /// A scenario for each combination of parameter values; never empty.
    pub variants: Vec<Scenario>,
}

impl ScenarioFile {
    /// Parses and checks the text of a scenario file. `file` is its path, which errors
    /// contain; the stem must be equal to `name`.
    ///
    /// # Errors
    ///
    /// Returns the first error with its position.
    pub fn parse(text: &str, file: &str, catalogue: &Catalogue) -> Result<Self, InputError> {
        let mut variants = combinations(text, file)?
            .into_iter()
            .map(|values| {
                let substituted = substitute(text, &values);
                let restore = |error| with_original_line(error, text);
                let raw = yaml::parse(&substituted, file).map_err(restore)?;
                check::scenario(raw, values, &substituted, file, catalogue).map_err(restore)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(name) = duplicate(&variants) {
            let message = format!("two combinations of parameters have the name `{name}`");
            let start = crate::input::Place { line: 1, column: 1 };
            return Err(InputError::new(file, text, start, message, None));
        }
        name_tests(&mut variants);
        match variants.first() {
            Some(first) => Ok(Self {
                name: first.scenario_file.clone(),
                variants,
            }),
            None => Err(InputError::new(
                file,
                text,
                crate::input::Place { line: 1, column: 1 },
                "`except` excludes every combination of parameters",
                None,
            )),
        }
    }

    /// Returns the first variant, for properties that are the same in all variants.
    #[must_use]
    pub fn first(&self) -> &Scenario {
        &self.variants[0]
    }
}

/// Names the test of each variant after the parameters that its C code depends on, so that
/// variants with the same C code are one test.
fn name_tests(variants: &mut [Scenario]) {
    let codes: Vec<String> = variants.iter().map(Scenario::code).collect();
    let parameters = variants.first().map_or(0, |first| first.values.len());
    let mut kept: Vec<usize> = (0..parameters).collect();
    for parameter in 0..parameters {
        let fewer: Vec<usize> = kept.iter().copied().filter(|at| *at != parameter).collect();
        let names: Vec<String> = variants.iter().map(|one| test_name(one, &fewer)).collect();
        let pairs = || names.iter().zip(&codes);
        let is_unambiguous = pairs().all(|(name, code)| {
            pairs().all(|(other, other_code)| name != other || code == other_code)
        });
        if is_unambiguous {
            kept = fewer;
        }
    }
    for variant in variants {
        variant.test = test_name(variant, &kept);
    }
}

/// Returns the name of a test with the values of these parameters.
fn test_name(variant: &Scenario, parameters: &[usize]) -> String {
    let values = parameters.iter().map(|at| variant.values[*at].1.as_str());
    let words: Vec<&str> = [variant.scenario_file.as_str()]
        .into_iter()
        .chain(values)
        .collect();
    words.join("_").replace('-', "_")
}

/// Returns a name that two variants have.
fn duplicate(variants: &[Scenario]) -> Option<&str> {
    let mut names: Vec<&str> = variants.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    let pair = names.windows(2).find(|pair| pair[0] == pair[1]);
    pair.map(|pair| pair[0])
}

/// Replaces the line of an error by the original line, with its `$NAME`s. Substitution
/// keeps the line numbers.
fn with_original_line(mut error: InputError, text: &str) -> InputError {
    let line = text.lines().nth(error.place.line.saturating_sub(1));
    let line = line.unwrap_or_default().trim_end();
    if line != error.source_line {
        error.source_line = line.chars().take(200).collect();
        // Columns behind the first substitution are unknown.
        let at = line.chars().position(|c| c == '$').unwrap_or(0);
        error.place.column = error.place.column.min(at + 1);
    }
    error
}

#[cfg(test)]
impl Scenario {
    /// Parses a scenario file without parameters.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, InputError> {
        let mut scenario_file = ScenarioFile::parse(text, file, Catalogue::project())?;
        Ok(scenario_file.variants.remove(0))
    }
}
