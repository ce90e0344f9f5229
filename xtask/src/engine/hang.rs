// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the hang diagnosis of a job, with the symbols of the kernel that ran.

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::files::read_plain;
use selftests::hang::{Account, Symbols};
use vm_images::transcript::Hang;

/// The file of the diagnosis in a job's folder.
pub(crate) const FILE_NAME: &str = "hang.txt";

/// Size limit of a `vmlinux`, in bytes; a larger file is ignored.
const SYMBOLS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Size limit of a diagnosis, in bytes; a larger file is ignored.
const ACCOUNT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Returns the diagnosis of a hang. If the symbols are gone, a diagnosis that an earlier run
/// wrote with symbols is returned unchanged.
pub(super) fn account(
    hang: &Hang,
    symbols: Option<&Utf8PathBuf>,
    serial: &[u8],
    folder: &Utf8Path,
) -> Account {
    let vmlinux = symbols.and_then(|path| read_plain(path, SYMBOLS_BYTES_MAX).ok());
    let symbols = vmlinux.and_then(|bytes| Symbols::read(&bytes));
    if symbols.is_none()
        && let Some(written) = earlier(folder)
    {
        return written;
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
    fn account_returns_earlier_diagnosis_when_symbols_are_gone() {
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
        let diagnosis = account(&hang, Some(&gone), b"short", folder);
        assert_eq!(diagnosis.summary, "no CPU or task state was recorded");
        fs_err::write(folder.join(FILE_NAME), "CPU 0 spins in `a`\n\nmore\n").unwrap();
        let diagnosis = account(&hang, Some(&gone), b"short", folder);
        assert_eq!(diagnosis.summary, "CPU 0 spins in `a`");
        assert!(diagnosis.text.ends_with("more\n"));
    }
}
