// SPDX-License-Identifier: GPL-2.0-only
//! A config: a kernel configuration asked for, and whether it was granted.
//!
//! Kconfig drops what it cannot satisfy without a word, so every option asked
//! for is looked up again in the `.dot_config` that came out.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::checkout::Checkout;
use crate::error::Error;
use crate::yaml;

/// A configuration asked for: fragments over `tinyconfig`, later ones winning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name on the command line.
    pub name: String,
    /// The fragments' text, in order.
    pub fragments: Vec<String>,
    /// Fragments that are asked for as well, and need not be granted: of a series that
    /// is not whole yet, options may be missing.
    pub plan_request: Vec<String>,
}

/// `NAME.yaml` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    fragments: Vec<Utf8PathBuf>,
    /// What guests need is for the room that runs them.
    #[serde(rename = "guest")]
    _guest: IgnoredAny,
}

impl Config {
    /// Returns the config that `NAME.yaml` in `folder` describes.
    ///
    /// # Errors
    /// When there is no such config, or it holds a mistake.
    pub fn find(name: &str, folder: &Utf8Path) -> Result<Self, Error> {
        let known = names(folder);
        if !known.iter().any(|one| one == name) {
            return Err(Error::input(
                format!("there is no config `{name}`"),
                format!("configs are: {}", known.join(", ")),
            ));
        }
        let raw: RawConfig = yaml::read(&folder.join(format!("{name}.yaml")))?;
        let read = |file: &Utf8PathBuf| {
            fs::read_to_string(folder.join(file))
                .map_err(Error::host("reading a configuration fragment"))
        };
        Ok(Self {
            name: name.to_owned(),
            fragments: raw.fragments.iter().map(read).collect::<Result<_, _>>()?,
            plan_request: Vec::new(),
        })
    }

    /// Returns the config for a checkout: with the fragments of its series added.
    #[must_use]
    pub fn of(&self, checkout: &Checkout) -> Self {
        let mut all = self.clone();
        all.fragments.extend_from_slice(&checkout.configs);
        all.plan_request.extend_from_slice(&checkout.plan_request);
        all
    }

    /// Returns the text to append to a `tinyconfig`.
    pub fn text(&self) -> String {
        let all = self.fragments.iter().chain(&self.plan_request);
        all.map(|fragment| format!("{}\n", fragment.trim_end()))
            .collect()
    }

    /// Returns the options asked for that `dot_config` (a `.dot_config`) does not have
    /// as asked, each as a line `CONFIG_X=y (got: ...)`.
    pub fn ungranted(&self, dot_config: &str) -> Vec<String> {
        let granted = options(dot_config);
        options(&self.fragments.join("\n"))
            .into_iter()
            .filter_map(|(option, asked)| {
                let got = granted.get(option).copied().unwrap_or("n");
                (got != asked).then(|| format!("{option}={asked} (got: {got})"))
            })
            .collect()
    }
}

/// Returns the names of the configs in `folder`, sorted.
pub fn names(folder: &Utf8Path) -> Vec<String> {
    let entries = folder
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Reads `CONFIG_X=value` and `# CONFIG_X is not set`; the last of a name wins.
fn options(text: &str) -> BTreeMap<&str, &str> {
    let mut options = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        let unset = line
            .strip_prefix("# ")
            .and_then(|rest| rest.strip_suffix(" is not set"));
        if let Some(option) = unset.filter(|option| option.starts_with("CONFIG_")) {
            options.insert(option, "n");
        } else if line.starts_with("CONFIG_")
            && let Some((option, value)) = line.split_once('=')
        {
            options.insert(option, value);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_did_not_take_are_named() {
        let config = Config {
            name: "p".to_owned(),
            fragments: vec![
                "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n".to_owned(),
                "CONFIG_D=\"x\"\nCONFIG_A=n".to_owned(),
            ],
            plan_request: vec!["CONFIG_NOT_YET=y\n".to_owned()],
        };
        let dot_config = "# CONFIG_A is not set\nCONFIG_C=y\nCONFIG_D=\"x\"\n";
        assert_eq!(
            config.ungranted(dot_config),
            ["CONFIG_B=y (got: n)", "CONFIG_C=n (got: y)"]
        );
        assert!(config.text().ends_with("CONFIG_NOT_YET=y\n"));
    }
}
