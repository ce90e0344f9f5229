// SPDX-License-Identifier: GPL-2.0-only
//! Finds the kernel's complaints among the lines of a log: where each begins and
//! ends, what class it is of, and what it says.

use std::ops::Range;

use super::heading::{CUT_HERE, End, heading, is_foreign};
use super::line::{Line, Phase};
use super::title;

/// Lines that a splat can have; what has not ended by then is cut.
const SPLAT_LINES_MAX: usize = 250;
/// Most lines of registers that are shown after a splat's end.
const REGISTER_LINES_MAX: usize = 20;
/// Splats that are kept of one log.
const SPLATS_MAX: usize = 500;

/// What kind of complaint a splat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SplatClass {
    /// `WARN()` and its like.
    Warn,
    /// `BUG()`, and other lines that begin with `BUG:`.
    Bug,
    /// A bad access of the kernel.
    Oops,
    /// A general protection fault.
    Gpf,
    /// The address sanitizer, and its relatives KFENCE, KMSAN and KCSAN.
    Kasan,
    /// The undefined behaviour sanitizer.
    Ubsan,
    /// The lock validator, suspicious RCU usage included.
    Lockdep,
    /// A reference count that over- or underflowed.
    Refcount,
    /// A list whose links do not fit.
    ListCorruption,
    /// Memory that nobody points to.
    Kmemleak,
    /// A task that is blocked for long.
    HungTask,
    /// A processor that is stuck.
    Lockup,
    /// A grace period that does not end.
    RcuStall,
    /// Sleeping where it is forbidden.
    AtomicSleep,
    /// The end.
    Panic,
}

impl SplatClass {
    /// All classes.
    pub const ALL: [Self; 15] = [
        Self::Warn,
        Self::Bug,
        Self::Oops,
        Self::Gpf,
        Self::Kasan,
        Self::Ubsan,
        Self::Lockdep,
        Self::Refcount,
        Self::ListCorruption,
        Self::Kmemleak,
        Self::HungTask,
        Self::Lockup,
        Self::RcuStall,
        Self::AtomicSleep,
        Self::Panic,
    ];

    /// Returns whether the kernel does not work any more as it should after it: a task
    /// died in the middle of something, or memory is not what it was.
    #[must_use]
    pub const fn breaks_the_kernel(self) -> bool {
        matches!(
            self,
            Self::Bug | Self::Oops | Self::Gpf | Self::Kasan | Self::ListCorruption | Self::Panic
        )
    }

    /// Returns the word for the class in scenarios and reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warn => "WARN",
            Self::Bug => "BUG",
            Self::Oops => "Oops",
            Self::Gpf => "GPF",
            Self::Kasan => "KASAN",
            Self::Ubsan => "UBSAN",
            Self::Lockdep => "lockdep",
            Self::Refcount => "refcount_t",
            Self::ListCorruption => "list corruption",
            Self::Kmemleak => "kmemleak",
            Self::HungTask => "hung task",
            Self::Lockup => "lockup",
            Self::RcuStall => "RCU stall",
            Self::AtomicSleep => "atomic sleep",
            Self::Panic => "panic",
        }
    }

    /// Returns the class that the word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }
}

/// A complaint of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splat {
    /// What kind.
    pub class: SplatClass,
    /// Normalised: no addresses, numbers of tasks, times, line numbers or paths.
    pub title: String,
    /// What the code that complains says, as logged; empty when it says nothing.
    pub message: String,
    /// The lines of the log that it is made of.
    pub lines: Range<usize>,
    /// Which kernel complained, from 1.
    pub boot: usize,
    /// When in its boot.
    pub phase: Phase,
    /// Whether it was logged to its end: what another tears is not known whole.
    pub is_whole: bool,
}

impl Splat {
    /// Returns whether the title or the message contains `text`.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.title.contains(text) || self.message.contains(text)
    }
}

/// Finds all splats.
pub(super) fn find(lines: &[Line]) -> Vec<Splat> {
    let mut splats = Vec::new();
    let mut index = 0;
    while index < lines.len() && splats.len() < SPLATS_MAX {
        match heading(lines, index) {
            Some((class, end)) => {
                let (range, is_whole) = range(lines, index, end);
                index = range.end;
                splats.push(splat(lines, class, range, is_whole));
            }
            None => index += 1,
        }
    }
    splats
}

