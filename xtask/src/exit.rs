// SPDX-License-Identifier: GPL-2.0-only
//! Exit codes, and which error leads to which.

use kernel_patches::Kind;
use patchbed_host::cache::CacheError;
use selftests::input::InputError;
use selftests::scenario::LoadError;

/// How a command ends; the numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Every verdict as expected.
    Ok = 0,
    /// An unexpected status, splat or snapshot.
    Finding = 1,
    /// The user can fix it.
    Input = 2,
    /// The host or one of its tools failed, or the series was in no kernel.
    Infrastructure = 3,
    /// The user asked to stop.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Input that the user can fix: what is wrong, and what to try.
#[derive(Debug, thiserror::Error)]
#[error("{what}\nhint: {hint}")]
pub(crate) struct BadInput {
    what: String,
    hint: String,
}

/// Returns an error about wrong input.
pub(crate) fn bad_input(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    BadInput {
        what: what.into(),
        hint: hint.into(),
    }
    .into()
}

/// Returns the exit code for an error: whose business it is, wherever in the
/// chain that is known; the host's otherwise.
pub(crate) fn exit_for(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<kernel_patches::Error>() {
            return match error.kind() {
                Kind::Input => Exit::Input,
                Kind::Host => Exit::Infrastructure,
                Kind::Interrupted => Exit::Interrupted,
            };
        }
        if is_input(cause) {
            return Exit::Input;
        }
    }
    Exit::Infrastructure
}

/// Returns what an error says of itself and of its causes, each once: some quote theirs.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if !said.iter().any(|before| before.contains(&cause)) {
            said.push(cause);
        }
    }
    said.join(": ")
}

fn is_input(cause: &(dyn std::error::Error + 'static)) -> bool {
    let bad_cache = cause.downcast_ref::<CacheError>();
    cause.is::<BadInput>()
        || cause.is::<InputError>()
        || matches!(cause.downcast_ref(), Some(LoadError::Input(_)))
        || bad_cache.is_some_and(|error| !matches!(error, CacheError::Io(_)))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn what_a_cause_says_is_told_once() {
        let full = kernel_patches::Error::host("writing")(std::io::Error::other("disk full"));
        let error = anyhow::Error::from(full).context("while testing");
        assert_eq!(told(&error), "while testing: writing: disk full");
    }

    #[test]
    fn whose_business_it_is_is_found_through_context() {
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
