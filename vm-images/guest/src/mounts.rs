// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file systems that test programs require.

use std::fs;

use rustix::mount::{MountFlags, mount};

struct Mount {
    kind: &'static str,
    at: &'static str,
}

/// In the order of mounting: a mount point follows its parent.
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

/// Mounts all file systems and returns the mount points that failed. A kernel need not
/// support all of them; the test decides which it requires.
pub(crate) fn mount_all() -> Vec<String> {
    MOUNTS
        .iter()
        .filter(|entry| {
            // In sysfs the kernel creates the directory; an error appears as a mount error.
            let _ = fs::create_dir_all(entry.at);
            mount(entry.kind, entry.at, entry.kind, MountFlags::empty(), None).is_err()
        })
        .map(|entry| entry.at.to_owned())
        .collect()
}
