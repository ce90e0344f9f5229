// SPDX-License-Identifier: MIT OR Apache-2.0
//! Differences between the variants of a scenario file, and the conditions under which a
//! generated test takes a branch for some of the variants.

use super::c::{Head, Node, block, string};
use crate::scenario::{Scenario, ScenarioFile, unique};

/// Groups variants by equal values: `each` has the value of each variant, if any. Returns
/// each value with the indices of its variants.
pub(super) fn grouped<T: PartialEq>(
    each: impl IntoIterator<Item = Option<T>>,
) -> Vec<(T, Vec<usize>)> {
    let mut groups: Vec<(T, Vec<usize>)> = Vec::new();
    for (index, value) in each.into_iter().enumerate() {
        let Some(value) = value else { continue };
        match groups.iter_mut().find(|(other, _)| *other == value) {
            Some((_, members)) => members.push(index),
            None => groups.push((value, vec![index])),
        }
    }
    groups
}

/// Returns the nodes unchanged if they are for all variants, and otherwise in a branch
/// that is taken for the variants `members`.
pub(super) fn only_for(
    scenario_file: &ScenarioFile,
    members: &[usize],
    nodes: Vec<Node>,
) -> Vec<Node> {
    if nodes.is_empty() || members.len() == scenario_file.variants.len() {
        return nodes;
    }
    vec![block(Head::If(conditions(scenario_file, members)), nodes)]
}

/// Returns the parameter values that distinguish these variants from all others, as in
/// `how=sysfs, or how=unplug`; empty for all variants.
pub(super) fn in_words(scenario_file: &ScenarioFile, members: &[usize]) -> String {
    if members.len() == scenario_file.variants.len() {
        return String::new();
    }
    let all_of = |values: Vec<(&str, &str)>| {
        let values = values.iter().map(|(name, value)| format!("{name}={value}"));
        values.collect::<Vec<_>>().join(" and ")
    };
    let alternatives = distinguishing(scenario_file, members).into_iter();
    alternatives.map(all_of).collect::<Vec<_>>().join(", or ")
}

/// Returns alternatives of parameter values: each of these variants has one of them, and
/// no other variant has any. Uses as few parameters as possible.
fn distinguishing<'a>(
    scenario_file: &'a ScenarioFile,
    members: &[usize],
) -> Vec<Vec<(&'a str, &'a str)>> {
    let parameters = &scenario_file.first().values;
    let all: Vec<usize> = (0..parameters.len()).collect();
    let mut choices: Vec<Vec<usize>> = all.iter().map(|&first| vec![first]).collect();
    let pairs = all.iter().flat_map(|&first| {
        all[first + 1..]
            .iter()
            .map(move |&other| vec![first, other])
    });
    choices.extend(pairs);
    choices.push(all);
    let distinguishes = |choice: &Vec<usize>| {
        let of = |index: usize| projected(&scenario_file.variants[index], choice);
        let inside: Vec<_> = members.iter().map(|&index| of(index)).collect();
        (0..scenario_file.variants.len())
            .filter(|index| !members.contains(index))
            .all(|index| !inside.contains(&of(index)))
    };
    let choice = choices.into_iter().find(distinguishes).unwrap_or_default();
    let members = members.iter();
    unique(members.map(|&index| projected(&scenario_file.variants[index], &choice)))
}

/// C conditions: one of them holds for each of these variants, and none for any other.
fn conditions(scenario_file: &ScenarioFile, members: &[usize]) -> Vec<String> {
    let alternatives = distinguishing(scenario_file, members);
    let is_only = alternatives.len() == 1;
    let all_of = |values: Vec<(&str, &str)>| {
        let is =
            |(name, value): &(&str, &str)| format!("!strcmp(variant->{name}, {})", string(value));
        let all = values.iter().map(is).collect::<Vec<_>>().join(" && ");
        match is_only || values.len() == 1 {
            true => all,
            false => format!("({all})"),
        }
    };
    alternatives.into_iter().map(all_of).collect()
}

/// The values of some of the parameters in a variant.
fn projected<'a>(variant: &'a Scenario, choice: &[usize]) -> Vec<(&'a str, &'a str)> {
    let pick = |&index: &usize| {
        let (name, value) = variant.values.get(index)?;
        Some((name.as_str(), value.as_str()))
    };
    choice.iter().filter_map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn scenario_file() -> ScenarioFile {
        let text = "name: small\ntitle: small\nwhy: because\n\
            parameters: {a: [one, two, three], b: [x, y]}\n\
            boots: [{steps: [{rescan: pci}]}]\n";
        ScenarioFile::parse(text, "small.yaml", Catalogue::project()).unwrap()
    }

    #[test]
    fn conditions_use_as_few_parameters_as_possible() {
        let scenario_file = scenario_file();
        let names: Vec<_> = scenario_file
            .variants
            .iter()
            .map(|variant| variant.name.as_str())
            .collect();
        assert_eq!(names[..3], ["small.one-x", "small.one-y", "small.two-x"]);
        assert_eq!(
            conditions(&scenario_file, &[0, 1]),
            [r#"!strcmp(variant->a, "one")"#]
        );
        assert_eq!(
            conditions(&scenario_file, &[0, 1, 2, 3]),
            [
                r#"!strcmp(variant->a, "one")"#,
                r#"!strcmp(variant->a, "two")"#
            ]
        );
        assert_eq!(
            conditions(&scenario_file, &[0, 2, 4]),
            [r#"!strcmp(variant->b, "x")"#]
        );
        assert_eq!(
            conditions(&scenario_file, &[0, 3]),
            [
                r#"(!strcmp(variant->a, "one") && !strcmp(variant->b, "x"))"#,
                r#"(!strcmp(variant->a, "two") && !strcmp(variant->b, "y"))"#
            ]
        );
    }

    #[test]
    fn in_words_lists_the_distinguishing_values() {
        let scenario_file = scenario_file();
        let words = |members: &[usize]| in_words(&scenario_file, members);
        assert_eq!(words(&[0, 1, 2, 3]), "a=one, or a=two");
        assert_eq!(words(&[0, 3]), "a=one and b=x, or a=two and b=y");
        assert_eq!(words(&[0, 1, 2, 3, 4, 5]), "");
    }

    #[test]
    fn grouped_merges_equal_values() {
        let groups = grouped([Some("a"), None, Some("b"), Some("a")]);
        assert_eq!(groups, [("a", vec![0, 3]), ("b", vec![2])]);
    }
}
