// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel report: class, title, message, stack and position in the log. Titles are equal
//! from run to run and from build to build, because they have no addresses, tasks, times,
//! lines and paths.

use super::class::SplatClass;
use super::draft::Draft;
use super::heading::{CALL_TRACE, is_cut, kind};
use super::line::{Line, Phase};
use crate::frame::{Frame, base_name, function_in};

/// Longer messages are cut, in characters and in lines.
const MESSAGE_MAX: usize = 400;
const MESSAGE_LINES_MAX: usize = 5;

/// A kernel report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splat {
    /// The class.
    pub class: SplatClass,
    /// The title, without addresses, PIDs, times, line numbers and paths.
    pub title: String,
    /// The message of the report as logged; empty if it has none.
    pub message: String,
    /// The first frames of the stack after the functions that print the report, innermost
    /// first.
    pub frames: Vec<Frame>,
    /// The indices of its lines in the log, in order. Lines of other writers may be in
    /// between.
    pub lines: Vec<usize>,
    /// The number of the boot, from 1.
    pub boot: usize,
    /// The part of the boot.
    pub phase: Phase,
    /// Whether it was logged to its end.
    pub is_complete: bool,
}

impl Splat {
    /// Returns the names of the functions in `frames`.
    #[must_use]
    pub fn functions(&self) -> Vec<&str> {
        self.frames.iter().map(Frame::name).collect()
    }

    /// Returns whether the title or the message contains `text`.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        self.title.contains(text) || self.message.contains(text)
    }

    /// Converts a draft.
    pub(super) fn new(draft: Draft, lines: &[Line]) -> Self {
        let texts: Vec<&str> = draft
            .lines
            .iter()
            .map(|index| lines[*index].text.as_str())
            .collect();
        let first = &lines[draft.lines[0]];
        let about = draft.announcement.map(|index| lines[index].text.as_str());
        let own = message(&texts);
        let class = class(draft.class, &own);
        let message = about.into_iter().chain([own.as_str()]);
        let message = message.filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let frames = frames(class, &texts);
        Self {
            class,
            title: title(class, &texts, frames.first().map(Frame::name)),
            message: message.join("\n"),
            frames,
            boot: first.boot,
            phase: first.phase,
            is_complete: draft.is_complete(),
            lines: draft.all_lines(),
        }
    }
}

/// Refines the class by the message: refcount, list and ODEBUG reports are printed by WARN
/// or BUG.
fn class(class: SplatClass, message: &str) -> SplatClass {
    use SplatClass::{Bug, ListCorruption, ObjectDebug, Refcount, Warn};
    match class {
        Warn | Bug if message.starts_with("refcount_t: ") => Refcount,
        Warn | Bug if is_list_corruption(message) => ListCorruption,
        Warn | Bug if message.starts_with("ODEBUG: ") => ObjectDebug,
        class => class,
    }
}

/// Returns the lines between "cut here" and the line with the kind of report, or the first
/// line of a report without "cut here".
fn message(texts: &[&str]) -> String {
    let first = texts.first().copied().unwrap_or_default();
    if !is_cut(first) {
        return first.chars().take(MESSAGE_MAX).collect();
    }
    let lines: Vec<&str> = texts[1..]
        .iter()
        .take_while(|text| kind(text).is_none())
        .take(MESSAGE_LINES_MAX)
        .copied()
        .collect();
    lines.join("\n").chars().take(MESSAGE_MAX).collect()
}

/// The start of a KFENCE report.
const KFENCE: &str = "BUG: KFENCE: ";
/// Largest number of functions of a splat.
const FRAMES_MAX: usize = 4;

/// Names of functions that print reports or check for errors of their callers, one a line.
const REPORTING: &str = include_str!("reporting_functions.txt");

/// Returns the first frames of the first stack, innermost first.
fn frames(class: SplatClass, texts: &[&str]) -> Vec<Frame> {
    let mut all = stack(class, texts);
    // The function in RIP may be repeated as the first frame of the trace.
    all.dedup_by(|second, first| second.name() == first.name());
    let others = all
        .into_iter()
        .skip_while(|frame| is_reporting(frame.name()));
    others.take(FRAMES_MAX).collect()
}

