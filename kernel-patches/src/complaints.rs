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
pub(crate) fn hosts_fault(said: &str) -> Option<&str> {
    let mut lines = said.lines().filter(|line| !is_source(line));
    lines.find(|line| HOSTS.iter().any(|words| line.contains(words)))
}

/// Whether a compiler shows its source in this line: `   12 |   code`.
fn is_source(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.trim_start().starts_with('|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_in_the_way_is_told_from_a_source_that_speaks_of_it() {
        let full =
            "a.c:1:1: warning: odd\n/usr/bin/ld: final link failed: No space left on device\n";
        assert_eq!(
            hosts_fault(full),
            Some("/usr/bin/ld: final link failed: No space left on device")
        );
        for line in [
            "gcc: fatal error: Killed signal terminated program cc1",
            "collect2: fatal error: ld terminated with signal 9 [Killed]",
            "make[3]: *** [scripts/Makefile.build:287: kernel/fork.o] Killed",
            "cc1: out of memory allocating 65536 bytes after a total of 1 bytes",
            "as: Cannot allocate memory",
        ] {
            assert_eq!(hosts_fault(line), Some(line));
        }
        let shown = "a.c:12:3: error: too few arguments\n   12 |   puts(\"Cannot allocate memory\", 1\n      |   ^~~~ No space left on device\n";
        assert_eq!(hosts_fault(shown), None);
    }
}
