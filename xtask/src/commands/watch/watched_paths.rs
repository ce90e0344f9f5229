// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files and folders that a run reads, and that `watch` observes.

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::config::Config;
use kernel_patches::series::{self, Series};
use kernel_patches::tree::{Tree, TreeRequest, is_build_product};
use selftests::catalogue::Manifest;

use crate::cli::RunArgs;
use xtask::engine::environment::find_machine;
use xtask::engine::kselftest;
use xtask::engine::request::choose_scenarios;
use xtask::engine::session::Session;
use xtask::engine::sources;

/// A file or folder that a run reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WatchedPath {
    /// A file. Its folder is watched, because editors replace the file by a new one.
    File(Utf8PathBuf),
    /// A folder with its subfolders.
    Folder(Utf8PathBuf),
    /// A kernel tree: a large folder, in which the output of a build is ignored.
    Tree(Utf8PathBuf),
}

impl WatchedPath {
    pub(super) fn path(&self) -> &Utf8Path {
        match self {
            Self::File(path) | Self::Folder(path) | Self::Tree(path) => path,
        }
    }

    /// Returns whether a run may read the file at `path`.
    pub(super) fn includes(&self, path: &Utf8Path) -> bool {
        match self {
            Self::File(file) => path == file,
            Self::Folder(folder) => path.starts_with(folder) && !is_temporary(path),
            Self::Tree(tree) => path
                .strip_prefix(tree)
                .is_ok_and(|below| !is_build_product(below) && !is_temporary(below)),
        }
    }
}

/// Returns whether a path is a temporary file of an editor or of git.
fn is_temporary(path: &Utf8Path) -> bool {
    const ENDINGS: [&str; 10] = [
        "~", ".swp", ".swo", ".swx", ".tmp", ".bak", ".orig", ".rej", ".new", ".lock",
    ];
    let name = path.file_name().unwrap_or_default();
    path.components().any(|part| part.as_str() == ".git")
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        // `4913` is vim's test whether it can write; `.#` and `#` are emacs's locks and
        // automatic saves.
        || name == "4913"
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        || name.starts_with(".goutputstream-")
        || name.contains("___jb_")
}

/// Checks the arguments whose errors cannot be fixed by a save, such as unknown names.
///
/// # Errors
/// The same as those of `test`.
pub(super) fn check_words(args: &RunArgs, session: &Session) -> anyhow::Result<()> {
    sources::check_words(&args.options.source, session)?;
    let library = session.layout.series();
    for name in named_series(args, &session.manifest()?) {
        if path_of_series(&name, &library).is_none() {
            Series::find(&name, &library)?;
        }
    }
    for name in &args.options.configs.config {
        let folder = session.layout.configs();
        if !folder.join(format!("{name}.yaml")).is_file() {
            Config::find(name, &folder)?;
        }
    }
    if let Some(machine) = &args.options.machine {
        let file = session.layout.machines().join(format!("{machine}.yaml"));
        if !file.is_file() {
            find_machine(machine, session)?;
        }
    }
    kselftest::parse(&args.options.kselftest)?;
    let catalogue = session.catalogue();
    if let Ok(scenario_files) = catalogue.and_then(|one| Ok(one.scenario_files()?)) {
        choose_scenarios(&scenario_files, &args.options.scenarios)?;
    }
    let tree = sources::tree(&args.options.source);
    let may_be_fixed = match &tree {
        TreeRequest::Default => true,
        TreeRequest::Directory(path) => path.is_dir(),
        TreeRequest::Git { .. } => args.dry_run,
    };
    if !may_be_fixed {
        Tree::open(&tree, &session.context())?;
    }
    Ok(())
}

/// Returns the files and folders that a run reads.
pub(super) fn watched_paths(args: &RunArgs, session: &Session) -> anyhow::Result<Vec<WatchedPath>> {
    let layout = &session.layout;
    let library = layout.series();
    let mut watched_paths = vec![
        WatchedPath::Folder(layout.catalogue()),
        WatchedPath::Folder(layout.configs()),
        WatchedPath::Folder(layout.machines()),
    ];
    // A folder given by `--data` may lack it.
    let kselftest = layout.kselftest();
    watched_paths.extend(kselftest.is_dir().then_some(WatchedPath::Folder(kselftest)));
    // All known series, because a run checks which of them the tree contains.
    let ours = series::names(&library);
    watched_paths.extend(
        ours.iter()
            .map(|name| WatchedPath::Folder(library.join(name))),
    );
    let named = named_series(args, &session.manifest()?);
    let elsewhere = named.iter().filter(|name| !ours.contains(name));
    watched_paths.extend(elsewhere.filter_map(|name| path_of_series(name, &library)));
    if let TreeRequest::Directory(path) = sources::tree(&args.options.source) {
        watched_paths.push(WatchedPath::Tree(path));
    }
    let mut canonical = watched_paths
        .into_iter()
        .map(WatchedPath::canonical)
        .collect::<std::io::Result<Vec<_>>>()?;
    canonical.sort();
    canonical.dedup();
    Ok(canonical)
}

impl WatchedPath {
    /// Makes the path absolute and resolves links, as in the paths of file events.
    fn canonical(self) -> std::io::Result<Self> {
        Ok(match self {
            Self::File(path) => Self::File(path.canonicalize_utf8()?),
            Self::Folder(path) => Self::Folder(path.canonicalize_utf8()?),
            Self::Tree(path) => Self::Tree(path.canonicalize_utf8()?),
        })
    }
}

fn named_series(args: &RunArgs, manifest: &Manifest) -> Vec<String> {
    let source = &args.options.source;
    let mut named = source.prerequisites(manifest).to_vec();
    named.push(source.series(manifest).to_owned());
    named
}

/// Returns the path of a series, if it exists.
fn path_of_series(name: &str, library: &Utf8Path) -> Option<WatchedPath> {
    let path = Utf8Path::new(name);
    if series::names(library).iter().any(|known| known == name) {
        Some(WatchedPath::Folder(library.join(name)))
    } else if path.is_dir() {
        Some(WatchedPath::Folder(path.to_owned()))
    } else {
        path.is_file().then(|| WatchedPath::File(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_temporary_recognizes_files_of_editors_and_git() {
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
            assert!(is_temporary(Utf8Path::new(name)), "{name}");
        }
        for name in [
            "0001-a.patch",
            "a.yaml",
            "fast.config",
            ".config",
            "new",
            "49130",
        ] {
            assert!(!is_temporary(Utf8Path::new(name)), "{name}");
        }
    }

    #[test]
    fn includes_accepts_paths_inside_and_ignores_others() {
        let file = WatchedPath::File("/w/a.mbox".into());
        assert!(file.includes(Utf8Path::new("/w/a.mbox")));
        assert!(!file.includes(Utf8Path::new("/w/b.mbox")));
        let folder = WatchedPath::Folder("/w/series".into());
        assert!(folder.includes(Utf8Path::new("/w/series/1.patch")));
        assert!(folder.includes(Utf8Path::new("/w/series")));
        assert!(!folder.includes(Utf8Path::new("/w/series-2/1.patch")));
        assert!(!folder.includes(Utf8Path::new("/w/series/1.patch~")));
        let tree = WatchedPath::Tree("/w/linux".into());
        assert!(tree.includes(Utf8Path::new("/w/linux/kernel/fork.c")));
        assert!(!tree.includes(Utf8Path::new("/w/linux/kernel/fork.o")));
        assert!(!tree.includes(Utf8Path::new("/w/linux/.git/index")));
    }
}
