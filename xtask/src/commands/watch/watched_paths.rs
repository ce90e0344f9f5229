// SPDX-License-Identifier: GPL-2.0-only
//! What a run rests on, by place: where saves are looked for.

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::config::Config;
use kernel_patches::index::is_build_product;
use kernel_patches::series::{self, Series};
use kernel_patches::tree::{Tree, TreeRequest};

use crate::cli::TestArgs;
use crate::commands::environment::find_machine;
use crate::commands::generate;
use crate::commands::sources;
use crate::commands::test::{choose_scenarios, kselftest};
use crate::session::Session;

/// A place that a run rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Root {
    /// One file. It is watched by its folder: editors put a new one in its place.
    File(Utf8PathBuf),
    /// A folder and all below it.
    Folder(Utf8PathBuf),
    /// A kernel tree: a large folder, where what a build leaves is no source.
    Tree(Utf8PathBuf),
}

impl Root {
    /// Returns where it is.
    pub(super) fn path(&self) -> &Utf8Path {
        match self {
            Self::File(path) | Self::Folder(path) | Self::Tree(path) => path,
        }
    }

    /// Returns whether a run may rest on what is at `path`.
    pub(super) fn concerns(&self, path: &Utf8Path) -> bool {
        match self {
            Self::File(file) => path == file,
            Self::Folder(folder) => path.starts_with(folder) && !is_dropping(path),
            Self::Tree(tree) => path
                .strip_prefix(tree)
                .is_ok_and(|below| !is_build_product(below) && !is_dropping(below)),
        }
    }
}

/// Returns whether a file is what editors and git leave beside the files that
/// people mean.
fn is_dropping(path: &Utf8Path) -> bool {
    const ENDINGS: [&str; 10] = [
        "~", ".swp", ".swo", ".swx", ".tmp", ".bak", ".orig", ".rej", ".new", ".lock",
    ];
    let name = path.file_name().unwrap_or_default();
    path.components().any(|part| part.as_str() == ".git")
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        // vim tries whether it can write, emacs locks and saves by itself.
        || name == "4913"
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        || name.starts_with(".goutputstream-")
        || name.contains("___jb_")
}

/// Refuses arguments that no save could fix: words that name nothing.
///
/// # Errors
/// As `test` says it.
pub(super) fn check_words(args: &TestArgs, session: &Session) -> anyhow::Result<()> {
    sources::check_words(&args.source, session)?;
    let library = session.layout.series();
    for name in named_series(args) {
        if place_of_series(&name, &library).is_none() {
            Series::find(&name, &library)?;
        }
    }
    for name in &args.configs.config {
        let folder = session.layout.configs();
        if !folder.join(format!("{name}.yaml")).is_file() {
            Config::find(name, &folder)?;
        }
    }
    if let Some(machine) = &args.machine {
        let file = session.layout.machines().join(format!("{machine}.yaml"));
        if !file.is_file() {
            find_machine(machine, session)?;
        }
    }
    kselftest::parse(&args.kselftest)?;
    if let Ok(scenario_files) = generate::scenario_files(session) {
        choose_scenarios(&scenario_files, &args.scenarios)?;
    }
    let tree = sources::tree(&args.source);
    let may_be_fixed = match &tree {
        TreeRequest::Default => true,
        TreeRequest::Directory(path) => path.is_dir(),
        TreeRequest::Git { .. } => args.dry_run,
    };
    if !may_be_fixed {
        let Session {
            cache,
            cancel,
            progress,
            ..
        } = session;
        Tree::open(&tree, cache, cancel, progress)?;
    }
    Ok(())
}

/// Returns the places that a run rests on.
///
/// # Errors
/// When one is not there.
pub(super) fn watched_paths(args: &TestArgs, session: &Session) -> anyhow::Result<Vec<Root>> {
    let layout = &session.layout;
    let library = layout.series();
    let mut watched_paths = vec![
        Root::Folder(layout.scenarios()),
        Root::Folder(layout.configs()),
        Root::Folder(layout.machines()),
    ];
    // Data that the user names may do without.
    let optional = [layout.kselftest(), layout.snapshots()].into_iter();
    watched_paths.extend(optional.filter(|folder| folder.is_dir()).map(Root::Folder));
    // What a tree has already is told by all series of ours.
    let ours = series::names(&library);
    watched_paths.extend(ours.iter().map(|name| Root::Folder(library.join(name))));
    let named = named_series(args);
    let elsewhere = named.iter().filter(|name| !ours.contains(name));
    watched_paths.extend(elsewhere.filter_map(|name| place_of_series(name, &library)));
    if let TreeRequest::Directory(path) = sources::tree(&args.source) {
        watched_paths.push(Root::Tree(path));
    }
    let mut whole = watched_paths
        .into_iter()
        .map(Root::whole)
        .collect::<std::io::Result<Vec<_>>>()?;
    whole.sort();
    whole.dedup();
    Ok(whole)
}

impl Root {
    /// The path as the system tells it of a save: whole, and without links.
    fn whole(self) -> std::io::Result<Self> {
        Ok(match self {
            Self::File(path) => Self::File(path.canonicalize_utf8()?),
            Self::Folder(path) => Self::Folder(path.canonicalize_utf8()?),
            Self::Tree(path) => Self::Tree(path.canonicalize_utf8()?),
        })
    }
}

fn named_series(args: &TestArgs) -> Vec<String> {
    let mut named = sources::prerequisites(&args.source);
    named.push(args.source.series.clone());
    named
}

/// Returns where a series is, if there is anything at that place.
fn place_of_series(name: &str, library: &Utf8Path) -> Option<Root> {
    let path = Utf8Path::new(name);
    if series::names(library).iter().any(|one| one == name) {
        Some(Root::Folder(library.join(name)))
    } else if path.is_dir() {
        Some(Root::Folder(path.to_owned()))
    } else {
        path.is_file().then(|| Root::File(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_git_leave_is_not_what_people_save() {
        for name in [
            ".0001-a.patch.swp",
            "0001-a.patch~",
            "4913",
            ".#a.yaml",
            "#a.yaml#",
            ".git/index",
            "sub/.git/HEAD",
            ".goutputstream-QX1",
            "a.yaml___jb_tmp___",
            "a.snap.new",
            "a.c.rej",
        ] {
            assert!(is_dropping(Utf8Path::new(name)), "{name}");
        }
        for name in [
            "0001-a.patch",
            "a.yaml",
            "fast.config",
            ".config",
            "new",
            "49130",
        ] {
            assert!(!is_dropping(Utf8Path::new(name)), "{name}");
        }
    }

    #[test]
    fn a_root_is_concerned_with_what_is_in_it_alone() {
        let file = Root::File("/w/a.mbox".into());
        assert!(file.concerns(Utf8Path::new("/w/a.mbox")));
        assert!(!file.concerns(Utf8Path::new("/w/b.mbox")));
        let folder = Root::Folder("/w/series".into());
        assert!(folder.concerns(Utf8Path::new("/w/series/1.patch")));
        assert!(folder.concerns(Utf8Path::new("/w/series")));
        assert!(!folder.concerns(Utf8Path::new("/w/series-2/1.patch")));
        assert!(!folder.concerns(Utf8Path::new("/w/series/1.patch~")));
        let tree = Root::Tree("/w/linux".into());
        assert!(tree.concerns(Utf8Path::new("/w/linux/kernel/fork.c")));
        assert!(!tree.concerns(Utf8Path::new("/w/linux/kernel/fork.o")));
        assert!(!tree.concerns(Utf8Path::new("/w/linux/.git/index")));
    }
}
