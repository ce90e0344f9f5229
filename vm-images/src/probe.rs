// SPDX-License-Identifier: GPL-2.0-only
//! Which accelerator to use: the first that really runs a guest. That KVM's
//! device opens proves nothing, so it is tried with a boot, and the answer is
//! remembered for as long as the host stays what it was.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::{hex, publish};
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Observer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::accel::Accelerator;
use crate::deadlines::Deadlines;
use crate::machine::Machine;
use crate::qemu::Qemu;
use crate::transcript::End;
use crate::vm::{VmRun, VmSpec, run};

const KVM_DEVICE: &str = "/dev/kvm";

/// Limit for a boot under KVM; one that works takes a second or two.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(15);

/// The accelerator to use, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// One line on why KVM is passed over; none when it is not.
    pub reason: Option<String>,
}

/// What is booted to find out.
#[derive(Debug, Clone)]
pub struct Probe<'a> {
    /// The QEMU to use.
    pub qemu: &'a Qemu,
    /// A machine; a plain one will do.
    pub machine: &'a Machine,
    /// A kernel that is known, or believed, to boot.
    pub kernel: &'a Utf8Path,
    /// An initramfs with the guest's PID 1.
    pub initramfs: &'a Utf8Path,
    /// Memory that the kernel needs, in MiB.
    pub memory_mib: u32,
    /// What the kernel must be told.
    pub cmdline: &'a str,
    /// By how much the kernel is slower than a plain one.
    pub slowness: u32,
    /// Folder in which answers are remembered.
    pub cache: &'a Utf8Path,
}

impl Probe<'_> {
    /// Returns the first accelerator that boots the guest. When neither does,
    /// the fault is the kernel's: TCG it is then, and nothing is remembered.
    pub fn choose(&self, cancel: &Cancel, observer: &dyn Observer) -> Choice {
        if let Err(error) = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(KVM_DEVICE)
        {
            return tcg(format!("no KVM ({}); using TCG", error_text(&error)));
        }
        let remembered = self.cache.join(format!("{}.json", self.key()));
        if let Some(choice) = recall(&remembered) {
            let reason = choice
                .reason
                .map(|_| "KVM opens but does not run a guest (tried before); using TCG".to_owned());
            return Choice { reason, ..choice };
        }
        let Some(choice) = self.try_both(cancel, observer) else {
            return tcg("KVM was not tried to its end; using TCG".to_owned());
        };
        remember(&remembered, &choice);
        choice
    }

    /// Boots under KVM, and if that fails under TCG, to tell whose fault it is.
    fn try_both(&self, cancel: &Cancel, observer: &dyn Observer) -> Option<Choice> {
        let kvm = self.boot(Accelerator::Kvm, cancel, observer)?;
        if kvm == End::PoweredOff {
            return Some(Choice {
                accelerator: Accelerator::Kvm,
                reason: None,
            });
        }
        let tcg_end = self.boot(Accelerator::Tcg, cancel, observer)?;
        (tcg_end == End::PoweredOff).then(|| {
            tcg(format!(
                "KVM opens but does not run a guest ({}); using TCG",
                shorten(&kvm)
            ))
        })
    }

    /// Boots and switches off; none when the host itself was in the way.
    fn boot(
        &self,
        accelerator: Accelerator,
        cancel: &Cancel,
        observer: &dyn Observer,
    ) -> Option<End> {
        let dir = tempfile::Builder::new()
            .prefix("patchbed-probe-")
            .tempdir()
            .ok()?;
        let mut deadlines = Deadlines::new(accelerator, self.slowness);
        if accelerator == Accelerator::Kvm {
            deadlines.boot = KVM_BOOT_LIMIT * self.slowness.max(1);
        }
        let spec = VmSpec {
            name: format!("a boot under {accelerator}, to see if it works"),
            qemu: self.qemu.clone(),
            kernel: self.kernel.to_owned(),
            initramfs: self.initramfs.to_owned(),
            machine: self.machine.clone(),
            accelerator,
            memory_mib: Some(self.memory_mib),
            cmdline: self.cmdline.to_owned(),
            checkpoint: None,
            artifacts: Utf8PathBuf::try_from(dir.path().to_owned()).ok()?,
            deadlines,
            keep_dump: false,
        };
        let end = run(&spec, &VmRun::default(), cancel, observer).end;
        (!matches!(end, End::Cancelled | End::LaunchFailed { .. })).then_some(end)
    }

    /// Returns a name for this host as it is now: its boot, its KVM, its QEMU.
    fn key(&self) -> String {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let device = fs::metadata(KVM_DEVICE)
            .map(|device| format!("{}:{}", device.rdev(), device.ino()))
            .unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [boot_id.trim(), &device, &self.qemu.full_version] {
            hash.update(part);
            hash.update([0]);
        }
        format!("accelerator-{}", hex(&hash.finalize()[..8]))
    }
}

fn tcg(reason: String) -> Choice {
    Choice {
        accelerator: Accelerator::Tcg,
        reason: Some(reason),
    }
}

/// Returns a few words on an end, for use within brackets.
fn shorten(end: &End) -> String {
    match end {
        End::DeadlineExpired { limit_ms, .. } => {
            format!("nothing came from it in {} s", limit_ms / 1000)
        }
        other => other.to_string(),
    }
}

fn error_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no `{KVM_DEVICE}`"),
        std::io::ErrorKind::PermissionDenied => format!("`{KVM_DEVICE}` may not be opened"),
        _ => error.to_string(),
    }
}

fn recall(path: &Utf8Path) -> Option<Choice> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Failing to remember costs another probe, no more.
fn remember(path: &Utf8Path, choice: &Choice) {
    if let Ok(bytes) = serde_json::to_vec(choice) {
        let _ = publish(path, &bytes);
    }
}
