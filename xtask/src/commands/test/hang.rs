// SPDX-License-Identifier: GPL-2.0-only
//! Where a job's guest hung: finds the symbols of the kernel that ran, and has it told.

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::files::read_plain;
use selftests::hang::{Account, Symbols};
use vm_images::transcript::Hang;

/// The account's name in a job's folder.
pub(crate) const FILE_NAME: &str = "hang.txt";

/// Larger kernels with symbols than this are none of ours, in bytes.
const SYMBOLS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// More than an account has, in bytes.
const ACCOUNT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Returns the account of a hang, of the kernel with the given symbols. One that was
/// told when these were there is told again when they are gone.
pub(super) fn account(
    hang: &Hang,
    symbols: Option<&Utf8PathBuf>,
    serial: &[u8],
    folder: &Utf8Path,
) -> Account {
    let vmlinux = symbols.and_then(|path| read_plain(path, SYMBOLS_BYTES_MAX).ok());
    let symbols = vmlinux.and_then(|bytes| Symbols::read(&bytes));
    if symbols.is_none()
        && let Some(known) = earlier(folder)
    {
        return known;
    }
    let start = usize::try_from(hang.console_bytes).unwrap_or(usize::MAX);
    let answers = serial.get(start..).unwrap_or_default();
    Account::of(hang, symbols.as_ref(), answers)
}

fn earlier(folder: &Utf8Path) -> Option<Account> {
    let bytes = read_plain(&folder.join(FILE_NAME), ACCOUNT_BYTES_MAX).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Some(Account {
        summary: text.lines().next()?.to_owned(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use vm_images::transcript::Phase;

    use super::*;

    #[test]
    fn what_was_told_with_names_is_kept_when_they_are_gone() {
        let hang = Hang {
            during: Phase::Boot,
            console_bytes: 7,
            divide_error: None,
            samples: Vec::new(),
            answers: false,
            missing: Vec::new(),
            dump: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        let gone = folder.join("vmlinux");
        let told = account(&hang, Some(&gone), b"short", folder);
        assert_eq!(told.summary, "no CPU or task state was recorded");
        fs_err::write(folder.join(FILE_NAME), "CPU 0 spins in `a`\n\nmore\n").unwrap();
        let told = account(&hang, Some(&gone), b"short", folder);
        assert_eq!(told.summary, "CPU 0 spins in `a`");
        assert!(told.text.ends_with("more\n"));
    }
}
