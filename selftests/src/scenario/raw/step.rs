// SPDX-License-Identifier: GPL-2.0-only
//! A step as it is written: the keys that name an action, those that belong to one,
//! and what must be seen after it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawValues;
use crate::yaml::At;

/// One thing done, and what must be seen after it. Exactly one of the keys that
/// name an action is given.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct RawStep {
    /// Action: makes a live update session of this name; with `times`, so many, with
    /// `_1`, `_2` and so on behind it, which stay open up to the end of the boot.
    pub(in crate::scenario) create_session: Option<At<String>>,
    /// Action: retrieves the session of this name from the kernel before.
    pub(in crate::scenario) retrieve_session: Option<At<String>>,
    /// Action: asks this session for its name, which must be `contents`.
    pub(in crate::scenario) session_name: Option<At<String>>,
    /// Action: preserves this file in the session named by `into`.
    pub(in crate::scenario) preserve: Option<At<String>>,
    /// Action: retrieves this file from the session named by `from`.
    pub(in crate::scenario) retrieve: Option<At<String>>,
    /// Action: finishes this session.
    pub(in crate::scenario) finish: Option<At<String>>,
    /// Action: closes this file, session or user.
    pub(in crate::scenario) close: Option<At<String>>,

    /// Action: opens the file of the device in this slot, under the name in `as`.
    pub(in crate::scenario) open_device: Option<At<String>>,
    /// Action: removes the device in this slot, in the way that `how` says.
    pub(in crate::scenario) remove_device: Option<At<String>>,
    /// Action: removes the bridge above the device in this slot through sysfs, and with
    /// it all that is behind; `levels` 2 is the bridge above that one.
    pub(in crate::scenario) remove_bridge: Option<At<String>>,
    /// Action: plugs a new device into this slot, whose device was unplugged.
    pub(in crate::scenario) plug_device: Option<At<String>>,
    /// Action: looks for devices again on the bus; the only value is `pci`.
    pub(in crate::scenario) rescan: Option<At<String>>,
    /// Action: takes the device in this slot from its driver.
    pub(in crate::scenario) unbind_driver: Option<At<String>>,
    /// Action: gives the device in this slot to the driver named by `driver`
    /// (default `liveupdate-test`).
    pub(in crate::scenario) bind_driver: Option<At<String>>,
    /// Action: waits until the device in this slot is as `state` says.
    pub(in crate::scenario) expect_device: Option<At<String>>,

    /// Action: opens whatever is at this path, under the name in `as`.
    pub(in crate::scenario) open_file: Option<At<String>>,
    /// Action: opens what this file is open on once more, under the name in `as`, for what
    /// `mode` says.
    pub(in crate::scenario) open_again: Option<At<String>>,
    /// Action: asks this file for its size, which must be `size`.
    pub(in crate::scenario) file_size: Option<At<String>>,
    /// Action: makes a memfd with these contents, under the name in `as`.
    pub(in crate::scenario) create_memfd: Option<At<String>>,
    /// Action: writes `contents` to this file, from `at` on (default 0).
    pub(in crate::scenario) write_file: Option<At<String>>,
    /// Action: reads this file, which must have `contents`.
    pub(in crate::scenario) read_file: Option<At<String>>,
    /// Action: maps this file, whose memory must begin with `contents`.
    pub(in crate::scenario) check_mapping: Option<At<String>>,
    /// Action: makes this file `size` bytes long.
    pub(in crate::scenario) truncate: Option<At<String>>,
    /// Action: adds `seals` to this memfd.
    pub(in crate::scenario) seal: Option<At<String>>,
    /// Action: asks this memfd for its seals, which must be `seals`.
    pub(in crate::scenario) read_seals: Option<At<String>>,
    /// Action: writes `contents` to this path in sysfs, debugfs or tracefs. A device's
    /// address is written as `/sys/bus/pci/devices/{SLOT}/`.
    pub(in crate::scenario) write_path: Option<At<String>>,
    /// Action: reads this path, which must give `contents`; written like `write_path`.
    pub(in crate::scenario) read_path: Option<At<String>>,
    /// Action: writes `value` to the register `at` of this device file.
    pub(in crate::scenario) write_register: Option<At<String>>,
    /// Action: reads the register `at` of this device file; with `value`, it must be that.
    pub(in crate::scenario) read_register: Option<At<String>>,

    /// Action: this user inside the kernel takes a reference on the outgoing FLB.
    pub(in crate::scenario) get_outgoing: Option<At<String>>,
    /// Action: this user touches the outgoing object that it holds.
    pub(in crate::scenario) use_outgoing: Option<At<String>>,
    /// Action: this user gives its reference on the outgoing FLB back.
    pub(in crate::scenario) put_outgoing: Option<At<String>>,
    /// Action: this user inside the kernel takes a reference on the incoming FLB; with
    /// `flb: other`, on one of a name that nobody preserves.
    pub(in crate::scenario) get_incoming: Option<At<String>>,
    /// Action: this user touches the incoming object that it holds.
    pub(in crate::scenario) use_incoming: Option<At<String>>,
    /// Action: this user gives its reference on the incoming FLB back.
    pub(in crate::scenario) put_incoming: Option<At<String>>,
    /// Action: the next `times` calls (default 1) of this callback of the test driver fail
    /// with the error in `with`.
    pub(in crate::scenario) fail_next: Option<At<String>>,
    /// Action: does this step again and again, and each time the next of its memory
    /// allocations fails: it must return ENOMEM, or do without and be undone by `undo`, until
    /// none is left; and then succeed.
    pub(in crate::scenario) fail_allocations: Option<At<Box<RawStep>>>,

    /// Action: starts a process that takes over what `takes` lists, so that it alone
    /// has it open.
    pub(in crate::scenario) start_process: Option<At<String>>,
    /// Action: kills this process with SIGKILL, and waits until it is gone.
    pub(in crate::scenario) kill_process: Option<At<String>>,
    /// Action: asks for a kexec that the kernel must refuse, with the error in
    /// `returns`; the only value is `refused`.
    pub(in crate::scenario) try_kexec: Option<At<String>>,
    /// Action: this step meets another. With `sync_point` it stands still there until the steps
    /// in `meanwhile` are done; with `against`, both begin at once, in any order.
    pub(in crate::scenario) race: Option<At<Box<RawStep>>>,
    /// Action: does `steps` so many times, 2 to 10000; nothing is counted within.
    pub(in crate::scenario) repeat: Option<At<u64>>,
    /// Action: looks for memory that was lost since the boot began; the only value is
    /// `kmemleak`, and the machine must be one where that is on, such as
    /// `edu-pair-leaks`. On a kernel without it, the step is skipped and says so.
    pub(in crate::scenario) check_leaks: Option<At<String>>,
    /// Action: does nothing, and says in a line what `calls`, `order` or `log` look at.
    pub(in crate::scenario) observe: Option<At<String>>,

    /// The name of the file that the action makes; of one that is retrieved, its own
    /// name if this is left out.
    #[serde(rename = "as")]
    pub(in crate::scenario) name: Option<At<String>>,
    /// The session that a file is preserved in.
    pub(in crate::scenario) into: Option<At<String>>,
    /// The session that a file is retrieved from.
    pub(in crate::scenario) from: Option<At<String>>,
    /// The token under which a file is preserved or retrieved (default: one of its own).
    pub(in crate::scenario) token: Option<At<u64>>,
    /// How a device is removed: `sysfs` (the default), `slot-power` (the slot is switched
    /// off), `unplug` (the machine asks for it back), `surprise` (it is gone).
    pub(in crate::scenario) how: Option<At<String>>,
    /// How many bridges up from the device (default 1).
    pub(in crate::scenario) levels: Option<At<u64>>,
    /// A driver's name in sysfs.
    pub(in crate::scenario) driver: Option<At<String>>,
    /// A device's state: `absent`, `present`, `bound` or `unbound`.
    pub(in crate::scenario) state: Option<At<String>>,
    /// Which FLB: `other`, of a name that nobody preserves.
    pub(in crate::scenario) flb: Option<At<String>>,
    /// A place in a file or a register's offset, in bytes.
    pub(in crate::scenario) at: Option<At<u64>>,
    /// A register's value. Registers have 4 bytes, from 0x80 on 8.
    pub(in crate::scenario) value: Option<At<u64>>,
    /// A file's size in bytes.
    pub(in crate::scenario) size: Option<At<u64>>,
    /// What a file is opened for: `read`, or `read-write` (the default).
    pub(in crate::scenario) mode: Option<At<String>>,
    /// `false` for a memfd that cannot be executed, nor be made executable (default true).
    pub(in crate::scenario) executable: Option<At<bool>>,
    /// `unwritable` for a request whose answer the kernel cannot write (default `taken`).
    pub(in crate::scenario) answer: Option<At<String>>,
    /// What is written, or must be read.
    pub(in crate::scenario) contents: Option<At<String>>,
    /// Seals of a memfd: `seal`, `shrink`, `grow`, `write`, `future_write`, `exec`.
    pub(in crate::scenario) seals: Option<At<Vec<At<String>>>>,
    /// The error that a callback fails with.
    #[serde(rename = "with")]
    pub(in crate::scenario) error: Option<At<String>>,
    /// How often a callback fails, or how many sessions are made.
    pub(in crate::scenario) times: Option<At<u64>>,
    /// Sessions and files that a process takes over.
    pub(in crate::scenario) takes: Option<At<Vec<At<String>>>>,
    /// The kernel function at whose entry, or with `%return` behind it at whose
    /// return, the racing step stands still.
    pub(in crate::scenario) sync_point: Option<At<String>>,
    /// What is done while the racing step stands still.
    pub(in crate::scenario) meanwhile: Option<At<Vec<At<RawStep>>>>,
    /// The step that the racing one is up against.
    pub(in crate::scenario) against: Option<At<Box<RawStep>>>,
    /// What undoes a step that did without an allocation.
    pub(in crate::scenario) undo: Option<At<Vec<At<Box<RawStep>>>>>,
    /// What is repeated.
    pub(in crate::scenario) steps: Option<At<Vec<At<RawStep>>>>,

    /// Only with these values of the parameters; otherwise the step is left out.
    #[serde(default)]
    pub(in crate::scenario) when: BTreeMap<String, At<RawValues>>,
    /// What the action must return: `ok` (the default), an errno such as `EBUSY`, or
    /// either of several, as in `ok|EBUSY`.
    pub(in crate::scenario) returns: Option<At<String>>,
    /// How often each of these kernel functions was called so far in the boot: a number,
    /// or `{min: 1, max: 3}`.
    #[serde(default)]
    pub(in crate::scenario) calls: BTreeMap<String, At<RawCount>>,
    /// Kernel functions whose first calls in the boot came in this order.
    #[serde(default)]
    pub(in crate::scenario) order: Vec<At<String>>,
    /// Lines of the kernel log so far in the boot.
    #[serde(default)]
    pub(in crate::scenario) log: Vec<RawLog>,
    /// Only in `meanwhile`: the kernel function in which the step must come to wait, until
    /// the one that stands still goes on; of several, as in `f|g`, one.
    pub(in crate::scenario) waits_in: Option<At<String>>,
    /// Whether the scenario fails_first here: without the series in `fails_without`,
    /// this is the first step that goes wrong.
    #[serde(default)]
    pub(in crate::scenario) fails_first: bool,
    /// Why this is done and expected; becomes a comment in the generated test.
    pub(in crate::scenario) because: Option<String>,
}

/// How many lines with a text the kernel logged so far in the boot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct RawLog {
    /// Text that the lines contain.
    pub(in crate::scenario) text: At<String>,
    /// Exactly so many.
    pub(in crate::scenario) count: Option<u64>,
    /// At least so many.
    pub(in crate::scenario) min: Option<u64>,
    /// At most so many.
    pub(in crate::scenario) max: Option<u64>,
}

/// A number, or bounds for one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::scenario) enum RawCount {
    /// Exactly so many.
    Exactly(u64),
    /// At least and at most so many.
    Between {
        /// At least so many.
        min: Option<u64>,
        /// At most so many.
        max: Option<u64>,
    },
}
