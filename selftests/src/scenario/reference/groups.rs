// SPDX-License-Identifier: MIT OR Apache-2.0
//! Data of the reference that is not in the schema: groups of keys, required and optional
//! arguments of actions, and examples. Unit tests parse every example.

/// The keys of a scenario, by purpose.
pub(super) const HEAD: &[(&str, &[&str])] = &[
    ("Description", &["name", "title", "why"]),
    (
        "Expected failures",
        &[
            "fails_without",
            "fails_since",
            "fails_with",
            "known_finding",
        ],
    ),
    (
        "Machine and limits",
        &["machine", "devices", "timeout_secs", "leaves_no_trace"],
    ),
    ("Variants", &["parameters", "except"]),
    ("Steps and reports", &["setup", "boots", "splats"]),
];

/// The keys that are valid in any step.
pub(super) const EVERYWHERE: &[&str] = &[
    "returns",
    "calls",
    "order",
    "log",
    "waits_in",
    "fails_first",
    "when",
    "because",
];

/// Actions on the same kind of object.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) actions: &'static [ActionDoc],
}

/// The documentation of an action.
#[derive(Debug)]
pub(super) struct ActionDoc {
    pub(super) key: &'static str,
    /// Required arguments.
    pub(super) needs: &'static [&'static str],
    /// Optional arguments.
    pub(super) may: &'static [&'static str],
    /// Whether the examples are for a boot after a kexec.
    pub(super) after_kexec: bool,
    pub(super) examples: &'static [&'static str],
}

const fn action(
    key: &'static str,
    needs: &'static [&'static str],
    may: &'static [&'static str],
    examples: &'static [&'static str],
) -> ActionDoc {
    ActionDoc {
        key,
        needs,
        may,
        after_kexec: false,
        examples,
    }
}

const fn action_after_kexec(
    key: &'static str,
    needs: &'static [&'static str],
    may: &'static [&'static str],
    examples: &'static [&'static str],
) -> ActionDoc {
    ActionDoc {
        key,
        needs,
        may,
        after_kexec: true,
        examples,
    }
}

