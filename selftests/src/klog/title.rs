// SPDX-License-Identifier: MIT OR Apache-2.0
//! Titles of splats: the kind of report and the function. Titles are equal from run to run
//! and from build to build, because they have no addresses, tasks, times, lines and paths.

use super::class::SplatClass;
use crate::frame::{base_name, function_in};

/// Longer titles are cut, in characters.
const TITLE_MAX: usize = 160;

/// Returns whether a message was printed by the list checks.
pub(super) fn is_list_corruption(message: &str) -> bool {
    message.starts_with("list_add ") || message.starts_with("list_del ")
}

/// Returns the title of a splat with these lines, whose stack begins with the function
/// `innermost`.
pub(super) fn title(class: SplatClass, texts: &[&str], innermost: Option<&str>) -> String {
    let first = texts.first().copied().unwrap_or_default();
    let in_first = || in_function(innermost);
    let place = || match function(texts) {
        Some(name) => in_function(Some(name)),
        None => in_first(),
    };
    let title = match class {
        SplatClass::Warn => warning(texts, &in_first),
        SplatClass::Refcount => {
            format!("{}{}", line_with(texts, "refcount_t: "), caller(texts))
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
    let Some(line) = warning_line(texts) else {
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
    let oops = texts.iter().find_map(|text| text.strip_prefix("Oops: "));
    let name = oops.and_then(|rest| rest.split(':').next());
    match name {
        Some(name) if name != "Oops" && !name.is_empty() => generic(name),
        _ => "oops".to_owned(),
    }
}

/// `ODEBUG: free active, timer_list`: the operation and the type of the object.
fn object(texts: &[&str]) -> String {
    let line = texts.iter().find(|text| text.starts_with("ODEBUG: "));
    let line = line.copied().unwrap_or("ODEBUG");
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

fn warning_line<'a>(texts: &[&'a str]) -> Option<&'a str> {
    texts
        .iter()
        .copied()
        .find(|text| text.starts_with("WARNING: "))
}

/// Returns the function in RIP or in the line of a warning.
fn function<'a>(texts: &[&'a str]) -> Option<&'a str> {
    let rip = texts
        .iter()
        .find_map(|text| text.split_once("RIP: "))
        .map(|(_, place)| place);
    rip.and_then(function_in)
        .or_else(|| warning_line(texts).and_then(function_in))
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

fn line_with(texts: &[&str], start: &str) -> String {
    texts
        .iter()
        .find(|text| text.starts_with(start))
        .map_or_else(|| start.to_owned(), |text| generic(text))
}

fn list_words(texts: &[&str]) -> String {
    let line = texts
        .iter()
        .find(|text| is_list_corruption(text))
        .copied()
        .unwrap_or("list corruption");
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
    let file = place
        .rsplit('/')
        .next()
        .and_then(|file| file.split(':').next())
        .unwrap_or_default();
    if file.is_empty() {
        format!("UBSAN: {kind}")
    } else {
        format!("UBSAN: {kind} in {file}")
    }
}

/// `task NAME hung`, without the PID and the time.
fn hung_task(line: &str) -> String {
    let name = line
        .trim_start_matches("INFO: task ")
        .split(':')
        .next()
        .unwrap_or_default();
    let name: String = name.split('/').next().unwrap_or_default().to_owned();
    format!("task {name} hung")
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
    let reason = line
        .split_once("not syncing: ")
        .map_or(line, |(_, reason)| reason);
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
}
