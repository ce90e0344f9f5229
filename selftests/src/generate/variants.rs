// SPDX-License-Identifier: GPL-2.0-only
//! What differs between the variants of a scenario_file, and for which of them: the
//! condition that a branch of the generated test is taken under.

use super::c::{Head, Node, string};
use crate::scenario::{Scenario, ScenarioFile};

/// Returns what each variant has, with the variants that have the same together: a
/// place in the result a thing, in the order of the variants.
pub(super) fn grouped<T: PartialEq>(each: Vec<Option<T>>) -> Vec<(T, Vec<usize>)> {
    let mut groups: Vec<(T, Vec<usize>)> = Vec::new();
    for (index, one) in each.into_iter().enumerate() {
        let Some(one) = one else { continue };
        match groups.iter_mut().find(|(other, _)| *other == one) {
            Some((_, members)) => members.push(index),
            None => groups.push((one, vec![index])),
        }
    }
    groups
}

/// Returns the nodes as they are if they are for all variants, else in a branch that
/// is taken for those alone.
pub(super) fn only_for(
    scenario_file: &ScenarioFile,
    members: &[usize],
    nodes: Vec<Node>,
) -> Vec<Node> {
    if nodes.is_empty() || members.len() == scenario_file.variants.len() {
        return nodes;
    }
    vec![Node::Block {
        head: Head::If(conditions(scenario_file, members)),
        body: nodes,
        tail: "",
    }]
}

/// Conditions of which one holds for each of these variants, and none for any other.
fn conditions(scenario_file: &ScenarioFile, members: &[usize]) -> Vec<String> {
    let parameters = &scenario_file.first().values;
    let all: Vec<usize> = (0..parameters.len()).collect();
    let mut choices: Vec<Vec<usize>> = all.iter().map(|&one| vec![one]).collect();
    let pairs = all
        .iter()
        .flat_map(|&one| all[one + 1..].iter().map(move |&other| vec![one, other]));
    choices.extend(pairs);
    choices.push(all);
    let tells = |choice: &Vec<usize>| {
        let of = |index: usize| projected(&scenario_file.variants[index], choice);
        let inside: Vec<_> = members.iter().map(|&index| of(index)).collect();
        (0..scenario_file.variants.len())
            .filter(|index| !members.contains(index))
            .all(|index| !inside.contains(&of(index)))
    };
    let choice = choices.into_iter().find(tells).unwrap_or_default();
    let mut conditions: Vec<String> = Vec::new();
    for &index in members {
        let is =
            |(name, value): (&str, &str)| format!("!strcmp(variant->{name}, {})", string(value));
        let values = projected(&scenario_file.variants[index], &choice);
        let condition = values.into_iter().map(is).collect::<Vec<_>>().join(" && ");
        if !conditions.contains(&condition) {
            conditions.push(condition);
        }
    }
    if conditions.len() > 1 {
        for condition in conditions.iter_mut().filter(|one| one.contains(" && ")) {
            *condition = format!("({condition})");
        }
    }
    conditions
}

/// The values that some of the parameters have in a variant.
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
    use crate::scenario::Machines;

    fn scenario_file() -> ScenarioFile {
        let text = "name: small\ntitle: small\nwhy: because\n\
            parameters: {a: [one, two, three], b: [x, y]}\n\
            boots: [{steps: [{rescan: pci}]}]\n";
        ScenarioFile::parse(text, "small.yaml", &Machines::project()).unwrap()
    }

    #[test]
    fn a_branch_is_told_by_as_few_parameters_as_do() {
        let scenario_file = scenario_file();
        let names: Vec<_> = scenario_file
            .variants
            .iter()
            .map(|one| one.name.as_str())
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
    fn the_same_is_said_once() {
        let groups = grouped(vec![Some("a"), None, Some("b"), Some("a")]);
        assert_eq!(groups, [("a", vec![0, 3]), ("b", vec![2])]);
    }
}
