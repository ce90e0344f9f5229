// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees: kernel source from a directory, a git revision or a Debian package.
//!
//! Trees are never written to. A directory of the user is *live*: it may change between
//! runs. The other trees are *fixed* and stored in the cache.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::content::ContentId;
use patchbed_host::context::Context;
use patchbed_host::process::Tool;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::index::{self, Index};
use crate::source;

const GIT_LIMIT: Duration = Duration::from_secs(60);
const EXPORT_LIMIT: Duration = Duration::from_secs(600);

/// The tree that the user selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TreeRequest {
    /// The newest source package of Debian.
    Default,
    /// A directory.
    Directory(Utf8PathBuf),
    /// A git repository at a revision.
    Git {
        /// The repository.
        repository: Utf8PathBuf,
        /// The revision.
        revision: String,
    },
}

impl TreeRequest {
    /// Parses `DIR` or `GIT@REV`. An existing path is a directory even if it has an `@`.
    /// A bare repository without a revision selects its `HEAD`.
    pub fn parse(text: &str) -> Self {
        let path = Utf8Path::new(text);
        if path.exists() {
            let bare = path.join("HEAD").is_file() && path.join("objects").is_dir();
            return if bare {
                Self::Git {
                    repository: path.to_owned(),
                    revision: "HEAD".to_owned(),
                }
            } else {
                Self::Directory(path.to_owned())
            };
        }
        match text.rsplit_once('@') {
            Some((repository, revision)) if !repository.is_empty() && !revision.is_empty() => {
                Self::Git {
                    repository: repository.into(),
                    revision: revision.to_owned(),
                }
            }
            _ => Self::Directory(path.to_owned()),
        }
    }

    /// Checks that the tree exists, without fetching or exporting it.
    ///
    /// # Errors
    /// When it is not kernel source or the repository does not have the revision.
    pub fn check(&self, cancel: &Cancel) -> Result<(), Error> {
        match self {
            Self::Default => Ok(()),
            Self::Directory(path) => check_directory(path),
            Self::Git {
                repository,
                revision,
            } => resolve(repository, revision, cancel).map(drop),
        }
    }
}

/// Kernel source in a folder.
#[derive(Clone, Debug)]
pub struct Tree {
    id: String,
    root: Utf8PathBuf,
    label: String,
    index: Option<Index>,
}

impl Tree {
    /// Opens a tree; fetches or exports it if it is not in the cache.
    ///
    /// # Errors
    /// When it is not kernel source or cannot be fetched or exported.
    pub fn open(request: &TreeRequest, context: &Context) -> Result<Self, Error> {
        let tree = match request {
            TreeRequest::Default => {
                let package = source::newest(context)?;
                Self::fixed(&package.name, &package.folder, &package.label)
            }
            TreeRequest::Directory(path) => Self::live(path, context)?,
            TreeRequest::Git {
                repository,
                revision,
            } => Self::export(repository, revision, context)?,
        };
        check_is_kernel(&tree.root, &tree.label)?;
        Ok(tree)
    }

    pub(crate) fn fixed(id: &str, root: &Utf8Path, label: &str) -> Self {
        Self {
            id: id.to_owned(),
            root: root.to_owned(),
            label: label.to_owned(),
            index: None,
        }
    }

    fn live(path: &Utf8Path, context: &Context) -> Result<Self, Error> {
        check_directory(path)?;
        let root = path
            .canonicalize_utf8()
            .doing(format!("resolving `{path}`"))?;
        let key = ContentId::new("path").part(root.as_str()).finish();
        let stored = context
            .cache
            .dir(&["trees", "live"])?
            .join(format!("{key}.json"));
        let index = index::read(&root, &stored, &*context.observer)?;
        let mut id = ContentId::new("tree");
        for (path, file) in &index {
            id = id.part(path.as_str()).part(&file.content);
            id = id.part([u8::from(file.executable)]);
        }
        Ok(Self {
            id: id.finish(),
            label: format!("`{path}`"),
            root,
            index: Some(index),
        })
    }

