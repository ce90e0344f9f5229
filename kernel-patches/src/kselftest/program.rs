// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether a file can run in a guest without a shell and shared libraries. The bytes
//! are untrusted.

/// `EI_CLASS` and `ELFCLASS64`.
const CLASS: (usize, u8) = (4, 2);
/// Offsets of `e_phoff`, `e_phentsize` and `e_phnum` in a 64-bit ELF header.
const HEADERS_AT: usize = 32;
const HEADER_SIZE_AT: usize = 54;
const HEADER_COUNT_AT: usize = 56;
/// `PT_INTERP`: a program header with the path of the dynamic linker.
const PT_INTERP: u32 = 3;
/// Length limit of a quoted interpreter, in characters.
const INTERPRETER_MAX: usize = 100;

/// Returns the reason why a file cannot run in the guest.
pub(super) fn unfit(bytes: &[u8]) -> Option<String> {
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let shown: String = line.trim().chars().take(INTERPRETER_MAX).collect();
        let shown = shown.replace(char::is_control, "?");
        return Some(format!(
            "is a script for `{shown}`, which is not in the guest"
        ));
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Some("is neither an ELF program nor a script".to_owned());
    }
    if bytes.get(CLASS.0) != Some(&CLASS.1) {
        return Some("is not a 64-bit program".to_owned());
    }
    match has_interpreter(bytes) {
        Some(false) => None,
        Some(true) => {
            Some("is linked dynamically, and the guest has no shared libraries".to_owned())
        }
        None => Some("is a damaged ELF program".to_owned()),
    }
}

/// Returns whether a program header is [`PT_INTERP`]; `None` if a header is outside of the
/// file.
fn has_interpreter(bytes: &[u8]) -> Option<bool> {
    let start = usize::try_from(number(bytes, HEADERS_AT, 8)?).ok()?;
    let size = usize::try_from(number(bytes, HEADER_SIZE_AT, 2)?).ok()?;
    let count = usize::try_from(number(bytes, HEADER_COUNT_AT, 2)?).ok()?;
    let mut found = false;
    for index in 0..count {
        let at = start.checked_add(index.checked_mul(size)?)?;
        found |= number(bytes, at, 4)? == u64::from(PT_INTERP);
    }
    Some(found)
}

/// Reads a little-endian number of `size` bytes.
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

    /// Returns an ELF file with one program header of this type.
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
    fn unfit_accepts_static_programs_only() {
        assert_eq!(unfit(&elf(2, 1)), None);
        let reason = |bytes: &[u8]| unfit(bytes).unwrap();
        assert!(reason(&elf(2, 3)).contains("linked dynamically"));
        assert!(reason(&elf(1, 1)).contains("64-bit"));
        assert_eq!(
            reason(b"#!/usr/bin/env  bash\r\necho"),
            "is a script for `/usr/bin/env  bash`, which is not in the guest"
        );
        assert!(reason(b"plain text").contains("neither"));
    }

    #[test]
    fn unfit_returns_a_reason_for_truncated_programs() {
        let whole = elf(2, 1);
        for cut in 0..whole.len() {
            let reason = unfit(&whole[..cut]);
            assert!(cut >= 68 || reason.is_some(), "cut at {cut}");
        }
        let mut wild = whole;
        wild[HEADERS_AT..HEADERS_AT + 8].fill(0xff);
        assert!(unfit(&wild).is_some());
    }
}