/// Returns the frame in RIP, followed by the frames of the first trace.
fn stack(class: SplatClass, texts: &[&str]) -> Vec<Frame> {
    let mut frames = Vec::new();
    // Stacks of KFENCE have no `Call Trace:` line, and end with an empty line.
    let is_kfence = texts.first().is_some_and(|text| text.starts_with(KFENCE));
    let mut is_in_trace = is_kfence;
    let mut is_in_interrupt = false;
    for text in texts {
        match text.trim() {
            "</TASK>" if is_in_trace => break,
            "" if is_kfence && !frames.is_empty() => break,
            "<IRQ>" | "<NMI>" => is_in_interrupt = true,
            "</IRQ>" | "</NMI>" => is_in_interrupt = false,
            trimmed if trimmed.starts_with(CALL_TRACE) => is_in_trace = true,
            _ if is_in_interrupt && is_reported_by_interrupt(class) => {}
            _ => frames.extend(frame(text, is_in_trace)),
        }
    }
    frames
}

fn frame(text: &str, is_in_trace: bool) -> Option<Frame> {
    let may_be_frame = text.starts_with("RIP: ") || is_in_trace && text.starts_with(' ');
    let frame = may_be_frame.then(|| Frame::in_line(text)).flatten()?;
    frame.is_reliable.then_some(frame)
}

/// Returns whether reports of a class are printed by an interrupt of the stuck code, so that
/// the functions of the interrupt are not its callees.
fn is_reported_by_interrupt(class: SplatClass) -> bool {
    matches!(
        class,
        SplatClass::RcuStall
            | SplatClass::Lockup
            | SplatClass::HardLockup
            | SplatClass::WorkqueueLockup
    )
}

fn is_reporting(name: &str) -> bool {
    REPORTING.lines().any(|line| match line.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == line,
    })
}

/// Longer titles are cut, in characters.
const TITLE_MAX: usize = 160;

/// Returns whether a message was printed by the list checks.
fn is_list_corruption(message: &str) -> bool {
    message.starts_with("list_add ") || message.starts_with("list_del ")
}

/// Returns the title of a splat with these lines, whose stack begins with the function
/// `innermost`.
fn title(class: SplatClass, texts: &[&str], innermost: Option<&str>) -> String {
    let first = texts.first().copied().unwrap_or_default();
    let in_first = || in_function(innermost);
    let place = || match function(texts) {
        Some(name) => in_function(Some(name)),
        None => in_first(),
    };
    let title = match class {
        SplatClass::Warn => warning(texts, &in_first),
        SplatClass::Refcount => {
            let line = line_with(texts, "refcount_t: ").unwrap_or("refcount_t: ");
            format!("{}{}", generic(line), caller(texts))
        }
        SplatClass::ListCorruption => format!("{}{}", list_words(texts), caller(texts)),
        SplatClass::ObjectDebug => format!("{}{}", object(texts), in_first()),
        SplatClass::Kasan => sanitizer(texts),
        SplatClass::Ubsan => ubsan(texts),
        SplatClass::Bug if texts.iter().any(|text| text.starts_with("kernel BUG at ")) => {
            format!("kernel BUG{}", place())
        }
        SplatClass::Oops | SplatClass::DoubleFault => format!("{}{}", fault(texts), place()),
        SplatClass::Gpf => format!("general protection fault{}", place()),
        SplatClass::Lockdep => generic(
            first
                .trim_start_matches("WARNING: ")
                .trim_matches(['[', ']', ' ']),
        ),
        SplatClass::PageAllocation => format!("{}{}", allocation(first), in_first()),
        SplatClass::HungTask => hung_task(first),
        SplatClass::Lockup => "soft lockup".to_owned(),
        SplatClass::HardLockup => "hard lockup".to_owned(),
        SplatClass::WorkqueueLockup => "workqueue lockup".to_owned(),
        SplatClass::RcuStall => "RCU stall".to_owned(),
        SplatClass::AtomicSleep if first.contains("scheduling") => {
            "scheduling while atomic".to_owned()
        }
        SplatClass::AtomicSleep => "sleeping function called from invalid context".to_owned(),
        SplatClass::Kmemleak => "suspected memory leaks".to_owned(),
        SplatClass::Panic => panic(first),
        SplatClass::Bug => generic(&without_taint(first)),
    };
    title.chars().take(TITLE_MAX).collect()
}

