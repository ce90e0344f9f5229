// SPDX-License-Identifier: MIT OR Apache-2.0
//! Collects the provenance of a run: command, host, toolchain, tree and series.

use jiff::{Timestamp, Unit};
use kernel_patches::kernel::Toolchain;
use kernel_patches::mail::Patch;
use kernel_patches::series::Series;
use kernel_patches::tree::TreeRequest;
use patchbed_host::process::quote;

use crate::engine::build::Build;
use crate::engine::host::Host;
use crate::engine::program;
use crate::engine::request::Request;
use crate::engine::run_folder::RunFolder;
use crate::engine::session::Session;
use crate::engine::sources::Sources;
use crate::result::{KernelFacts, PatchFacts, Provenance, SeriesFacts};

/// Returns the provenance of a run that started at `began`, without its builds.
///
/// # Errors
/// When there is no compiler.
pub(super) fn begin(
    request: &Request,
    sources: &Sources,
    began: Timestamp,
    folder: &RunFolder,
    session: &Session,
) -> anyhow::Result<Provenance> {
    let host = Host::look(session);
    let source_request = &request.source_request;
    let is_git = matches!(source_request.tree, TreeRequest::Git { .. });
    Ok(Provenance {
        run: folder.name().to_owned(),
        started: time(began),
        finished: String::new(),
        command: command(std::env::args().skip(1)),
        host: format!(
            "{}, {} cores, {:.0} GiB, Linux {}",
            host.cpu, host.cores, host.memory_gib, host.kernel
        ),
        tool: host.revision,
        qemu: host.qemu,
        toolchain: Toolchain::detect(&session.cancel)?.identity,
        commit: is_git.then(|| sources.tree.id().to_owned()),
        tree_id: sources.tree.id().to_owned(),
        notes: sources.notes.clone(),
        kernels: Vec::new(),
        below: source_request.prerequisites.iter().map(series).collect(),
        judged: Some(series(&source_request.series)),
    })
}

impl Provenance {
    /// Adds the builds of a run that ends now.
    pub(super) fn finished(self, builds: &[Build]) -> Self {
        Self {
            finished: time(Timestamp::now()),
            kernels: builds.iter().map(kernel).collect(),
            ..self
        }
    }
}

fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

fn command(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.map(|word| quote(&word)).collect();
    format!("{} {}", program::name(), words.join(" "))
}

fn kernel(build: &Build) -> KernelFacts {
    KernelFacts {
        checkout: build.checkout.clone(),
        config: build.config.clone(),
        id: build.kernel.id.clone(),
        release: build.kernel.facts.release.clone(),
        build_secs: build.kernel.facts.build_secs,
    }
}

fn series(series: &Series) -> SeriesFacts {
    let first = series.patches.first().map(|patch| &patch.mail);
    SeriesFacts {
        name: series.name.clone(),
        title: series.title.clone(),
        message_id: first.and_then(|letter| {
            let cover_letter = letter.in_reply_to.as_ref();
            cover_letter.or(letter.message_id.as_ref()).cloned()
        }),
        patches: series.patches.iter().map(patch).collect(),
    }
}

fn patch(patch: &Patch) -> PatchFacts {
    PatchFacts {
        subject: patch.subject.clone(),
        sha256: patch.mail.sha256.clone(),
        diff_sha256: patch.diff_sha256(),
        message_id: patch.mail.message_id.clone(),
    }
}
