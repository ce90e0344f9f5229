// SPDX-License-Identifier: GPL-2.0-only
//! What each scenario comes to on the series: most pass, and those that show a known
//! finding fail there, too. A mutant is caught by what comes to something else.

use std::collections::BTreeMap;

use camino::Utf8Path;
use selftests::scenario::Scenario;

use crate::checkouts::SERIES;
use crate::result::JobResult;

/// What scenarios come to on the series, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Of those that fail, the timeline: other words of a failure hold what the host did.
    timelines: BTreeMap<String, Option<String>>,
}

impl Known {
    /// Returns what scenarios came to on the series in this run, whose folder is `run`.
    /// Those that did not come to what they must, or to several things, say nothing about
    /// a mutant, and are left out.
    pub(super) fn of(
        scenarios: &[Scenario],
        config: &str,
        jobs: &[JobResult],
        run: &Utf8Path,
    ) -> Self {
        let mut known = Self::default();
        for scenario in scenarios {
            let is_own = |job: &&JobResult| {
                job.checkout == SERIES && job.config == config && job.test == scenario.name
            };
            let own: Vec<&JobResult> = jobs.iter().filter(is_own).collect();
            let is_proven = |job: &&JobResult| job.expected && is_proof(job);
            if own.is_empty() || !own.iter().all(is_proven) {
                continue;
            }
            let came: Vec<Option<String>> = own.iter().map(|job| came_to(job, run)).collect();
            if came.iter().all(|one| *one == came[0]) {
                known
                    .timelines
                    .insert(scenario.name.clone(), came[0].clone());
            }
        }
        known
    }

    /// Returns whether a scenario is known.
    pub(super) fn has(&self, scenario: &Scenario) -> bool {
        self.timelines.contains_key(&scenario.name)
    }

    /// Returns whether a scenario is known to fail.
    pub(super) fn fails(&self, scenario: &Scenario) -> bool {
        matches!(self.timelines.get(&scenario.name), Some(Some(_)))
    }

    /// Returns whether a job came to something else than the scenario does on the series.
    pub(super) fn differs(&self, job: &JobResult, run: &Utf8Path) -> bool {
        let of_series = self.timelines.get(&job.test);
        is_proof(job) && of_series.is_some_and(|came| *came != came_to(job, run))
    }

    /// Forgets a scenario.
    pub(super) fn forget(&mut self, scenario: &str) {
        self.timelines.remove(scenario);
    }
}

/// Returns whether a job says anything about its kernel.
pub(super) fn is_proof(job: &JobResult) -> bool {
    matches!(job.status.as_str(), "pass" | "fail" | "crash" | "hang")
}

/// Returns the timeline of a job that did not pass; one that cannot be read is empty.
fn came_to(job: &JobResult, run: &Utf8Path) -> Option<String> {
    let read = || {
        let path = run.join(&job.artifacts).join("timeline.txt");
        fs_err::read_to_string(path).unwrap_or_default()
    };
    (job.status != "pass").then(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::result::tests::job;
    use selftests::scenario::{Machines, ScenarioFile};

    fn scenario(name: &str) -> Scenario {
        let text = format!(
            "name: {name}\ntitle: A title\nwhy: A reason.\nboots: [{{steps: [{{rescan: pci}}]}}]\n"
        );
        let machines = Machines::load(&Layout::of_this_checkout().machines()).unwrap();
        let scenario_file = ScenarioFile::parse(&text, &format!("{name}.yaml"), &machines).unwrap();
        scenario_file.variants.into_iter().next().unwrap()
    }

    /// A job whose folder holds this timeline.
    fn ran(run: &Utf8Path, name: &str, status: &str, timeline: &str, at: &str) -> JobResult {
        let artifacts = format!("{at}/{name}");
        fs_err::create_dir_all(run.join(&artifacts)).unwrap();
        fs_err::write(run.join(&artifacts).join("timeline.txt"), timeline).unwrap();
        let expected = if status == "pass" { "pass" } else { "fail" };
        JobResult {
            artifacts,
            reason: format!("a reason, at {at}"),
            ..job(name, SERIES, status, expected)
        }
    }

    #[test]
    fn a_known_finding_counts_when_it_fails_in_another_way() {
        let temporary = tempfile::tempdir().unwrap();
        let run = Utf8Path::from_path(temporary.path()).unwrap();
        let scenarios = ["good", "finding", "broken", "skipped", "absent"].map(scenario);
        let on_series = [
            ran(run, "good", "pass", "step 1 -> ok", "series"),
            ran(run, "finding", "crash", "splat WARN", "series"),
            job("broken", SERIES, "fail", "pass"),
            job("skipped", SERIES, "skip", "pass"),
        ];
        let known = Known::of(&scenarios, "fast", &on_series, run);
        let has = scenarios.each_ref().map(|one| known.has(one));
        assert_eq!(has, [true, true, false, false, false]);
        assert!(known.fails(&scenarios[1]) && !known.fails(&scenarios[0]));
        let differs = |name: &str, status: &str, timeline: &str| {
            known.differs(&ran(run, name, status, timeline, "mutant"), run)
        };
        // The reason tells of the host as well, and a pass may take another way.
        assert!(!differs("finding", "crash", "splat WARN"));
        assert!(differs("finding", "crash", "splat Oops"));
        assert!(differs("finding", "pass", "splat WARN"));
        assert!(!differs("good", "pass", "step 1 -> -EBUSY"));
        assert!(differs("good", "fail", "step 1 -> ok"));
        assert!(!differs("good", "error", ""), "that is no proof");
        assert!(!differs("broken", "pass", ""));
    }

    #[test]
    fn what_comes_to_several_things_says_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let run = Utf8Path::from_path(temporary.path()).unwrap();
        let scenarios = ["one", "two"].map(scenario);
        let on_series = [
            ran(run, "one", "crash", "splat WARN", "first"),
            ran(run, "one", "crash", "splat Oops", "second"),
            ran(run, "two", "crash", "splat WARN", "first"),
            ran(run, "two", "crash", "splat WARN", "second"),
        ];
        let mut known = Known::of(&scenarios, "fast", &on_series, run);
        assert!(!known.has(&scenarios[0]) && known.has(&scenarios[1]));
        known.forget("two");
        assert!(!known.has(&scenarios[1]));
    }
}
