// SPDX-License-Identifier: MIT OR Apache-2.0
//! The line that `watch` prints at the end of an iteration.

use std::time::Duration;

use super::words::counts;
use crate::result::JobResult;
use crate::text::one_line;

/// Shorter parts of an iteration are not printed.
const PRINTED_MIN: Duration = Duration::from_millis(100);

/// The result of an iteration.
#[derive(Clone, Debug)]
pub enum Iteration<'a> {
    /// Every job has a result.
    Judged {
        /// The results.
        jobs: &'a [JobResult],
        /// Time since the file was saved.
        took: Duration,
        /// Durations of the parts, in order.
        parts: &'a [(&'static str, Duration)],
        /// The reason why the series or a part of it is not tested.
        not_tested: Option<&'a str>,
    },
    /// The saved files are not an input of any job.
    Unaffected,
    /// An error was printed.
    Failed,
}

/// Returns the line for an iteration that ended at `time`.
pub fn line(time: &str, iteration: &Iteration<'_>) -> String {
    let text = match iteration {
        Iteration::Judged {
            jobs,
            took,
            parts,
            not_tested,
        } => {
            let not_tested = not_tested.map(|why| format!("{}; ", one_line(why)));
            not_tested.unwrap_or_default() + &judged(jobs, *took, parts)
        }
        Iteration::Unaffected => "no input of a job has changed".to_owned(),
        Iteration::Failed => "no results".to_owned(),
    };
    format!("{time} {text}; waiting for changes, Ctrl-C stops")
}

fn judged(jobs: &[JobResult], took: Duration, parts: &[(&str, Duration)]) -> String {
    let cached = jobs.iter().filter(|job| job.cached.is_some()).count();
    let run = jobs.len() - cached;
    let parts = parts.iter().filter(|(_, took)| *took >= PRINTED_MIN);
    let parts: Vec<String> = parts
        .map(|(name, took)| format!("{name} {:.1}", took.as_secs_f64()))
        .collect();
    let colon = if parts.is_empty() { "" } else { ": " };
    format!(
        "{} ({run} run, {cached} cached) in {:.1} s{colon}{}",
        counts(jobs).join(", "),
        took.as_secs_f64(),
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Cached;
    use crate::result::tests::job;

    #[test]
    fn line_has_counts_and_durations_of_each_iteration_kind() {
        let mut old = job("a", "base", "fail", "fail");
        old.cached = Some(Cached {
            run: "20261122-184000-1".to_owned(),
            at: "2026-11-22T18:40:02+00:00".to_owned(),
        });
        let jobs = [old, job("a", "series", "crash", "pass")];
        let millis = Duration::from_millis;
        let parts = [
            ("sources", millis(20)),
            ("builds", millis(4060)),
            ("jobs", millis(1500)),
        ];
        let iteration = Iteration::Judged {
            jobs: &jobs,
            took: millis(6_200),
            parts: &parts,
            not_tested: None,
        };
        insta::assert_snapshot!(
            line("18:42:10", &iteration),
            @"18:42:10 1 of 2 results as expected (1 run, 1 cached) in 6.2 s: builds 4.1, jobs 1.5; waiting for changes, Ctrl-C stops"
        );
        let not_tested = Iteration::Judged {
            jobs: &jobs[1..],
            took: millis(1),
            parts: &[],
            not_tested: Some("not tested: the series is not in any kernel that was run: a.c"),
        };
        insta::assert_snapshot!(line("18:42:10", &not_tested), @"18:42:10 not tested: the series is not in any kernel that was run: a.c; 0 of 1 results as expected (1 run, 0 cached) in 0.0 s; waiting for changes, Ctrl-C stops");
        insta::assert_snapshot!(
            line("18:42:10", &Iteration::Failed),
            @"18:42:10 no results; waiting for changes, Ctrl-C stops"
        );
    }
}
