// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of a step: actions, their arguments, and expectations.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawValues;
use crate::yaml::At;

/// An action and its expected results. Exactly one action is given.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct RawStep {
    /// Action: creates a live update session with this name. With `times`, creates that many
    /// sessions with the names `NAME_1`, `NAME_2` and so on, which stay open until the end of
    /// the boot.
    pub(in crate::scenario) create_session: Option<At<String>>,
    /// Action: retrieves the session with this name from the previous kernel.
    pub(in crate::scenario) retrieve_session: Option<At<String>>,
    /// Action: reads the name of this session, which must be equal to `contents`.
    pub(in crate::scenario) session_name: Option<At<String>>,
    /// Action: preserves this file in the session `into`.
    pub(in crate::scenario) preserve: Option<At<String>>,
    /// Action: retrieves this file from the session `from`.
    pub(in crate::scenario) retrieve: Option<At<String>>,
    /// Action: finishes this session.
    pub(in crate::scenario) finish: Option<At<String>>,
    /// Action: closes this file, session or user.
    pub(in crate::scenario) close: Option<At<String>>,

    /// Action: opens the file of the device in this slot, with the name `as`.
    pub(in crate::scenario) open_device: Option<At<String>>,
    /// Action: removes the device in this slot by the method `how`.
    pub(in crate::scenario) remove_device: Option<At<String>>,
    /// Action: removes the bridge above the device in this slot, with all devices behind it,
    /// through sysfs. With `levels: 2`, removes the bridge above that bridge.
    pub(in crate::scenario) remove_bridge: Option<At<String>>,
    /// Action: plugs a new device into this slot, whose device was unplugged.
    pub(in crate::scenario) plug_device: Option<At<String>>,
    /// Action: rescans a bus. The only value is `pci`.
    pub(in crate::scenario) rescan: Option<At<String>>,
    /// Action: unbinds the device in this slot from its driver.
    pub(in crate::scenario) unbind_driver: Option<At<String>>,
    /// Action: binds the device in this slot to `driver` (default `liveupdate-test`).
    pub(in crate::scenario) bind_driver: Option<At<String>>,
    /// Action: waits until the device in this slot is in the state `state`.
    pub(in crate::scenario) expect_device: Option<At<String>>,

    /// Action: opens this path, with the name `as`.
    pub(in crate::scenario) open_file: Option<At<String>>,
    /// Action: opens this file again with the access mode `mode`, as a new file with the name
    /// `as`.
    pub(in crate::scenario) open_again: Option<At<String>>,
    /// Action: reads the size of this file, which must be equal to `size`.
    pub(in crate::scenario) file_size: Option<At<String>>,
    /// Action: creates a memfd with these contents and the name `as`.
    pub(in crate::scenario) create_memfd: Option<At<String>>,
    /// Action: writes `contents` to this file at offset `at` (default 0).
    pub(in crate::scenario) write_file: Option<At<String>>,
    /// Action: reads this file, whose contents must be equal to `contents`.
    pub(in crate::scenario) read_file: Option<At<String>>,
    /// Action: maps this file. The mapping must have `contents`, followed by zeros.
    pub(in crate::scenario) check_mapping: Option<At<String>>,
    /// Action: truncates or extends this file to `size` bytes.
    pub(in crate::scenario) truncate: Option<At<String>>,
    /// Action: adds `seals` to this memfd.
    pub(in crate::scenario) seal: Option<At<String>>,
    /// Action: reads the seals of this memfd, which must be equal to `seals`.
    pub(in crate::scenario) read_seals: Option<At<String>>,
    /// Action: writes `contents` to this path in sysfs, debugfs or tracefs. The folder of a
    /// device is written as `/sys/bus/pci/devices/{SLOT}/`.
    pub(in crate::scenario) write_path: Option<At<String>>,
    /// Action: reads this path, whose contents must be equal to `contents`. Paths are written
    /// as in `write_path`.
    pub(in crate::scenario) read_path: Option<At<String>>,
    /// Action: writes `value` to the register at offset `at` of this device file.
    pub(in crate::scenario) write_register: Option<At<String>>,
    /// Action: reads the register at offset `at` of this device file. If `value` is given, the
    /// register must be equal to it.
    pub(in crate::scenario) read_register: Option<At<String>>,

    /// Action: takes a reference on the outgoing FLB, as this user inside the kernel.
    pub(in crate::scenario) get_outgoing: Option<At<String>>,
    /// Action: accesses the outgoing object on which this user has a reference.
    pub(in crate::scenario) use_outgoing: Option<At<String>>,
    /// Action: releases the reference of this user on the outgoing FLB.
    pub(in crate::scenario) put_outgoing: Option<At<String>>,
    /// Action: takes a reference on the incoming FLB, as this user inside the kernel. With
    /// `flb: other`, on an FLB that is never preserved.
    pub(in crate::scenario) get_incoming: Option<At<String>>,
    /// Action: accesses the incoming object on which this user has a reference.
    pub(in crate::scenario) use_incoming: Option<At<String>>,
    /// Action: releases the reference of this user on the incoming FLB.
    pub(in crate::scenario) put_incoming: Option<At<String>>,
    /// Action: makes the next `times` calls (default 1) of this callback of the test driver
    /// fail with the error `with`.
    pub(in crate::scenario) fail_next: Option<At<String>>,
    /// Action: repeats this step, with its first memory allocation failing, then its second,
    /// and so on. Each time, the step must return ENOMEM, or succeed and be reverted by
    /// `undo`. In the end it must succeed without a failing allocation.
    pub(in crate::scenario) fail_allocations: Option<At<Box<RawStep>>>,

    /// Action: starts a process that takes over the objects in `takes`. They are closed in
    /// the test.
    pub(in crate::scenario) start_process: Option<At<String>>,
    /// Action: kills this process with SIGKILL and waits for its end.
    pub(in crate::scenario) kill_process: Option<At<String>>,
    /// Action: attempts a kexec that the kernel must refuse with the error in `returns`. The
    /// only value is `refused`.
    pub(in crate::scenario) try_kexec: Option<At<String>>,
    /// Action: runs this step concurrently with others. With `sync_point`, the step is held
    /// there until the steps in `meanwhile` have run. With `against`, both steps start at the
    /// same time and end in any order.
    pub(in crate::scenario) race: Option<At<Box<RawStep>>>,
    /// Action: repeats `steps` this many times, 2 to 10000. The steps must not have `calls`,
    /// `order` or `log`.
    pub(in crate::scenario) repeat: Option<At<u64>>,
    /// Action: checks for memory leaks since the begin of the boot. The only value is
    /// `kmemleak`, which must be enabled by the machine, as on `edu-pair-leaks`. On a kernel
    /// without kmemleak, the step is skipped and reported as skipped.
    pub(in crate::scenario) check_leaks: Option<At<String>>,
    /// Action: none. This text is the label of the expectations in `calls`, `order` or `log`.
    pub(in crate::scenario) observe: Option<At<String>>,

    /// The name of the new file. For `retrieve`, the default is the name of the retrieved
    /// file.
    #[serde(rename = "as")]
    pub(in crate::scenario) name: Option<At<String>>,
    /// The session in which a file is preserved.
    pub(in crate::scenario) into: Option<At<String>>,
    /// The session from which a file is retrieved.
    pub(in crate::scenario) from: Option<At<String>>,
    /// The token of a preserved or retrieved file (default: a unique token per file name).
    pub(in crate::scenario) token: Option<At<u64>>,
    /// The method of removal: `sysfs` (the default), `slot-power` (power off the slot),
    /// `unplug` (orderly unplug by the host), `surprise` (unplug without notice).
    pub(in crate::scenario) how: Option<At<String>>,
    /// The number of bridge levels above the device (default 1).
    pub(in crate::scenario) levels: Option<At<u64>>,
    /// The name of a driver in sysfs.
    pub(in crate::scenario) driver: Option<At<String>>,
    /// The state of a device: `absent`, `present`, `bound` or `unbound`.
    pub(in crate::scenario) state: Option<At<String>>,
    /// `other` for an FLB that is never preserved.
    pub(in crate::scenario) flb: Option<At<String>>,
    /// The offset in a file or of a register, in bytes.
    pub(in crate::scenario) at: Option<At<u64>>,
    /// The value of a register. Registers have 4 bytes, and 8 bytes from offset 0x80 on.
    pub(in crate::scenario) value: Option<At<u64>>,
    /// The size of a file in bytes.
    pub(in crate::scenario) size: Option<At<u64>>,
    /// The access mode of a file: `read`, or `read-write` (the default).
    pub(in crate::scenario) mode: Option<At<String>>,
    /// `false` for a memfd with MFD_NOEXEC_SEAL, `true` (the default) for MFD_ALLOW_SEALING.
    pub(in crate::scenario) executable: Option<At<bool>>,
    /// `unwritable` if the answer goes to read-only memory (default `taken`).
    pub(in crate::scenario) answer: Option<At<String>>,
    /// The contents to write, or to expect.
    pub(in crate::scenario) contents: Option<At<String>>,
    /// Seals of a memfd: `seal`, `shrink`, `grow`, `write`, `future_write`, `exec`.
    pub(in crate::scenario) seals: Option<At<Vec<At<String>>>>,
    /// The error that a callback returns.
    #[serde(rename = "with")]
    pub(in crate::scenario) error: Option<At<String>>,
    /// The number of failing calls, or of sessions.
    pub(in crate::scenario) times: Option<At<u64>>,
    /// Sessions, files and users that a process takes over.
    pub(in crate::scenario) takes: Option<At<Vec<At<String>>>>,
    /// The kernel function at whose entry the racing step is held, or with a trailing
    /// `%return`, at whose return.
    pub(in crate::scenario) sync_point: Option<At<String>>,
    /// Steps to run while the racing step is held.
    pub(in crate::scenario) meanwhile: Option<At<Vec<At<RawStep>>>>,
    /// The step that runs concurrently with the racing step.
    pub(in crate::scenario) against: Option<At<Box<RawStep>>>,
    /// Steps that revert the step if it succeeds despite a failed allocation.
    pub(in crate::scenario) undo: Option<At<Vec<At<Box<RawStep>>>>>,
    /// Steps to repeat.
    pub(in crate::scenario) steps: Option<At<Vec<At<RawStep>>>>,

    /// Parameter values for which the step is run (default: all).
    #[serde(default)]
    pub(in crate::scenario) when: BTreeMap<String, At<RawValues>>,
    /// The expected result of the action: `ok` (the default), an errno such as `EBUSY`, or
    /// alternatives such as `ok|EBUSY`.
    pub(in crate::scenario) returns: Option<At<String>>,
    /// The expected number of calls of kernel functions since the begin of the boot: a number,
    /// or bounds such as `{min: 1, max: 3}`.
    #[serde(default)]
    pub(in crate::scenario) calls: BTreeMap<String, At<RawCount>>,
    /// Kernel functions in the expected order of their first calls in the boot.
    #[serde(default)]
    pub(in crate::scenario) order: Vec<At<String>>,
    /// Expected lines of the kernel log since the begin of the boot.
    #[serde(default)]
    pub(in crate::scenario) log: Vec<RawLog>,
    /// Only in `meanwhile`: the kernel function in which the step must sleep until the held
    /// step is released, or alternatives such as `f|g`.
    pub(in crate::scenario) waits_in: Option<At<String>>,
    /// Whether this is the first step that fails without the series in `fails_without`.
    #[serde(default)]
    pub(in crate::scenario) fails_first: bool,
    /// The reason for the step and its expectations. Becomes a comment in the generated test.
    pub(in crate::scenario) because: Option<String>,
}

/// The expected number of kernel log lines with a text since the begin of the boot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct RawLog {
    /// A text that the lines contain.
    pub(in crate::scenario) text: At<String>,
    /// The exact number of lines.
    pub(in crate::scenario) count: Option<u64>,
    /// The minimal number of lines.
    pub(in crate::scenario) min: Option<u64>,
    /// The maximal number of lines.
    pub(in crate::scenario) max: Option<u64>,
}

/// A number, or bounds of a number.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::scenario) enum RawCount {
    /// The exact number.
    Exactly(u64),
    /// Bounds; each is optional.
    Between {
        /// The minimum.
        min: Option<u64>,
        /// The maximum.
        max: Option<u64>,
    },
}