fn in_function(name: Option<&str>) -> String {
    name.map(|name| format!(" in {name}")).unwrap_or_default()
}

/// `WARNING in function`
fn warning(texts: &[&str], in_first: &dyn Fn() -> String) -> String {
    let first = texts.first().copied().unwrap_or_default();
    if first.starts_with("unchecked MSR access error") {
        return format!("unchecked MSR access error{}", in_first());
    }
    if first.starts_with("sysfs: cannot create duplicate filename") {
        return format!("duplicate filename in sysfs{}", in_first());
    }
    let Some(line) = line_with(texts, "WARNING: ") else {
        return "WARNING".to_owned();
    };
    match function_in(line.rsplit_once(" at ").map_or(line, |(_, place)| place)) {
        Some(name) => format!("WARNING in {name}"),
        None => generic(line),
    }
}

/// Returns the name of a fault, from its first line or from the `Oops:` line.
fn fault(texts: &[&str]) -> String {
    let first = texts.first().copied().unwrap_or_default();
    let known = [
        ("NULL pointer", "NULL pointer dereference"),
        ("page fault", "bad page fault"),
        ("stack guard page", "stack guard page hit"),
        ("double fault", "double fault"),
    ];
    if let Some((_, name)) = known.iter().find(|(words, _)| first.contains(words)) {
        return (*name).to_owned();
    }
    let oops = line_with(texts, "Oops: ");
    let name = oops.and_then(|line| line["Oops: ".len()..].split(':').next());
    match name {
        Some(name) if name != "Oops" && !name.is_empty() => generic(name),
        _ => "oops".to_owned(),
    }
}

/// `ODEBUG: free active, timer_list`: the operation and the type of the object.
fn object(texts: &[&str]) -> String {
    let line = line_with(texts, "ODEBUG: ").unwrap_or("ODEBUG");
    let operation = line.split(" (active state").next().unwrap_or(line);
    let kind = line
        .split_once("object type: ")
        .and_then(|(_, rest)| rest.split(' ').next());
    match kind {
        Some(kind) => format!("{}, {kind}", generic(operation)),
        None => generic(operation),
    }
}

/// `page allocation failure, order:10`, without the name of the task.
fn allocation(first: &str) -> String {
    let order = first
        .split_once(": page allocation failure: ")
        .and_then(|(_, rest)| rest.split(',').next());
    match order {
        Some(order) => format!("page allocation failure, {order}"),
        None => "vmalloc failure".to_owned(),
    }
}

/// Returns the first line that starts with `start`.
fn line_with<'a>(texts: &[&'a str], start: &str) -> Option<&'a str> {
    texts.iter().copied().find(|text| text.starts_with(start))
}

/// Returns the function in RIP or in the line of a warning.
fn function<'a>(texts: &[&'a str]) -> Option<&'a str> {
    let mut registers = texts.iter().filter_map(|text| text.split_once("RIP: "));
    let rip = registers.next();
    rip.and_then(|(_, place)| function_in(place))
        .or_else(|| line_with(texts, "WARNING: ").and_then(function_in))
}

/// Returns the first function of the stack that is not part of the reference count and
/// list checks.
fn caller(texts: &[&str]) -> String {
    let stack = texts
        .iter()
        .skip_while(|text| !text.starts_with("Call Trace"));
    let caller = stack
        .filter(|text| !text.contains(" ? "))
        .filter_map(|text| function_in(text))
        .find(|name| {
            !name.starts_with("refcount_")
                && !name.starts_with("__list_")
                && !name.contains("warn")
                && *name != "dump_stack_lvl"
        });
    in_function(caller)
}

