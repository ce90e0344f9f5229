// SPDX-License-Identifier: MIT OR Apache-2.0
//! A config: kernel configuration fragments, and a check of the resulting `.config`.
//!
//! Kconfig silently drops options whose dependencies are not met, so every requested
//! option is compared with the `.config` that it wrote.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::files::listing;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::checkout::Checkout;
use crate::error::{Doing, Error, read_yaml};

/// Fragments on top of `tinyconfig`; a later fragment overrides an earlier fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Its name on the command line.
    pub name: String,
    /// The fragments' text, in order.
    pub fragments: Vec<String>,
    /// Fragments whose options may stay unset, because a later patch of the series may
    /// define them.
    pub optional_fragments: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    fragments: Vec<Utf8PathBuf>,
    /// Read by the `vm-images` crate.
    #[serde(rename = "guest")]
    _guest: IgnoredAny,
}

impl Config {
    /// Returns the config that `NAME.yaml` in `folder` describes. Fails when the config does
    /// not exist or is invalid.
    pub fn find(name: &str, folder: &Utf8Path) -> Result<Self, Error> {
        let known = names(folder);
        if !known.iter().any(|config| config == name) {
            return Err(Error::input(
                format!("unknown config `{name}`"),
                format!("use one of: {}", known.join(", ")),
            ));
        }
        let raw: RawConfig = read_yaml(&folder.join(format!("{name}.yaml")))?;
        let read = |file: &Utf8PathBuf| {
            fs::read_to_string(folder.join(file)).doing("reading a configuration fragment")
        };
        Ok(Self {
            name: name.to_owned(),
            fragments: raw.fragments.iter().map(read).collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// Returns the config with the fragments of a checkout's series added.
    #[must_use]
    pub fn of(&self, checkout: &Checkout) -> Self {
        let mut all = self.clone();
        all.fragments.extend_from_slice(&checkout.configs);
        all.optional_fragments
            .extend_from_slice(&checkout.optional_configs);
        all
    }

    /// Returns the text to append to a `tinyconfig`.
    pub fn text(&self) -> String {
        let all = self.fragments.iter().chain(&self.optional_fragments);
        all.map(|fragment| format!("{}\n", fragment.trim_end()))
            .collect()
    }

    /// Returns the requested options that have another value in `dot_config` (the text of
    /// a `.config`), each as `CONFIG_X=y (got: n)`.
    pub fn mismatches(&self, dot_config: &str) -> Vec<String> {
        let actual = options(dot_config);
        options(&self.fragments.join("\n"))
            .into_iter()
            .filter_map(|(option, requested)| {
                let got = actual.get(option).copied().unwrap_or("n");
                (got != requested).then(|| format!("{option}={requested} (got: {got})"))
            })
            .collect()
    }
}

/// Returns the names of the configs in `folder`, sorted.
pub fn names(folder: &Utf8Path) -> Vec<String> {
    let files = listing(folder).unwrap_or_default().into_iter();
    let files = files.filter(|path| path.extension() == Some("yaml"));
    files
        .filter_map(|path| path.file_stem().map(str::to_owned))
        .collect()
}

/// Reads `CONFIG_X=value` and `# CONFIG_X is not set`; the last line of an option counts.
pub(crate) fn options(text: &str) -> BTreeMap<&str, &str> {
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
    fn mismatches_lists_options_with_another_value() {
        let config = Config {
            name: "p".to_owned(),
            fragments: vec![
                "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n".to_owned(),
                "CONFIG_D=\"x\"\nCONFIG_A=n".to_owned(),
            ],
            optional_fragments: vec!["CONFIG_NOT_YET=y\n".to_owned()],
        };
        let dot_config = "# CONFIG_A is not set\nCONFIG_C=y\nCONFIG_D=\"x\"\n";
        assert_eq!(
            config.mismatches(dot_config),
            ["CONFIG_B=y (got: n)", "CONFIG_C=n (got: y)"]
        );
        assert!(config.text().ends_with("CONFIG_NOT_YET=y\n"));
    }
}
