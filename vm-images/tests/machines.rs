// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors in machine files.

#![expect(clippy::unwrap_used, reason = "tests may, and so may their helpers")]

use camino::Utf8Path;
use vm_images::machine_file::parse;

const HEAD: &str = "type: q35\ncpus: 2\nmemory_mib: 512\n";

/// Returns the error of a file.
fn error(text: &str) -> String {
    parse(Utf8Path::new("m.yaml"), text)
        .unwrap_err()
        .to_string()
}

/// Returns the error of a file with valid lines before its slots.
fn error_of_slots(slots: &str) -> String {
    error(&format!("{HEAD}{slots}"))
}

#[test]
fn parse_reports_position_and_hint_of_invalid_files() {
    let many: String = (0..17).map(|n| format!("  - name: s{n}\n")).collect();
    let files = [
        format!("{HEAD}memroy: 3\n"),
        "type: q36\ncpus: 2\nmemory_mib: 512\n".to_owned(),
        "type: q35\nmemory_mib: 512\n".to_owned(),
        "type: q35\ncpus: 0\nmemory_mib: 512\n".to_owned(),
        "type: q35\ncpus: two\nmemory_mib: 512\n".to_owned(),
        "type: q35\ncpus: 2\nmemory_mib: 8\n".to_owned(),
        format!("{HEAD}iommu: amd\n"),
        format!("{HEAD}kernel_arguments: \"quiet\\nloglevel=7\"\n"),
        format!("{HEAD}slots:\n  - name: a\n  - name: a\n"),
        format!("{HEAD}slots:\n  - {{name: 'a,b'}}\n"),
        format!("{HEAD}slots:\n  - name: port-a\n"),
        format!("{HEAD}slots:\n  - name: a\n    device: ed\n"),
        format!("{HEAD}slots:\n  - name: a\n    switch: switch0\n"),
        format!("{HEAD}switches:\n  - name: switch0\nslots:\n  - name: a\n    switch: swich0\n"),
        format!("{HEAD}switches:\n  - name: switch0\nslots:\n  - name: a\n"),
        format!("{HEAD}slots:\n  - name: a\n    device: edu\n    virtual_functions: 2\n"),
        format!("{HEAD}slots:\n  - name: a\n    device: nvme\n    virtual_functions: 8\n"),
        format!("{HEAD}slots:\n{many}"),
        "type: q35\ncpus: 2\n  memory_mib: 512\n".to_owned(),
    ];
    let all: Vec<String> = files.iter().map(|text| error(text)).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn parse_accepts_an_empty_slot_and_requires_a_name() {
    assert!(error_of_slots("slots:\n  - {}\n").contains("name"));
    let text = format!("{HEAD}slots:\n  - name: spare\n");
    let machine = parse(Utf8Path::new("m.yaml"), &text).unwrap();
    assert_eq!(machine.slots[0].device, None);
}
