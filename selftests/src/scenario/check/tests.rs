// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors in scenarios, with their messages.

use crate::catalogue::Catalogue;
use crate::input::InputError;
use crate::klog::SplatClass;
use crate::scenario::{Scenario, ScenarioFile};

/// A scenario with these steps in one boot.
fn parse(steps: &str) -> Result<Scenario, InputError> {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\nboots:\n  - steps:\n{steps}"
    );
    Scenario::parse(&text, "scenarios/small.yaml")
}

fn parse_error(steps: &str) -> String {
    parse(steps).unwrap_err().to_string()
}

#[test]
fn parse_rejects_unknown_key_of_a_step() {
    insta::assert_snapshot!(parse_error("      - presreve: dev\n"), @r"
    scenarios/small.yaml:7:9: unknown key `presreve`
        7 |       - presreve: dev
          |         ^
      hint: did you mean `preserve`?
    ");
}

#[test]
fn parse_rejects_unknown_device() {
    insta::assert_snapshot!(parse_error("      - open_device: endpont0\n        as: dev\n"), @r"
    scenarios/small.yaml:7:22: unknown device `endpont0`
        7 |       - open_device: endpont0
          |                      ^
      hint: did you mean `endpoint0`?
    ");
}

#[test]
fn parse_rejects_unknown_object() {
    let steps = "      - create_session: vm\n      - open_device: endpoint0\n        as: dev\n      - preserve: dve\n        into: vm\n";
    insta::assert_snapshot!(parse_error(steps), @r"
    scenarios/small.yaml:10:19: unknown file `dve`
       10 |       - preserve: dve
          |                   ^
      hint: did you mean `dev`?
    ");
}

#[test]
fn parse_rejects_session_instead_of_file() {
    let steps = "      - create_session: vm\n      - preserve: vm\n        into: vm\n";
    insta::assert_snapshot!(parse_error(steps), @r"
    scenarios/small.yaml:8:19: `vm` is a session, not a file
        8 |       - preserve: vm
          |                   ^
    ");
}

#[test]
fn parse_rejects_failing_allocations_within_repeat() {
    let steps = "      - repeat: 3\n        steps:\n          - fail_allocations: {create_session: a}\n            undo: [{close: a}]\n";
    insta::assert_snapshot!(parse_error(steps), @r"
    scenarios/small.yaml:9:31: `fail_allocations` cannot be nested in another step
        9 |           - fail_allocations: {create_session: a}
          |                               ^
    ");
}

#[test]
fn parse_rejects_reserved_identifier() {
    insta::assert_snapshot!(parse_error("      - open_device: endpoint0\n        as: register\n"), @r"
    scenarios/small.yaml:8:13: `register` is reserved in C or in the test harness
        8 |         as: register
          |             ^
    ");
}

#[test]
fn parse_rejects_two_actions_in_one_step() {
    insta::assert_snapshot!(parse_error("      - create_session: vm\n        rescan: pci\n"), @r"
    scenarios/small.yaml:8:17: the step has two actions: `create_session` and `rescan`
        8 |         rescan: pci
          |                 ^
      hint: split the step
    ");
}

#[test]
fn parse_rejects_argument_of_another_action() {
    insta::assert_snapshot!(parse_error("      - rescan: pci\n        value: 1\n"), @r#"
    scenarios/small.yaml:8:16: `value` is invalid for the step "rescan the PCI bus"
        8 |         value: 1
          |                ^
      hint: `value` is for `write_register`, `read_register`
    "#);
}

#[test]
fn parse_rejects_unknown_errno() {
    insta::assert_snapshot!(parse_error("      - rescan: pci\n        returns: EBUSSY\n"), @r"
    scenarios/small.yaml:8:18: unknown result `EBUSSY`
        8 |         returns: EBUSSY
          |                  ^
      hint: did you mean `EBUSY`?
    ");
}

#[test]
fn parse_rejects_retrieve_in_the_first_boot() {
    insta::assert_snapshot!(parse_error("      - retrieve_session: vm\n"), @"
    scenarios/small.yaml:7:27: the first boot has no previous boot to retrieve objects from
        7 |       - retrieve_session: vm
          |                           ^
    ");
}

#[test]
fn parse_rejects_splat_of_unknown_boot() {
    let text = "name: small\ntitle: small\nwhy: because\nsplats: [{class: WARN, text: x, count: 1, boot: 2}]\n\
        boots: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "small.yaml").unwrap_err(), @"
    small.yaml:4:49: unknown boot 2: use 1 to 1
        4 | splats: [{class: WARN, text: x, count: 1, boot: 2}]
          |                                                 ^
    ");
}

#[test]
fn parse_rejects_unknown_splat_class() {
    let text = "name: small\ntitle: small\nwhy: because\nsplats: [{class: KASN, text: x, count: 1}]\n\
        boots: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "small.yaml").unwrap_err(), @r"
    small.yaml:4:18: unknown splat class `KASN`
        4 | splats: [{class: KASN, text: x, count: 1}]
          |                  ^
      hint: did you mean `KASAN`?
    ");
}

#[test]
fn parse_rejects_name_that_differs_from_file_name() {
    let text = "name: small\ntitle: small\nwhy: because\nboots: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "big.yaml").unwrap_err(), @r"
    big.yaml:1:7: the name `small` differs from the file name `big.yaml`
        1 | name: small
          |       ^
    ");
}

/// Parses a scenario with one step and these keys at the top.
fn with_keys(keys: &str, step: &str) -> Result<Scenario, String> {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\n{keys}boots: [{{steps: [{{{step}}}]}}]\n"
    );
    Scenario::parse(&text, "small.yaml").map_err(|error| error.to_string())
}

#[test]
fn parse_fails_with_needs_known_classes_and_fails_without() {
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
    small.yaml:5:14: unknown splat class `KASN`
        5 | fails_with: [KASN]
          |              ^
      hint: did you mean `KASAN`?
    ");
    let without = with_keys("fails_with: [KASAN]\n", "rescan: pci");
    insta::assert_snapshot!(without.unwrap_err(), @r"
    small.yaml:4:14: `fails_with` needs `fails_without`
        4 | fails_with: [KASAN]
          |              ^
      hint: add the series to `fails_without`, or use `splats`
    ");
}

#[test]
fn parse_rejects_leaves_no_trace_with_several_boots() {
    let step = "rescan: pci";
    assert!(!with_keys("", step).unwrap().leaves_no_trace);
    let shared = with_keys("leaves_no_trace: true\n", step);
    assert!(shared.unwrap().leaves_no_trace);
    let text = "name: small\ntitle: small\nwhy: because\nleaves_no_trace: true\n\
                boots: [{steps: [{rescan: pci}]}, {steps: [{rescan: pci}]}]\n";
    let kexec = Scenario::parse(text, "small.yaml").map_err(|error| error.to_string());
    insta::assert_snapshot!(kexec.unwrap_err(), @r"
    small.yaml:4:18: `leaves_no_trace` is invalid with several boots
        4 | leaves_no_trace: true
          |                  ^
    ");
}

#[test]
fn parse_rejects_unknown_machine() {
    let found = with_keys("machine: edupair\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:10: unknown machine `edupair`
        4 | machine: edupair
          |          ^
      hint: did you mean `edu-pair`?
    ");
}

#[test]
fn parse_rejects_slot_of_another_machine() {
    let found = with_keys("devices: [endpoint2]\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:11: the machine `edu-pair` has no slot `endpoint2`
        4 | devices: [endpoint2]
          |           ^
      hint: slots of this machine: endpoint0, endpoint1
    ");
}

#[test]
fn parse_rejects_unknown_value_in_when() {
    let found = with_keys(
        "parameters: {how: [sysfs, unplug]}\n",
        "rescan: pci, when: {how: surprise}",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:5:44: unknown value of the parameter `how`: `surprise`
        5 | boots: [{steps: [{rescan: pci, when: {how: surprise}}]}]
          |                                            ^
      hint: valid here: `sysfs`, `unplug`
    ");
}

#[test]
fn parse_rejects_unknown_parameter_in_when() {
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
fn parse_error_in_a_parameter_value_shows_the_original_line() {
    let found = with_keys(
        "parameters: {how: [sysfs, unplugged]}\ndevices: [endpoint0]\n",
        "remove_device: endpoint0, how: $how",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:6:50: unknown method of removal `unplugged`
        6 | boots: [{steps: [{remove_device: endpoint0, how: $how}]}]
          |                                                  ^
      hint: did you mean `unplug`?
    ");
}

#[test]
fn parse_rejects_setup_file_of_two_kinds() {
    let found = with_keys(
        "setup: {files: {dev: {memfd: text, path: /dev/null}}}\n",
        "rescan: pci",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:22: a file needs exactly one of `device`, `memfd` and `path`
        4 | setup: {files: {dev: {memfd: text, path: /dev/null}}}
          |                      ^
    ");
}

#[test]
fn parse_rejects_known_finding_without_fails_without() {
    let found = with_keys("known_finding: It is broken.\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:16: `known_finding` needs `fails_without`
        4 | known_finding: It is broken.
          |                ^
      hint: add the series that fixes the bug to `fails_without`
    ");
}

#[test]
fn parse_rejects_fails_without_without_fails_first() {
    let found = with_keys("fails_without: [flb-refcount]\n", "rescan: pci");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:1:7: `fails_without` needs a step with `fails_first: true`
        1 | name: small
          |       ^
      hint: add it to the first step that fails without the series
    ");
}

#[test]
fn parse_rejects_unknown_callback() {
    let found = with_keys("", "fail_next: freez, with: EIO");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:30: unknown callback `freez`
        4 | boots: [{steps: [{fail_next: freez, with: EIO}]}]
          |                              ^
      hint: did you mean `freeze`?
    ");
}

#[test]
fn parse_rejects_unknown_seal() {
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
fn parse_rejects_try_kexec_without_error() {
    let found = with_keys("", "try_kexec: refused");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:30: `try_kexec` needs an error in `returns`
        4 | boots: [{steps: [{try_kexec: refused}]}]
          |                              ^
      hint: add the expected error; a successful kexec is a new entry in `boots`
    ");
}

#[test]
fn parse_rejects_relative_path() {
    let found = with_keys("", r#"write_path: sys/kernel/x, contents: "1""#);
    insta::assert_snapshot!(found.unwrap_err(), @r#"
    small.yaml:4:31: `sys/kernel/x` is not a valid absolute path
        4 | boots: [{steps: [{write_path: sys/kernel/x, contents: "1"}]}]
          |                               ^
      hint: the folder of a device is `/sys/bus/pci/devices/{SLOT}/`
    "#);
}

#[test]
fn parse_rejects_race_with_against_outside_repeat() {
    let found = with_keys("", "race: {rescan: pci}, against: {rescan: pci}");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:25: a race with `against` must be repeated
        4 | boots: [{steps: [{race: {rescan: pci}, against: {rescan: pci}}]}]
          |                         ^
      hint: move it into a `repeat`, or use `sync_point`
    ");
}

#[test]
fn parse_rejects_meanwhile_without_race() {
    let found = with_keys("", "rescan: pci, meanwhile: [{rescan: pci}]");
    insta::assert_snapshot!(found.unwrap_err(), @r#"
    small.yaml:4:43: `meanwhile` is invalid for the step "rescan the PCI bus"
        4 | boots: [{steps: [{rescan: pci, meanwhile: [{rescan: pci}]}]}]
          |                                           ^
      hint: `meanwhile` is for `race`
    "#);
}

#[test]
fn parse_rejects_waits_in_outside_meanwhile() {
    let hint = "hint: `waits_in` is for steps of `meanwhile`";
    for steps in [
        "rescan: pci, waits_in: f",
        "race: {rescan: pci}, sync_point: f, waits_in: g, meanwhile: [{rescan: pci}]",
        "race: {rescan: pci, waits_in: g}, sync_point: f, meanwhile: [{rescan: pci}]",
        "repeat: 2, steps: [{rescan: pci, waits_in: f}]",
    ] {
        let found = with_keys("", steps).unwrap_err();
        assert!(
            found.contains("`waits_in` is invalid for the step"),
            "{found}"
        );
        assert!(found.contains(hint), "{found}");
    }
}

#[test]
fn parse_rejects_second_waits_in_bad_function_and_observe() {
    let found = |meanwhile: &str| {
        let steps = format!("race: {{rescan: pci}}, sync_point: f, meanwhile: [{meanwhile}]");
        with_keys("", &steps).unwrap_err()
    };
    insta::assert_snapshot!(found("{rescan: pci, waits_in: f}, {rescan: pci, waits_in: g}"), @"
    small.yaml:4:119: only one step of `meanwhile` can have `waits_in`
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, waits_in: f}, {rescan: pci, waits_in: g}]}]}]
          |                                                                                                                       ^
    ");
    insta::assert_snapshot!(found("{rescan: pci, waits_in: f-}"), @"
    small.yaml:4:91: `f-` is not a valid function name
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, waits_in: f-}]}]}]
          |                                                                                           ^
    ");
    insta::assert_snapshot!(found("{observe: it, calls: {f: 1}, waits_in: f}"), @r#"
    small.yaml:4:67: the step "it" cannot be nested in another step
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{observe: it, calls: {f: 1}, waits_in: f}]}]}]
          |                                                                   ^
    "#);
}

#[test]
fn parse_orders_wait_release_and_completion() {
    let steps = "race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, waits_in: g|h, \
         returns: EIO, because: it must}, {rescan: pci}]}, {rescan: pci";
    let scenario = with_keys("", steps).unwrap();
    let steps: Vec<String> = scenario
        .steps()
        .map(|step| format!("{}: {} -> {}", step.number, step.action, step.returns))
        .collect();
    insta::assert_snapshot!(steps.join("\n"), @"
    1: rescan the PCI bus, held at f -> ok
    2: rescan the PCI bus, waiting in g or h -> ok
    3: rescan the PCI bus -> ok
    4: release: rescan the PCI bus -> ok
    5: wait for completion: rescan the PCI bus -> EIO
    6: rescan the PCI bus -> ok
    ");
}

#[test]
fn parse_rejects_returns_next_to_race() {
    let found = with_keys(
        "",
        "race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci}], returns: EIO",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:92: `returns` is invalid next to `race`
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci}], returns: EIO}]}]
          |                                                                                            ^
      hint: move it inside: `race: {close: vm, returns: ok}`
    ");
}

#[test]
fn parse_rejects_fails_first_in_a_nested_step() {
    let found = with_keys(
        "",
        "race: {rescan: pci, fails_first: true}, sync_point: f, meanwhile: [{rescan: pci}]",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:25: `fails_first`, `because` and `when` are invalid in a nested step
        4 | boots: [{steps: [{race: {rescan: pci, fails_first: true}, sync_point: f, meanwhile: [{rescan: pci}]}]}]
          |                         ^
      hint: move them to the outer step
    ");
}

#[test]
fn parse_rejects_calls_within_repeat() {
    let found = with_keys("", "repeat: 5, steps: [{rescan: pci, calls: {f: 1}}]");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:38: `calls`, `order` and `log` are invalid within `repeat`
        4 | boots: [{steps: [{repeat: 5, steps: [{rescan: pci, calls: {f: 1}}]}]}]
          |                                      ^
      hint: move them to the `repeat` step or to a later step
    ");
}

#[test]
fn parse_rejects_use_of_a_closed_session() {
    insta::assert_snapshot!(parse_error("      - create_session: vm\n      - close: vm\n      - finish: vm\n"), @"
    scenarios/small.yaml:9:17: `vm` was closed by an earlier step
        9 |       - finish: vm
          |                 ^
    ");
}

#[test]
fn parse_rejects_missing_argument() {
    insta::assert_snapshot!(parse_error("      - open_device: endpoint0\n"), @"
    scenarios/small.yaml:7:22: missing key `as`
        7 |       - open_device: endpoint0
          |                      ^
      hint: `as`: the name of the new file
    ");
}

#[test]
fn parse_rejects_missing_why() {
    let found = Scenario::parse("name: small\ntitle: small\nboots: []\n", "small.yaml");
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:3:1: missing field `why`
        3 | boots: []
          | ^
    ");
}

#[test]
fn parse_rejects_value_of_wrong_type() {
    insta::assert_snapshot!(parse_error("      - repeat: often\n        steps: []\n"), @"
    scenarios/small.yaml:7:17: expected a whole number in `repeat`
        7 |       - repeat: often
          |                 ^
      hint: write digits, as in `12`, or `0x0c`; no sign, no unit, no quotes
    ");
}

#[test]
fn parse_applies_when_within_race_and_repeat() {
    let text = "name: small\ntitle: small\nwhy: because\nparameters: {how: [one, two]}\n\
        boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{rescan: pci, when: {how: one}},\
        {rescan: pci}]}, {repeat: 2, steps: [{rescan: pci}, {rescan: pci, when: {how: two}}]}]}]\n";
    let scenario_file = ScenarioFile::parse(text, "small.yaml", Catalogue::project()).unwrap();
    let numbers: Vec<Vec<usize>> = scenario_file
        .variants
        .iter()
        .map(|variant| variant.steps().map(|step| step.number).collect())
        .collect();
    assert_eq!(numbers, [vec![1, 2, 3, 4, 5, 6], vec![1, 3, 4, 5, 6, 7]]);
}

#[test]
fn parse_rejects_check_leaks_on_machine_without_kmemleak() {
    insta::assert_snapshot!(parse_error("      - check_leaks: kmemleak\n"), @"
    scenarios/small.yaml:7:22: the machine `edu-pair` does not enable kmemleak
        7 |       - check_leaks: kmemleak
          |                      ^
      hint: use `machine: edu-pair-leaks`
    ");
    assert!(with_keys("machine: edu-pair-leaks\n", "check_leaks: kmemleak").is_ok());
}

#[test]
fn parse_rejects_race_nested_in_race() {
    let inner = "race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]";
    let found = with_keys(
        "",
        &format!("race: {{rescan: pci}}, sync_point: f, meanwhile: [{{{inner}}}]"),
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:74: `race` cannot be nested in another step
        4 | boots: [{steps: [{race: {rescan: pci}, sync_point: f, meanwhile: [{race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]}]}]}]
          |                                                                          ^
    ");
    let found = with_keys(
        "",
        "race: {race: {rescan: pci}}, sync_point: f, meanwhile: [{rescan: pci}]",
    );
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:32: `race` cannot be nested in another step
        4 | boots: [{steps: [{race: {race: {rescan: pci}}, sync_point: f, meanwhile: [{rescan: pci}]}]}]
          |                                ^
    ");
}

#[test]
fn parse_rejects_sync_point_within_repeat() {
    let inner = "race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]";
    let found = with_keys("", &format!("repeat: 5, steps: [{{{inner}}}]"));
    insta::assert_snapshot!(found.unwrap_err(), @"
    small.yaml:4:72: `sync_point` is invalid within `repeat`
        4 | boots: [{steps: [{repeat: 5, steps: [{race: {rescan: pci}, sync_point: g, meanwhile: [{rescan: pci}]}]}]}]
          |                                                                        ^
      hint: use `against`, or move the race out of `repeat`
    ");
}

#[test]
fn parse_rejects_invalid_create_session_with_times() {
    let small = parse_error("      - create_session: s\n        times: 1\n");
    insta::assert_snapshot!(small, @"
    scenarios/small.yaml:8:16: `times` is out of range: use 2 to 200
        8 |         times: 1
          |                ^
    ");
    let failing =
        parse_error("      - create_session: s\n        times: 5\n        returns: EEXIST\n");
    insta::assert_snapshot!(failing, @"
    scenarios/small.yaml:7:25: `returns` is invalid with `times`
        7 |       - create_session: s
          |                         ^
      hint: create the session that must fail in another step
    ");
    let twice = "      - create_session: s_3\n      - create_session: s\n        times: 5\n";
    insta::assert_snapshot!(parse_error(twice), @"
    scenarios/small.yaml:8:25: duplicate name `s_3`
        8 |       - create_session: s
          |                         ^
    ");
}

#[test]
fn identity_depends_on_steps_and_expectations_only() {
    let identity = |steps: &str| parse(steps).unwrap().identity();
    let step = "      - create_session: vm\n";
    let first = identity(&format!("{step}        because: It is needed.\n"));
    assert_eq!(first, identity(step));
    assert_eq!(first, identity(&format!("      # A comment.\n{step}")));
    assert_ne!(first, identity(&format!("{step}        calls: {{f: 1}}\n")));
    assert_ne!(first, identity(&format!("{step}        returns: EBUSY\n")));
    assert_ne!(first, identity(&format!("{step}      - close: vm\n")));
}
