// SPDX-License-Identifier: GPL-2.0-only
//! Whether a file can run in a guest that has no shell and no shared libraries.
//! Looks at bytes only; they come from a stranger's build.

/// Index of the class in an ELF file's identification, and the class that runs.
const CLASS: (usize, u8) = (4, 2);
/// Where an ELF file of 64 bits says where its program headers are, how large one
/// is, and how many there are.
const HEADERS_AT: usize = 32;
const HEADER_SIZE_AT: usize = 54;
const HEADER_COUNT_AT: usize = 56;
/// The kind of a program header that names the loader of shared libraries.
const NAMES_A_LOADER: u32 = 3;
/// More of a script's first line is not shown, in characters.
const INTERPRETER_MAX: usize = 100;

/// Returns why a file cannot run in the guest.
pub(super) fn unfit(bytes: &[u8]) -> Option<String> {
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let shown: String = line.trim().chars().take(INTERPRETER_MAX).collect();
        let shown = shown.replace(char::is_control, "?");
        return Some(format!(
            "is a script for `{shown}`, which the guest does not have"
        ));
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Some("is neither a program nor a script".to_owned());
    }
    if bytes.get(CLASS.0) != Some(&CLASS.1) {
        return Some("is no program of 64 bits".to_owned());
    }
    match names_a_loader(bytes) {
        Some(false) => None,
        Some(true) => {
            Some("is not linked statically, and the guest has no shared libraries".to_owned())
        }
        None => Some("is a damaged program".to_owned()),
    }
}

/// Returns whether one of the program headers names a loader; nothing where they
/// lie outside of the file.
fn names_a_loader(bytes: &[u8]) -> Option<bool> {
    let start = usize::try_from(number(bytes, HEADERS_AT, 8)?).ok()?;
    let size = usize::try_from(number(bytes, HEADER_SIZE_AT, 2)?).ok()?;
    let count = usize::try_from(number(bytes, HEADER_COUNT_AT, 2)?).ok()?;
    let mut found = false;
    for index in 0..count {
        let at = start.checked_add(index.checked_mul(size)?)?;
        found |= number(bytes, at, 4)? == u64::from(NAMES_A_LOADER);
    }
    Some(found)
}

/// Reads a little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(size)?)?;
    Some(
        part.iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with one program header of this kind.
    pub(crate) fn elf(class: u8, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[4] = class;
        bytes[HEADERS_AT] = 64;
        bytes[HEADER_SIZE_AT] = 56;
        bytes[HEADER_COUNT_AT] = 1;
        bytes.extend(kind.to_le_bytes());
        bytes.extend([0; 52]);
        bytes
    }

    #[test]
    fn only_a_static_program_is_fit() {
        assert_eq!(unfit(&elf(2, 1)), None);
        let reason = |bytes: &[u8]| unfit(bytes).unwrap();
        assert!(reason(&elf(2, 3)).contains("not linked statically"));
        assert!(reason(&elf(1, 1)).contains("64 bits"));
        assert_eq!(
            reason(b"#!/usr/bin/env  bash\r\necho"),
            "is a script for `/usr/bin/env  bash`, which the guest does not have"
        );
        assert!(reason(b"plain text").contains("neither"));
    }

    #[test]
    fn a_program_cut_anywhere_is_judged_without_a_panic() {
        let whole = elf(2, 1);
        for cut in 0..whole.len() {
            let said = unfit(&whole[..cut]);
            assert!(cut >= 68 || said.is_some(), "cut at {cut}");
        }
        let mut wild = whole;
        wild[HEADERS_AT..HEADERS_AT + 8].fill(0xff);
        assert!(unfit(&wild).is_some());
    }
}
