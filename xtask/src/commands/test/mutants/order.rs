// SPDX-License-Identifier: GPL-2.0-only
//! In which order scenarios run on a mutant: what is likely to notice it begins.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use kernel_patches::mutant::Mutant;
use kernel_patches::series::Series;
use selftests::scenario::Scenario;
use testbed_host::cache::publish;
use testbed_host::files::read_plain;

use crate::session::Session;

/// Larger files are none of ours, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most mutants that are remembered.
const MUTANTS_MAX: usize = 10_000;

/// Which scenarios noticed mutants. Forgetting it costs nothing but time.
#[derive(Clone, Debug)]
pub(super) struct Noticers {
    file: Option<Utf8PathBuf>,
    /// Names of the series that is judged and of those it stands for.
    series: Vec<String>,
    /// By series and mutant, in this run and before.
    known: BTreeMap<String, String>,
    /// By scenario, how many mutants it noticed in this run, in which functions.
    here: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Noticers {
    /// Returns what the cache remembers of a series.
    pub(super) fn load(session: &Session, series: &Series) -> Self {
        let file = session.cache.dir(&["history"]).ok();
        let file = file.map(|dir| dir.join("noticed.json"));
        let known = file
            .as_ref()
            .and_then(|file| read_plain(file, FILE_BYTES_MAX).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut names = vec![series.name.clone()];
        names.extend(series.provides.iter().cloned());
        Self {
            file,
            series: names,
            known: known.unwrap_or_default(),
            here: BTreeMap::new(),
        }
    }

    /// Remembers that a scenario noticed a mutant.
    pub(super) fn learn(&mut self, mutant: &Mutant, scenario: &str) {
        let functions = self.here.entry(scenario.to_owned()).or_default();
        *functions.entry(mutant.function.clone()).or_default() += 1;
        let key = self.key(mutant);
        if self.known.len() < MUTANTS_MAX || self.known.contains_key(&key) {
            self.known.insert(key, scenario.to_owned());
        }
    }

    /// Remembers it for the next run.
    pub(super) fn save(&self) {
        if let (Some(file), Ok(bytes)) = (&self.file, serde_json::to_vec_pretty(&self.known)) {
            let _ = publish(file, &bytes);
        }
    }

    fn key(&self, mutant: &Mutant) -> String {
        let series = self.series.first().map_or("", String::as_str);
        format!("{series}/{}", mutant.name)
    }

    /// Returns whether a scenario fails without the series, or noticed a mutant of any.
    pub(super) fn bites(&self, scenario: &Scenario) -> bool {
        let mut without = scenario.fails_without.iter();
        without.any(|name| self.series.contains(name))
            || self.here.contains_key(&scenario.name)
            || self.known.values().any(|name| *name == scenario.name)
    }

    /// Returns the scenarios in order: the one that noticed this mutant before, those
    /// that noticed others of the function, those with teeth for the series, the quick.
    pub(super) fn order<'s>(
        &self,
        mutant: &Mutant,
        scenarios: &[&'s Scenario],
        estimate: impl Fn(&Scenario) -> Option<u64>,
    ) -> Vec<&'s Scenario> {
        let last = self.known.get(&self.key(mutant));
        let mut order = scenarios.to_vec();
        order.sort_by_cached_key(|scenario| {
            let noticed = self.here.get(&scenario.name);
            let in_function = noticed.and_then(|by| by.get(&mutant.function));
            let bites = |name: &String| self.series.contains(name);
            (
                last != Some(&scenario.name),
                Reverse(in_function.copied().unwrap_or(0)),
                !scenario.fails_without.iter().any(bites),
                estimate(scenario).unwrap_or(u64::MAX),
                scenario.name.clone(),
            )
        });
        order
    }
}
