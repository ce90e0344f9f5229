// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the mutants of a series and selects mutants by name.

use std::collections::BTreeMap;

use kernel_patches::checkout::{Checkout, MUTANT_PREFIX};
use kernel_patches::mutant::{self, EQUIVALENT, Mutant, MutantFolder, Reason};
use kernel_patches::overlay::Overlay;
use kernel_patches::tree::{Tree, TreeRequest};
use patchbed_host::events::Event;
use selftests::input::closest;

use crate::engine::checkouts::MutantsWanted;
use crate::engine::program;
use crate::engine::session::Session;
use crate::engine::sources::SourceRequest;
use crate::exit::bad_input;

/// The reasons why mutants are equivalent, by name.
type Reasons = BTreeMap<String, Reason>;

/// Returns the selected mutants and the recorded reasons of equivalent mutants. `checkouts` are
/// all checkouts of the series, in order.
///
/// # Errors
/// When a mutant does not exist, or a file with mutants is invalid.
pub fn find(
    source_request: &SourceRequest,
    tree: &Tree,
    checkouts: &[Checkout],
    session: &Session,
) -> anyhow::Result<(Vec<Mutant>, Reasons)> {
    let (MutantsWanted::Named(_) | MutantsWanted::All, Some(series)) =
        (&source_request.mutants, checkouts.last())
    else {
        return Ok((Vec::new(), Reasons::new()));
    };
    let folder = match &source_request.folder {
        Some(folder) => MutantFolder::read(folder)?,
        None => MutantFolder::default(),
    };
    let cancel = &session.cancel;
    let mut all = folder.mutants(tree, series, cancel)?;
    all.extend(mutant::without_each_patch(
        tree,
        series,
        &source_request.series,
        cancel,
    )?);
    let overlays: Vec<&Overlay> = checkouts.iter().map(|checkout| &checkout.overlay).collect();
    all.extend(mutant::automatic(tree, &overlays)?);
    if let Some((message, hint)) = unknown_reason(&folder.equivalent, &all) {
        // Names of mutants depend on the tree.
        if source_request.tree == TreeRequest::Default {
            return Err(bad_input(message, hint));
        }
        let text = format!("{message}; {hint}");
        session.observer.event(Event::Note { text });
    }
    Ok((choose(all, &source_request.mutants)?, folder.equivalent))
}

/// Returns the message and hint for the first recorded reason whose mutant does not exist.
fn unknown_reason(reasons: &Reasons, all: &[Mutant]) -> Option<(String, String)> {
    let is_known = |name: &String| all.iter().any(|mutant| mutant.name == *name);
    let name = reasons.keys().find(|name| !is_known(name))?;
    Some((
        format!("unknown mutant `{name}` in `{EQUIVALENT}`"),
        hint(name, all),
    ))
}

fn hint(name: &str, all: &[Mutant]) -> String {
    let near = closest(name, all.iter().map(|mutant| mutant.name.as_str()));
    near.map_or_else(
        || {
            format!(
                "list the mutants with `{} apply --checkouts mutants`",
                program::name()
            )
        },
        |near| format!("did you mean `{near}`?"),
    )
}

fn choose(all: Vec<Mutant>, wanted: &MutantsWanted) -> anyhow::Result<Vec<Mutant>> {
    let MutantsWanted::Named(names) = wanted else {
        return match all.is_empty() {
            true => Err(bad_input(
                "the series has no code that can be mutated",
                "remove `mutants` from `--checkouts`",
            )),
            false => Ok(all),
        };
    };
    for name in names {
        if !all.iter().any(|mutant| mutant.name == *name) {
            return Err(bad_input(
                format!("the series has no mutant `{MUTANT_PREFIX}{name}`"),
                hint(name, &all),
            ));
        }
    }
    let is_selected = |mutant: &Mutant| names.contains(&mutant.name);
    Ok(all.into_iter().filter(is_selected).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutants(names: &[&str]) -> Vec<Mutant> {
        let mutant = |name: &&str| Mutant {
            name: (*name).to_owned(),
            title: String::new(),
            function: String::new(),
            file: "f.c".into(),
            line: 1,
            patch: None,
            diff: String::new(),
            changed: Overlay::default(),
        };
        names.iter().map(mutant).collect()
    }

    #[test]
    fn choose_returns_named_mutants_and_rejects_unknown_names() {
        let named = |name: &str| MutantsWanted::Named(vec![name.to_owned()]);
        let all = || mutants(&["it-get-negate-1", "it-put-never-1"]);
        assert_eq!(choose(all(), &MutantsWanted::All).unwrap().len(), 2);
        let chosen = choose(all(), &named("it-put-never-1")).unwrap();
        assert_eq!(chosen[0].name, "it-put-never-1");
        let error = choose(all(), &named("it-put-nevr-1")).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("no mutant `mutant-it-put-nevr-1`"),
            "{error}"
        );
        assert!(error.contains("did you mean `it-put-never-1`?"), "{error}");
    }

    #[test]
    fn unknown_reason_returns_first_reason_without_mutant() {
        let all = mutants(&["it-get-negate-1"]);
        let reason = Reason {
            why: "Because.".to_owned(),
            configs: Vec::new(),
        };
        let reasons = |name: &str| Reasons::from([(name.to_owned(), reason.clone())]);
        assert_eq!(unknown_reason(&reasons("it-get-negate-1"), &all), None);
        let (message, hint) = unknown_reason(&reasons("it-get-negate-2"), &all).unwrap();
        assert!(message.contains("`it-get-negate-2`"), "{message}");
        assert_eq!(hint, "did you mean `it-get-negate-1`?");
    }
}
