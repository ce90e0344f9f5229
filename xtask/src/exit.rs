// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exit codes, and the mapping of errors to exit codes.

use patchbed_host::cache::CacheError;
use selftests::catalogue::LoadError;
use selftests::generate::CompileError;
use selftests::input::InputError;
use vm_images::machine_file::MachineError;

/// Exit code of a command; the numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every result is as expected.
    Ok = 0,
    /// A finding: an unexpected status or kernel report, a missed fault or mutant, or a
    /// difference from a snapshot.
    Finding = 1,
    /// Wrong input of the user.
    Input = 2,
    /// Inconclusive because of the test, the tool or the infrastructure, or the series or a
    /// part of it was not tested.
    Infrastructure = 3,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Exit {
    /// Returns the exit code of several parts. A finding decides, even if other parts are
    /// inconclusive; otherwise the largest number does.
    pub fn worst(parts: impl IntoIterator<Item = Self>) -> Self {
        let rank = |exit: &Self| (*exit == Self::Finding, *exit as u8);
        parts.into_iter().max_by_key(rank).unwrap_or(Self::Ok)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Wrong input: the error and a hint how to fix it.
#[derive(Debug, thiserror::Error)]
#[error("{error}\nhint: {hint}")]
pub struct BadInput {
    error: String,
    hint: String,
}

/// Returns an error about wrong input.
pub fn bad_input(error: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    BadInput {
        error: error.into(),
        hint: hint.into(),
    }
    .into()
}

/// Returns the exit code for an error, from the first cause in its chain that has a kind;
/// otherwise `Infrastructure`.
pub fn exit_for(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<kernel_patches::Error>() {
            return match error {
                kernel_patches::Error::Input { .. } => Exit::Input,
                kernel_patches::Error::Infrastructure { .. } => Exit::Infrastructure,
                kernel_patches::Error::Interrupted => Exit::Interrupted,
            };
        }
        if is_input(cause) {
            return Exit::Input;
        }
    }
    Exit::Infrastructure
}

/// Returns the messages of an error and its causes, without repetitions: some errors quote
/// their causes.
pub fn message(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if !parts.iter().any(|part| part.contains(&cause)) {
            parts.push(cause);
        }
    }
    parts.join(": ")
}

fn is_input(cause: &(dyn std::error::Error + 'static)) -> bool {
    let bad_cache = cause.downcast_ref::<CacheError>();
    cause.is::<BadInput>()
        || cause.is::<InputError>()
        || cause.is::<LoadError>()
        || cause.is::<MachineError>()
        || cause.is::<CompileError>()
        || bad_cache.is_some_and(|error| !matches!(error, CacheError::Io(_)))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn message_omits_a_cause_that_is_quoted_already() {
        let full =
            kernel_patches::Error::infrastructure("writing", std::io::Error::other("disk full"));
        let error = anyhow::Error::from(full).context("while testing");
        assert_eq!(message(&error), "while testing: writing: disk full");
    }

    #[test]
    fn worst_is_a_finding_even_if_other_parts_are_inconclusive() {
        use Exit::{Finding, Infrastructure, Input, Ok};
        assert_eq!(Exit::worst([Ok, Finding, Infrastructure, Input]), Finding);
        assert_eq!(Exit::worst([Ok, Input, Infrastructure]), Infrastructure);
        assert_eq!(Exit::worst([]), Ok);
    }

    #[test]
    fn exit_for_finds_the_kind_below_context() {
        let wrapped = Err::<(), _>(bad_input("a", "b"))
            .context("while testing")
            .unwrap_err();
        assert_eq!(exit_for(&wrapped), Exit::Input);
        let kernel = anyhow::Error::from(kernel_patches::Error::Interrupted);
        assert_eq!(exit_for(&kernel), Exit::Interrupted);
        assert_eq!(
            exit_for(&anyhow::anyhow!("disk full")),
            Exit::Infrastructure
        );
    }
}