fn list_words(texts: &[&str]) -> String {
    let line = texts.iter().find(|text| is_list_corruption(text));
    let line = line.unwrap_or(&"list corruption");
    let words: Vec<&str> = line.split_whitespace().take(2).collect();
    words.join(" ").trim_end_matches(['.', ',']).to_owned()
}

/// `KASAN: slab-use-after-free Read in function`
fn sanitizer(texts: &[&str]) -> String {
    let line = texts.first().copied().unwrap_or_default();
    let after = line.split_once("BUG: ").map_or(line, |(_, after)| after);
    let (kind, place) = after.split_once(" in ").unwrap_or((after, ""));
    let access = texts.iter().take(4).find_map(|text| {
        ["Read", "Write", "Free"]
            .into_iter()
            .find(|access| text.starts_with(&format!("{access} of ")))
    });
    let access = access
        .map(|access| format!(" {access}"))
        .unwrap_or_default();
    let place = match place.split_once(" / ") {
        // KCSAN names both functions of a race.
        Some((first, second)) => format!(" in {} / {}", base_name(first), base_name(second)),
        None => in_function(function_in(place)),
    };
    format!("{}{access}{place}", generic(kind))
}

/// `UBSAN: shift-out-of-bounds in file.c`, without the directory of the build.
fn ubsan(texts: &[&str]) -> String {
    let line = texts
        .iter()
        .find_map(|text| text.split_once("UBSAN: "))
        .map_or("", |(_, after)| after);
    let (kind, place) = line.split_once(" in ").unwrap_or((line, ""));
    let file = place.rsplit('/').next().unwrap_or(place);
    match file.split(':').next() {
        None | Some("") => format!("UBSAN: {kind}"),
        Some(file) => format!("UBSAN: {kind} in {file}"),
    }
}

/// `task NAME hung`, without the PID and the time.
fn hung_task(line: &str) -> String {
    let name = line.trim_start_matches("INFO: task ").split([':', '/']);
    format!("task {} hung", name.take(1).collect::<String>())
}

/// `BUG kmalloc-64, Poison overwritten`, without the taint flags.
fn without_taint(line: &str) -> String {
    match (line.split_once(" ("), line.split_once("): ")) {
        (Some((cache, _)), Some((_, error))) if line.starts_with("BUG ") => {
            format!("{cache}, {error}")
        }
        _ => line.to_owned(),
    }
}

fn panic(line: &str) -> String {
    let reason = line.split_once("not syncing: ");
    let reason = reason.map_or(line, |(_, reason)| reason);
    format!("panic: {}", generic(reason))
}

