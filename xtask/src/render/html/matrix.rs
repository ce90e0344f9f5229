// SPDX-License-Identifier: GPL-2.0-only
//! The table of the page: scenarios against stacks, profiles side by side.

use std::collections::BTreeMap;

use super::article::{Article, CellView, distinct};
use crate::evidence::Evidence;
use crate::result::RunResult;

/// Scenarios against stacks.
pub(super) struct Matrix {
    pub(super) profiles: Vec<Profile>,
    pub(super) rows: Vec<Row>,
    /// Every outcome there is, for the filter.
    pub(super) outcomes: Vec<String>,
    pub(super) any_teeth: bool,
}

/// The columns of a profile.
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) stacks: Vec<String>,
}

/// A scenario.
pub(super) struct Row {
    pub(super) scenario: String,
    pub(super) title: String,
    pub(super) teeth: bool,
    pub(super) places: Vec<Place>,
}

/// Where a scenario meets a stack under a profile.
pub(super) struct Place {
    pub(super) profile: String,
    pub(super) stack: String,
    /// None, where it was not run.
    pub(super) seen: Option<Seen>,
}

/// What is told in a place.
pub(super) struct Seen {
    pub(super) link: String,
    pub(super) class: &'static str,
    pub(super) outcomes: String,
    pub(super) word: String,
    pub(super) mark: &'static str,
    pub(super) is_finding: bool,
}

impl Matrix {
    pub(super) fn of(result: &RunResult, articles: &[Article], evidence: &Evidence) -> Self {
        let profiles: Vec<Profile> =
            distinct(result.cells.iter().map(|cell| cell.profile.as_str()))
                .into_iter()
                .map(|name| profile(name, result))
                .collect();
        let mut by_name: BTreeMap<&str, Vec<&Article>> = BTreeMap::new();
        for article in articles {
            by_name.entry(&article.scenario).or_default().push(article);
        }
        let has_teeth = |name: &str| {
            let mut scenarios = result.scenarios.iter();
            scenarios.any(|one| one.name == name && one.teeth)
        };
        let row = |(scenario, articles): (&&str, &Vec<&Article>)| Row {
            scenario: (*scenario).to_owned(),
            title: evidence
                .stories
                .get(*scenario)
                .map(|story| story.title.clone())
                .unwrap_or_default(),
            teeth: has_teeth(scenario),
            places: places(&profiles, articles),
        };
        let rows = by_name.iter().map(row).collect();
        let outcomes = distinct(result.cells.iter().map(|cell| cell.outcome.as_str()));
        Self {
            rows,
            outcomes: outcomes.into_iter().map(str::to_owned).collect(),
            any_teeth: result.cells.iter().any(|cell| cell.expected == "fail"),
            profiles,
        }
    }
}

fn profile(name: &str, result: &RunResult) -> Profile {
    let cells = result.cells.iter().filter(|cell| cell.profile == name);
    let stacks = distinct(cells.map(|cell| cell.stack.as_str()));
    Profile {
        name: name.to_owned(),
        stacks: stacks.into_iter().map(str::to_owned).collect(),
    }
}

fn places(profiles: &[Profile], articles: &[&Article]) -> Vec<Place> {
    let mut places = Vec::new();
    for profile in profiles {
        let article = articles.iter().find(|one| one.profile == profile.name);
        for stack in &profile.stacks {
            let cells = article.map_or(&[][..], |article| &article.cells);
            places.push(Place {
                profile: profile.name.clone(),
                stack: stack.clone(),
                seen: cells.iter().find(|cell| cell.stack == *stack).map(seen),
            });
        }
    }
    places
}

fn seen(cell: &CellView) -> Seen {
    Seen {
        link: cell.id.clone(),
        class: cell.class,
        outcomes: cell.outcomes.join(" "),
        word: cell.word.clone(),
        mark: cell.mark,
        is_finding: cell.is_finding,
    }
}
