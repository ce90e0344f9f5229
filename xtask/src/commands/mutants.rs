// SPDX-License-Identifier: GPL-2.0-only
//! Which mutants of a series there are, and which of them are wanted.

use std::collections::BTreeMap;

use kernel_patches::checkout::{Checkout, MUTANT_PREFIX};
use kernel_patches::mutant::{self, EQUIVALENT, Mutant, Notebook, Reason};
use kernel_patches::overlay::Overlay;
use kernel_patches::tree::{Tree, TreeRequest};
use patchbed_host::events::{Event, Observer};
use selftests::input::closest;

use crate::checkouts::MutantsWanted;
use crate::commands::sources::SourceRequest;
use crate::exit::bad_input;
use crate::program;
use crate::session::Session;

/// By a mutant's name, why nobody can notice it.
type Reasons = BTreeMap<String, Reason>;

/// Returns the mutants that a source_request asks for, and what is written down about them;
/// `checkouts` are all of its series, in their order.
///
/// # Errors
/// When there is none of a name, or a file that names some holds a mistake.
pub(crate) fn find(
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
    let notebook = match &source_request.folder {
        Some(folder) => Notebook::read(folder)?,
        None => Notebook::default(),
    };
    let cancel = &session.cancel;
    let mut all = notebook.mutants(tree, series, cancel)?;
    all.extend(mutant::without_one(
        tree,
        series,
        &source_request.series,
        cancel,
    )?);
    let states: Vec<&Overlay> = checkouts.iter().map(|checkout| &checkout.overlay).collect();
    all.extend(mutant::automatic(tree, &states)?);
    if let Some((what, hint)) = stray(&notebook.equivalent, &all) {
        // In another tree the same lines may be elsewhere, and have other names.
        if source_request.tree == TreeRequest::Default {
            return Err(bad_input(what, hint));
        }
        let text = format!("{what}; {hint}");
        session.progress.event(Event::Note { text });
    }
    Ok((choose(all, &source_request.mutants)?, notebook.equivalent))
}

/// Returns what is wrong with a reason for a mutant that there is not, and what to try.
fn stray(reasons: &Reasons, all: &[Mutant]) -> Option<(String, String)> {
    let is_known = |name: &String| all.iter().any(|mutant| mutant.name == *name);
    let name = reasons.keys().find(|name| !is_known(name))?;
    Some((
        format!("`{EQUIVALENT}` has a reason for `{name}`, and there is no such mutant"),
        near(name, all),
    ))
}

fn near(name: &str, all: &[Mutant]) -> String {
    let near = closest(name, all.iter().map(|mutant| mutant.name.as_str()));
    near.map_or_else(
        || {
            format!(
                "`{} apply --checkouts mutants` names all there are",
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
                "the series makes no change that a mistake could be put into",
                "leave `mutants` out of `--checkouts`",
            )),
            false => Ok(all),
        };
    };
    for name in names {
        if !all.iter().any(|mutant| mutant.name == *name) {
            return Err(bad_input(
                format!("the series has no mutant `{MUTANT_PREFIX}{name}`"),
                near(name, &all),
            ));
        }
    }
    let is_wanted = |mutant: &Mutant| names.contains(&mutant.name);
    Ok(all.into_iter().filter(is_wanted).collect())
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
    fn those_that_are_named_are_chosen_and_others_are_refused() {
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
    fn a_reason_for_what_there_is_not_is_told() {
        let all = mutants(&["it-get-negate-1"]);
        let reason = Reason {
            why: "Because.".to_owned(),
            configs: Vec::new(),
        };
        let reasons = |name: &str| Reasons::from([(name.to_owned(), reason.clone())]);
        assert_eq!(stray(&reasons("it-get-negate-1"), &all), None);
        let (what, hint) = stray(&reasons("it-get-negate-2"), &all).unwrap();
        assert!(what.contains("`it-get-negate-2`"), "{what}");
        assert_eq!(hint, "did you mean `it-get-negate-1`?");
    }
}
