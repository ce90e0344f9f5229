// SPDX-License-Identifier: MIT OR Apache-2.0
//! Provenance of a run: time, host, tools and sources.
//!
//! Older runs do not have these values, so every field may be empty.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Time, host, tools and sources of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The name of the run folder.
    pub run: String,
    /// Start of the run, in UTC.
    pub started: String,
    /// End of its last job, in UTC.
    pub finished: String,
    /// The command line, quoted for a shell.
    pub command: String,
    /// The commit of this tool; followed by `+` if files differ from it.
    pub tool: String,
    /// Processor, cores, memory and kernel of the host.
    pub host: String,
    /// QEMU's version, as QEMU prints it.
    pub qemu: String,
    /// Versions of compiler and linker, as these print them.
    pub toolchain: String,
    /// The commit of the tree, if the tree is from a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Hash of the content of the tree.
    pub tree_id: String,
    /// Sentences on patches that the tree had already or that were reverted.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The builds, one for each checkout and config.
    pub kernels: Vec<KernelFacts>,
    /// The series that are applied first in every checkout, in the order of application.
    pub below: Vec<SeriesFacts>,
    /// The series under test, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<SeriesFacts>,
}

/// A build that jobs ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelFacts {
    /// The checkout's name.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// Hash of source, configuration and tools.
    pub id: String,
    /// The output of `uname -r`.
    pub release: String,
    /// Duration of the build, in this or an earlier run, in seconds.
    pub build_secs: u64,
}

/// A series, by public identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesFacts {
    /// Its name in this tool.
    pub name: String,
    /// Its title, one line.
    pub title: String,
    /// Message-id of the cover letter or the first patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Its patches, in their order.
    pub patches: Vec<PatchFacts>,
}

/// A patch, by public identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchFacts {
    /// Its subject without the bracketed prefix.
    pub subject: String,
    /// SHA-256 of the whole mail or file.
    pub sha256: String,
    /// SHA-256 of its diff without positions.
    pub diff_sha256: String,
    /// Message-id of its mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

impl Provenance {
    /// Returns the patches that were applied to the tree for a checkout, in their order.
    /// Unknown if the tree had some of them already or some were reverted.
    pub fn patches_of(&self, checkout: &str) -> Option<Vec<&PatchFacts>> {
        let judged = self.judged.as_ref().filter(|_| self.notes.is_empty())?;
        let of_series = match checkout {
            "base" => 0,
            "series" => judged.patches.len(),
            other => other.strip_prefix("patch-")?.parse().ok()?,
        };
        let below = self.below.iter().flat_map(|series| &series.patches);
        Some(below.chain(judged.patches.get(..of_series)?).collect())
    }

    /// Returns the build of a checkout and a config.
    pub fn kernel(&self, checkout: &str, config: &str) -> Option<&KernelFacts> {
        let mut kernels = self.kernels.iter();
        kernels.find(|kernel| kernel.checkout == checkout && kernel.config == config)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn series(name: &str, subjects: &[&str]) -> SeriesFacts {
        let patch = |subject: &&str| PatchFacts {
            subject: (*subject).to_owned(),
            sha256: format!("{:0>64}", subject.len()),
            diff_sha256: format!("{:1>64}", subject.len()),
            message_id: Some(format!("{subject}@example.org")),
        };
        SeriesFacts {
            name: name.to_owned(),
            title: format!("{name} does something"),
            message_id: Some(format!("{name}@example.org")),
            patches: subjects.iter().map(patch).collect(),
        }
    }

    pub(crate) fn provenance() -> Provenance {
        let kernel = |checkout: &str| KernelFacts {
            checkout: checkout.to_owned(),
            config: "fast".to_owned(),
            id: format!("{checkout}-id"),
            release: "7.3.4".to_owned(),
            build_secs: 300,
        };
        Provenance {
            run: "20261126-210000-7".to_owned(),
            started: "2026-11-26T21:00:00Z".to_owned(),
            finished: "2026-11-26T21:05:00Z".to_owned(),
            command: "cargo xtask test".to_owned(),
            tool: "0123456789ab".to_owned(),
            host: "Some CPU, 2 cores, 24 GiB, Linux 6.1".to_owned(),
            qemu: "10.0.2".to_owned(),
            toolchain: "gcc 12.2; ld 2.40".to_owned(),
            commit: None,
            tree_id: "tree-id".to_owned(),
            notes: Vec::new(),
            kernels: vec![kernel("base"), kernel("series")],
            below: vec![series("a", &["below"])],
            judged: Some(series("s", &["one", "two-two"])),
        }
    }

    #[test]
    fn patches_of_returns_the_patches_up_to_the_checkout() {
        let provenance = provenance();
        let subjects = |checkout: &str| {
            let patches = provenance.patches_of(checkout)?;
            let subjects: Vec<&str> = patches.iter().map(|patch| patch.subject.as_str()).collect();
            Some(subjects.join(" "))
        };
        assert_eq!(subjects("base").unwrap(), "below");
        assert_eq!(subjects("patch-1").unwrap(), "below one");
        assert_eq!(subjects("series").unwrap(), "below one two-two");
        assert_eq!(subjects("patch-3"), None, "the series has two patches");
        assert_eq!(
            subjects("mutant-x"),
            None,
            "a mutant is not a prefix of the series"
        );
        let notes = vec!["the tree already has `a`".to_owned()];
        let noted = Provenance {
            notes,
            ..provenance.clone()
        };
        assert_eq!(
            noted.patches_of("base"),
            None,
            "the tree had patches already"
        );
    }
}
