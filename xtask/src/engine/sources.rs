// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves the source arguments of `test`, `apply` and `build` and applies the series.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use kernel_patches::checkout::{self, Checkout, Checkouts, MUTANT_PREFIX};
use kernel_patches::coverage::FileChange;
use kernel_patches::mutant::{self, Claim, Condition, EQUIVALENT, Mutant, MutantFolder};
use kernel_patches::overlay::Overlay;
use kernel_patches::series::{self, Series};
use kernel_patches::tree::{Tree, TreeRequest};
use patchbed_host::events::Event;
use selftests::catalogue::Manifest;
use selftests::input::closest;

use crate::engine::checkouts::{self, MutantsWanted};
use crate::engine::options::SourceArgs;
use crate::engine::program;
use crate::engine::session::Session;
use crate::exit::bad_input;
use crate::job_plan::SERIES;
use crate::result::CheckoutResult;

/// The resolved source arguments; nothing is applied yet.
#[derive(Clone, Debug)]
pub struct SourceRequest {
    /// The tree.
    pub tree: TreeRequest,
    pub(crate) series: Series,
    pub(crate) prerequisites: Vec<Series>,
    pub(crate) checkouts: Vec<String>,
    pub(crate) mutants: MutantsWanted,
    /// The folder of the series; `None` if the series is not a folder.
    pub folder: Option<Utf8PathBuf>,
    /// The manifest of the catalogue.
    manifest: Manifest,
}

impl SourceRequest {
    /// Resolves the arguments.
    ///
    /// # Errors
    /// When a series or a checkout does not exist.
    pub fn from_args(args: &SourceArgs, session: &Session) -> anyhow::Result<Self> {
        check_words(args, session)?;
        let manifest = session.manifest()?;
        let library = session.layout.series();
        let name = args.series(&manifest);
        let mut series = Series::find(name, &library)?;
        series.provides.clone_from(&args.provides);
        let folder = match series.is_known {
            true => library.join(name),
            false => Utf8PathBuf::from(name),
        };
        let folder = folder.is_dir().then_some(folder);
        let (mutants, mut words) = MutantsWanted::take_from(&args.checkouts);
        if mutants != MutantsWanted::None {
            // Results on mutants are compared to results on the series.
            words.push(SERIES.to_owned());
        }
        let checkouts = checkouts::names(&words, series.patches.len())?;
        Ok(Self {
            tree: tree(args),
            series,
            prerequisites: args
                .prerequisites(&manifest)
                .iter()
                .map(|name| Series::find(name, &library))
                .collect::<Result<_, _>>()?,
            checkouts,
            mutants,
            folder,
            manifest,
        })
    }

    /// Adds checkouts to build that have no jobs of their own.
    pub fn add_checkouts<'a>(&mut self, checkouts: impl Iterator<Item = &'a str>) {
        for checkout in checkouts {
            if !self.checkouts.iter().any(|known| known == checkout) {
                self.checkouts.push(checkout.to_owned());
            }
        }
    }

    /// Rejects mutants for a command that does not support them.
    ///
    /// # Errors
    /// When the arguments name mutants.
    pub fn refuse_mutants(&self, command: &str) -> anyhow::Result<()> {
        match self.mutants {
            MutantsWanted::None => Ok(()),
            _ => Err(bad_input(
                format!("`{command}` does not accept mutants"),
                format!(
                    "test mutants with `{} test`, or print their source with `apply`",
                    program::name()
                ),
            )),
        }
    }

    /// Returns whether the arguments are the defaults, to which the snapshots apply.
    pub fn is_ours(&self) -> bool {
        self.tree == TreeRequest::Default
            && self.series.is_known
            && self.series.name == self.manifest.series
            && self.series.provides.is_empty()
            && self
                .prerequisites
                .iter()
                .map(|series| &series.name)
                .eq(&self.manifest.prerequisites)
            && self.prerequisites.iter().all(|series| series.is_known)
    }

    /// Opens the tree and computes the checkouts.
    ///
    /// # Errors
    /// When the tree cannot be opened, or a patch does not apply.
    pub fn apply(&self, session: &Session) -> anyhow::Result<Sources> {
        let tree = Tree::open(&self.tree, &session.context())?;
        let library = session.layout.series();
        let known = series::names(&library)
            .iter()
            .map(|name| Series::find(name, &library))
            .collect::<Result<Vec<_>, _>>()?;
        let Checkouts {
            base,
            prefixes,
            series,
            notes,
            changes,
            prerequisite_changes,
        } = checkout::checkouts(
            &tree,
            &self.prerequisites,
            &self.series,
            &known,
            &session.cancel,
        )?;
        for text in &notes {
            let text = text.clone();
            session.observer.event(Event::Note { text });
        }
        let all: Vec<Checkout> = [base].into_iter().chain(prefixes).chain([series]).collect();
        let (mutants, equivalent) = find_mutants(self, &tree, (&all, &known), session)?;
        let checkouts = all
            .into_iter()
            .filter(|checkout| self.checkouts.contains(&checkout.name))
            .collect();
        let subjects = self.series.patches.iter();
        let subjects = subjects.map(|patch| patch.subject.clone()).collect();
        Ok(Sources {
            tree,
            checkouts,
            notes,
            subjects,
            mutants,
            equivalent,
            changes,
            prerequisite_changes,
        })
    }
}

