// SPDX-License-Identifier: GPL-2.0-only
//! Mistakes in scenarios, as their authors see them.

use crate::klog::SplatClass;
use crate::scenario::{Machines, Scenario, ScenarioFile};

/// A scenario around these steps of one boot.
fn mistake(steps: &str) -> String {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\nboots:\n  - steps:\n{steps}"
    );
    Scenario::parse(&text, "scenarios/small.yaml")
        .unwrap_err()
        .to_string()
}

#[test]
fn an_unknown_step() {
    insta::assert_snapshot!(mistake("      - presreve: dev\n"), @r"
    scenarios/small.yaml:7:9: unknown key `presreve`
        7 |       - presreve: dev
          |         ^
      hint: did you mean `preserve`?
    ");
}

#[test]
fn an_unknown_device() {
    insta::assert_snapshot!(mistake("      - open_device: endpont0\n        as: dev\n"), @r"
    scenarios/small.yaml:7:22: unknown device `endpont0`
        7 |       - open_device: endpont0
          |                      ^
      hint: did you mean `endpoint0`?
    ");
}

#[test]
fn an_unknown_object() {
    let steps = "      - create_session: vm\n      - open_device: endpoint0\n        as: dev\n      - preserve: dve\n        into: vm\n";
    insta::assert_snapshot!(mistake(steps), @r"
    scenarios/small.yaml:10:19: unknown device file or memfd or file `dve`
       10 |       - preserve: dve
          |                   ^
      hint: did you mean `dev`?
    ");
}

#[test]
fn a_session_where_a_file_belongs() {
    let steps = "      - create_session: vm\n      - preserve: vm\n        into: vm\n";
    insta::assert_snapshot!(mistake(steps), @r"
    scenarios/small.yaml:8:19: `vm` is a session, not a device file or memfd or file
        8 |       - preserve: vm
          |                   ^
    ");
}

#[test]
fn a_bad_identifier() {
    insta::assert_snapshot!(mistake("      - open_device: endpoint0\n        as: register\n"), @r"
    scenarios/small.yaml:8:13: `register` is a word that C or the test harness already uses
        8 |         as: register
          |             ^
    ");
}

#[test]
fn two_actions_in_one_step() {
    insta::assert_snapshot!(mistake("      - create_session: vm\n        rescan: pci\n"), @r"
    scenarios/small.yaml:8:17: a step that does both `create_session` and `rescan`
        8 |         rescan: pci
          |                 ^
      hint: make two steps of it
    ");
}

#[test]
fn a_key_that_means_nothing_there() {
    insta::assert_snapshot!(mistake("      - rescan: pci\n        value: 1\n"), @r#"
    scenarios/small.yaml:8:16: `value` means nothing for the step "rescan the PCI bus"
        8 |         value: 1
          |                ^
      hint: it belongs to `write_register`, `read_register`
    "#);
}

#[test]
fn an_unknown_errno() {
    insta::assert_snapshot!(mistake("      - rescan: pci\n        returns: EBUSSY\n"), @r"
    scenarios/small.yaml:8:18: unknown result `EBUSSY`
        8 |         returns: EBUSSY
          |                  ^
      hint: did you mean `EBUSY`?
    ");
}

#[test]
fn a_retrieve_in_the_first_boot() {
    insta::assert_snapshot!(mistake("      - retrieve_session: vm\n"), @"
    scenarios/small.yaml:7:27: nothing was handed over to the first boot
        7 |       - retrieve_session: vm
          |                           ^
      hint: a kexec lies between two entries of `boots`
    ");
}

#[test]
fn a_splat_of_a_boot_that_is_not_there() {
    let text = "name: small\ntitle: small\nwhy: because\nsplats: [{class: WARN, text: x, count: 1, boot: 2}]\n\
        boots: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "small.yaml").unwrap_err(), @"
    small.yaml:4:49: unknown boot 2: there are 1
        4 | splats: [{class: WARN, text: x, count: 1, boot: 2}]
          |                                                 ^
      hint: boots are counted from 1, in the order of `boots`
    ");
}

#[test]
fn a_class_that_is_none() {
    let text = "name: small\ntitle: small\nwhy: because\nsplats: [{class: KASN, text: x, count: 1}]\n\
        boots: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "small.yaml").unwrap_err(), @r"
    small.yaml:4:18: unknown class of splats `KASN`
        4 | splats: [{class: KASN, text: x, count: 1}]
          |                  ^
      hint: did you mean `KASAN`?
    ");
}

#[test]
fn a_file_of_another_name() {
    let text = "name: small\ntitle: small\nwhy: because\nboots: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "big.yaml").unwrap_err(), @r"
    big.yaml:1:7: the scenario `small` is in a file named `big.yaml`
        1 | name: small
          |       ^
      hint: name the file after the scenario
    ");
}

/// A scenario with one step and these keys at the top.
fn with_keys(keys: &str, step: &str) -> Result<Scenario, String> {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\n{keys}boots: [{{steps: [{{{step}}}]}}]\n"
    );
    Scenario::parse(&text, "small.yaml").map_err(|mistake| mistake.to_string())
}

#[test]
fn what_may_come_without_the_series() {
    let fails_first = "rescan: pci, fails_first: true";
    let found = with_keys(
        "fails_without: [x]\nfails_with: [KASAN, refcount_t]\n",
        fails_first,
    );
    assert_eq!(
        found.unwrap().fails_with,
        [SplatClass::Kasan, SplatClass::Refcount]
    );
    let unknown = with_keys("fails_without: [x]\nfails_with: [KASN]\n", fails_first);
    insta::assert_snapshot!(unknown.unwrap_err(), @r"
    small.yaml:5:14: unknown class of splats `KASN`
        5 | fails_with: [KASN]
          |              ^
      hint: did you mean `KASAN`?
    ");
    let without = with_keys("fails_with: [KASAN]\n", "rescan: pci");
    insta::assert_snapshot!(without.unwrap_err(), @r"
    small.yaml:4:14: a report may come, but nothing is said to be without the series
        4 | fails_with: [KASAN]
          |              ^
      hint: name the series in `fails_without`, or use `splats`
    ");
}

#[test]
fn only_a_guest_that_stays_as_it_was_can_be_shared() {
    let step = "rescan: pci";
    assert!(!with_keys("", step).unwrap().leaves_no_trace);
    let shared = with_keys("leaves_no_trace: true\n", step);
    assert!(shared.unwrap().leaves_no_trace);
    let text = "name: small\ntitle: small\nwhy: because\nleaves_no_trace: true\n\
                boots: [{steps: [{rescan: pci}]}, {steps: [{rescan: pci}]}]\n";
    let kexec = Scenario::parse(text, "small.yaml").map_err(|mistake| mistake.to_string());
    insta::assert_snapshot!(kexec.unwrap_err(), @r"
    small.yaml:4:18: a kexec leaves another kernel behind
        4 | leaves_no_trace: true
          |                  ^
      hint: leave `leaves_no_trace` out
    ");
}

#[test]
fn a_machine_that_there_is_not() {
    let found = with_keys("machine: edupair\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:10: unknown machine `edupair`
        4 | machine: edupair
          |          ^
      hint: did you mean `edu-pair`?
    ");
}

#[test]
fn a_slot_of_another_machine() {
    let found = with_keys("devices: [endpoint2]\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:11: the machine `edu-pair` has no slot `endpoint2`
        4 | devices: [endpoint2]
          |           ^
      hint: its slots are: endpoint0, endpoint1
    ");
}

#[test]
fn a_way_that_a_value_is_not() {
    let found = with_keys(
        "parameters: {how: [sysfs, unplug]}\n",
        "rescan: pci, when: {how: surprise}",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:5:44: unknown value of the parameter `how`: `surprise`
        5 | boots: [{steps: [{rescan: pci, when: {how: surprise}}]}]
          |                                            ^
      hint: known here: `sysfs`, `unplug`
    ");
}

#[test]
fn a_parameter_that_there_is_not() {
    let found = with_keys(
        "parameters: {how: [sysfs, unplug]}\n",
        "rescan: pci, when: {hwo: sysfs}",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:5:44: unknown parameter `hwo`
        5 | boots: [{steps: [{rescan: pci, when: {hwo: sysfs}}]}]
          |                                            ^
      hint: did you mean `how`?
    ");
}

#[test]
fn a_mistake_in_a_value_is_shown_as_written() {
    let found = with_keys(
        "parameters: {how: [sysfs, unplugged]}\ndevices: [endpoint0]\n",
        "remove_device: endpoint0, how: $how",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:6:50: unknown way to remove a device `unplugged`
        6 | boots: [{steps: [{remove_device: endpoint0, how: $how}]}]
          |                                                  ^
      hint: did you mean `unplug`?
    ");
}

#[test]
fn a_file_of_two_kinds() {
    let found = with_keys(
        "setup: {files: {dev: {memfd: text, path: /dev/null}}}\n",
        "rescan: pci",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:22: a file is a `device`, a `memfd` or a `path`, one of them
        4 | setup: {files: {dev: {memfd: text, path: /dev/null}}}
          |                      ^
    ");
}

#[test]
fn a_finding_that_nothing_mends() {
    let found = with_keys("known_finding: It is broken.\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:16: a finding that nothing is said to fix
        4 | known_finding: It is broken.
          |                ^
      hint: name the series that fixes it in `fails_without`
    ");
}

#[test]
fn no_first_failure() {
    let found = with_keys("fails_without: [flb-refcount]\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:1:7: it must fail without a series, but no step has fails_first
        1 | name: small
          |       ^
      hint: say `fails_first: true` at the step that goes wrong first then
    ");
}

#[test]
fn a_callback_that_there_is_not() {
    let found = with_keys("", "fail_next: freez, with: EIO");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:30: unknown callback `freez`
        4 | boots: [{steps: [{fail_next: freez, with: EIO}]}]
          |                              ^
      hint: did you mean `freeze`?
    ");
}

#[test]
fn a_seal_that_there_is_not() {
    let found = with_keys(
        "setup: {files: {memory: {memfd: text}}}\n",
        "seal: memory, seals: [writ]",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:5:41: unknown seal `writ`
        5 | boots: [{steps: [{seal: memory, seals: [writ]}]}]
          |                                         ^
      hint: did you mean `write`?
    ");
}

#[test]
fn a_kexec_that_goes_well() {
    let found = with_keys("", "try_kexec: refused");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:30: a kexec within a boot must be refused
        4 | boots: [{steps: [{try_kexec: refused}]}]
          |                              ^
      hint: a kexec that goes well ends the boot; give the error in `returns`
    ");
}

#[test]
fn a_path_that_is_relative() {
    let found = with_keys("", r#"write_path: sys/kernel/x, contents: "1""#);
    insta::assert_snapshot!(found.unwrap_err(), @r#"
    small.yaml:4:31: `sys/kernel/x` is no absolute path of plain characters
        4 | boots: [{steps: [{write_path: sys/kernel/x, contents: "1"}]}]
          |                               ^
      hint: a device's files are at `/sys/bus/pci/devices/{SLOT}/`
    "#);
}

#[test]
fn a_race_that_is_run_once() {
    let found = with_keys("", "race: {rescan: pci}, against: {rescan: pci}");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:25: run once, a race shows nothing
        4 | boots: [{steps: [{race: {rescan: pci}, against: {rescan: pci}}]}]
          |                         ^
      hint: put it into a `repeat`, or hold it with `sync_point`
    ");
}

#[test]
fn meanwhile_without_a_race() {
    let found = with_keys("", "rescan: pci, meanwhile: [{rescan: pci}]");
    insta::assert_snapshot!(found.unwrap_err(), @r#"
    small.yaml:4:43: `meanwhile` means nothing for the step "rescan the PCI bus"
        4 | boots: [{steps: [{rescan: pci, meanwhile: [{rescan: pci}]}]}]
          |                                           ^
      hint: it belongs to `race`
    "#);
}

#[test]
fn a_step_that_waits_for_nothing_that_stands_still() {
    let hint = "hint: say it of a step in `meanwhile`";
    for steps in [
        "rescan: pci, waits_in: f",
        "race: {rescan: pci}, sync_point: f, waits_in: g, meanwhile: [{rescan: pci}]",
        "race: {rescan: pci, waits_in: g}, sync_point: f, meanwhile: [{rescan: pci}]",
        "repeat: 2, steps: [{rescan: pci, waits_in: f}]",
    ] {
        let found = with_keys("", steps).unwrap_err();
        assert!(
            found.contains("`waits_in` means nothing for the step"),
            "{found}"
        );
        assert!(found.contains(hint), "{found}");
    }
}

#[test]
fn a_step_that_cannot_wait() {
    let found = |meanwhile: &str| {
        let steps = format!("race: {{rescan: pci}}, sync_point: f, meanwhile: [{meanwhile}]");
        with_keys("", &steps).unwrap_err()
    };
    insta::assert_snapshot!(found("{rescan: pci, waits_in: f}, {rescan: pci, waits_in: g}"), @"
    small.yaml:4:119: a second step that waits for the one that stands still
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, waits_in: f}, {rescan: pci, waits_in: g}]}]}]
          |                                                                                                                       ^
    ");
    insta::assert_snapshot!(found("{rescan: pci, waits_in: f-}"), @"
    small.yaml:4:91: `f-` is no name of a kernel function
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, waits_in: f-}]}]}]
          |                                                                                           ^
    ");
    insta::assert_snapshot!(found("{observe: it, calls: {f: 1}, waits_in: f}"), @r#"
    small.yaml:4:67: "it" cannot be done in the middle of something else
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{observe: it, calls: {f: 1}, waits_in: f}]}]}]
          |                                                                   ^
    "#);
}

#[test]
fn what_waits_ends_after_what_stood_still() {
    let steps = "race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, waits_in: g|h, \
         returns: EIO, because: it must}, {rescan: pci}]}, {rescan: pci";
    let scenario = with_keys("", steps).unwrap();
    let told: Vec<String> = scenario
        .steps()
        .map(|step| format!("{}: {} -> {}", step.number, step.action, step.returns))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @"
    1: rescan the PCI bus, held at f -> ok
    2: rescan the PCI bus, waiting in g or h -> ok
    3: rescan the PCI bus -> ok
    4: let it go on: rescan the PCI bus -> ok
    5: wait no more: rescan the PCI bus -> EIO
    6: rescan the PCI bus -> ok
    ");
}

#[test]
fn a_race_that_returns_something() {
    let found = with_keys(
        "",
        "race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci}], returns: EIO",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:92: which step of the race returns this? Each returns something
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci}], returns: EIO}]}]
          |                                                                                            ^
      hint: say it within: `race: {close: vm, returns: ok}`
    ");
}

#[test]
fn first_failure_within_a_race() {
    let found = with_keys(
        "",
        "race: {rescan: pci, fails_first: true}, sync_point: f, meanwhile: [{rescan: pci}]",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:25: a step within another has no `fails_first`, `because` or `when`
        4 | boots: [{steps: [{race: {rescan: pci, fails_first: true}, sync_point: f, meanwhile: [{rescan: pci}]}]}]
          |                         ^
      hint: say it of the step around it
    ");
}

#[test]
fn a_count_in_a_repetition() {
    let found = with_keys("", "repeat: 5, steps: [{rescan: pci, calls: {f: 1}}]");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:38: within a repetition nothing is counted
        4 | boots: [{steps: [{repeat: 5, steps: [{rescan: pci, calls: {f: 1}}]}]}]
          |                                      ^
      hint: say after the repetition what must have been seen by then
    ");
}

#[test]
fn a_session_that_was_closed() {
    insta::assert_snapshot!(mistake("      - create_session: vm\n      - close: vm\n      - finish: vm\n"), @"
    scenarios/small.yaml:9:17: `vm` was closed
        9 |       - finish: vm
          |                 ^
      hint: close it later, or make it again before this step
    ");
}

#[test]
fn a_name_without_a_file() {
    insta::assert_snapshot!(mistake("      - open_device: endpoint0\n"), @"
    scenarios/small.yaml:7:22: the step needs `as`
        7 |       - open_device: endpoint0
          |                      ^
      hint: `as`: the name of the file that the action makes
    ");
}

#[test]
fn a_file_without_a_reason() {
    let found = Scenario::parse("name: small\ntitle: small\nboots: []\n", "small.yaml");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:3:1: missing field `why`
        3 | boots: []
          | ^
    ");
}

#[test]
fn a_value_of_another_type() {
    insta::assert_snapshot!(mistake("      - repeat: often\n        steps: []\n"), @"
    scenarios/small.yaml:7:17: expected a whole number
        7 |       - repeat: often
          |                 ^
      hint: write digits, as in `12`, or `0x0c`; no sign, no unit, no quotes
    ");
}

#[test]
fn when_is_heeded_within_a_race_and_a_repetition() {
    let text = "name: small\ntitle: small\nwhy: because\nparameters: {how: [one, two]}\n\
        boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, when: {how: one}},\
        {rescan: pci}]}, {repeat: 2, steps: [{rescan: pci}, {rescan: pci, when: {how: two}}]}]}]\n";
    let scenario_file = ScenarioFile::parse(text, "small.yaml", &Machines::project()).unwrap();
    let numbers: Vec<Vec<usize>> = scenario_file
        .variants
        .iter()
        .map(|one| one.steps().map(|step| step.number).collect())
        .collect();
    assert_eq!(numbers, [vec![1, 2, 3, 4, 5, 6], vec![1, 3, 4, 5, 6, 7]]);
}

#[test]
fn leaks_where_nobody_looks_for_them() {
    insta::assert_snapshot!(mistake("      - check_leaks: kmemleak\n"), @"
    scenarios/small.yaml:7:22: on the machine `edu-pair` nobody looks for lost memory
        7 |       - check_leaks: kmemleak
          |                      ^
      hint: it needs `kernel_arguments: kmemleak=on` of the machine: say `machine: edu-pair-leaks`
    ");
    assert!(with_keys("machine: edu-pair-leaks\n", "check_leaks: kmemleak").is_ok());
}

#[test]
fn a_race_within_a_race() {
    let inner = "race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]";
    let found = with_keys(
        "",
        &format!("race: {{rescan: pci}}, sync_point: f, meanwhile: [{{{inner}}}]"),
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:74: a race within another step
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]}]}]}]
          |                                                                          ^
      hint: end the one before the other begins
    ");
    let found = with_keys(
        "",
        "race: {race: {rescan: pci}}, sync_point: f, meanwhile: [{rescan: pci}]",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:32: a race within another step
        4 | boots: [{steps: [{race: {race: {rescan: pci}}, sync_point: f, meanwhile: [{rescan: pci}]}]}]
          |                                ^
      hint: end the one before the other begins
    ");
}

#[test]
fn a_held_race_in_a_repetition() {
    let inner = "race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]";
    let found = with_keys("", &format!("repeat: 5, steps: [{{{inner}}}]"));
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:72: what is repeated does not stand still
        4 | boots: [{steps: [{repeat: 5, steps: [{race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]}]}]}]
          |                                                                        ^
      hint: take it out of the repetition, or let both begin at once: `against`
    ");
}

#[test]
fn many_sessions_that_cannot_be() {
    let small = mistake("      - create_session: s\n        times: 1\n");
    insta::assert_snapshot!(small, @"
    scenarios/small.yaml:8:16: it is 2 to 200 sessions that are made at once
        8 |         times: 1
          |                ^
    ");
    let failing = mistake("      - create_session: s\n        times: 5\n        returns: EEXIST\n");
    insta::assert_snapshot!(failing, @"
    scenarios/small.yaml:7:25: which of the sessions returns this? All must be made
        7 |       - create_session: s
          |                         ^
      hint: make the one that must fail in a step of its own
    ");
    let twice = "      - create_session: s_3\n      - create_session: s\n        times: 5\n";
    insta::assert_snapshot!(mistake(twice), @"
    scenarios/small.yaml:8:25: `s_3` is already the name of something
        8 |       - create_session: s
          |                         ^
    ");
}
