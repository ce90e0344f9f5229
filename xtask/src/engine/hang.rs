// SPDX-License-Identifier: MIT OR Apache-2.0
//! Diagnoses the hang of a job, with the symbols of the kernel that ran.

use camino::{Utf8Path, Utf8PathBuf};
use selftests::hang::Diagnosis;
use selftests::symbols::Symbols;
use vm_images::transcript::Hang;

use crate::engine::job;

/// Returns the diagnosis of a hang. If the symbols are gone, a diagnosis that an earlier run
/// stored with symbols is returned unchanged.
pub(super) fn diagnosis(
    hang: &Hang,
    symbols: Option<&Utf8PathBuf>,
    serial: &[u8],
    folder: &Utf8Path,
) -> Diagnosis {
    let symbols = symbols.and_then(|path| Symbols::open(path));
    if symbols.is_none()
        && let Some(stored) = job::read_analysis(folder).and_then(|analysis| analysis.hang)
    {
        return stored;
    }
    let start = usize::try_from(hang.console_bytes).unwrap_or(usize::MAX);
    let answers = serial.get(start..).unwrap_or_default();
    Diagnosis::of(hang, symbols.as_ref(), answers)
}

#[cfg(test)]
mod tests {
    use selftests::analysis::Analysis;
    use selftests::status::Status;
    use vm_images::transcript::Phase;

    use super::*;

    #[test]
    fn diagnosis_returns_the_stored_diagnosis_when_symbols_are_gone() {
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
        let first = diagnosis(&hang, Some(&gone), b"short", folder);
        assert_eq!(first.summary, "no CPU or task state was recorded");
        let stored = Diagnosis {
            summary: "CPU 0 spins in `a`".to_owned(),
            ..first
        };
        let analysis = Analysis {
            hang: Some(stored.clone()),
            ..Analysis::not_started(Status::Hang, "a reason")
        };
        let json = serde_json::to_vec(&analysis).unwrap();
        fs_err::write(folder.join(job::ANALYSIS), json).unwrap();
        assert_eq!(diagnosis(&hang, Some(&gone), b"short", folder), stored);
    }
}
