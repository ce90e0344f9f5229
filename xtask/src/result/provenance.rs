// SPDX-License-Identifier: GPL-2.0-only
//! Under which circumstances a run was made: when, where, by what, of what.
//!
//! Runs of before this was recorded have none of it; every field may be empty.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The circumstances of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Provenance {
    /// The name of the run folder.
    pub(crate) run: String,
    /// When the run began, in UTC.
    pub(crate) started: String,
    /// When its last job had ended, in UTC.
    pub(crate) finished: String,
    /// What was typed, ready for a shell.
    pub(crate) command: String,
    /// The commit of this tool; `+` behind it when files differ from that.
    pub(crate) tool: String,
    /// Processor, cores, memory and kernel of the host.
    pub(crate) host: String,
    /// QEMU's version, as it says itself.
    pub(crate) qemu: String,
    /// Compiler and linker, as they say themselves.
    pub(crate) toolchain: String,
    /// The commit of the tree, if it is one of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
    /// A name for the content of the tree.
    pub(crate) tree_id: String,
    /// What of the series the tree had already, or what was taken out of it, in sentences.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// The kernels, one for each checkout and config.
    pub(crate) kernels: Vec<KernelFacts>,
    /// The series below every checkout, in the order in which they go on.
    pub(crate) below: Vec<SeriesFacts>,
    /// The series judged, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) judged: Option<SeriesFacts>,
}

/// A kernel that jobs ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct KernelFacts {
    /// The checkout's name.
    pub(crate) checkout: String,
    /// The config's name.
    pub(crate) config: String,
    /// A name for the content of source, configuration and tools.
    pub(crate) id: String,
    /// What `uname -r` says there.
    pub(crate) release: String,
    /// How long it took to build, whenever that was, in seconds.
    pub(crate) build_secs: u64,
}

/// A series, as others know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SeriesFacts {
    /// Its name here.
    pub(crate) name: String,
    /// One line on what it does.
    pub(crate) title: String,
    /// The mail that introduces it: the cover letter, or the first patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    /// Its patches, in their order.
    pub(crate) patches: Vec<PatchFacts>,
}

/// A patch, as others know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PatchFacts {
    /// Its subject without the bracketed prefix.
    pub(crate) subject: String,
    /// SHA-256 of the mail or file as it is.
    pub(crate) sha256: String,
    /// SHA-256 of its diff alone, without what only says where it is.
    pub(crate) diff_sha256: String,
    /// The message-id of its mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
}

impl Provenance {
    /// Returns the patches that were put on the tree for a checkout, in their order, where
    /// that is known: not where some were there already, or some were taken out.
    pub(crate) fn patches_of(&self, checkout: &str) -> Option<Vec<&PatchFacts>> {
        let judged = self.judged.as_ref().filter(|_| self.notes.is_empty())?;
        let of_series = match checkout {
            "base" => 0,
            "series" => judged.patches.len(),
            other => other.strip_prefix("patch-")?.parse().ok()?,
        };
        let below = self.below.iter().flat_map(|series| &series.patches);
        Some(below.chain(judged.patches.get(..of_series)?).collect())
    }

    /// Returns the kernel of a checkout and a config.
    pub(crate) fn kernel(&self, checkout: &str, config: &str) -> Option<&KernelFacts> {
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
    fn a_checkout_has_the_patches_up_to_its_own() {
        let provenance = provenance();
        let subjects = |checkout: &str| {
            let patches = provenance.patches_of(checkout)?;
            let subjects: Vec<&str> = patches.iter().map(|patch| patch.subject.as_str()).collect();
            Some(subjects.join(" "))
        };
        assert_eq!(subjects("base").unwrap(), "below");
        assert_eq!(subjects("patch-1").unwrap(), "below one");
        assert_eq!(subjects("series").unwrap(), "below one two-two");
        assert_eq!(subjects("patch-3"), None, "there are two");
        assert_eq!(subjects("mutant-x"), None, "that is none of ours to tell");
        let notes = vec!["the tree already has `a`".to_owned()];
        let noted = Provenance {
            notes,
            ..provenance.clone()
        };
        assert_eq!(noted.patches_of("base"), None, "nobody put it there");
    }
}
