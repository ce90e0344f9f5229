// SPDX-License-Identifier: GPL-2.0-only
//! What compilers and make say when they fail: whose fault it is, and what of it
//! would be said again.

/// Words of tools that the host was in the way of.
const HOSTS: [&str; 6] = [
    "No space left on device",
    "Cannot allocate memory",
    "out of memory allocating",
    "Killed signal terminated program",
    "terminated with signal 9",
    "] Killed",
];

/// Returns the line that says that the host was in the way, if any does. A line
/// of the source that a compiler shows may hold any words, and is none.
pub(crate) fn caused_by_host(said: &str) -> Option<&str> {
    let mut lines = said.lines().filter(|line| !is_source(line));
    lines.find(|line| HOSTS.iter().any(|words| line.contains(words)))
}

/// Whether a compiler shows its source in this line: `   12 |   code`.
fn is_source(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.trim_start().starts_with('|')
}

/// Returns the line with the random part of each compiler's temporary file, such
/// as `/tmp/ccAb12Cd.o`, taken out, so that the same mistake reads the same twice.
pub(crate) fn without_temporaries(line: &str) -> String {
    let is_around = |c: char| c.is_whitespace() || "`'\"():;,".contains(c);
    line.split_inclusive(is_around)
        .map(|piece| {
            let word = piece.trim_end_matches(is_around);
            match ending_of_temporary(word) {
                Some(ending) => format!("ccXXXXXX{ending}{}", &piece[word.len()..]),
                None => piece.to_owned(),
            }
        })
        .collect()
}

/// Returns what follows the random part in a temporary file's whole path.
fn ending_of_temporary(word: &str) -> Option<&str> {
    let (_, name) = word.strip_prefix('/')?.rsplit_once('/')?;
    let rest = name.strip_prefix("cc")?;
    let (random, ending) = rest.split_at_checked(6)?;
    let is_random = random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_random && (ending.is_empty() || ending.starts_with('.'))).then_some(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_in_the_way_is_told_from_a_source_that_speaks_of_it() {
        let full =
            "a.c:1:1: warning: odd\n/usr/bin/ld: final link failed: No space left on device\n";
        assert_eq!(
            caused_by_host(full),
            Some("/usr/bin/ld: final link failed: No space left on device")
        );
        for line in [
            "gcc: fatal error: Killed signal terminated program cc1",
            "collect2: fatal error: ld terminated with signal 9 [Killed]",
            "make[3]: *** [scripts/Makefile.build:287: kernel/fork.o] Killed",
            "cc1: out of memory allocating 65536 bytes after a total of 1 bytes",
            "as: Cannot allocate memory",
        ] {
            assert_eq!(caused_by_host(line), Some(line));
        }
        let shown = "a.c:12:3: error: too few arguments\n   12 |   puts(\"Cannot allocate memory\", 1\n      |   ^~~~ No space left on device\n";
        assert_eq!(caused_by_host(shown), None);
    }

    #[test]
    fn a_temporary_name_reads_the_same_twice_and_others_stay() {
        assert_eq!(
            without_temporaries("/usr/bin/ld: /tmp/ccAb12Cd.o: in function `main':"),
            "/usr/bin/ld: ccXXXXXX.o: in function `main':"
        );
        assert_eq!(
            without_temporaries("ld: (/var/x/ccZz9912.ltrans0.ltrans.o): no"),
            "ld: (ccXXXXXX.ltrans0.ltrans.o): no"
        );
        for other in [
            "tools/cccommon.c:1:2: error: é",
            "/usr/lib/ccache.o: no",
            "/ccAb12Cd.o",
            "/usr/lib/ccab12cde.o",
        ] {
            assert_eq!(without_temporaries(other), other);
        }
    }
}