/// Returns the actions that have a key as argument.
pub(in crate::scenario) fn owners(key: &str) -> Vec<&'static str> {
    let actions = GROUPS.iter().flat_map(|group| group.actions);
    let owners = actions.filter(|action| action.needs.contains(&key) || action.may.contains(&key));
    owners.map(|action| action.key).collect()
}

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Sessions",
        about: "A session has the files that are handed over to the next kernel. Closing it \
            before the kexec unpreserves them.",
        actions: &[
            action(
                "create_session",
                &[],
                &["times"],
                &[
                    "- create_session: spare",
                    "- create_session: filler\n  times: 50",
                ],
            ),
            action_after_kexec(
                "retrieve_session",
                &[],
                &["answer"],
                &[
                    "- retrieve_session: vm",
                    "- retrieve_session: vm\n  answer: unwritable\n  returns: EFAULT",
                ],
            ),
            action(
                "session_name",
                &["contents"],
                &[],
                &["- session_name: vm\n  contents: vm"],
            ),
            action(
                "preserve",
                &["into"],
                &["token"],
                &["- preserve: dev\n  into: vm"],
            ),
            action_after_kexec(
                "retrieve",
                &["from"],
                &["token", "as"],
                &["- retrieve_session: vm\n- retrieve: memory\n  from: vm"],
            ),
            action_after_kexec(
                "finish",
                &[],
                &[],
                &["- retrieve_session: vm\n- finish: vm"],
            ),
            action("close", &[], &[], &["- close: vm"]),
        ],
    },
    Group {
        title: "Devices",
        about: "A device is given by its slot, which must be listed in `devices`.",
        actions: &[
            action(
                "open_device",
                &["as"],
                &[],
                &["- open_device: endpoint1\n  as: second"],
            ),
            action(
                "remove_device",
                &[],
                &["how"],
                &["- remove_device: endpoint0\n  how: surprise"],
            ),
            action(
                "remove_bridge",
                &[],
                &["levels"],
                &["- remove_bridge: endpoint0"],
            ),
            action(
                "plug_device",
                &[],
                &[],
                &["- remove_device: endpoint1\n  how: unplug\n- plug_device: endpoint1"],
            ),
            action(
                "rescan",
                &[],
                &[],
                &["- remove_device: endpoint1\n- rescan: pci"],
            ),
            action("unbind_driver", &[], &[], &["- unbind_driver: endpoint1"]),
            action(
                "bind_driver",
                &[],
                &["driver"],
                &["- unbind_driver: endpoint1\n- bind_driver: endpoint1"],
            ),
            action(
                "expect_device",
                &["state"],
                &[],
                &["- remove_device: endpoint1\n- expect_device: endpoint1\n  state: absent"],
            ),
            action(
                "write_register",
                &["at", "value"],
                &[],
                &["- write_register: dev\n  at: 0x80\n  value: 0x1234"],
            ),
            action(
                "read_register",
                &["at"],
                &["value"],
                &["- read_register: dev\n  at: 0x04"],
            ),
        ],
    },
    Group {
        title: "Files and memfds",
        about: "Files are created by steps with the name `as`, or by the setup.",
        actions: &[
            action(
                "open_file",
                &["as"],
                &[],
                &["- open_file: /dev/null\n  as: sink"],
            ),
            action(
                "open_again",
                &["as"],
                &["mode"],
                &["- open_again: memory\n  as: reader\n  mode: read"],
            ),
            action(
                "create_memfd",
                &["as"],
                &["executable"],
                &["- create_memfd: \"some text\"\n  as: buffer"],
            ),
            action(
                "file_size",
                &["size"],
                &[],
                &["- create_memfd: \"12345\"\n  as: buffer\n- file_size: buffer\n  size: 5"],
            ),
            action(
                "write_file",
                &["contents"],
                &["at"],
                &["- write_file: memory\n  contents: new"],
            ),
            action(
                "read_file",
                &["contents"],
                &[],
                &["- read_file: memory\n  contents: old"],
            ),
            action(
                "check_mapping",
                &["contents"],
                &[],
                &["- check_mapping: memory\n  contents: old"],
            ),
            action(
                "truncate",
                &["size"],
                &[],
                &["- truncate: memory\n  size: 4096"],
            ),
            action(
                "seal",
                &["seals"],
                &[],
                &["- seal: memory\n  seals: [grow, shrink]"],
            ),
            action(
                "read_seals",
                &["seals"],
                &[],
                &["- read_seals: memory\n  seals: []"],
            ),
        ],
    },
    Group {
        title: "Kernel attributes",
        about: "Files in sysfs, debugfs and tracefs.",
        actions: &[
            action(
                "write_path",
                &["contents"],
                &[],
                &[
                    "- write_path: /sys/bus/pci/devices/{endpoint0}/power/control\n  contents: \"on\"",
                ],
            ),
            action(
                "read_path",
                &["contents"],
                &[],
                &["- read_path: /sys/bus/pci/devices/{endpoint0}/vendor\n  contents: \"0x1234\""],
            ),
        ],
    },
    Group {
        title: "Users of FLBs inside the kernel",
        about: "An FLB (file-lifecycle-bound data) is global data that is shared by files of \
            the same kind: it is preserved with the first file and finished with the last \
            file. The test driver has an FLB on which users inside the kernel can take a \
            reference. A user is created by its first `get`; `close` releases it with its \
            reference.",
        actions: &[
            action(
                "get_outgoing",
                &[],
                &[],
                &["- get_outgoing: holder\n  returns: ENOENT"],
            ),
            action(
                "use_outgoing",
                &[],
                &[],
                &["- get_outgoing: holder\n- use_outgoing: holder"],
            ),
            action(
                "put_outgoing",
                &[],
                &[],
                &["- get_outgoing: holder\n- put_outgoing: holder"],
            ),
            action_after_kexec(
                "get_incoming",
                &[],
                &["flb"],
                &["- get_incoming: holder\n  flb: other\n  returns: ENOENT"],
            ),
            action_after_kexec(
                "use_incoming",
                &[],
                &[],
                &["- get_incoming: holder\n- use_incoming: holder"],
            ),
            action_after_kexec(
                "put_incoming",
                &[],
                &[],
                &["- get_incoming: holder\n- put_incoming: holder"],
            ),
        ],
    },
    Group {
        title: "Fault injection",
        about: "Actions that make callbacks or allocations fail.",
        actions: &[
            action(
                "fail_next",
                &["with"],
                &["times"],
                &[
                    "- fail_next: preserve\n  with: EIO\n- preserve: dev\n  into: vm\n  returns: EIO",
                ],
            ),
            action(
                "fail_allocations",
                &["undo"],
                &[],
                &["- fail_allocations: {create_session: spare}\n  undo: [{close: spare}]"],
            ),
        ],
    },
    Group {
        title: "Processes",
        about: "A process owns the objects that it takes over. They are closed when it ends.",
        actions: &[
            action(
                "start_process",
                &["takes"],
                &[],
                &["- start_process: agent\n  takes: [vm, dev]"],
            ),
            action(
                "kill_process",
                &[],
                &[],
                &["- start_process: agent\n  takes: [vm]\n- kill_process: agent"],
            ),
        ],
    },
    Group {
        title: "Kexec",
        about: "A successful kexec is not a step: it happens between two boots.",
        actions: &[action(
            "try_kexec",
            &[],
            &[],
            &["- fail_next: freeze\n  with: EBUSY\n- try_kexec: refused\n  returns: EBUSY"],
        )],
    },
    Group {
        title: "Races and repetition",
        about: "See [Races](#races).",
        actions: &[
            action(
                "race",
                &[],
                &["sync_point", "meanwhile", "against"],
                &[
                    "- race: {remove_device: endpoint0}\n  sync_point: \
                     liveupdate_flb_get_outgoing%return\n  meanwhile: [{close: vm}]",
                    "- race: {close: vm}\n  sync_point: ltd_flb_unpreserve\n  meanwhile:\n    - \
                     get_outgoing: holder\n      waits_in: liveupdate_flb_get_outgoing\n      \
                     returns: ENOENT",
                    "- repeat: 100\n  steps:\n    - race: {preserve: dev, into: vm, returns: \
                     ok|ENODEV}\n      against: {remove_device: endpoint0}",
                ],
            ),
            action(
                "repeat",
                &["steps"],
                &[],
                &["- repeat: 100\n  steps:\n    - get_outgoing: holder\n      returns: ENOENT"],
            ),
        ],
    },
    Group {
        title: "Leaks and observation",
        about: "Steps that only check expectations.",
        actions: &[
            action("check_leaks", &[], &[], &["- check_leaks: kmemleak"]),
            action(
                "observe",
                &[],
                &[],
                &["- observe: no file was preserved\n  calls: {pci_flb_preserve: 0}"],
            ),
        ],
    },
];