/// Checks the arguments without reading patches.
///
/// # Errors
/// When a checkout or a series of `--provides` does not exist, or the series is also a
/// prerequisite.
pub fn check_words(args: &SourceArgs, session: &Session) -> anyhow::Result<()> {
    checkouts::check(&args.checkouts)?;
    let known = series::names(&session.layout.series());
    if let Some(name) = args.provides.iter().find(|name| !known.contains(name)) {
        return Err(bad_input(
            format!("unknown series `{name}` in `--provides`"),
            format!("known series: {}", known.join(", ")),
        ));
    }
    let manifest = session.manifest()?;
    let series = args.series(&manifest);
    let mut prerequisites = args.prerequisites(&manifest).iter();
    if prerequisites.any(|name| name == series) {
        return Err(bad_input(
            format!("`{series}` is both the series and one of its prerequisites"),
            "name only the other prerequisites with `--prereq`",
        ));
    }
    Ok(())
}

/// Returns the tree that the arguments name.
pub fn tree(args: &SourceArgs) -> TreeRequest {
    args.tree
        .as_deref()
        .map_or(TreeRequest::Default, TreeRequest::parse)
}

impl SourceArgs {
    /// Returns the name of the series, or of the default series.
    pub fn series<'a>(&'a self, manifest: &'a Manifest) -> &'a str {
        self.series.as_deref().unwrap_or(&manifest.series)
    }

    /// Returns the names of the prerequisites, or of the default prerequisites.
    pub fn prerequisites<'a>(&'a self, manifest: &'a Manifest) -> &'a [String] {
        match self.prereq.is_empty() {
            true => &manifest.prerequisites,
            false => &self.prereq,
        }
    }
}

/// A tree and the checkouts on it.
#[derive(Debug)]
pub struct Sources {
    /// The tree.
    pub tree: Tree,
    /// The checkouts, in order.
    pub checkouts: Vec<Checkout>,
    /// Messages about patches that were already applied or were reverted.
    pub notes: Vec<String>,
    /// The subjects of the patches of the series, in order.
    pub subjects: Vec<String>,
    /// The selected mutants of the series.
    pub mutants: Vec<Mutant>,
    /// The claims that mutants are equivalent or unreachable, by name.
    pub equivalent: BTreeMap<String, Claim>,
    /// The files that each patch of the series changes.
    pub changes: Vec<Vec<FileChange>>,
    /// The files that each prerequisite changes, with its name.
    pub prerequisite_changes: Vec<(String, Vec<FileChange>)>,
}

