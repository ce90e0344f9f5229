// SPDX-License-Identifier: MIT OR Apache-2.0
//! Order of the scenarios on a mutant: the scenarios most likely to catch it run first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use kernel_patches::mutant::Mutant;
use kernel_patches::series::Series;
use patchbed_host::cache::publish;
use patchbed_host::files::read_json;
use selftests::scenario::Scenario;

use crate::engine::session::Session;

/// Size limit of the history file, in bytes; a larger file is ignored.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Limit of mutants in the history.
const MUTANTS_MAX: usize = 10_000;

/// Scenarios that caught mutants. They affect the order of jobs only, so losing them is harmless.
#[derive(Clone, Debug)]
pub(super) struct TestPriority {
    file: Option<Utf8PathBuf>,
    /// Names of the series under test and of the series it provides.
    series: Vec<String>,
    /// The scenario that caught a mutant last, by `SERIES/MUTANT`, including earlier runs.
    caught_by: BTreeMap<String, String>,
    /// The number of mutants caught in this run, by scenario and function.
    this_run: BTreeMap<String, BTreeMap<String, usize>>,
}

impl TestPriority {
    /// Reads the history from the cache; it is empty if there is no readable file.
    pub(super) fn load(session: &Session, series: &Series) -> Self {
        let file = session.cache.dir(&["history"]).ok();
        let file = file.map(|dir| dir.join("caught.json"));
        let caught_by = file
            .as_ref()
            .and_then(|file| read_json(file, FILE_BYTES_MAX));
        let mut names = vec![series.name.clone()];
        names.extend(series.provides.iter().cloned());
        Self {
            file,
            series: names,
            caught_by: caught_by.unwrap_or_default(),
            this_run: BTreeMap::new(),
        }
    }

    /// Records that a scenario caught a mutant.
    pub(super) fn learn(&mut self, mutant: &Mutant, scenario: &str) {
        let functions = self.this_run.entry(scenario.to_owned()).or_default();
        *functions.entry(mutant.function.clone()).or_default() += 1;
        let key = self.key(mutant);
        if self.caught_by.len() < MUTANTS_MAX || self.caught_by.contains_key(&key) {
            self.caught_by.insert(key, scenario.to_owned());
        }
    }

    /// Writes the history to the cache; an error is ignored.
    pub(super) fn save(&self) {
        if let (Some(file), Ok(bytes)) = (&self.file, serde_json::to_vec_pretty(&self.caught_by)) {
            let _ = publish(file, &bytes);
        }
    }

    fn key(&self, mutant: &Mutant) -> String {
        let series = self.series.first().map_or("", String::as_str);
        format!("{series}/{}", mutant.name)
    }

    /// Returns whether a scenario is likely to catch a mutant: it fails without the series, its
    /// name has a word of the function, or it caught another mutant in this run. Earlier runs
    /// are not used, so that the selection is reproducible.
    pub(super) fn is_likely(&self, mutant: &Mutant, scenario: &Scenario) -> bool {
        let mut without = scenario.fails_without.iter();
        without.any(|name| self.series.contains(name))
            || self.this_run.contains_key(&scenario.name)
            || words_in_common(mutant, &scenario.name) > 0
    }

    /// Returns the scenarios in this order: the scenario that caught the mutant in an earlier
    /// run, scenarios that caught other mutants of the function, scenarios with words of the
    /// function in their names, scenarios that fail without the series, short scenarios.
    pub(super) fn order<'s>(
        &self,
        mutant: &Mutant,
        scenarios: &[&'s Scenario],
        estimate: impl Fn(&Scenario) -> Option<u64>,
    ) -> Vec<&'s Scenario> {
        let last = self.caught_by.get(&self.key(mutant));
        let mut order = scenarios.to_vec();
        order.sort_by_cached_key(|scenario| {
            let caught = self.this_run.get(&scenario.name);
            let in_function = caught.and_then(|by| by.get(&mutant.function));
            let is_series = |name: &String| self.series.contains(name);
            (
                last != Some(&scenario.name),
                Reverse(in_function.copied().unwrap_or(0)),
                Reverse(words_in_common(mutant, &scenario.name)),
                !scenario.fails_without.iter().any(is_series),
                estimate(scenario).unwrap_or(u64::MAX),
                scenario.name.clone(),
            )
        });
        order
    }
}

