// SPDX-License-Identifier: MIT OR Apache-2.0
//! All output: data on standard output, everything else on standard error.
//!
//! [`format`](format) lists the output formats. Each renders a [`Report`](input::Report): the
//! jobs come from its matrix and the sentences from `words`.

pub mod b4;
mod changes;
pub mod comparison;
pub mod evidence;
pub mod format;
mod github;
mod grid;
pub mod html;
pub mod input;
mod junit;
mod kcidb;
mod lore;
mod output;
pub mod plan;
pub mod progress;
mod proofs;
mod reproduce;
mod table;
pub mod watch;
mod words;

pub use github::{annotations, summary};
pub use output::{
    data_to_stdout, error_to_stderr, is_github_actions, line_to_stderr, to_stdout,
    with_commands_disabled,
};

#[cfg(test)]
pub(crate) mod tests {
    use crate::result::tests::{job, not_in_kernel, provenance};
    use crate::result::{JobResult, PatchResult, RunResult};

    /// The sentence that every format has for [`not_tested`].
    pub(crate) const NOT_TESTED: &str = "not tested: the series is not in any kernel that was run: \
        drivers/w/a.c; the kernels with and without the series have the same code";

    /// A run in which all tests passed, of a series that is not in the kernels.
    pub(crate) fn not_tested() -> RunResult {
        let mut result = run(vec![
            job("kexec", "base", "pass", "pass"),
            job("kexec", "series", "pass", "pass"),
        ]);
        result.patches = vec![PatchResult {
            first: 1,
            last: 1,
            subject: "one".to_owned(),
            sentence: "patch 1 changes no status".to_owned(),
            changes: Vec::new(),
        }];
        result.with_coverage(Some(not_in_kernel()))
    }

    /// A run with one result of each kind.
    pub(crate) fn result() -> RunResult {
        let mut changed = job("recorded", "series", "pass", "pass");
        changed.snapshot_difference = Some("-a\n+b".to_owned());
        let mut broken = job("broken", "base", "error", "pass");
        broken.boot_mode = None;
        let mut xfail = job("held-object", "base", "crash", "fail");
        xfail.splats = vec!["KASAN: use-after-free in ltd_get".to_owned()];
        run(vec![
            xfail,
            job("held-object", "series", "pass", "pass"),
            job("kexec", "base", "pass", "pass"),
            job("kexec", "series", "hang", "pass"),
            changed,
            broken,
            job("t:a", "series", "skip", "pass"),
        ])
    }

    pub(crate) fn run(jobs: Vec<JobResult>) -> RunResult {
        let below = vec!["a".to_owned()];
        RunResult {
            collection: "liveupdate_pci".to_owned(),
            provenance: provenance(),
            ..RunResult::new("the tree".into(), "s".into(), below, jobs)
        }
    }

    /// A run whose texts contain markup and commands.
    pub(crate) fn hostile() -> RunResult {
        let evil = "]]>\u{1b}[31m</failure>\0::error::x%0A<b>|`a`\n::set-output name=x::y\n## @x";
        let mut job = job("kexec", "series", "crash", "pass");
        job.reason = evil.to_owned();
        job.snapshot_difference = Some(evil.to_owned());
        job.splats = vec![evil.to_owned()];
        run(vec![job])
    }
}
