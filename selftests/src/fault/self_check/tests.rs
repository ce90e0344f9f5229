// SPDX-License-Identifier: GPL-2.0-only

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
    SELF_CHECKS.iter().find(|one| one.name == name).unwrap()
}

fn gone() -> Ending {
    Ending::GuestGone {
        message: "the guest went away".to_owned(),
        boot: Some(1),
    }
}

/// What a self_check makes of a console and an end, by way of the judge.
fn look(name: &str, console: &str, ending: Ending) -> Result<String, String> {
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
    self_check.look(FaultResult {
        judgement: &judgement,
        ending: &evidence.ending,
        log: &log,
    })
}

#[test]
fn what_is_absent_is_read_from_the_configuration() {
    let config = "CONFIG_BUG=y\nCONFIG_KASAN_GENERIC=y\n# CONFIG_KASAN is not set\n\
        CONFIG_PROVE_LOCKING=m\nCONFIG_DEBUG_KMEMLEAK=y\n";
    assert_eq!(self_check("WARN").lacks(config), None);
    assert_eq!(self_check("KASAN").lacks(config), Some("CONFIG_KASAN"));
    assert_eq!(
        self_check("lockdep").lacks(config),
        Some("CONFIG_PROVE_LOCKING")
    );
    assert_eq!(
        self_check("hang").lacks(""),
        None,
        "no option takes it away"
    );
    assert_eq!(self_check("kmemleak").condition(config), None);
    let on_demand = format!("{config}CONFIG_DEBUG_KMEMLEAK_DEFAULT_OFF=y\n");
    assert_eq!(
        self_check("kmemleak").condition(&on_demand),
        Some("kmemleak=on")
    );
    assert_eq!(self_check("WARN").condition(&on_demand), None);
}

#[test]
fn a_report_is_seen_when_it_comes_after_its_fault_and_is_of_its_class() {
    assert_eq!(
        look("WARN", WARN, Ending::Orderly),
        Ok("WARNING in fault_warn".to_owned())
    );
    // Of another class, another function, or from before.
    let why = look("BUG", WARN, Ending::Orderly).unwrap_err();
    assert!(why.starts_with("the fault was not injected; "), "{why}");
    let other = WARN.replace("fault_warn+", "something_else+");
    let why = look("WARN", &other, Ending::Orderly).unwrap_err();
    assert!(
        why.contains("the guest came to `crash`: WARN during boot 1"),
        "{why}"
    );
    let (injecting, splat) = WARN.split_at(WARN.find('\n').unwrap() + 1);
    let before = format!("{splat}{injecting}");
    assert!(look("WARN", &before, Ending::Orderly).is_err());
    let why = look("WARN", injecting, Ending::Orderly).unwrap_err();
    assert!(why.contains("the guest came to `pass`"), "{why}");
}

#[test]
fn a_report_is_seen_before_the_next_fault_is_pulled() {
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
    let seen = |console: &str| look("soft lockup", console, Ending::Orderly);
    let late = format!("{soft}{}{stall}", lockup(8));
    assert_eq!(seen(&late), Ok("soft lockup".to_owned()));
    let again = format!("{soft}{}{}{stall}", injecting(4, "soft-lockup"), lockup(8));
    assert!(seen(&again).is_ok(), "it was injected twice");
    let of_another = format!("{soft}{stall}{}", lockup(12));
    let why = seen(&of_another).unwrap_err();
    assert!(why.starts_with("not seen; "), "{why}");
    let forged = stall.replace("<6>", "<14>");
    assert!(seen(&format!("{soft}{forged}{}", lockup(12))).is_ok());
}

#[test]
fn a_program_cannot_say_that_a_fault_was_pulled() {
    let fake = WARN.replace("<6>[    1.100000]", "<14>[    1.100000]");
    let why = look("WARN", &fake, Ending::Orderly).unwrap_err();
    assert!(why.starts_with("the fault was not injected"), "{why}");
}

#[test]
fn ends_are_told_apart() {
    let injecting = |word: &str| format!("<6>[    1.1][   T40] fault: injecting {word}\n");
    let stamped = |word: &str| injecting(word).replace("1.1]", "1.100000]");
    let hang = || Ending::Hang {
        message: "boot 1 did not end within 4 s".to_owned(),
    };
    assert_eq!(
        look("hang", &stamped("hang"), hang()),
        Ok("boot 1 did not end within 4 s".to_owned())
    );
    assert!(look("hang", &stamped("hang"), gone()).is_err());
    assert!(look("hang", "", hang()).is_err(), "it was never injected");

    let dead = stamped("silent-death");
    assert_eq!(
        look("silent death", &dead, gone()),
        Ok("the guest went away".to_owned())
    );
    let words = "<0>[    1.200000][   T40] Kernel panic - not syncing: the fault is dead\n\
        <0>[    1.300000][   T40] ---[ end Kernel panic - not syncing: the fault is dead ]---\n";
    assert!(look("silent death", &(dead.clone() + words), gone()).is_err());
    assert!(look("silent death", &dead, Ending::Orderly).is_err());

    let panic = stamped("panic") + words;
    assert_eq!(
        look("panic", &panic, gone()),
        Ok("panic: the fault is dead".to_owned())
    );
    let why = look("panic", &panic, Ending::Orderly).unwrap_err();
    assert!(why.starts_with("seen, and then it went on"), "{why}");
}

#[test]
fn who_shares_a_guest_is_pulled_in_an_order_that_disturbs_nobody() {
    let shared: Vec<&SelfCheck> = SELF_CHECKS
        .iter()
        .filter(|one| one.place == Place::Shared)
        .collect();
    let order = words(&shared);
    let at = |word: &str| order.iter().position(|one| one == word).unwrap();
    assert_eq!(at("lockdep-circular"), 0, "a taint silences it");
    assert!(at("kasan-use-after-free") > at("warn"));
    assert_eq!(order.len() - at("bug").min(at("null-call")), 2);
    let stalled = words(&[self_check("soft lockup"), self_check("workqueue lockup")]);
    assert_eq!(stalled, ["workqueue-lockup", "soft-lockup"]);
}

/// What a kernel says of each, as far as its kind is told by it.
const SAID: &[(&str, &[&str])] = &[
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
fn what_a_kernel_says_of_each_is_of_the_class_that_is_asked_for() {
    for self_check in SELF_CHECKS {
        let ending = match self_check.sign {
            Sign::Splat(..) => Ending::Orderly,
            Sign::LastWords(..) => gone(),
            Sign::Silence | Sign::Gone => continue,
        };
        let name = self_check.name;
        let (_, said) = SAID.iter().find(|(of, _)| *of == name).expect(name);
        let mut console = format!("<6>[    1.100000][   T40] {INJECTING}{}\n", self_check.word);
        for line in *said {
            console += &format!("<4>[    1.200000][   T40] {line}\n");
        }
        let seen = look(name, &console, ending);
        assert!(seen.is_ok(), "{name}: {seen:?}");
    }
}

#[test]
fn every_detector_has_a_fault_in_the_module() {
    for self_check in SELF_CHECKS {
        let entry = format!("{{ \"{}\", fault_", self_check.word);
        assert!(
            MODULE_SOURCES.iter().any(|(_, text)| text.contains(&entry)),
            "no fault `{}`",
            self_check.word
        );
    }
}