impl Sources {
    /// Returns the entries of checkouts in the result.
    pub fn results(&self, names: &[String]) -> Vec<CheckoutResult> {
        let judged = self
            .checkouts
            .iter()
            .filter(|one| names.contains(&one.name));
        let result = |checkout: &Checkout| CheckoutResult {
            name: checkout.name.clone(),
            patches: self
                .subjects
                .iter()
                .take(checkout.patches)
                .cloned()
                .collect(),
            contains: checkout.contains.iter().cloned().collect(),
        };
        judged.map(result).collect()
    }
}

/// The claims that mutants are equivalent or unreachable, by name.
type Claims = BTreeMap<String, Claim>;

/// Returns the selected mutants and the claims about mutants. `checkouts` are all checkouts of
/// the series, in order, and `known` the known series.
///
/// # Errors
/// When a mutant does not exist, or a file with mutants is invalid.
fn find_mutants(
    source_request: &SourceRequest,
    tree: &Tree,
    (checkouts, known): (&[Checkout], &[Series]),
    session: &Session,
) -> anyhow::Result<(Vec<Mutant>, Claims)> {
    let (MutantsWanted::Named(_) | MutantsWanted::All, Some(series)) =
        (&source_request.mutants, checkouts.last())
    else {
        return Ok((Vec::new(), Claims::new()));
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
    if let Some(error) = unknown_series(&folder.equivalent, known) {
        return Err(error);
    }
    if let Some((message, hint)) = unknown_claim(&folder.equivalent, &all) {
        // Names of mutants depend on the tree.
        if source_request.tree == TreeRequest::Default {
            return Err(bad_input(message, hint));
        }
        let text = format!("{message}; {hint}");
        session.observer.event(Event::Note { text });
    }
    Ok((choose(all, &source_request.mutants)?, folder.equivalent))
}

/// Returns an error for the first condition of a claim about a series that does not exist: it
/// would never change.
fn unknown_series(claims: &Claims, known: &[Series]) -> Option<anyhow::Error> {
    let conditions = claims.iter().flat_map(|(name, claim)| {
        let series = claim.unreachable_while.iter().flat_map(Condition::series);
        series.map(move |series| (name, series))
    });
    let is_known = |series: &str| known.iter().any(|one| one.name == series);
    let (name, series) = conditions
        .into_iter()
        .find(|(_, series)| !is_known(series))?;
    let names: Vec<&str> = known.iter().map(|one| one.name.as_str()).collect();
    Some(bad_input(
        format!("unknown series `{series}` in the claim `{name}` in `{EQUIVALENT}`"),
        format!("known series: {}", names.join(", ")),
    ))
}

/// Returns the message and hint for the first claim whose mutant does not exist.
fn unknown_claim(claims: &Claims, all: &[Mutant]) -> Option<(String, String)> {
    let is_known = |name: &String| all.iter().any(|mutant| mutant.name == *name);
    let name = claims.keys().find(|name| !is_known(name))?;
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
    fn unknown_claim_returns_first_claim_without_mutant() {
        let all = mutants(&["it-get-negate-1"]);
        let claims = |name: &str| Claims::from([(name.to_owned(), Claim::default())]);
        assert_eq!(unknown_claim(&claims("it-get-negate-1"), &all), None);
        let (message, hint) = unknown_claim(&claims("it-get-negate-2"), &all).unwrap();
        assert!(message.contains("`it-get-negate-2`"), "{message}");
        assert_eq!(hint, "did you mean `it-get-negate-1`?");
    }

    #[test]
    fn unknown_series_returns_an_error_for_a_condition_that_cannot_change() {
        let condition = Condition::try_from("fix is not applied".to_owned()).unwrap();
        let claim = Claim {
            unreachable_while: Some(condition),
            ..Claim::default()
        };
        let claims = Claims::from([("it-get-negate-1".to_owned(), claim)]);
        let known = |name: &str| Series {
            name: name.to_owned(),
            ..Series::default()
        };
        assert!(unknown_series(&claims, &[known("fix")]).is_none());
        let error = format!("{:#}", unknown_series(&claims, &[known("fax")]).unwrap());
        assert!(error.contains("unknown series `fix`"), "{error}");
    }
}
