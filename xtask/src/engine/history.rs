// SPDX-License-Identifier: MIT OR Apache-2.0
//! Durations of jobs in earlier runs, used to start the longest jobs first.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use patchbed_host::cache::publish;
use patchbed_host::files::read_json;

use crate::engine::session::Session;
use crate::job_plan::JobPlan;
use crate::result::JobResult;

/// Size limit of the history file, in bytes; a larger file is ignored.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Limit of jobs in the history.
const JOBS_MAX: usize = 10_000;

/// Durations of earlier jobs. They affect the order of jobs only, so losing them is harmless.
#[derive(Clone, Debug)]
pub(crate) struct History {
    file: Option<Utf8PathBuf>,
    /// Durations in milliseconds, by `CONFIG/MACHINE/TEST`.
    durations_ms: BTreeMap<String, u64>,
}

impl History {
    /// Reads the history from the cache; it is empty if there is no readable file.
    pub(crate) fn load(session: &Session) -> Self {
        let file = session.cache.dir(&["history"]).ok();
        let file = file.map(|dir| dir.join("durations.json"));
        let durations_ms = file
            .as_ref()
            .and_then(|file| read_json(file, FILE_BYTES_MAX));
        Self {
            file,
            durations_ms: durations_ms.unwrap_or_default(),
        }
    }

    /// Returns the expected duration of a job, in milliseconds.
    pub(crate) fn estimate(&self, job: &JobPlan) -> Option<u64> {
        let key = key(&job.config, &job.machine, &job.test);
        self.durations_ms.get(&key).copied()
    }

    /// Records the durations of jobs, averaged with the recorded duration because the load
    /// of the host varies. Jobs with status `error` are ignored.
    pub(crate) fn learn<'a>(&mut self, jobs: impl Iterator<Item = &'a JobResult>) {
        for job in jobs.filter(|job| !job.is_inconclusive()) {
            let key = key(&job.config, &job.machine, &job.test);
            let has_room = self.durations_ms.len() < JOBS_MAX;
            match self.durations_ms.get_mut(&key) {
                Some(recorded) => *recorded = u64::midpoint(*recorded, job.duration_ms),
                None if has_room => drop(self.durations_ms.insert(key, job.duration_ms)),
                None => {}
            }
        }
    }

    /// Writes the history to the cache; an error is ignored.
    pub(crate) fn save(&self) {
        if let (Some(file), Ok(bytes)) = (&self.file, serde_json::to_vec_pretty(&self.durations_ms))
        {
            let _ = publish(file, &bytes);
        }
    }
}

fn key(config: &str, machine: &str, scenario: &str) -> String {
    format!("{config}/{machine}/{scenario}")
}

#[cfg(test)]
mod tests {
    use selftests::status::Status;

    use super::*;
    use crate::result::tests::job;

    fn plan(scenario: &str) -> JobPlan {
        JobPlan {
            test: scenario.to_owned(),
            config: "fast".to_owned(),
            checkout: "series".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    #[test]
    fn estimate_averages_durations_over_checkouts_and_ignores_errors() {
        let mut history = History {
            file: None,
            durations_ms: BTreeMap::new(),
        };
        assert_eq!(history.estimate(&plan("a")), None);
        let mut slow = job("a", "base", "pass", "pass");
        slow.duration_ms = 4000;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(4000));
        slow.duration_ms = 2000;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(3000));
        slow.status = Status::Error;
        slow.duration_ms = 0;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(3000));
        assert_eq!(history.estimate(&plan("b")), None);
    }
}
