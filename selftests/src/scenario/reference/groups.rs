// SPDX-License-Identifier: GPL-2.0-only
//! What the schema does not say: which keys belong together, which need which, and
//! an example of each. Every line of it is tried by the page's tests.

/// The keys of a scenario, by what they are for.
pub(super) const HEAD: &[(&str, &[&str])] = &[
    ("What it is", &["name", "title", "why"]),
    (
        "Where it must fail",
        &[
            "fails_without",
            "fails_since",
            "fails_with",
            "known_finding",
        ],
    ),
    (
        "What it runs on",
        &["machine", "devices", "timeout_secs", "leaves_no_trace"],
    ),
    ("Variants", &["parameters", "except"]),
    ("What is done and seen", &["setup", "boots", "splats"]),
];

/// The keys of a step that say what must be seen, and the like; any step may have them.
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

/// Actions that are for the same kind of thing.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) deeds: &'static [Deed],
}

/// An action of the language.
#[derive(Debug)]
pub(super) struct Deed {
    pub(super) key: &'static str,
    /// Keys without which it is a mistake.
    pub(super) needs: &'static [&'static str],
    /// Keys that it may have.
    pub(super) may: &'static [&'static str],
    /// Whether the example belongs to the boot after a kexec.
    pub(super) after_kexec: bool,
    pub(super) examples: &'static [&'static str],
}

const fn deed(
    key: &'static str,
    needs: &'static [&'static str],
    may: &'static [&'static str],
    examples: &'static [&'static str],
) -> Deed {
    Deed {
        key,
        needs,
        may,
        after_kexec: false,
        examples,
    }
}

const fn later(
    key: &'static str,
    needs: &'static [&'static str],
    may: &'static [&'static str],
    examples: &'static [&'static str],
) -> Deed {
    Deed {
        key,
        needs,
        may,
        after_kexec: true,
        examples,
    }
}

