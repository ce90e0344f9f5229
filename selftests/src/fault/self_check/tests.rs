// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::evidence::{BootEvidence, Evidence, ExitKind};
use crate::fault::{MODULE_SOURCES, test};
use crate::status::judge;

const BEGINS: &str = "<5>[    0.000000][    T0] Linux version 7.3.4 (x)\n\
    <12>[    1.000000][    T1] patchbed: boot 1 begins\n";
const ENDS: &str = "<12>[    1.900000][    T1] patchbed: boot 1 ends\n";
const WARN: &str = "<6>[    1.100000][   T40] fault: injecting warn\n\
    <6>[    1.110000][   T40] ------------[ cut here ]------------\n\
    <4>[    1.120000][   T40] WARNING: fault_faults.c:27 at fault_warn+0x4/0x10 [fault], CPU#1: inject/40\n\
    <4>[    1.130000][   T40] ---[ end trace 0000000000000000 ]---\n";

fn self_check(name: &str) -> &'static SelfCheck {
    SELF_CHECKS.iter().find(|check| check.name == name).unwrap()
}

fn gone() -> Ending {
    Ending::GuestGone {
        message: "the guest went away".to_owned(),
        boot: Some(1),
    }
}

/// Judges a guest with this console and ending, and evaluates the self-check `name`.
fn evaluate(name: &str, console: &str, ending: Ending) -> Result<String, String> {
    let is_orderly = ending == Ending::Orderly;
    let boot = BootEvidence {
        boot_id: "one",
        started: true,
        output: b"",
        output_cut: false,
        exit: is_orderly.then_some(ExitKind::Code(0)),
    };
    let console = format!("{BEGINS}{console}{}", if is_orderly { ENDS } else { "" });
    let evidence = Evidence {
        boots: vec![boot],
        ending,
        serial: console.as_bytes(),
        hang: None,
        host_time: vm_images::transcript::HostTime {
            is_known: true,
            ..Default::default()
        },
    };
    let log = Log::parse(evidence.serial);
    let self_check = self_check(name);
    let judgement = judge(&test(&[self_check.word.to_owned()]), &evidence, &log);
    self_check.evaluate(FaultResult {
        judgement: &judgement,
        ending: &evidence.ending,
        log: &log,
    })
}

#[test]
fn lacks_and_kernel_argument_follow_the_dot_config() {
    let config = "CONFIG_BUG=y\nCONFIG_KASAN_GENERIC=y\n# CONFIG_KASAN is not set\n\
        CONFIG_PROVE_LOCKING=m\nCONFIG_DEBUG_KMEMLEAK=y\n";
    assert_eq!(self_check("WARN").lacks(config), None);
    assert_eq!(self_check("KASAN").lacks(config), Some("CONFIG_KASAN"));
    assert_eq!(
        self_check("lockdep").lacks(config),
        Some("CONFIG_PROVE_LOCKING")
    );
    assert_eq!(self_check("hang").lacks(""), None, "a hang needs no option");
    assert_eq!(self_check("kmemleak").kernel_argument(config), None);
    let on_demand = format!("{config}CONFIG_DEBUG_KMEMLEAK_DEFAULT_OFF=y\n");
    assert_eq!(
        self_check("kmemleak").kernel_argument(&on_demand),
        Some("kmemleak=on")
    );
    assert_eq!(self_check("WARN").kernel_argument(&on_demand), None);
}

#[test]
fn evaluate_detects_only_a_matching_report_after_the_fault() {
    assert_eq!(
        evaluate("WARN", WARN, Ending::Orderly),
        Ok("WARNING in fault_warn".to_owned())
    );
    // Another class, another function, or a report from before the fault.
    let why = evaluate("BUG", WARN, Ending::Orderly).unwrap_err();
    assert!(why.starts_with("the fault was not injected; "), "{why}");
    let other = WARN.replace("fault_warn+", "something_else+");
    let why = evaluate("WARN", &other, Ending::Orderly).unwrap_err();
    assert!(
        why.contains("status of the guest: `crash`: WARN during boot 1"),
        "{why}"
    );
    let (injecting, splat) = WARN.split_at(WARN.find('\n').unwrap() + 1);
    let before = format!("{splat}{injecting}");
    assert!(evaluate("WARN", &before, Ending::Orderly).is_err());
    let why = evaluate("WARN", injecting, Ending::Orderly).unwrap_err();
    assert!(why.contains("status of the guest: `pass`"), "{why}");
}

