// SPDX-License-Identifier: GPL-2.0-only
//! Titles of splats that are the same from run to run and build to build: the kind
//! of trouble and the function, without addresses, tasks, times, lines and paths.

use super::splat::SplatClass;

/// Bytes of a title that are kept.
const TITLE_MAX: usize = 160;

/// Returns whether a message is of the list checks.
pub(super) fn is_list_corruption(message: &str) -> bool {
    message.starts_with("list_add ") || message.starts_with("list_del ")
}

/// Returns the title of a splat made of these lines.
pub(super) fn title(class: SplatClass, texts: &[&str]) -> String {
    let first = texts.first().copied().unwrap_or_default();
    let place = || {
        function(texts)
            .map(|name| format!(" in {name}"))
            .unwrap_or_default()
    };
    let title = match class {
        SplatClass::Warn => match warning_line(texts) {
            Some(line) => {
                match function_in(line.rsplit_once(" at ").map_or(line, |(_, place)| place)) {
                    Some(name) => format!("WARNING in {name}"),
                    None => generic(line),
                }
            }
            None => "WARNING".to_owned(),
        },
        SplatClass::Refcount => {
            format!("{}{}", said(texts, "refcount_t: "), place_after_warn(texts))
        }
        SplatClass::ListCorruption => format!("{}{}", list_words(texts), place_after_warn(texts)),
        SplatClass::Kasan => sanitizer(texts),
        SplatClass::Ubsan => ubsan(texts),
        SplatClass::Bug if texts.iter().any(|text| text.contains("kernel BUG at ")) => {
            format!("kernel BUG{}", place())
        }
        SplatClass::Oops if first.contains("NULL pointer") => {
            format!("NULL pointer dereference{}", place())
        }
        SplatClass::Oops if first.contains("page fault") => format!("bad page fault{}", place()),
        SplatClass::Oops => format!("oops{}", place()),
        SplatClass::Gpf => format!("general protection fault{}", place()),
        SplatClass::Lockdep => generic(
            first
                .trim_start_matches("WARNING: ")
                .trim_matches(['[', ']', ' ']),
        ),
        SplatClass::HungTask => hung_task(first),
        SplatClass::Lockup if first.contains("soft lockup") => "soft lockup".to_owned(),
        SplatClass::Lockup if first.contains("workqueue") => "workqueue lockup".to_owned(),
        SplatClass::Lockup => "hard lockup".to_owned(),
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

fn warning_line<'a>(texts: &[&'a str]) -> Option<&'a str> {
    texts
        .iter()
        .copied()
        .find(|text| text.starts_with("WARNING: "))
}

/// The function that a register dump or a warning's line names.
fn function(texts: &[&str]) -> Option<String> {
    let rip = texts
        .iter()
        .find_map(|text| text.split_once("RIP: "))
        .map(|(_, place)| place);
    rip.and_then(function_in)
        .or_else(|| warning_line(texts).and_then(function_in))
}

/// A reference count or a list is checked for somebody else: the first function of
/// the stack that is not the check itself.
fn place_after_warn(texts: &[&str]) -> String {
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
                && name != "dump_stack_lvl"
        });
    caller.map(|name| format!(" in {name}")).unwrap_or_default()
}

/// The first `name+0x12/0x34` of a text, without what the compiler appends.
fn function_in(text: &str) -> Option<String> {
    let words = text.split([' ', ',', ':', '(', ')']);
    let symbol = words
        .filter_map(|word| word.split_once("+0x"))
        .map(|(name, _)| name)
        .find(|name| !name.is_empty())?;
    let base = symbol.split('.').next().unwrap_or(symbol);
    Some(base.to_owned())
}

fn said(texts: &[&str], words: &str) -> String {
    texts
        .iter()
        .find(|text| text.starts_with(words))
        .map_or_else(|| words.to_owned(), |text| generic(text))
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

/// "KASAN: slab-use-after-free Read in function".
fn sanitizer(texts: &[&str]) -> String {
    let line = texts.first().copied().unwrap_or_default();
    let after = line.split_once("BUG: ").map_or(line, |(_, after)| after);
    let (what, place) = after.split_once(" in ").unwrap_or((after, ""));
    let access = texts.iter().take(4).find_map(|text| {
        ["Read", "Write", "Free"]
            .into_iter()
            .find(|access| text.starts_with(&format!("{access} of ")))
    });
    let access = access
        .map(|access| format!(" {access}"))
        .unwrap_or_default();
    let place = function_in(place)
        .map(|name| format!(" in {name}"))
        .unwrap_or_default();
    format!("{}{access}{place}", generic(what))
}

/// "UBSAN: shift-out-of-bounds in file.c": the place is a path of the build.
fn ubsan(texts: &[&str]) -> String {
    let line = texts
        .iter()
        .find_map(|text| text.split_once("UBSAN: "))
        .map_or("", |(_, after)| after);
    let (what, place) = line.split_once(" in ").unwrap_or((line, ""));
    let file = place
        .rsplit('/')
        .next()
        .and_then(|file| file.split(':').next())
        .unwrap_or_default();
    if file.is_empty() {
        format!("UBSAN: {what}")
    } else {
        format!("UBSAN: {what} in {file}")
    }
}

/// "task NAME hung": without the task's number and the time.
fn hung_task(line: &str) -> String {
    let name = line
        .trim_start_matches("INFO: task ")
        .split(':')
        .next()
        .unwrap_or_default();
    let name: String = name.split('/').next().unwrap_or_default().to_owned();
    format!("task {name} hung")
}

/// "BUG kmalloc-64, Poison overwritten": what was wrong before differs.
fn without_taint(line: &str) -> String {
    match (line.split_once(" ("), line.split_once("): ")) {
        (Some((cache, _)), Some((_, what))) if line.starts_with("BUG ") => {
            format!("{cache}, {what}")
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

/// Takes out of a line what differs from run to run: every word that is a number,
/// an address, a task, a place in a file.
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
    fn titles_have_no_numbers_of_this_run() {
        assert_eq!(
            generic("Attempted to kill init! exitcode=0x0000000b"),
            "Attempted to kill init! N"
        );
        assert_eq!(
            generic("BUG: Bad page state in process a/1  pfn:01234"),
            "BUG: Bad page state in process N N"
        );
        let old = ["WARNING: CPU: 1 PID: 7 at drivers/a.c:7 thing.constprop.0+0x1/0x2 [mod]"];
        assert_eq!(title(SplatClass::Warn, &old), "WARNING in thing");
        let ubsan = ["UBSAN: shift-out-of-bounds in /build/x/lib/a.c:7:9"];
        assert_eq!(
            title(SplatClass::Ubsan, &ubsan),
            "UBSAN: shift-out-of-bounds in a.c"
        );
    }
}