    fn export(repository: &Utf8Path, revision: &str, context: &Context) -> Result<Self, Error> {
        let commit = resolve(repository, revision, &context.cancel)?;
        let home = context.cache.dir(&["trees"])?.join(&commit);
        let label = format!("`{repository}@{revision}`");
        let _lock = context.lock(&home.with_extension("lock"), &label)?;
        if !home.is_dir() {
            let _activity = context.activity(format!("exporting {label}"), None);
            let parts = home.with_extension("partial");
            let _ = fs::remove_dir_all(&parts);
            fs::create_dir_all(&parts).doing("making a folder")?;
            let archive = parts.with_extension("tar");
            git()
                .args(["-C", repository.as_str(), "archive", "--format=tar", "-o"])
                .args([archive.as_str(), &commit])
                .deadline("git archive", EXPORT_LIMIT)
                .run(&context.cancel)
                .doing(format!("exporting {label}"))?;
            Tool::new("tar")
                .args(["-xf", archive.as_str(), "-C", parts.as_str()])
                .deadline("unpacking", EXPORT_LIMIT)
                .run(&context.cancel)
                .doing(format!("unpacking {label}"))?;
            fs::remove_file(&archive).doing("removing the archive of an exported tree")?;
            fs::rename(&parts, &home).doing("storing an exported tree in the cache")?;
        }
        Ok(Self::fixed(&commit, &home, &label))
    }

    /// Returns its content id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns its folder.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Returns its name for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the files of a live tree; `None` for a fixed tree.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// Returns the name of its build folder: the content id of a fixed tree, or a hash of
    /// the path of a live tree, so that builds are incremental.
    pub fn place(&self) -> String {
        match self.index {
            Some(_) => ContentId::new("place").part(self.root.as_str()).finish(),
            None => ContentId::new("place").part(&self.id).finish(),
        }
    }
}

/// Returns a git command without the `GIT_*` variables of the caller, which redirect it
/// to another repository when this program runs in a git hook.
pub fn git() -> Tool {
    [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    ]
    .iter()
    .fold(Tool::new("git"), |git, name| git.env_remove(name))
    .env("LC_ALL", "C")
}

fn check_directory(path: &Utf8Path) -> Result<(), Error> {
    if !path.is_dir() {
        return Err(Error::input(
            format!("opening kernel tree `{path}`: no such directory"),
            "pass a directory, or a git repository and a revision as `GIT@REV`",
        ));
    }
    check_is_kernel(path, &format!("`{path}`"))
}

fn check_is_kernel(root: &Utf8Path, label: &str) -> Result<(), Error> {
    for file in ["Kbuild", "Kconfig", "Makefile", "scripts/kconfig/Makefile"] {
        if !root.join(file).is_file() {
            return Err(Error::input(
                format!("opening kernel tree {label}: it has no `{file}`"),
                "pass the top folder of a Linux source tree",
            ));
        }
    }
    Ok(())
}

fn resolve(repository: &Utf8Path, revision: &str, cancel: &Cancel) -> Result<String, Error> {
    let output = git()
        .args([
            "-C",
            repository.as_str(),
            "rev-parse",
            "--verify",
            "--end-of-options",
        ])
        .arg(format!("{revision}^{{commit}}"))
        .deadline("git rev-parse", GIT_LIMIT)
        .run_unchecked(cancel)
        .doing("resolving a git revision")?;
    let commit = output.stdout_text().trim().to_owned();
    if !output.status.success() || commit.is_empty() {
        return Err(Error::input(
            format!(
                "resolving `{revision}` in `{repository}`: {}",
                output.stderr_text().trim()
            ),
            "pass a git repository and one of its tags, branches or commits as `GIT@REV`",
        ));
    }
    Ok(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_distinguishes_directories_and_revisions() {
        assert_eq!(
            TreeRequest::parse("/no/such"),
            TreeRequest::Directory("/no/such".into())
        );
        assert_eq!(
            TreeRequest::parse("/no/such.git@v7.3"),
            TreeRequest::Git {
                repository: "/no/such.git".into(),
                revision: "v7.3".into()
            }
        );
    }
}
