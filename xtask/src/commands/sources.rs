// SPDX-License-Identifier: GPL-2.0-only
//! From arguments to checkouts: what `test`, `apply` and `build` have in common.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use kernel_patches::checkout::{self, Checkout, Checkouts};
use kernel_patches::coverage::FileChange;
use kernel_patches::mutant::{Mutant, Reason};
use kernel_patches::series::{self, Series};
use kernel_patches::tree::{Tree, TreeRequest};
use patchbed_host::events::{Event, Observer};

use crate::checkouts::{self, MutantsWanted, SERIES};
use crate::cli::{DEFAULT_SERIES, SourceArgs};
use crate::commands::mutants;
use crate::exit::bad_input;
use crate::program;
use crate::result::CheckoutResult;
use crate::session::Session;

/// The prerequisites when the user names none.
pub(crate) const DEFAULT_PREREQUISITES: [&str; 3] = [
    "pci-liveupdate",
    "liveupdate-test-driver",
    // Without it, lockdep looks away from the first unplug on.
    "pciehp-lock-order",
];

/// A request for source states, looked up but not yet applied.
#[derive(Clone, Debug)]
pub(crate) struct SourceRequest {
    pub(crate) tree: TreeRequest,
    pub(crate) series: Series,
    pub(crate) prerequisites: Vec<Series>,
    pub(crate) checkouts: Vec<String>,
    pub(crate) mutants: MutantsWanted,
    /// The folder of the series, if it has one.
    pub(crate) folder: Option<Utf8PathBuf>,
}

impl SourceRequest {
    /// Looks up what the arguments name.
    ///
    /// # Errors
    /// When a series or a checkout does not exist.
    pub(crate) fn from_args(args: &SourceArgs, session: &Session) -> anyhow::Result<Self> {
        check_words(args, session)?;
        let library = session.layout.series();
        let mut series = Series::find(&args.series, &library)?;
        series.provides.clone_from(&args.provides);
        let folder = match series.is_ours {
            true => library.join(&args.series),
            false => Utf8PathBuf::from(&args.series),
        };
        let folder = folder.is_dir().then_some(folder);
        let (mutants, mut words) = MutantsWanted::take_from(&args.checkouts);
        if mutants != MutantsWanted::None {
            // What a mutant is caught by must pass where there is no mistake.
            words.push(SERIES.to_owned());
        }
        let checkouts = checkouts::names(&words, series.patches.len())?;
        Ok(Self {
            tree: tree(args),
            series,
            prerequisites: prerequisites(args)
                .iter()
                .map(|name| Series::find(name, &library))
                .collect::<Result<_, _>>()?,
            checkouts,
            mutants,
            folder,
        })
    }

    /// Adds checkouts that are needed beside those that are judged.
    pub(crate) fn needs_too<'a>(&mut self, checkouts: impl Iterator<Item = &'a str>) {
        for checkout in checkouts {
            if !self.checkouts.iter().any(|known| known == checkout) {
                self.checkouts.push(checkout.to_owned());
            }
        }
    }

    /// Refuses mutants for a command that makes none.
    ///
    /// # Errors
    /// When some are asked for.
    pub(crate) fn refuse_mutants(&self, command: &str) -> anyhow::Result<()> {
        match self.mutants {
            MutantsWanted::None => Ok(()),
            _ => Err(bad_input(
                format!("`{command}` does not take mutants"),
                format!(
                    "`{} test` builds and judges them, and `apply` shows their source",
                    program::name()
                ),
            )),
        }
    }

    /// Returns whether everything applied is ours, so that results should be as recorded.
    pub(crate) fn is_ours(&self) -> bool {
        self.tree == TreeRequest::Default
            && self.series.is_ours
            && self.series.name == DEFAULT_SERIES
            && self.series.provides.is_empty()
            && self
                .prerequisites
                .iter()
                .map(|series| series.name.as_str())
                .eq(DEFAULT_PREREQUISITES)
            && self.prerequisites.iter().all(|series| series.is_ours)
    }

    /// Opens the tree and works out the checkouts.
    ///
    /// # Errors
    /// When the tree cannot be had, or a patch does not fit.
    pub(crate) fn apply(&self, session: &Session) -> anyhow::Result<Sources> {
        let tree = Tree::open(
            &self.tree,
            &session.cache,
            &session.cancel,
            &session.progress,
        )?;
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
            changes_below,
        } = checkout::checkouts(
            &tree,
            &self.prerequisites,
            &self.series,
            &known,
            &session.cancel,
        )?;
        for text in &notes {
            let text = text.clone();
            session.progress.event(Event::Note { text });
        }
        let all: Vec<Checkout> = [base].into_iter().chain(prefixes).chain([series]).collect();
        let (mutants, equivalent) = mutants::find(self, &tree, &all, session)?;
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
            changes_below,
        })
    }
}

/// Refuses words of the arguments that mean nothing, whatever files hold.
///
/// # Errors
/// When there is no such checkout or no such series of ours, or one is named twice.
pub(crate) fn check_words(args: &SourceArgs, session: &Session) -> anyhow::Result<()> {
    checkouts::check(&args.checkouts)?;
    let ours = series::names(&session.layout.series());
    if let Some(name) = args.provides.iter().find(|name| !ours.contains(name)) {
        return Err(bad_input(
            format!("there is no series `{name}` of ours to provide"),
            format!("ours are: {}", ours.join(", ")),
        ));
    }
    if prerequisites(args).contains(&args.series) {
        return Err(bad_input(
            format!(
                "`{}` is both the series and one of its prerequisites",
                args.series
            ),
            "name the series below it with `--prereq`, without it",
        ));
    }
    Ok(())
}

/// Returns the tree that the arguments name.
pub(crate) fn tree(args: &SourceArgs) -> TreeRequest {
    args.tree
        .as_deref()
        .map_or(TreeRequest::Default, TreeRequest::parse)
}

/// Returns the prerequisites that the arguments name, or those that go without saying.
pub(crate) fn prerequisites(args: &SourceArgs) -> Vec<String> {
    if args.prereq.is_empty() {
        DEFAULT_PREREQUISITES.map(str::to_owned).to_vec()
    } else {
        args.prereq.clone()
    }
}

/// A tree and the checkouts on it.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) tree: Tree,
    pub(crate) checkouts: Vec<Checkout>,
    /// What was found there already, or taken out, in sentences.
    pub(crate) notes: Vec<String>,
    /// The subjects of the series' patches, in their order.
    pub(crate) subjects: Vec<String>,
    /// The mutants of the series that are wanted.
    pub(crate) mutants: Vec<Mutant>,
    /// By a mutant's name, why nobody can notice it.
    pub(crate) equivalent: BTreeMap<String, Reason>,
    /// The files that each patch of the series changes.
    pub(crate) changes: Vec<Vec<FileChange>>,
    /// The files that each prerequisite changes, by its name.
    pub(crate) changes_below: Vec<(String, Vec<FileChange>)>,
}

impl Sources {
    /// Returns what results say of the checkouts with these names.
    pub(crate) fn results(&self, names: &[String]) -> Vec<CheckoutResult> {
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
