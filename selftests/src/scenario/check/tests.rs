// SPDX-License-Identifier: GPL-2.0-only
//! Mistakes in scenarios, as their authors see them.

use crate::klog::SplatClass;
use crate::scenario::Scenario;

/// A scenario around these steps of one stage.
fn mistake(steps: &str) -> String {
    let text = format!(
        "name: small\ntitle: small\nwhy: because\ndevices: [endpoint0]\nstages:\n  - steps:\n{steps}"
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
fn a_retrieve_in_the_first_stage() {
    insta::assert_snapshot!(mistake("      - retrieve_session: vm\n"), @r"
    scenarios/small.yaml:7:27: nothing was handed over to the first stage
        7 |       - retrieve_session: vm
          |                           ^
    ");
}

#[test]
fn a_splat_of_a_stage_that_is_not_there() {
    let text = "name: small\ntitle: small\nwhy: because\nsplats: [{class: WARN, text: x, count: 1, stage: 2}]\n\
        stages: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "small.yaml").unwrap_err(), @r"
    small.yaml:4:50: unknown stage 2: there are 1
        4 | splats: [{class: WARN, text: x, count: 1, stage: 2}]
          |                                                  ^
    ");
}

#[test]
fn a_class_that_is_none() {
    let text = "name: small\ntitle: small\nwhy: because\nsplats: [{class: KASN, text: x, count: 1}]\n\
        stages: [{steps: [{rescan: pci}]}]\n";
    insta::assert_snapshot!(Scenario::parse(text, "small.yaml").unwrap_err(), @r"
    small.yaml:4:18: unknown class of splats `KASN`
        4 | splats: [{class: KASN, text: x, count: 1}]
          |                  ^
      hint: did you mean `KASAN`?
    ");
}

#[test]
fn a_file_of_another_name() {
    let text = "name: small\ntitle: small\nwhy: because\nstages: [{steps: [{rescan: pci}]}]\n";
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
        "name: small\ntitle: small\nwhy: because\n{keys}stages: [{{steps: [{{{step}}}]}}]\n"
    );
    Scenario::parse(&text, "small.yaml").map_err(|mistake| mistake.to_string())
}

#[test]
fn what_may_come_without_the_series() {
    let teeth = "rescan: pci, teeth: true";
    let found = with_keys(
        "fails_without: [x]\nfails_with: [KASAN, refcount_t]\n",
        teeth,
    );
    assert_eq!(
        found.unwrap().fails_with,
        [SplatClass::Kasan, SplatClass::Refcount]
    );
    let unknown = with_keys("fails_without: [x]\nfails_with: [KASN]\n", teeth);
    insta::assert_snapshot!(unknown.unwrap_err(), @r"
    small.yaml:5:14: unknown class of splats `KASN`
        5 | fails_with: [KASN]
          |              ^
      hint: did you mean `KASAN`?
    ");
    let without = with_keys("fails_with: [KASAN]\n", "rescan: pci");
    insta::assert_snapshot!(without.unwrap_err(), @r"
    small.yaml:4:14: a complaint may come, but nothing is said to be without the series
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
                stages: [{steps: [{rescan: pci}]}, {steps: [{rescan: pci}]}]\n";
    let kexec = Scenario::parse(text, "small.yaml").map_err(|mistake| mistake.to_string());
    insta::assert_snapshot!(kexec.unwrap_err(), @r"
    small.yaml:4:18: a kexec leaves another kernel behind
        4 | leaves_no_trace: true
          |                  ^
      hint: leave `leaves_no_trace` out
    ");
}
