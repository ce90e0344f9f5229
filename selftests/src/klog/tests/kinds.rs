// SPDX-License-Identifier: MIT OR Apache-2.0
//! First line, last line, class and title of each kind of splat.

use super::{bare, titles};
use crate::klog::{Log, SplatClass};

#[test]
fn parse_reads_a_warning_and_its_message_as_one_splat() {
    let text = "------------[ cut here ]------------\n\
        liveupdate-test 0000:01:00.0: Destroying outgoing-preserved device!\n\
        WARNING: drivers/pci/liveupdate.c:210 at pci_liveupdate_cleanup_device+0x51/0x80, CPU#1: test/77\n\
        RIP: 0010:pci_liveupdate_cleanup_device+0x51/0x80\nCall Trace:\n <TASK>\n </TASK>\n\
        ---[ end trace 0000000000000000 ]---\nafter\n";
    let log = Log::parse(text.as_bytes());
    assert_eq!(log.splats.len(), 1);
    assert!(log.splats[0].mentions("Destroying outgoing-preserved device!"));
    assert_eq!(log.splats[0].lines.len(), 8);
    assert_eq!(
        titles(text),
        ["WARN: WARNING in pci_liveupdate_cleanup_device"]
    );
}

#[test]
fn parse_includes_registers_after_the_end_of_an_oops() {
    let text = "BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
        Oops: Oops: 0000 [#1] SMP\nRIP: 0010:f+0x1/0x2\n---[ end trace 0 ]---\n\
        RIP: 0010:f+0x1/0x2\nCode: 5c 41 <0f> b6\nFS:  00007f(0000) GS:ff(0000)\nafter\n";
    let log = bare(text);
    let last = *log.splats[0].lines.last().unwrap();
    assert_eq!(log.lines[last + 1].text, "after");
}

#[test]
fn parse_classifies_reports() {
    let text = "==================================================================\n\
        BUG: KASAN: slab-use-after-free in ltd_user_use+0x40/0x90\n\
        Read of size 4 at addr ffff888001234500 by task test/81\n\
        ==================================================================\n\
        ------------[ cut here ]------------\nrefcount_t: underflow; use-after-free.\n\
        WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x1/0x2, CPU#0: a/1\n---[ end trace 0 ]---\n\
        BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
        Oops: Oops: 0000 [#1] SMP\nRIP: 0010:luo_thing.isra.0+0x5/0x9\n---[ end trace 0 ]---\n\
        INFO: task test:99 blocked for more than 120 seconds.\n </TASK>\n\
        BUG: sleeping function called from invalid context at kernel/locking/mutex.c:100\n </TASK>\n\
        Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#2] SMP\n\
        RIP: 0010:f+0x1/0x2\n---[ end trace 0 ]---\n\
        WARNING: possible circular locking dependency detected\n7.3.4 #1\n </TASK>\n\
        Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
    insta::assert_snapshot!(titles(text).join("\n"), @r"
    KASAN: KASAN: slab-use-after-free Read in ltd_user_use
    refcount_t: refcount_t: underflow; use-after-free
    Oops: NULL pointer dereference in luo_thing
    hung task: task test hung
    atomic sleep: sleeping function called from invalid context
    GPF: general protection fault in f
    lockdep: possible circular locking dependency detected
    panic: panic: Attempted to kill init! N
    ");
}

#[test]
fn parse_finds_a_panic_after_an_incomplete_warning() {
    let text = "------------[ cut here ]------------\nWARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1\nx\n"
        .to_owned()
        + &"y\n".repeat(10)
        + "Kernel panic - not syncing: gone\n";
    assert_eq!(titles(&text).len(), 2);
}

#[test]
fn parse_finds_a_report_inside_another() {
    let warning = "------------[ cut here ]------------\npci 1: gone\n\
        WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1\nCall Trace:\n";
    let end = " </TASK>\n---[ end trace 0 ]---\n";
    for (inside, class, is_outer_complete) in [
        (
            "BUG: KASAN: bad in g+0x1/0x2\n=======================\n",
            SplatClass::Kasan,
            true,
        ),
        (
            "------------[ cut here ]------------\nWARNING: b.c:1 at g+0x1/0x2\n",
            SplatClass::Warn,
            false,
        ),
        (
            "refcount_t: underflow; use-after-free.\n",
            SplatClass::Refcount,
            true,
        ),
        (
            "list_del corruption. next is bad\n",
            SplatClass::ListCorruption,
            true,
        ),
        (
            "BUG: kernel NULL pointer dereference, address: 0\n",
            SplatClass::Oops,
            false,
        ),
        (
            "Kernel panic - not syncing: panic_on_warn set\n",
            SplatClass::Panic,
            false,
        ),
        ("WARNING: suspicious RCU usage\n", SplatClass::Lockdep, true),
    ] {
        let log = bare(&format!("{warning}{inside}{end}"));
        assert_eq!(log.splats.len(), 2, "{inside}");
        assert_eq!(
            (log.splats[0].class, log.splats[1].class),
            (SplatClass::Warn, class)
        );
        assert!(log.splats[0].mentions("pci 1: gone"));
        assert_eq!(log.splats[0].is_complete, is_outer_complete, "{inside}");
    }
    let kasan =
        "BUG: KASAN: bad in g+0x1/0x2\nBUG: KASAN: worse in h+0x1/0x2\n=======================\n";
    assert_eq!(titles(kasan).len(), 2);
    // Also before the line with the kind; the first report is incomplete then.
    let incomplete = "------------[ cut here ]------------\npci 1: gone\n\
        ------------[ cut here ]------------\nrefcount_t: underflow.\n\
        WARNING: a.c:1 at f+0x1/0x2\nWARNING: lib/refcount.c:28 at g+0x1/0x2\n---[ end trace 0 ]---\n";
    let log = Log::parse(incomplete.as_bytes());
    let classes: Vec<_> = log.splats.iter().map(|splat| splat.class).collect();
    assert_eq!(
        classes,
        [SplatClass::Warn, SplatClass::Refcount, SplatClass::Warn]
    );
}

#[test]
fn parse_joins_fault_oops_and_panic_into_one_splat() {
    for text in [
        "BUG: kernel NULL pointer dereference, address: 0\n#PF: x\nOops: Oops: 0000 [#1]\n\
            RIP: 0010:f+0x1/0x2\n---[ end trace 0 ]---\n",
        "------------[ cut here ]------------\nkernel BUG at a.c:1!\n\
            Oops: invalid opcode: 0000 [#1]\nRIP: 0010:f+0x1/0x2\n---[ end trace 0 ]---\n",
        "Oops: general protection fault, probably for x: 0000 [#1]\n\
            Kernel panic - not syncing: Fatal exception\n---[ end Kernel panic - x ]---\n",
    ] {
        assert_eq!(titles(text).len(), 1, "{text}");
    }
    let two = "BUG: kernel NULL pointer dereference, address: 0\nOops: 0000 [#1]\n".repeat(2);
    assert_eq!(titles(&two).len(), 2);
}

#[test]
fn parse_finds_reports_of_slub_lockdep_and_kmemleak() {
    let text = "BUG kmalloc-64 (Tainted: G    B  ): Poison overwritten\n </TASK>\n\
        INFO: trying to register non-static key.\n </TASK>\n\
        kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)\n\
        kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)\n\
        BUG reports go to the list\n";
    insta::assert_snapshot!(titles(text).join("\n"), @r"
    BUG: BUG kmalloc-64, Poison overwritten
    lockdep: INFO: trying to register non-static key
    kmemleak: suspected memory leaks
    ");
}

#[test]
fn parse_ignores_a_splat_with_a_userspace_facility() {
    let log = Log::parse(b"<12>[    1.000000][   T7] BUG: KASAN: nothing in nowhere+0x1/0x2\n");
    assert!(log.splats.is_empty());
    assert_eq!(SplatClass::from_word("KASAN"), Some(SplatClass::Kasan));
}

#[test]
fn parse_joins_a_report_and_the_warn_that_prints_its_stack() {
    let warn = "------------[ cut here ]------------\n\
        WARNING: mm/slub.c:1248 at object_err+0x1/0x2, CPU#0: a/1\nModules linked in:\n\
        RIP: 0010:object_err+0x1/0x2\nCall Trace:\n <TASK>\n kfree+0x1/0x2\n g+0x1/0x2\n </TASK>\n\
        ---[ end trace 0000000000000000 ]---\n";
    let slab = format!(
        "BUG kmalloc-64 (Not tainted): Right Redzone overwritten\n---------\n\n\
         0x1-0x2 @offset=64. First byte 0x0 instead of 0xcc\nObject   1: 00 00\n{warn}\
         FIX kmalloc-64: Restoring Right Redzone 0x1-0x2=0xcc\nafter\n"
    );
    let log = bare(&slab);
    assert_eq!(
        titles(&slab),
        ["BUG: BUG kmalloc-64, Right Redzone overwritten"]
    );
    assert!(log.splats[0].is_complete);
    assert_eq!(log.splats[0].functions(), ["kfree", "g"]);
    let key = format!("BUG: key 1 has not been registered!\n{warn}");
    assert_eq!(titles(&key).len(), 1);
    let list = "list_del corruption. next->prev should be 1, but was 2\n\
        ------------[ cut here ]------------\nkernel BUG at lib/list_debug.c:62!\n\
        Oops: invalid opcode: 0000 [#1] SMP\nRIP: 0010:__list_del_entry_valid_or_report+0x1/0x2\n\
        Call Trace:\n <TASK>\n f+0x1/0x2\n </TASK>\n---[ end trace 0 ]---\n";
    let found = &bare(list).splats;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].class, SplatClass::ListCorruption);
    // A WARN that does not follow directly is another report.
    assert_eq!(
        titles(&format!("BUG: key 1 has not been registered!\nx\n{warn}")).len(),
        2
    );
}

#[test]
fn parse_reads_one_line_if_the_optional_stack_trace_is_missing() {
    let log = bare("BUG: arch topology borken\none\ntwo\n");
    assert_eq!(log.splats[0].lines.len(), 1);
    assert!(log.splats[0].is_complete);
    let trace = "Call Trace:\n <TASK>\n f+0x1/0x2\n </TASK>\nafter\n";
    let log = bare(&format!(
        "BUG: spinlock bad magic on CPU#0, a/1\n lock: x\n{trace}"
    ));
    assert_eq!((log.splats.len(), log.splats[0].lines.len()), (1, 6));
    assert_eq!(
        titles("WARNING: polling idle and HT enabled\none\n").len(),
        0
    );
    assert_eq!(
        titles(&format!("WARNING: do not do that\n{trace}")).len(),
        1
    );
    let many = format!("BUG: odd\n{}{trace}", "x\n".repeat(60));
    assert_eq!(bare(&many).splats[0].lines.len(), 1);
}

#[test]
fn parse_completes_a_panic_at_the_last_lines_of_the_kernel() {
    let panic = "Kernel panic - not syncing: gone\nCPU: 1 UID: 0\nCall Trace:\n <TASK>\n vpanic+0x1/0x2\n \
        panic+0x1/0x2\n f+0x1/0x2\n";
    let incomplete = &bare(panic).splats[0];
    assert!(!incomplete.is_complete && incomplete.functions() == ["f"]);
    assert!(bare(&format!("{panic} </TASK>\n")).splats[0].is_complete);
    assert!(!bare(&format!("{panic} </TASK>\nmore\n")).splats[0].is_complete);
    for last in [
        "Kernel Offset: 0x1a800000 from 0xffffffff81000000",
        "Rebooting in 5 seconds..",
        "---[ end Kernel panic - not syncing: gone ]---",
    ] {
        let log = bare(&format!("{panic}{last}\n"));
        assert!(log.splats[0].is_complete, "{last}");
        assert_eq!(log.splats.len(), 1);
    }
}

#[test]
fn parse_ends_a_held_locks_report_after_the_list_of_locks() {
    let text = "WARNING: lock held when returning to user space!\n7.3.4 #4 Not tainted\n-------\n\
        a/77 is leaving the kernel with locks still held!\n1 lock held by a/77:\n \
        #0: ffff (l){+.+.}-{4:4}, at: f+0x1/0x2 [fault]\nafter\n";
    let log = bare(text);
    assert_eq!((log.splats.len(), log.splats[0].lines.len()), (1, 6));
    assert!(log.splats[0].is_complete);
}

#[test]
fn parse_includes_lines_after_the_first_stack_of_a_stall() {
    let stack = "Call Trace:\n <TASK>\n f+0x1/0x2\n </TASK>\n";
    let text = format!(
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\nrcu: \t1-...!: (0 ticks this GP)\n\
         task:a state:R\n{stack}rcu: rcu_preempt kthread starved for 2101 jiffies!\n\
         rcu: RCU grace-period kthread stack dump:\ntask:rcu_preempt state:R\n{stack}after\n\
         INFO: task a:7 blocked for more than 30 seconds.\ntask:a state:D\n{stack}\
         INFO: task a:7 is blocked on a mutex likely owned by task b:8.\ntask:b state:S\n{stack}\n\
         Showing all locks held in the system:\n1 lock held by b/8:\n #0: ffff (l){{+.+.}}-{{4:4}}, at: f+0x1/0x2\n\
         \n=============================================\n\nafter\n"
    );
    let log = bare(&text);
    let classes: Vec<_> = log.splats.iter().map(|splat| splat.class).collect();
    assert_eq!(classes, [SplatClass::RcuStall, SplatClass::HungTask]);
    let strays: Vec<&str> = log.stray(1).map(|line| line.text.as_str()).collect();
    assert_eq!(strays, ["Linux version 7.3.4", "after", "after"]);
}

#[test]
fn parse_includes_the_line_that_describes_the_object_of_a_report() {
    let warn = "------------[ cut here ]------------\nlist_del corruption. prev is bad\n\
        WARNING: lib/list_debug.c:62 at f+0x1/0x2, CPU#0: a/1\n---[ end trace 0 ]---\n";
    let object = " 4-page vmalloc region starting at 0x1 allocated at g+0x1/0x2\n";
    let log = bare(&format!("{object}{warn}{object}x\n{warn}"));
    let lengths: Vec<_> = log.splats.iter().map(|splat| splat.lines.len()).collect();
    assert_eq!(lengths, [5, 4], "only a line directly before the report");
    assert!(log.splats[0].mentions("allocated at g"));
    assert_eq!(log.splats[0].class, SplatClass::ListCorruption);
    let slab = "[Poison overwritten] 0x1-0x2 @offset=16. First byte 0x1 instead of 0x6b\n\
        =====================\nBUG fault (Not tainted): Object corrupt\n </TASK>\n";
    let log = bare(slab);
    assert!(log.splats[0].mentions("Poison overwritten") && log.splats[0].lines.len() == 3);
}
