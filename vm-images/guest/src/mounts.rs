// SPDX-License-Identifier: GPL-2.0-only
//! The file systems a test program expects to find.

use std::fs;

use rustix::mount::{MountFlags, mount};

struct Mount {
    kind: &'static str,
    at: &'static str,
}

/// In the order of mounting: each after the one it lies in.
const MOUNTS: &[Mount] = &[
    Mount {
        kind: "proc",
        at: "/proc",
    },
    Mount {
        kind: "sysfs",
        at: "/sys",
    },
    Mount {
        kind: "devtmpfs",
        at: "/dev",
    },
    Mount {
        kind: "tmpfs",
        at: "/dev/shm",
    },
    Mount {
        kind: "tmpfs",
        at: "/tmp",
    },
    Mount {
        kind: "debugfs",
        at: "/sys/kernel/debug",
    },
    Mount {
        kind: "tracefs",
        at: "/sys/kernel/tracing",
    },
];

/// Mounts everything and returns where that was not possible: a kernel need
/// not offer all of them, and the test knows best which it can do without.
pub(crate) fn mount_all() -> Vec<String> {
    MOUNTS
        .iter()
        .filter(|entry| {
            // In sysfs the kernel makes the directory; a failure shows below.
            let _ = fs::create_dir_all(entry.at);
            mount(entry.kind, entry.at, entry.kind, MountFlags::empty(), None).is_err()
        })
        .map(|entry| entry.at.to_owned())
        .collect()
}