#[test]
fn evaluate_ignores_a_report_after_the_next_fault() {
    let injecting =
        |at: u32, word: &str| format!("<6>[    {at}.000000][   T40] fault: injecting {word}\n");
    let lockup = |at: u32| {
        format!(
            "<0>[    {at}.000000][    C0] watchdog: BUG: soft lockup - CPU#0 stuck for 3s! [inject:40]\n\
             <4>[    {at}.100000][    C0] Call Trace:\n<4>[    {at}.200000][    C0]  <TASK>\n\
             <4>[    {at}.300000][    C0]  fault_spin+0x1/0x2 [fault]\n\
             <4>[    {at}.400000][    C0]  </TASK>\n"
        )
    };
    let (soft, stall) = (injecting(2, "soft-lockup"), injecting(9, "rcu-stall"));
    let detected = |console: &str| evaluate("soft lockup", console, Ending::Orderly);
    let late = format!("{soft}{}{stall}", lockup(8));
    assert_eq!(detected(&late), Ok("soft lockup".to_owned()));
    let again = format!("{soft}{}{}{stall}", injecting(4, "soft-lockup"), lockup(8));
    assert!(detected(&again).is_ok(), "the same fault twice");
    let after_next = format!("{soft}{stall}{}", lockup(12));
    let why = detected(&after_next).unwrap_err();
    assert!(why.starts_with("not detected; "), "{why}");
    let forged = stall.replace("<6>", "<14>");
    assert!(detected(&format!("{soft}{forged}{}", lockup(12))).is_ok());
}

#[test]
fn evaluate_ignores_an_injection_line_from_user_space() {
    let fake = WARN.replace("<6>[    1.100000]", "<14>[    1.100000]");
    let why = evaluate("WARN", &fake, Ending::Orderly).unwrap_err();
    assert!(why.starts_with("the fault was not injected"), "{why}");
}

#[test]
fn evaluate_distinguishes_hang_silent_death_and_panic() {
    let injecting = |word: &str| format!("<6>[    1.1][   T40] fault: injecting {word}\n");
    let stamped = |word: &str| injecting(word).replace("1.1]", "1.100000]");
    let hang = || Ending::Hang {
        message: "boot 1 did not end within 4 s".to_owned(),
    };
    assert_eq!(
        evaluate("hang", &stamped("hang"), hang()),
        Ok("boot 1 did not end within 4 s".to_owned())
    );
    assert!(evaluate("hang", &stamped("hang"), gone()).is_err());
    assert!(evaluate("hang", "", hang()).is_err(), "never injected");

    let dead = stamped("silent-death");
    assert_eq!(
        evaluate("silent death", &dead, gone()),
        Ok("the guest went away".to_owned())
    );
    let words = "<0>[    1.200000][   T40] Kernel panic - not syncing: the fault is dead\n\
        <0>[    1.300000][   T40] ---[ end Kernel panic - not syncing: the fault is dead ]---\n";
    assert!(evaluate("silent death", &(dead.clone() + words), gone()).is_err());
    assert!(evaluate("silent death", &dead, Ending::Orderly).is_err());

    let panic = stamped("panic") + words;
    assert_eq!(
        evaluate("panic", &panic, gone()),
        Ok("panic: the fault is dead".to_owned())
    );
    let why = evaluate("panic", &panic, Ending::Orderly).unwrap_err();
    assert!(
        why.starts_with("reported, but the guest kept running"),
        "{why}"
    );
}