/// Counts the words that the name of a scenario has in common with the mutated function, or with
/// the title of a handwritten mutant without a function.
fn words_in_common(mutant: &Mutant, scenario: &str) -> usize {
    let about = match mutant.function.as_str() {
        "" => &mutant.title,
        function => function,
    };
    let words: BTreeSet<&str> = about.split(|c: char| !c.is_alphanumeric()).collect();
    let in_name = |word: &&&str| scenario.split(['-', '.']).any(|one| one == **word);
    words.iter().filter(in_name).count()
}

#[cfg(test)]
mod tests {
    use selftests::catalogue::Catalogue;
    use selftests::scenario::{Machines, ScenarioFile};

    use super::*;
    use crate::engine::layout::Layout;

    fn scenario(name: &str, fails_without: &str) -> Scenario {
        let text = format!(
            "name: {name}\ntitle: A title\nwhy: |\n  A reason.\n{fails_without}devices: [endpoint0]\n\
             boots:\n  - steps:\n      - open_device: endpoint0\n        as: dev\n{}",
            if fails_without.is_empty() {
                ""
            } else {
                "        fails_first: true\n"
            }
        );
        let layout = Layout::of_this_checkout();
        let machines = Machines::load(&layout.machines()).unwrap();
        let catalogue = Catalogue::load(&layout.catalogue(), &layout.core(), machines).unwrap();
        let scenario_file = ScenarioFile::parse(&text, &format!("{name}.yaml"), &catalogue);
        scenario_file.unwrap().variants.remove(0)
    }

    fn mutant(name: &str, function: &str) -> Mutant {
        Mutant {
            name: name.to_owned(),
            title: String::new(),
            function: function.to_owned(),
            file: "f.c".into(),
            line: 1,
            patch: None,
            diff: String::new(),
            changed: kernel_patches::overlay::Overlay::default(),
        }
    }

    #[test]
    fn order_prefers_earlier_catches_then_function_words_then_series_then_duration() {
        let mut priority = TestPriority {
            file: None,
            series: vec!["s".to_owned()],
            caught_by: BTreeMap::new(),
            this_run: BTreeMap::new(),
        };
        let all = [
            scenario("slow", ""),
            scenario("quick", ""),
            scenario("broken-on-base", "fails_without: [s]\n"),
            scenario("sees-get", ""),
            scenario("sees-it", ""),
        ];
        let all: Vec<&Scenario> = all.iter().collect();
        priority.learn(&mutant("get-1", "get"), "sees-get");
        priority.learn(&mutant("put-1", "put"), "sees-it");
        let names = |mutant: &Mutant| -> Vec<String> {
            let estimate = |one: &Scenario| Some(if one.name == "slow" { 9 } else { 1 });
            let order = priority.order(mutant, &all, estimate);
            order.iter().map(|one| one.name.clone()).collect()
        };
        assert_eq!(
            names(&mutant("put-1", "other")),
            ["sees-it", "broken-on-base", "quick", "sees-get", "slow"]
        );
        assert_eq!(
            names(&mutant("get-2", "get")),
            ["sees-get", "broken-on-base", "quick", "sees-it", "slow"]
        );
        assert_eq!(
            names(&mutant("luo-do-slow-drop-put-1", "luo-do-slow")),
            ["slow", "broken-on-base", "quick", "sees-get", "sees-it"]
        );
        let own = Mutant {
            title: "the slow call is omitted".to_owned(),
            ..mutant("own", "")
        };
        assert_eq!(
            names(&own),
            ["slow", "broken-on-base", "quick", "sees-get", "sees-it"]
        );
        let is_likely = |one: &&&Scenario| priority.is_likely(&mutant("s", "be-slow"), one);
        let likely = all.iter().filter(is_likely).map(|one| one.name.as_str());
        let likely: Vec<&str> = likely.collect();
        assert_eq!(likely, ["slow", "broken-on-base", "sees-get", "sees-it"]);
    }
}
