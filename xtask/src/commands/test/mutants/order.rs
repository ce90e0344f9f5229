// SPDX-License-Identifier: GPL-2.0-only
//! In which order scenarios run on a mutant: what is likely to notice it begins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use kernel_patches::mutant::Mutant;
use kernel_patches::series::Series;
use patchbed_host::cache::publish;
use patchbed_host::files::read_plain;
use selftests::scenario::Scenario;

use crate::session::Session;

/// Larger files are none of ours, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most mutants that are remembered.
const MUTANTS_MAX: usize = 10_000;

/// Which scenarios caught mutants. Forgetting it costs nothing but time.
#[derive(Clone, Debug)]
pub(super) struct TestPriority {
    file: Option<Utf8PathBuf>,
    /// Names of the series that is judged and of those it stands for.
    series: Vec<String>,
    /// By series and mutant, in this run and before.
    known: BTreeMap<String, String>,
    /// By scenario, how many mutants it caught in this run, in which functions.
    here: BTreeMap<String, BTreeMap<String, usize>>,
}

impl TestPriority {
    /// Returns what the cache remembers of a series.
    pub(super) fn load(session: &Session, series: &Series) -> Self {
        let file = session.cache.dir(&["history"]).ok();
        let file = file.map(|dir| dir.join("caught.json"));
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

    /// Remembers that a scenario caught a mutant.
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

    /// Returns whether a scenario is likely to notice a mutant: it fails without the
    /// series, is about the function, or caught another in this run. Knows nothing of
    /// other runs, so that the same run comes to the same.
    pub(super) fn is_likely(&self, mutant: &Mutant, scenario: &Scenario) -> bool {
        let mut without = scenario.fails_without.iter();
        without.any(|name| self.series.contains(name))
            || self.here.contains_key(&scenario.name)
            || words_in_common(mutant, &scenario.name) > 0
    }

    /// Returns the scenarios in order: the one that caught this mutant before, those
    /// that caught others of the function, those whose names have words of it,
    /// those with fails_without_series for the series, the quick.
    pub(super) fn order<'s>(
        &self,
        mutant: &Mutant,
        scenarios: &[&'s Scenario],
        estimate: impl Fn(&Scenario) -> Option<u64>,
    ) -> Vec<&'s Scenario> {
        let last = self.known.get(&self.key(mutant));
        let mut order = scenarios.to_vec();
        order.sort_by_cached_key(|scenario| {
            let caught = self.here.get(&scenario.name);
            let in_function = caught.and_then(|by| by.get(&mutant.function));
            let fails_first = |name: &String| self.series.contains(name);
            (
                last != Some(&scenario.name),
                Reverse(in_function.copied().unwrap_or(0)),
                Reverse(words_in_common(mutant, &scenario.name)),
                !scenario.fails_without.iter().any(fails_first),
                estimate(scenario).unwrap_or(u64::MAX),
                scenario.name.clone(),
            )
        });
        order
    }
}

/// How many words of the function's name, or of the title of a mutant of somebody's own,
/// are in a scenario's name: what is about retrieving is likely to notice a mistake there.
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
    use selftests::scenario::{Machines, ScenarioFile};

    use super::*;
    use crate::layout::Layout;

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
        let machines = Machines::load(&Layout::of_this_checkout().machines()).unwrap();
        let scenario_file = ScenarioFile::parse(&text, &format!("{name}.yaml"), &machines);
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
    fn what_noticed_before_begins_and_then_what_has_first_failure_and_what_is_quick() {
        let mut priority = TestPriority {
            file: None,
            series: vec!["s".to_owned()],
            known: BTreeMap::new(),
            here: BTreeMap::new(),
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
            title: "the slow one is left out".to_owned(),
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
