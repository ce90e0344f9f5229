// SPDX-License-Identifier: GPL-2.0-only
//! How long cells took before, so that the longest begin first: begun last, one
//! would leave the other cores idle at the end.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use patchbed_host::cache::publish;
use patchbed_host::files::read_plain;

use crate::plan::CellPlan;
use crate::result::CellResult;
use crate::session::Session;

/// Larger files are no history of ours, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most cells that are remembered.
const CELLS_MAX: usize = 10_000;

/// What is known of earlier cells. Forgetting it costs nothing but time.
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

    /// Returns how long a cell is likely to take, in milliseconds.
    pub(crate) fn estimate(&self, cell: &CellPlan) -> Option<u64> {
        let name = name(&cell.profile, &cell.machine, &cell.scenario);
        self.known.get(&name).copied()
    }

    /// Takes over how long cells took. What was known counts for half, as the
    /// host is not always as busy; a cell that ended in an error tells nothing.
    pub(crate) fn learn<'a>(&mut self, cells: impl Iterator<Item = &'a CellResult>) {
        for cell in cells.filter(|cell| cell.outcome != "error") {
            let name = name(&cell.profile, &cell.machine, &cell.scenario);
            let room = self.known.len() < CELLS_MAX;
            match self.known.get_mut(&name) {
                Some(known) => *known = u64::midpoint(*known, cell.duration_ms),
                None if room => drop(self.known.insert(name, cell.duration_ms)),
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

fn name(profile: &str, machine: &str, scenario: &str) -> String {
    format!("{profile}/{machine}/{scenario}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::cell;

    fn plan(scenario: &str) -> CellPlan {
        CellPlan {
            scenario: scenario.to_owned(),
            profile: "fast".to_owned(),
            stack: "series".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        }
    }

    #[test]
    fn what_was_learnt_is_an_estimate_for_every_stack() {
        let mut history = History {
            file: None,
            known: BTreeMap::new(),
        };
        assert_eq!(history.estimate(&plan("a")), None);
        let mut slow = cell("a", "base", "pass", "pass");
        slow.duration_ms = 4000;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(4000));
        slow.duration_ms = 2000;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(3000));
        slow.outcome = "error".to_owned();
        slow.duration_ms = 0;
        history.learn([&slow].into_iter());
        assert_eq!(history.estimate(&plan("a")), Some(3000));
        assert_eq!(history.estimate(&plan("b")), None);
    }
}
