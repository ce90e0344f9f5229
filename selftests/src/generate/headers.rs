// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hand-written headers of the generated programs.

/// The header that includes all others.
pub(super) const MAIN_HEADER: &str = "liveupdate_pci.h";

/// Names and texts of all headers.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("liveupdate_pci.h", include_str!("headers/liveupdate_pci.h")),
    ("lu_device.h", include_str!("headers/lu_device.h")),
    ("lu_driver.h", include_str!("headers/lu_driver.h")),
    ("lu_fault.h", include_str!("headers/lu_fault.h")),
    ("lu_file.h", include_str!("headers/lu_file.h")),
    ("lu_kexec.h", include_str!("headers/lu_kexec.h")),
    ("lu_leak.h", include_str!("headers/lu_leak.h")),
    ("lu_log.h", include_str!("headers/lu_log.h")),
    ("lu_machine.h", include_str!("headers/lu_machine.h")),
    ("lu_main.h", include_str!("headers/lu_main.h")),
    ("lu_path.h", include_str!("headers/lu_path.h")),
    ("lu_process.h", include_str!("headers/lu_process.h")),
    ("lu_race.h", include_str!("headers/lu_race.h")),
    ("lu_session.h", include_str!("headers/lu_session.h")),
    ("lu_setup.h", include_str!("headers/lu_setup.h")),
    ("lu_step.h", include_str!("headers/lu_step.h")),
    ("lu_sync.h", include_str!("headers/lu_sync.h")),
    ("lu_test.h", include_str!("headers/lu_test.h")),
    ("lu_thread.h", include_str!("headers/lu_thread.h")),
    ("lu_trace.h", include_str!("headers/lu_trace.h")),
];
