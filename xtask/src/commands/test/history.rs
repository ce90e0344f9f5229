// SPDX-License-Identifier: GPL-2.0-only
//! How long jobs took before, so that the longest begin first: begun last, one
//! would leave the other cores idle at the end.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use patchbed_host::cache::publish;
use patchbed_host::files::read_plain;

use crate::plan::JobPlan;
use crate::result::JobResult;
use crate::session::Session;

/// Larger files are no history of ours, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most jobs that are remembered.
const JOBS_MAX: usize = 10_000;

/// What is known of earlier jobs. Forgetting it costs nothing but time.
#[derive(Clone, Debug)]
pub(crate) struct History {
    file: Option<Utf8PathBuf>,
    /// By name, in milliseconds.
    known: BTreeMap<String, u64>,
}

impl History {
    /// Returns what the cache remembers.
    pub(crate) fn load(session: &Session) -> Self {
        let file = session.cache.dir(&["history"]).ok();
        let file = file.map(|dir| dir.join("durations.json"));
        let known = file
            .as_ref()
            .and_then(|file| read_plain(file, FILE_BYTES_MAX).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            file,
            known: known.unwrap_or_default(),
        }
    }

    /// Returns how long a job is likely to take, in milliseconds.
    pub(crate) fn estimate(&self, job: &JobPlan) -> Option<u64> {
        let name = name(&job.config, &job.machine, &job.test);
        self.known.get(&name).copied()
    }

    /// Takes over how long jobs took. What was known counts for half, as the
    /// host is not always as busy; a job that ended in an error tells nothing.
    pub(crate) fn learn<'a>(&mut self, jobs: impl Iterator<Item = &'a JobResult>) {
        for job in jobs.filter(|job| job.status != "error") {
            let name = name(&job.config, &job.machine, &job.test);
            let room = self.known.len() < JOBS_MAX;
            match self.known.get_mut(&name) {
                Some(known) => *known = u64::midpoint(*known, job.duration_ms),
                None if room => drop(self.known.insert(name, job.duration_ms)),
                None => {}
            }
        }
    }

    /// Remembers it for the next run.
    pub(crate) fn save(&self) {
        if let (Some(file), Ok(bytes)) = (&self.file, serde_json::to_vec_pretty(&self.known)) {
            let _ = publish(file, &bytes);
        }
    }
}

fn name(config: &str, machine: &str, scenario: &str) -> String {
    format!("{config}/{machine}/{scenario}")
}

#[cfg(test)]
mod tests {
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
    fn what_was_learnt_is_an_estimate_for_every_checkout() {
        let mut history = History {
            file: None,
            known: BTreeMap::new(),
        };
        assert_eq!(history.estimate(&plan("a")), None);
        let mut slow = job("a", "base", "pass", "pass");
        slow.duration_ms = 4000;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(4000));
        slow.duration_ms = 2000;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(3000));
        slow.status = "error".to_owned();
        slow.duration_ms = 0;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(3000));
        assert_eq!(history.estimate(&plan("b")), None);
    }
}
