// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs make, and parses the output of failed builds: detects infrastructure errors and
//! removes random file names.

use camino::Utf8Path;
use patchbed_host::process::Tool;

/// Returns a make command in `folder` with its outputs in `objects`. Build variables of the
/// user have no effect; the caller sets `PATH`.
pub(crate) fn make(folder: &Utf8Path, objects: &Utf8Path) -> Tool {
    let make = Tool::new("make")
        .args(["-C", folder.as_str()])
        .arg(format!("O={objects}"))
        .env_clear()
        .env("LC_ALL", "C");
    ["HOME", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .fold(make, |make, (name, value)| make.env(name, value))
}

pub(crate) fn jobs() -> String {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    format!("-j{jobs}")
}

/// Messages of tools that failed because of the host.
const HOST_MESSAGES: [&str; 6] = [
    "No space left on device",
    "Cannot allocate memory",
    "out of memory allocating",
    "Killed signal terminated program",
    "terminated with signal 9",
    "] Killed",
];

/// Returns the line with a message about the host, if there is one. Source lines that the
/// compiler quotes are skipped, since they may contain any text.
pub(crate) fn caused_by_host(output: &str) -> Option<&str> {
    let mut lines = output.lines().filter(|line| !is_source(line));
    lines.find(|line| HOST_MESSAGES.iter().any(|message| line.contains(message)))
}

/// Returns whether this is a source line in a diagnostic: `   12 |   code`.
fn is_source(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.trim_start().starts_with('|')
}

/// Replaces the names of the compiler's temporary files, such as `/tmp/ccAb12Cd.o`, so
/// that the same error gives the same text.
pub(crate) fn without_temporaries(line: &str) -> String {
    let is_separator = |c: char| c.is_whitespace() || "`'\"():;,".contains(c);
    line.split_inclusive(is_separator)
        .map(|piece| {
            let word = piece.trim_end_matches(is_separator);
            match ending_of_temporary(word) {
                Some(ending) => format!("ccXXXXXX{ending}{}", &piece[word.len()..]),
                None => piece.to_owned(),
            }
        })
        .collect()
}

/// Returns the text after the random part in the absolute path of a temporary file.
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
    fn caused_by_host_ignores_quoted_source() {
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
        let quoted = "a.c:12:3: error: too few arguments\n   12 |   puts(\"Cannot allocate memory\", 1\n      |   ^~~~ No space left on device\n";
        assert_eq!(caused_by_host(quoted), None);
    }

    #[test]
    fn without_temporaries_replaces_compiler_temporaries_only() {
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
