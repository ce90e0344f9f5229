// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logs with interleaved lines of several writers.

use proptest::prelude::*;

use crate::klog::{Log, SplatClass};

const BANNER: &str = "<5>[    0.000000][    T0] Linux version 7.3.4\n";

/// Returns the texts as lines of one writer.
fn by(caller: &str, texts: &[&str]) -> Vec<String> {
    let line = |text: &&str| format!("<4>[    1.000000][{caller:>6}] {text}\n");
    texts.iter().map(line).collect()
}

fn warning(caller: &str, function: &str) -> Vec<String> {
    let place = format!("WARNING: a.c:1 at {function}+0x1/0x2, CPU#0: a/1");
    let registers = format!("RIP: 0010:{function}+0x1/0x2");
    by(
        caller,
        &[
            "------------[ cut here ]------------",
            "it is odd",
            &place,
            &registers,
            "Call Trace:",
            " <TASK>",
            " caller+0x1/0x2",
            " </TASK>",
            "---[ end trace 0000000000000000 ]---",
        ],
    )
}

fn kasan(caller: &str) -> Vec<String> {
    let rule = "==================================================================";
    by(
        caller,
        &[
            rule,
            "BUG: KASAN: slab-use-after-free in use+0x1/0x2",
            "Read of size 4 at addr ffff888001234500 by task a/1",
            "Call Trace:",
            " <TASK>",
            " kasan_report+0x1/0x2",
            " use+0x1/0x2",
            " </TASK>",
            "The buggy address belongs to the object at ffff888001234500",
            rule,
        ],
    )
}

/// Interleaves two lists: `picks` selects the list of the next line.
fn mixed(first: &[String], second: &[String], picks: impl Iterator<Item = bool>) -> String {
    let (mut first, mut second) = (first.iter(), second.iter());
    let mut text = BANNER.to_owned();
    for pick in picks {
        let line = if pick { first.next() } else { second.next() };
        text.extend(line.map(String::as_str));
    }
    text.extend(first.chain(second).map(String::as_str));
    text
}

#[test]
fn parse_separates_two_reports_with_alternating_lines() {
    let picks = (0..20).map(|number| number % 2 == 0);
    let text = mixed(&warning("T7", "f"), &kasan("C1"), picks);
    let log = Log::parse(text.as_bytes());
    let found: Vec<_> = log
        .splats
        .iter()
        .map(|splat| (splat.class, splat.title.as_str(), splat.is_complete))
        .collect();
    assert_eq!(
        found,
        [
            (SplatClass::Warn, "WARNING in f", true),
            (
                SplatClass::Kasan,
                "KASAN: slab-use-after-free Read in use",
                true
            ),
        ]
    );
    assert_eq!(log.splats[0].functions(), ["f", "caller"]);
    assert_eq!(log.splats[1].functions(), ["use"]);
    assert_eq!(log.lines_of(&log.splats[0]).count(), 9);
    assert_eq!(log.stray_warnings(1).count(), 0);
}

#[test]
fn parse_leaves_a_line_of_another_writer_out_of_a_splat() {
    let odd = by("T9", &["pci 1: odd"]);
    let text = mixed(&warning("T7", "f"), &odd, [true, false].into_iter());
    let log = Log::parse(text.as_bytes());
    assert!(log.splats[0].is_complete);
    let odd = log.stray_errors(1).chain(log.stray(1));
    assert!(
        odd.map(|line| line.text.as_str())
            .any(|text| text == "pci 1: odd")
    );
}

#[test]
fn parse_adds_a_requested_backtrace_to_the_report_of_the_requester() {
    let request = by(
        "C0",
        &[
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "rcu: \t1-...!: (1 GPs behind)",
            "Sending NMI from CPU 0 to CPUs 1:",
        ],
    );
    let backtrace = by(
        "C1",
        &[
            "NMI backtrace for cpu 1",
            "CPU: 1 UID: 0 PID: 7 Comm: a",
            "RIP: 0010:spin+0x1/0x2",
            "Call Trace:",
            " <TASK>",
            " caller+0x1/0x2",
            " </TASK>",
        ],
    );
    let text = mixed(&request, &backtrace, std::iter::empty());
    let log = Log::parse(text.as_bytes());
    assert_eq!(log.splats.len(), 1);
    assert!(log.splats[0].is_complete);
    assert_eq!(log.splats[0].functions(), ["spin", "caller"]);
    assert_eq!(log.splats[0].lines.len(), 10);
    let alone = Log::parse(mixed(&backtrace, &[], std::iter::empty()).as_bytes());
    assert!(alone.splats.is_empty());
}

#[test]
fn parse_finds_a_requested_backtrace_inside_another_report() {
    let warning = warning("C1", "f");
    let request = [
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "Sending NMI from CPU 0 to CPUs 1:",
    ];
    let backtrace = [
        "NMI backtrace for cpu 1",
        "Call Trace:",
        " <TASK>",
        " caller+0x1/0x2",
        " </TASK>",
        "INFO: NMI handler (nmi_cpu_backtrace_handler) took too long to run: 8226.553 msecs",
    ];
    let (request, backtrace) = (by("C0", &request), by("C1", &backtrace));
    let lines = [&warning[..6], &request, &backtrace, &warning[6..]].concat();
    let log = Log::parse(format!("{BANNER}{}", lines.concat()).as_bytes());
    let found: Vec<_> = log
        .splats
        .iter()
        .map(|splat| (splat.class, splat.lines.len(), splat.is_complete))
        .collect();
    assert_eq!(
        found,
        [(SplatClass::Warn, 9, true), (SplatClass::RcuStall, 7, true)]
    );
}

#[test]
fn parse_ignores_splats_written_by_userspace() {
    for fake in [
        "<12>[    1.000000][   T7] BUG: KASAN: nothing in nowhere+0x1/0x2\n",
        "BUG: KASAN: nothing in nowhere+0x1/0x2\n",
        "[    1.000000][   T7] BUG: KASAN: nothing in nowhere+0x1/0x2\n",
        "<12>[    1.000000][   T7] old: <4>[    0.500000][   T7] BUG: KASAN: nothing\n",
        "<4>[    1.000000][   T7] a.out[77]: BUG: KASAN: in its name\n",
    ] {
        let log = Log::parse(format!("{BANNER}{fake}").as_bytes());
        assert!(log.splats.is_empty(), "{fake}");
    }
}

#[test]
fn parse_ends_splats_at_the_banner_of_the_next_kernel() {
    let half = &warning("T7", "f")[..4];
    let text = mixed(half, &[], std::iter::empty()) + BANNER + &warning("T7", "f")[4..].concat();
    let log = Log::parse(text.as_bytes());
    assert_eq!(log.splats.len(), 1);
    assert!(!log.splats[0].is_complete);
}

proptest! {
    #[test]
    fn parse_finds_both_reports_in_any_interleaving(picks in proptest::collection::vec(any::<bool>(), 0..19)) {
        let text = mixed(&warning("T7", "f"), &kasan("C1"), picks.into_iter());
        let log = Log::parse(text.as_bytes());
        let mut found: Vec<_> = log.splats.iter().map(|splat| (splat.class, splat.lines.len())).collect();
        found.sort();
        prop_assert_eq!(found, [(SplatClass::Warn, 9), (SplatClass::Kasan, 9)]);
        prop_assert!(log.splats.iter().all(|splat| splat.is_complete));
        prop_assert_eq!(log.stray_warnings(1).count(), 0);
    }
}
