// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the accelerator that boots a guest in less time. An open KVM device does not imply
//! that KVM works, so a guest is booted with each. The result is cached until the host, its
//! KVM device or QEMU changes.

use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::{CacheError, hex, publish};
use patchbed_host::cancel::Cancel;
use patchbed_host::context::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::accel::Accelerator;
use crate::checkpoint::host_boot;
use crate::qemu::Qemu;
use crate::spec::{Deadlines, VmRun, VmSpec};
use crate::transcript::End;
use crate::vm::run;

const KVM_DEVICE: &str = "/dev/kvm";

/// How often a cancellation is checked.
const TICK: Duration = Duration::from_millis(50);

/// Time limit for a boot under KVM, which takes about two seconds.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(15);

/// The selected accelerator and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why KVM is not used, on one line; `None` if it is used.
    pub reason: Option<String>,
}

/// Returns the accelerator that boots the guest of `spec` first, whose time limits are
/// multiplied by `slowness`; the name, accelerator and artifacts of `spec` are not used. If
/// no accelerator boots the guest, the kernel is the cause: returns TCG, and caches no
/// result. Fails when the folder of the cached results cannot be created.
pub fn choose(spec: &VmSpec, slowness: u32, context: &Context) -> Result<Choice, CacheError> {
    let mut device = fs::OpenOptions::new();
    if let Err(error) = device.read(true).write(true).open(KVM_DEVICE) {
        return Ok(tcg(format!("no KVM ({}); using TCG", open_error(&error))));
    }
    let cached = context.cache.dir(&["accelerators"])?;
    let cached = cached.join(format!("{}.json", key(&spec.qemu)));
    if let Some(choice) = load(&cached) {
        let reason = choice
            .reason
            .map(|_| "KVM does not run a guest (cached result); using TCG".to_owned());
        return Ok(Choice { reason, ..choice });
    }
    let Some(choice) = race(spec, slowness, context) else {
        return Ok(tcg("the test of KVM did not finish; using TCG".to_owned()));
    };
    store(&cached, &choice);
    Ok(choice)
}

/// Boots under KVM and under TCG at the same time: the first that powers off is the faster one.
/// `None` if neither does: then the kernel is the cause.
fn race(spec: &VmSpec, slowness: u32, context: &Context) -> Option<Choice> {
    let cancel = Cancel::new();
    let (send, receive) = channel();
    std::thread::scope(|scope| {
        for accelerator in [Accelerator::Kvm, Accelerator::Tcg] {
            let (send, cancel) = (send.clone(), cancel.clone());
            let context = Context {
                cancel,
                ..context.clone()
            };
            scope.spawn(move || {
                let end = boot(spec, accelerator, slowness, &context);
                // The receiver is gone when the other accelerator was faster.
                let _ = send.send((accelerator, end));
            });
        }
        drop(send);
        let mut kvm = None;
        let chosen = loop {
            match receive.recv_timeout(TICK) {
                Ok((Accelerator::Kvm, Some(End::PoweredOff))) => {
                    break Some(Choice {
                        accelerator: Accelerator::Kvm,
                        reason: None,
                    });
                }
                Ok((Accelerator::Tcg, Some(End::PoweredOff))) => {
                    let how = kvm
                        .as_ref()
                        .map_or_else(|| "TCG booted in less time".to_owned(), shorten);
                    break Some(tcg(format!("KVM does not run a guest ({how}); using TCG")));
                }
                // The host failed; that says nothing about KVM.
                Ok((Accelerator::Kvm, None)) => break None,
                Ok((Accelerator::Kvm, end)) => kvm = end,
                Ok((Accelerator::Tcg, _)) => {}
                Err(RecvTimeoutError::Timeout) if !context.cancel.is_cancelled() => {}
                Err(_) => break None,
            }
        };
        cancel.cancel();
        chosen
    })
}

/// Boots and powers off; `None` if the run was cancelled or the host failed.
fn boot(spec: &VmSpec, accelerator: Accelerator, slowness: u32, context: &Context) -> Option<End> {
    let dir = tempfile::Builder::new()
        .prefix("patchbed-probe-")
        .tempdir()
        .ok()?;
    let mut deadlines = Deadlines::new(accelerator, slowness);
    if accelerator == Accelerator::Kvm {
        deadlines.boot = KVM_BOOT_LIMIT * slowness.max(1);
    }
    let spec = VmSpec {
        name: format!("test boot under {accelerator}"),
        accelerator,
        checkpoint: None,
        artifacts: Utf8PathBuf::try_from(dir.path().to_owned()).ok()?,
        deadlines,
        keep_dump: false,
        ..spec.clone()
    };
    let end = run(&spec, &VmRun::default(), context).end;
    (!matches!(end, End::Cancelled | End::LaunchFailed { .. })).then_some(end)
}

/// Returns a cache key of the host's boot, KVM device and QEMU version.
fn key(qemu: &Qemu) -> String {
    let device = fs::metadata(KVM_DEVICE)
        .map(|device| format!("{}:{}", device.rdev(), device.ino()))
        .unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [&host_boot(), &device, &qemu.full_version] {
        hash.update(part);
        hash.update([0]);
    }
    format!("accelerator-{}", hex(&hash.finalize()[..8]))
}

fn tcg(reason: String) -> Choice {
    Choice {
        accelerator: Accelerator::Tcg,
        reason: Some(reason),
    }
}

/// Returns a short description of an end, for use in parentheses.
fn shorten(end: &End) -> String {
    match end {
        End::DeadlineExpired { limit_ms, .. } => {
            format!("no response within {} s", limit_ms / 1000)
        }
        other => other.to_string(),
    }
}

fn open_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("`{KVM_DEVICE}` does not exist"),
        std::io::ErrorKind::PermissionDenied => format!("no permission for `{KVM_DEVICE}`"),
        _ => error.to_string(),
    }
}

fn load(path: &Utf8Path) -> Option<Choice> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes the result to the cache. After an error, the next run tests again.
fn store(path: &Utf8Path, choice: &Choice) {
    if let Ok(bytes) = serde_json::to_vec(choice) {
        let _ = publish(path, &bytes);
    }
}
