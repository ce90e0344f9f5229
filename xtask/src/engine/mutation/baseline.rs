// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results of the scenarios on the series, to which the results on mutants are compared.

use std::collections::BTreeMap;

use camino::Utf8Path;
use selftests::scenario::Scenario;
use selftests::timeline::Entry;

use crate::engine::job::read_analysis;
use crate::job_plan::SERIES;
use crate::result::JobResult;
use selftests::status::Status;

/// Results of scenarios on the series, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Baseline {
    /// `None` for a pass, else the timeline. The reason of a failure is not compared, because
    /// it may depend on the host.
    timelines: BTreeMap<String, Option<Vec<Entry>>>,
}

impl Baseline {
    /// Returns the results on the series, whose artifacts are in the run folder `run`.
    /// Scenarios with an unexpected result or with different results in repetitions are
    /// omitted: a different result on a mutant would prove nothing.
    pub(super) fn of(
        scenarios: &[Scenario],
        config: &str,
        jobs: &[JobResult],
        run: &Utf8Path,
    ) -> Self {
        let mut baseline = Self::default();
        for scenario in scenarios {
            let is_of_scenario = |job: &&JobResult| {
                job.checkout == SERIES && job.config == config && job.test == scenario.name
            };
            let results: Vec<&JobResult> = jobs.iter().filter(is_of_scenario).collect();
            let is_usable = |job: &&JobResult| job.expected && is_conclusive(job);
            if results.is_empty() || !results.iter().all(is_usable) {
                continue;
            }
            let timelines: Vec<Option<Vec<Entry>>> = results
                .iter()
                .map(|job| failure_timeline(job, run))
                .collect();
            if timelines.iter().all(|timeline| *timeline == timelines[0]) {
                baseline
                    .timelines
                    .insert(scenario.name.clone(), timelines[0].clone());
            }
        }
        baseline
    }

    pub(super) fn has(&self, scenario: &Scenario) -> bool {
        self.timelines.contains_key(&scenario.name)
    }

    /// Returns whether a scenario fails on the series.
    pub(super) fn fails(&self, scenario: &Scenario) -> bool {
        matches!(self.timelines.get(&scenario.name), Some(Some(_)))
    }

    /// Returns whether the result of a job differs from the result on the series.
    pub(super) fn differs(&self, job: &JobResult, run: &Utf8Path) -> bool {
        let of_series = self.timelines.get(&job.test);
        is_conclusive(job)
            && of_series.is_some_and(|timeline| *timeline != failure_timeline(job, run))
    }

    pub(super) fn remove(&mut self, scenario: &str) {
        self.timelines.remove(scenario);
    }
}

/// Returns whether the status depends on the kernel: neither `skip` nor `error`.
pub(super) fn is_conclusive(job: &JobResult) -> bool {
    !matches!(job.status, Status::Skip | Status::Error)
}

/// Returns the timeline of a job that did not pass; an unreadable timeline counts as empty.
fn failure_timeline(job: &JobResult, run: &Utf8Path) -> Option<Vec<Entry>> {
    let read = || read_analysis(&run.join(&job.artifacts)).map(|analysis| analysis.timeline);
    (job.status != Status::Pass).then(|| read().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::job::ANALYSIS;
    use crate::engine::layout::Layout;
    use crate::result::tests::job;
    use selftests::analysis::Analysis;
    use selftests::catalogue::Catalogue;
    use selftests::scenario::{Machines, ScenarioFile};
    use selftests::status::Status;
    use selftests::timeline::EntryKind;

    fn scenario(name: &str) -> Scenario {
        let text = format!(
            "name: {name}\ntitle: A title\nwhy: A reason.\nboots: [{{steps: [{{rescan: pci}}]}}]\n"
        );
        let layout = Layout::of_this_checkout();
        let machines = Machines::load(&layout.machines()).unwrap();
        let catalogue = Catalogue::load(&layout.catalogue(), &layout.core(), machines).unwrap();
        let scenario_file =
            ScenarioFile::parse(&text, &format!("{name}.yaml"), &catalogue).unwrap();
        scenario_file.variants.into_iter().next().unwrap()
    }

    /// Returns a job and writes its timeline of one entry to its folder.
    fn ran(run: &Utf8Path, name: &str, status: &str, text: &str, at: &str) -> JobResult {
        let artifacts = format!("{at}/{name}");
        fs_err::create_dir_all(run.join(&artifacts)).unwrap();
        let entry = Entry {
            boot: 1,
            step: None,
            kind: EntryKind::Splat,
            text: text.to_owned(),
        };
        let analysis = Analysis {
            timeline: vec![entry],
            ..Analysis::not_started(Status::Fail, "")
        };
        let json = serde_json::to_vec(&analysis).unwrap();
        fs_err::write(run.join(&artifacts).join(ANALYSIS), json).unwrap();
        let expected = if status == "pass" { "pass" } else { "fail" };
        JobResult {
            artifacts,
            reason: format!("a reason, at {at}"),
            ..job(name, SERIES, status, expected)
        }
    }

    #[test]
    fn differs_compares_failure_timelines_and_ignores_unusable_results() {
        let temporary = tempfile::tempdir().unwrap();
        let run = Utf8Path::from_path(temporary.path()).unwrap();
        let scenarios = ["good", "finding", "broken", "skipped", "absent"].map(scenario);
        let on_series = [
            ran(run, "good", "pass", "step 1 -> ok", "series"),
            ran(run, "finding", "crash", "splat WARN", "series"),
            job("broken", SERIES, "fail", "pass"),
            job("skipped", SERIES, "skip", "pass"),
        ];
        let baseline = Baseline::of(&scenarios, "fast", &on_series, run);
        let has = scenarios.each_ref().map(|one| baseline.has(one));
        assert_eq!(has, [true, true, false, false, false]);
        assert!(baseline.fails(&scenarios[1]) && !baseline.fails(&scenarios[0]));
        let differs = |name: &str, status: &str, timeline: &str| {
            baseline.differs(&ran(run, name, status, timeline, "mutant"), run)
        };
        // `ran` sets a reason that differs; only the timeline of a failure is compared.
        assert!(!differs("finding", "crash", "splat WARN"));
        assert!(differs("finding", "crash", "splat Oops"));
        assert!(differs("finding", "pass", "splat WARN"));
        assert!(!differs("good", "pass", "step 1 -> -EBUSY"));
        assert!(differs("good", "fail", "step 1 -> ok"));
        assert!(!differs("good", "error", ""), "an error is inconclusive");
        assert!(!differs("broken", "pass", ""));
    }

    #[test]
    fn baseline_omits_scenarios_with_different_results() {
        let temporary = tempfile::tempdir().unwrap();
        let run = Utf8Path::from_path(temporary.path()).unwrap();
        let scenarios = ["one", "two"].map(scenario);
        let on_series = [
            ran(run, "one", "crash", "splat WARN", "first"),
            ran(run, "one", "crash", "splat Oops", "second"),
            ran(run, "two", "crash", "splat WARN", "first"),
            ran(run, "two", "crash", "splat WARN", "second"),
        ];
        let mut baseline = Baseline::of(&scenarios, "fast", &on_series, run);
        assert!(!baseline.has(&scenarios[0]) && baseline.has(&scenarios[1]));
        baseline.remove("two");
        assert!(!baseline.has(&scenarios[1]));
    }
}