#[test]
fn words_sorts_lockdep_first_and_fatal_faults_last() {
    let shared: Vec<&SelfCheck> = SELF_CHECKS
        .iter()
        .filter(|check| check.place == Place::Shared)
        .collect();
    let order = words(&shared);
    let at = |word: &str| order.iter().position(|other| other == word).unwrap();
    assert_eq!(at("lockdep-circular"), 0, "a taint disables lockdep");
    assert!(at("kasan-use-after-free") > at("warn"));
    assert_eq!(order.len() - at("bug").min(at("null-call")), 2);
    let stalled = words(&[self_check("soft lockup"), self_check("workqueue lockup")]);
    assert_eq!(stalled, ["workqueue-lockup", "soft-lockup"]);
}

/// The lines of a kernel report by which its class is recognised, by self-check.
const REPORTS: &[(&str, &[&str])] = &[
    (
        "WARN",
        &[
            "------------[ cut here ]------------",
            "WARNING: fault_faults.c:27 at fault_warn+0x4/0x10 [fault], CPU#1: inject/40",
        ],
    ),
    (
        "BUG",
        &[
            "------------[ cut here ]------------",
            "kernel BUG at fault_faults.c:33!",
            "Oops: invalid opcode: 0000 [#1] SMP",
            "RIP: 0010:fault_bug+0x9/0x10 [fault]",
        ],
    ),
    (
        "Oops",
        &[
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "Oops: Oops: 0010 [#1] SMP",
        ],
    ),
    (
        "UBSAN",
        &[
            "------------[ cut here ]------------",
            "UBSAN: shift-out-of-bounds in fault_faults.c:103:8",
        ],
    ),
    (
        "refcount_t",
        &[
            "------------[ cut here ]------------",
            "refcount_t: underflow; use-after-free.",
            "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x1f/0x70, CPU#0: inject/40",
        ],
    ),
    (
        "list corruption",
        &[
            "------------[ cut here ]------------",
            "list_add corruption. next->prev should be prev (a), but was b. (next=c).",
            "WARNING: lib/list_debug.c:29 at __list_add_valid_or_report+0x6e/0xd0, CPU#0: inject/40",
        ],
    ),
    (
        "atomic sleep",
        &["BUG: sleeping function called from invalid context at fault_faults.c:123"],
    ),
    (
        "KASAN",
        &["BUG: KASAN: slab-use-after-free in fault_use_after_free+0x7c/0x90 [fault]"],
    ),
    (
        "lockdep",
        &["WARNING: possible circular locking dependency detected"],
    ),
    (
        "kmemleak",
        &["kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"],
    ),
    (
        "hung task",
        &["INFO: task inject:40 blocked for more than 3 seconds."],
    ),
    (
        "soft lockup",
        &["watchdog: BUG: soft lockup - CPU#1 stuck for 5s! [inject:41]"],
    ),
    (
        "hard lockup",
        &["watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1"],
    ),
    (
        "workqueue lockup",
        &["BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 4s!"],
    ),
    (
        "RCU stall",
        &["rcu: INFO: rcu_sched detected stalls on CPUs/tasks:"],
    ),
    ("panic", &["Kernel panic - not syncing: the fault is dead"]),
];

#[test]
fn evaluate_detects_every_self_check_from_its_report() {
    for self_check in SELF_CHECKS {
        let ending = match self_check.symptom {
            Symptom::Report(..) => Ending::Orderly,
            Symptom::FatalReport(..) => gone(),
            Symptom::Hang | Symptom::GuestExit => continue,
        };
        let name = self_check.name;
        let (_, lines) = REPORTS
            .iter()
            .find(|(check, _)| *check == name)
            .expect(name);
        let mut console = format!("<6>[    1.100000][   T40] {INJECTING}{}\n", self_check.word);
        for line in *lines {
            console += &format!("<4>[    1.200000][   T40] {line}\n");
        }
        let detected = evaluate(name, &console, ending);
        assert!(detected.is_ok(), "{name}: {detected:?}");
    }
}

#[test]
fn every_self_check_has_a_fault_in_the_module() {
    for self_check in SELF_CHECKS {
        let entry = format!("{{ \"{}\", fault_", self_check.word);
        assert!(
            MODULE_SOURCES.iter().any(|(_, text)| text.contains(&entry)),
            "no fault `{}`",
            self_check.word
        );
    }
}