fn splat(lines: &[Line], class: SplatClass, range: Range<usize>, is_whole: bool) -> Splat {
    let texts: Vec<&str> = lines[range.clone()]
        .iter()
        .map(|line| line.text.as_str())
        .collect();
    let first = &lines[range.start];
    let message = message(&texts);
    // A stack trace does not tell a lost reference or a torn list from any WARN.
    let class = match class {
        SplatClass::Warn | SplatClass::Bug if message.starts_with("refcount_t: ") => {
            SplatClass::Refcount
        }
        SplatClass::Warn | SplatClass::Bug if title::is_list_corruption(&message) => {
            SplatClass::ListCorruption
        }
        SplatClass::Warn if texts.iter().any(|text| text.starts_with("kernel BUG at ")) => {
            SplatClass::Bug
        }
        class => class,
    };
    let title = title::title(class, &texts);
    Splat {
        class,
        title,
        message,
        lines: range,
        boot: first.boot,
        phase: first.phase,
        is_whole,
    }
}

/// What stands between "cut here" and the heading, else the heading itself.
fn message(texts: &[&str]) -> String {
    let first = texts.first().copied().unwrap_or_default();
    if !first.contains(CUT_HERE) {
        return first.chars().take(400).collect();
    }
    let said: Vec<&str> = texts[1..]
        .iter()
        .take_while(|text| !text.starts_with("WARNING: ") && !text.starts_with("kernel BUG at "))
        .take(5)
        .copied()
        .collect();
    said.join("\n").chars().take(400).collect()
}

/// The lines of the splat that begins at `start`, and whether it comes to its end.
/// Another complaint ends it, so that none is swallowed; without any end (the machine
/// went away), it goes as far as the log and a limit.
fn range(lines: &[Line], start: usize, end: End) -> (Range<usize>, bool) {
    if end == End::Line {
        return (start..start + 1, true);
    }
    let rest = start + 1..lines.len().min(start + SPLAT_LINES_MAX);
    for index in rest.clone() {
        if lines[index].boot != lines[start].boot || is_foreign(lines, start, index) {
            return (start..index, false);
        }
        if is_end(&lines[index].text, end) {
            let shown_again = lines[index + 1..].iter().take(REGISTER_LINES_MAX);
            let registers = shown_again.take_while(|line| is_of_registers(&line.text));
            return (start..index + 1 + registers.count(), true);
        }
    }
    (start..rest.end.max(start + 1), false)
}

/// An oops shows the registers again after its end.
fn is_of_registers(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "RIP: ", "Code: ", "RSP: ", "RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ", "FS: ", "CS: ",
        "CR2: ", "PKRU: ",
    ];
    NAMES.iter().any(|name| text.starts_with(name))
}

