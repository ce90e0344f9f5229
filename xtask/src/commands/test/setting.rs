// SPDX-License-Identifier: GPL-2.0-only
//! Notes under which circumstances a run is made, for those who read of it elsewhere.

use jiff::{Timestamp, Unit};
use kernel_patches::kernel::Toolchain;
use kernel_patches::mail::Patch;
use kernel_patches::series::Series;
use kernel_patches::tree::TreeRequest;
use patchbed_host::process::quote;

use super::Inquiry;
use super::prepare::Ground;
use crate::commands::sources::Sources;
use crate::host::Host;
use crate::program;
use crate::result::{KernelFacts, PatchFacts, SeriesFacts, Setting};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// Returns what is known before the first cell.
///
/// # Errors
/// When there is no compiler.
pub(super) fn look(
    inquiry: &Inquiry,
    sources: &Sources,
    grounds: &[Ground],
    session: &Session,
) -> anyhow::Result<Setting> {
    let host = Host::look(session);
    let request = &inquiry.request;
    let is_git = matches!(request.tree, TreeRequest::Git { .. });
    Ok(Setting {
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
        kernels: grounds.iter().map(kernel).collect(),
        below: request.prerequisites.iter().map(series).collect(),
        judged: Some(series(&request.series)),
        ..Setting::default()
    })
}

/// Returns the circumstances of a run that has ended now.
pub(super) fn of_run(known: &Setting, began: Timestamp, folder: &RunFolder) -> Setting {
    Setting {
        run: folder.name().to_owned(),
        started: time(began),
        finished: time(Timestamp::now()),
        ..known.clone()
    }
}

fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

fn command(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.map(|word| quote(&word)).collect();
    format!("{} {}", program::name(), words.join(" "))
}

fn kernel(ground: &Ground) -> KernelFacts {
    KernelFacts {
        stack: ground.stack.clone(),
        profile: ground.profile.clone(),
        id: ground.kernel.id.clone(),
        release: ground.kernel.facts.release.clone(),
        build_secs: ground.kernel.facts.build_secs,
    }
}

fn series(series: &Series) -> SeriesFacts {
    let first = series.patches.first().map(|patch| &patch.letter);
    SeriesFacts {
        name: series.name.clone(),
        title: series.title.clone(),
        message_id: first.and_then(|letter| {
            let introduced = letter.in_reply_to.as_ref();
            introduced.or(letter.message_id.as_ref()).cloned()
        }),
        patches: series.patches.iter().map(patch).collect(),
    }
}

fn patch(patch: &Patch) -> PatchFacts {
    PatchFacts {
        subject: patch.subject.clone(),
        sha256: patch.letter.sha256.clone(),
        diff_sha256: patch.diff_sha256(),
        message_id: patch.letter.message_id.clone(),
    }
}