/// Replaces every word of a line that may differ from run to run (numbers, addresses,
/// tasks, places in files) by `N`.
pub(super) fn generic(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_hex = word.len() >= 6 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let numbered = digits > 0
            && (word.contains("0x")
                || word.contains(':')
                || word.contains('#')
                || word.contains('/'));
        let is_number = digits > 0 && digits == word.trim_end_matches(['s', '!', '.', ',']).len();
        if is_hex || numbered || is_number {
            "N"
        } else {
            word
        }
    });
    words
        .collect::<Vec<_>>()
        .join(" ")
        .trim_end_matches(['.', ':'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_has_no_numbers_and_paths() {
        assert_eq!(
            generic("Attempted to kill init! exitcode=0x0000000b"),
            "Attempted to kill init! N"
        );
        assert_eq!(
            generic("BUG: Bad page state in process a/1  pfn:01234"),
            "BUG: Bad page state in process N N"
        );
        let old = ["WARNING: CPU: 1 PID: 7 at drivers/a.c:7 thing.constprop.0+0x1/0x2 [mod]"];
        assert_eq!(title(SplatClass::Warn, &old, None), "WARNING in thing");
        let ubsan = ["UBSAN: shift-out-of-bounds in /build/x/lib/a.c:7:9"];
        assert_eq!(
            title(SplatClass::Ubsan, &ubsan, None),
            "UBSAN: shift-out-of-bounds in a.c"
        );
    }

    #[test]
    fn title_names_the_fault_or_object_and_the_function() {
        let of = |class, text: &str, frame: &str| title(class, &[text], Some(frame));
        assert_eq!(
            of(SplatClass::Oops, "Oops: divide error: 0000 [#1] SMP", "f"),
            "divide error in f"
        );
        assert_eq!(
            of(SplatClass::Oops, "Oops: Oops: 0000 [#1]", "f"),
            "oops in f"
        );
        let guard = "BUG: TASK stack guard page was hit at 1 (stack is 2..3)";
        assert_eq!(
            of(SplatClass::DoubleFault, guard, "f"),
            "stack guard page hit in f"
        );
        let object = "ODEBUG: free active (active state 0) object: 00000000c0ffee12 \
            object type: timer_list hint: f+0x0/0x8";
        assert_eq!(
            of(SplatClass::ObjectDebug, object, "g"),
            "ODEBUG: free active, timer_list in g"
        );
        let pages = "test: page allocation failure: order:10, mode:0xcc0(GFP_KERNEL)";
        assert_eq!(
            of(SplatClass::PageAllocation, pages, "g"),
            "page allocation failure, order:10 in g"
        );
        let race = "BUG: KCSAN: data-race in f.isra.0 / g";
        assert_eq!(
            of(SplatClass::Kasan, race, "f"),
            "KCSAN: data-race in f / g"
        );
    }

    fn names(class: SplatClass, texts: &[&str]) -> Vec<String> {
        let frames = frames(class, texts);
        frames.iter().map(|frame| frame.name().to_owned()).collect()
    }

    #[test]
    fn frames_skips_reporting_functions_and_unreliable_entries() {
        let texts = [
            "BUG: KASAN: slab-use-after-free in use.isra.0+0x1/0x2 [fault]",
            "Call Trace:",
            " <TASK>",
            " dump_stack_lvl+0x1/0x2",
            " print_report+0x1/0x2",
            " kasan_report+0x1/0x2",
            " ? left_over+0x1/0x2",
            " use.isra.0+0x1/0x2 [fault]",
            " kasan_like_a_name+0x1/0x2",
            " </TASK>",
            "Freed by task 7:",
            " other+0x1/0x2",
        ];
        assert_eq!(
            names(SplatClass::Kasan, &texts),
            ["use", "kasan_like_a_name"]
        );
    }

    #[test]
    fn frames_reads_a_kfence_stack_without_a_call_trace_line() {
        let texts = [
            "BUG: KFENCE: use-after-free read in use+0x1/0x2",
            "",
            "Use-after-free read at 0x000000000bccbd3e (in kfence-#177):",
            " use+0x1/0x2",
            " caller+0x1/0x2",
            "",
            "freed by task 7 on cpu 1 at 28.423213s (0.030125s ago):",
            " other+0x1/0x2",
        ];
        assert_eq!(names(SplatClass::Kasan, &texts), ["use", "caller"]);
    }

    #[test]
    fn frames_puts_the_registers_before_the_trace() {
        let texts = [
            "WARNING: a.c:1 at f+0x1/0x2, CPU#0: a/1",
            "RIP: 0010:f+0x1/0x2",
            "Call Trace:",
            " <TASK>",
            " g+0x1/0x2",
            "RIP: 0033:0x4475b0",
            " </TASK>",
        ];
        assert_eq!(names(SplatClass::Warn, &texts), ["f", "g"]);
    }

    #[test]
    fn frames_skips_the_watchdog_interrupt_of_a_stall() {
        let texts = [
            "Call Trace:",
            " <IRQ>",
            " tick+0x1/0x2",
            " </IRQ>",
            " <TASK>",
            " asm_sysvec_apic_timer_interrupt+0x1/0x2",
            "RIP: 0010:spin.cold+0x1/0x2",
            " caller+0x1/0x2",
            " </TASK>",
        ];
        assert_eq!(names(SplatClass::RcuStall, &texts), ["spin", "caller"]);
        assert_eq!(names(SplatClass::Warn, &texts)[0], "tick");
    }
}