fn is_end(text: &str, end: End) -> bool {
    match end {
        End::Trace => text.contains("---[ end trace") || text.contains("---[ end Kernel panic"),
        End::DoubleRule => text.starts_with("======================="),
        End::Stack => text.trim() == "</TASK>",
        End::Line => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::klog::{Log, SplatClass};

    fn titles(text: &str) -> Vec<String> {
        let log = Log::parse(format!("Linux version 7.3.4\n{text}").as_bytes());
        log.splats
            .iter()
            .map(|splat| format!("{}: {}", splat.class.word(), splat.title))
            .collect()
    }

    #[test]
    fn a_warning_is_one_splat_with_its_message() {
        let text = "------------[ cut here ]------------\n\
            liveupdate-test 0000:01:00.0: Destroying outgoing-preserved device!\n\
            WARNING: drivers/pci/liveupdate.c:210 at pci_liveupdate_cleanup_device+0x51/0x80, CPU#1: test/77\n\
            RIP: 0010:pci_liveupdate_cleanup_device+0x51/0x80\nCall Trace:\n <TASK>\n </TASK>\n\
            ---[ end trace 0000000000000000 ]---\nafter\n";
        let log = Log::parse(text.as_bytes());
        assert_eq!(log.splats.len(), 1);
        assert!(log.splats[0].says("Destroying outgoing-preserved device!"));
        assert_eq!(log.splats[0].lines.len(), 8);
        assert_eq!(
            titles(text),
            ["WARN: WARNING in pci_liveupdate_cleanup_device"]
        );
    }

    #[test]
    fn registers_after_the_end_are_part_of_it() {
        let text = "BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
            Oops: Oops: 0000 [#1] SMP\nRIP: 0010:f+0x1/0x2\n---[ end trace 0 ]---\n\
            RIP: 0010:f+0x1/0x2\nCode: 5c 41 <0f> b6\nFS:  00007f(0000) GS:ff(0000)\nafter\n";
        let log = Log::parse(format!("Linux version 7.3.4\n{text}").as_bytes());
        let ends: Vec<usize> = log.splats.iter().map(|splat| splat.lines.end).collect();
        assert_eq!(log.lines[*ends.last().unwrap()].text, "after");
    }

    #[test]
    fn classes_are_told_apart() {
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
    fn an_unended_splat_swallows_no_other() {
        let text =
            "------------[ cut here ]------------\nWARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1\nx\n"
                .to_owned()
                + &"y\n".repeat(10)
                + "Kernel panic - not syncing: gone\n";
        assert_eq!(titles(&text).len(), 2);
    }

    #[test]
    fn a_complaint_inside_another_is_found() {
        let warning = "------------[ cut here ]------------\npci 1: gone\n\
            WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1\nCall Trace:\n";
        let end = "</TASK>\n---[ end trace 0 ]---\n";
        for (inside, class) in [
            (
                "BUG: KASAN: bad in g+0x1/0x2\n=======================\n",
                SplatClass::Kasan,
            ),
            (
                "------------[ cut here ]------------\nWARNING: b.c:1 at g+0x1/0x2\n",
                SplatClass::Warn,
            ),
            (
                "refcount_t: underflow; use-after-free.\n",
                SplatClass::Refcount,
            ),
            (
                "list_del corruption. next is bad\n",
                SplatClass::ListCorruption,
            ),
            (
                "BUG: kernel NULL pointer dereference, address: 0\n",
                SplatClass::Oops,
            ),
            (
                "Kernel panic - not syncing: panic_on_warn set\n",
                SplatClass::Panic,
            ),
            ("WARNING: suspicious RCU usage\n", SplatClass::Lockdep),
        ] {
            let log = Log::parse(format!("Linux version 1\n{warning}{inside}{end}").as_bytes());
            assert_eq!(log.splats.len(), 2, "{inside}");
            assert_eq!(
                (log.splats[0].class, log.splats[1].class),
                (SplatClass::Warn, class)
            );
            assert!(log.splats[0].says("pci 1: gone") && !log.splats[0].is_whole);
        }
        let kasan = "BUG: KASAN: bad in g+0x1/0x2\nBUG: KASAN: worse in h+0x1/0x2\n=======================\n";
        assert_eq!(titles(kasan).len(), 2);
        // Before the line that names the kind, too: the first has no end then.
        let torn = "------------[ cut here ]------------\npci 1: gone\n\
            ------------[ cut here ]------------\nrefcount_t: underflow.\n\
            WARNING: a.c:1 at f+0x1/0x2\nWARNING: lib/refcount.c:28 at g+0x1/0x2\n---[ end trace 0 ]---\n";
        let log = Log::parse(torn.as_bytes());
        let classes: Vec<_> = log.splats.iter().map(|splat| splat.class).collect();
        assert_eq!(
            classes,
            [SplatClass::Warn, SplatClass::Refcount, SplatClass::Warn]
        );
    }

    #[test]
    fn the_stations_of_one_oops_are_one_splat() {
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
    fn complaints_of_other_makes_are_splats() {
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
    fn userspace_cannot_fake_a_splat() {
        let log = Log::parse(b"<12>[    1.000000][   T7] BUG: KASAN: nothing in nowhere+0x1/0x2\n");
        assert!(log.splats.is_empty());
        assert_eq!(SplatClass::from_word("KASAN"), Some(SplatClass::Kasan));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_log(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let log = Log::parse(&bytes);
            for splat in &log.splats {
                prop_assert!(splat.lines.end <= log.lines.len() && !splat.lines.is_empty());
            }
        }

        #[test]
        fn torn_splats_are_a_log(cut in 0usize..600, pieces in proptest::collection::vec(0usize..8, 0..30)) {
            let words = ["------------[ cut here ]------------\n", "WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1\n",
                "BUG: KASAN: x in y+0x1/0x2\n", "======================================\n", "---[ end trace 0 ]---\n",
                "[    0.000000] Linux version 1\n", "Kernel panic - not syncing: \n", "kernel BUG at é:1!\n"];
            let text: String = pieces.iter().map(|piece| words[*piece]).collect();
            let log = Log::parse(&text.as_bytes()[..cut.min(text.len())]);
            for pair in log.splats.windows(2) {
                prop_assert!(pair[0].lines.end <= pair[1].lines.start);
            }
        }
    }
}