/// Returns the actions that a key of a step belongs to.
pub(in crate::scenario) fn owners(key: &str) -> Vec<&'static str> {
    let deeds = GROUPS.iter().flat_map(|group| group.deeds);
    let owners = deeds.filter(|deed| deed.needs.contains(&key) || deed.may.contains(&key));
    owners.map(|deed| deed.key).collect()
}

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Sessions",
        about: "A session holds the files that are handed to the next kernel. Closing it \
            before the kexec lets go of them.",
        deeds: &[
            deed(
                "create_session",
                &[],
                &["times"],
                &[
                    "- create_session: spare",
                    "- create_session: filler\n  times: 50",
                ],
            ),
            later(
                "retrieve_session",
                &[],
                &["answer"],
                &[
                    "- retrieve_session: vm",
                    "- retrieve_session: vm\n  answer: unwritable\n  returns: EFAULT",
                ],
            ),
            deed(
                "session_name",
                &["contents"],
                &[],
                &["- session_name: vm\n  contents: vm"],
            ),
            deed(
                "preserve",
                &["into"],
                &["token"],
                &["- preserve: dev\n  into: vm"],
            ),
            later(
                "retrieve",
                &["from"],
                &["token", "as"],
                &["- retrieve_session: vm\n- retrieve: memory\n  from: vm"],
            ),
            later(
                "finish",
                &[],
                &[],
                &["- retrieve_session: vm\n- finish: vm"],
            ),
            deed("close", &[], &[], &["- close: vm"]),
        ],
    },
    Group {
        title: "Devices",
        about: "A device is named by its slot. It must be in the scenario's `devices`.",
        deeds: &[
            deed(
                "open_device",
                &["as"],
                &[],
                &["- open_device: endpoint1\n  as: second"],
            ),
            deed(
                "remove_device",
                &[],
                &["how"],
                &["- remove_device: endpoint0\n  how: surprise"],
            ),
            deed(
                "remove_bridge",
                &[],
                &["levels"],
                &["- remove_bridge: endpoint0"],
            ),
            deed(
                "plug_device",
                &[],
                &[],
                &["- remove_device: endpoint1\n  how: unplug\n- plug_device: endpoint1"],
            ),
            deed(
                "rescan",
                &[],
                &[],
                &["- remove_device: endpoint1\n- rescan: pci"],
            ),
            deed("unbind_driver", &[], &[], &["- unbind_driver: endpoint1"]),
            deed(
                "bind_driver",
                &[],
                &["driver"],
                &["- unbind_driver: endpoint1\n- bind_driver: endpoint1"],
            ),
            deed(
                "expect_device",
                &["state"],
                &[],
                &["- remove_device: endpoint1\n- expect_device: endpoint1\n  state: absent"],
            ),
            deed(
                "write_register",
                &["at", "value"],
                &[],
                &["- write_register: dev\n  at: 0x80\n  value: 0x1234"],
            ),
            deed(
                "read_register",
                &["at"],
                &["value"],
                &["- read_register: dev\n  at: 0x04"],
            ),
        ],
    },
    Group {
        title: "Files and memfds",
        about: "A file that a step makes gets its name from `as`, one of the setup has \
            its own.",
        deeds: &[
            deed(
                "open_file",
                &["as"],
                &[],
                &["- open_file: /dev/null\n  as: nothing"],
            ),
            deed(
                "open_again",
                &["as"],
                &["mode"],
                &["- open_again: memory\n  as: reader\n  mode: read"],
            ),
            deed(
                "create_memfd",
                &["as"],
                &["executable"],
                &["- create_memfd: \"some text\"\n  as: page"],
            ),
            deed(
                "file_size",
                &["size"],
                &[],
                &["- create_memfd: \"12345\"\n  as: page\n- file_size: page\n  size: 5"],
            ),
            deed(
                "write_file",
                &["contents"],
                &["at"],
                &["- write_file: memory\n  contents: new"],
            ),
            deed(
                "read_file",
                &["contents"],
                &[],
                &["- read_file: memory\n  contents: old"],
            ),
            deed(
                "check_mapping",
                &["contents"],
                &[],
                &["- check_mapping: memory\n  contents: old"],
            ),
            deed(
                "truncate",
                &["size"],
                &[],
                &["- truncate: memory\n  size: 4096"],
            ),
            deed(
                "seal",
                &["seals"],
                &[],
                &["- seal: memory\n  seals: [grow, shrink]"],
            ),
            deed(
                "read_seals",
                &["seals"],
                &[],
                &["- read_seals: memory\n  seals: []"],
            ),
        ],
    },
    Group {
        title: "Files of the kernel's own",
        about: "For sysfs, debugfs and tracefs.",
        deeds: &[
            deed(
                "write_path",
                &["contents"],
                &[],
                &[
                    "- write_path: /sys/bus/pci/devices/{endpoint0}/power/control\n  contents: \"on\"",
                ],
            ),
            deed(
                "read_path",
                &["contents"],
                &[],
                &["- read_path: /sys/bus/pci/devices/{endpoint0}/vendor\n  contents: \"0x1234\""],
            ),
        ],
    },
    Group {
        title: "Users of FLBs inside the kernel",
        about: "An FLB is global data that files of a kind share: it is made with the \
            first file preserved and finished with the last one. The test driver has one, \
            and users inside the kernel can hold it. A user comes to be with its first \
            `get`; `close` lets go of it, its reference included.",
        deeds: &[
            deed(
                "get_outgoing",
                &[],
                &[],
                &["- get_outgoing: holder\n  returns: ENOENT"],
            ),
            deed(
                "use_outgoing",
                &[],
                &[],
                &["- get_outgoing: holder\n- use_outgoing: holder"],
            ),
            deed(
                "put_outgoing",
                &[],
                &[],
                &["- get_outgoing: holder\n- put_outgoing: holder"],
            ),
            later(
                "get_incoming",
                &[],
                &["flb"],
                &["- get_incoming: holder\n  flb: other\n  returns: ENOENT"],
            ),
            later(
                "use_incoming",
                &[],
                &[],
                &["- get_incoming: holder\n- use_incoming: holder"],
            ),
            later(
                "put_incoming",
                &[],
                &[],
                &["- get_incoming: holder\n- put_incoming: holder"],
            ),
        ],
    },
    Group {
        title: "Faults",
        about: "What should go wrong on purpose.",
        deeds: &[
            deed(
                "fail_next",
                &["with"],
                &["times"],
                &[
                    "- fail_next: preserve\n  with: EIO\n- preserve: dev\n  into: vm\n  returns: EIO",
                ],
            ),
            deed(
                "fail_allocations",
                &["undo"],
                &[],
                &["- fail_allocations: {create_session: spare}\n  undo: [{close: spare}]"],
            ),
        ],
    },
    Group {
        title: "Processes",
        about: "What a process takes is no longer the test's own, and goes with it.",
        deeds: &[
            deed(
                "start_process",
                &["takes"],
                &[],
                &["- start_process: agent\n  takes: [vm, dev]"],
            ),
            deed(
                "kill_process",
                &[],
                &[],
                &["- start_process: agent\n  takes: [vm]\n- kill_process: agent"],
            ),
        ],
    },
    Group {
        title: "Kexec",
        about: "A kexec that goes well is no step: it lies between two boots.",
        deeds: &[deed(
            "try_kexec",
            &[],
            &[],
            &["- fail_next: freeze\n  with: EBUSY\n- try_kexec: refused\n  returns: EBUSY"],
        )],
    },
    Group {
        title: "Races and repetition",
        about: "How they are meant is told in [Races](#races).",
        deeds: &[
            deed(
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
            deed(
                "repeat",
                &["steps"],
                &[],
                &["- repeat: 100\n  steps:\n    - get_outgoing: holder\n      returns: ENOENT"],
            ),
        ],
    },
    Group {
        title: "Leaks and observation",
        about: "Steps that only look.",
        deeds: &[
            deed("check_leaks", &[], &[], &["- check_leaks: kmemleak"]),
            deed(
                "observe",
                &[],
                &[],
                &["- observe: nothing was preserved\n  calls: {pci_flb_preserve: 0}"],
            ),
        ],
    },
];
