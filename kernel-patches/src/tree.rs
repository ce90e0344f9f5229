// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees: kernel source from a directory, a git revision or a Debian package.
//!
//! Trees are never written to. A directory of the user is *live*: it may change between
//! runs. It has no commit id, so its files are hashed; a file is read again only if its size,
//! modification time or inode changed. The other trees are *fixed* and stored in the cache.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::content::ContentId;
use patchbed_host::context::Context;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::files::{is_executable, read_json, write_json};
use patchbed_host::process::Tool;
use serde::{Deserialize, Serialize};

use crate::arch;
use crate::error::{Doing, Error};
use crate::source;

const GIT_LIMIT: Duration = Duration::from_secs(60);
const EXPORT_LIMIT: Duration = Duration::from_secs(600);
/// Size limit of a stored index, in bytes; the index of a kernel tree has about 20 MB.
const STORED_BYTES_MAX: u64 = 256 * 1024 * 1024;

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
        let (repository, revision) = match text.rsplit_once('@') {
            _ if path.join("HEAD").is_file() && path.join("objects").is_dir() => (text, "HEAD"),
            Some(parts) if !path.exists() => parts,
            _ => return Self::Directory(path.to_owned()),
        };
        if repository.is_empty() || revision.is_empty() {
            return Self::Directory(path.to_owned());
        }
        Self::Git {
            repository: repository.into(),
            revision: revision.to_owned(),
        }
    }

    /// Checks that the tree exists, without fetching or exporting it. Fails when it is not
    /// kernel source or the repository does not have the revision.
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
    /// Opens a tree; fetches or exports it if it is not in the cache. Fails when it is not
    /// kernel source or cannot be fetched or exported.
    pub fn open(request: &TreeRequest, context: &Context) -> Result<Self, Error> {
        let tree = match request {
            TreeRequest::Default => {
                let (folder, label) = source::newest(context)?;
                // The name of the folder identifies its content.
                Self::fixed(folder.file_name().unwrap_or_default(), &folder, &label)
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
        let folder = context.cache.dir(&["trees", "live"])?;
        let stored = folder.join(format!("{key}.json"));
        let index = read_index(&root, &stored, &*context.observer)?;
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
            git_in(repository)
                .args(["archive", "--format=tar", "-o", archive.as_str(), &commit])
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

    /// Returns its content id; the commit of an exported git tree.
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
    pub(crate) fn place(&self) -> String {
        let part = match self.index {
            Some(_) => self.root.as_str(),
            None => &self.id,
        };
        ContentId::new("place").part(part).finish()
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

fn git_in(repository: &Utf8Path) -> Tool {
    git().args(["-C", repository.as_str()])
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
    let output = git_in(repository)
        .args(["rev-parse", "--verify", "--end-of-options"])
        .arg(format!("{revision}^{{commit}}"))
        .deadline("git rev-parse", GIT_LIMIT)
        .run_unchecked(cancel)
        .doing("resolving a git revision")?;
    let commit = output.stdout_text().trim().to_owned();
    if !output.status.success() || commit.is_empty() {
        let why = output.stderr_text();
        return Err(Error::input(
            format!("resolving `{revision}` in `{repository}`: {}", why.trim()),
            "pass a git repository and one of its tags, branches or commits as `GIT@REV`",
        ));
    }
    Ok(commit)
}

/// A file of a live tree: the fields that detect a change, and its content id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// Whether it is executable.
    pub executable: bool,
    /// Content id.
    pub content: String,
}

/// The files of a live tree, by path.
pub type Index = BTreeMap<Utf8PathBuf, FileRecord>;

/// Returns whether a file, by its path relative to the tree, is left from an in-tree
/// build or belongs to git. An out-of-tree build must not use these files.
pub fn is_build_product(path: &Utf8Path) -> bool {
    const PATHS: [&str; 9] = [
        ".config",
        ".config.old",
        ".git",
        "System.map",
        "debian",
        "include/config",
        "include/generated",
        "tags",
        "vmlinux",
    ];
    const ENDINGS: [&str; 7] = ["o", "a", "ko", "cmd", "mod", "order", "rej"];
    PATHS.iter().any(|product| path.starts_with(product))
        || arch::is_generated(path)
        || ENDINGS.contains(&path.extension().unwrap_or_default())
}

pub(crate) fn file_content(bytes: &[u8]) -> String {
    ContentId::new("file").part(bytes).finish()
}

/// Returns the content id of a regular file on disk, which may be larger than stored.
fn content_of(path: &Utf8Path) -> std::io::Result<String> {
    let file = fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok(ContentId::new("file").part_from(file, bytes)?.finish())
}

/// Returns the content id of a symbolic link: the hash of its target.
pub(crate) fn link_content(target: &std::path::Path) -> String {
    let target = target.to_string_lossy();
    ContentId::new("link").part(target.as_bytes()).finish()
}

/// Returns the files below `root`. Files that did not change since the index `stored` are
/// not read.
fn read_index(root: &Utf8Path, stored: &Utf8Path, observer: &dyn Observer) -> Result<Index, Error> {
    let known: Option<Vec<(String, FileRecord)>> = read_json(stored, STORED_BYTES_MAX);
    let known = known.unwrap_or_default();
    let by_path = known.iter().map(|(path, file)| (path.as_str(), file));
    let by_path: HashMap<&str, &FileRecord> = by_path.collect();
    let activity = Activity::start(observer, format!("reading {root}"), None);
    let mut files: Vec<(String, FileRecord)> = Vec::with_capacity(known.len());
    // Sorted input makes building the map fast.
    let walk = walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| below(root, entry).is_some_and(|path| !is_build_product(path)));
    for entry in walk {
        let entry = entry.doing(format!("reading `{root}`"))?;
        let Some(path) = below(root, &entry) else {
            continue;
        };
        let meta = entry.metadata().doing(format!("reading `{root}/{path}`"))?;
        // Reading a pipe or a socket may block forever.
        if !meta.is_file() && !meta.is_symlink() {
            continue;
        }
        let record = record(&root.join(path), &meta, by_path.get(path.as_str()).copied())?;
        files.push((path.to_string(), record));
        if files.len().is_multiple_of(2000) {
            activity.advance(files.len() as u64, path.as_str());
        }
    }
    if files != known {
        write_json(stored, &files).doing("storing the file index of a tree")?;
    }
    let with_paths = |(path, record)| (Utf8PathBuf::from(path), record);
    Ok(files.into_iter().map(with_paths).collect())
}

/// Returns the path of an entry relative to `root`, if it is UTF-8.
fn below<'a>(root: &Utf8Path, entry: &'a walkdir::DirEntry) -> Option<&'a Utf8Path> {
    let path = Utf8Path::from_path(entry.path())?.as_str();
    let below = path.strip_prefix(root.as_str())?;
    Some(Utf8Path::new(below.trim_start_matches('/')))
}

fn record(
    path: &Utf8Path,
    meta: &Metadata,
    known: Option<&FileRecord>,
) -> Result<FileRecord, Error> {
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let known = known.filter(|file| {
        (file.bytes, file.mtime_ns, file.inode) == (meta.len(), mtime_ns, meta.ino())
    });
    let content = match known {
        Some(file) => file.content.clone(),
        None if meta.is_symlink() => {
            link_content(&fs::read_link(path).doing("reading a symbolic link")?)
        }
        None => content_of(path).doing("reading the tree")?,
    };
    Ok(FileRecord {
        bytes: meta.len(),
        mtime_ns,
        inode: meta.ino(),
        executable: is_executable(meta),
        content,
    })
}

#[cfg(test)]
mod tests {
    use patchbed_host::events::Silent;

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

    #[test]
    fn read_index_updates_changed_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("tree");
        let stored = root.with_extension("json");
        fs::create_dir_all(root.join("a")).unwrap();
        for (path, text) in [("a/z", "1"), ("a.c", "2"), ("b", "3")] {
            fs::write(root.join(path), text).unwrap();
        }
        let first = read_index(&root, &stored, &Silent).unwrap();
        let paths: Vec<&str> = first.keys().map(|path| path.as_str()).collect();
        assert_eq!(paths, ["a/z", "a.c", "b"]);
        assert_eq!(read_index(&root, &stored, &Silent).unwrap(), first);
        fs::write(root.join("b"), "longer").unwrap();
        fs::remove_file(root.join("a.c")).unwrap();
        let second = read_index(&root, &stored, &Silent).unwrap();
        assert_eq!(second.len(), 2);
        assert_eq!(second[Utf8Path::new("a/z")], first[Utf8Path::new("a/z")]);
        assert_eq!(second[Utf8Path::new("b")].content, file_content(b"longer"));
    }

    #[test]
    fn read_index_replaces_a_stored_index_that_is_not_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("tree");
        let stored = root.with_extension("json");
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("f"), "text").unwrap();
        let status = std::process::Command::new("mkfifo")
            .arg(&stored)
            .status()
            .unwrap();
        assert!(status.success());
        let files = read_index(&root, &stored, &Silent).unwrap();
        assert_eq!(files[Utf8Path::new("f")].content, file_content(b"text"));
        assert!(stored.is_file());
    }

    #[test]
    fn is_build_product_selects_outputs_of_in_tree_builds() {
        for path in [
            ".config",
            "include/generated/x.h",
            "kernel/fork.o",
            ".git/HEAD",
        ] {
            assert!(is_build_product(Utf8Path::new(path)), "{path}");
        }
        for path in [
            "kernel/fork.c",
            "include/linux/config.h",
            "kernel/configs/debug.config",
        ] {
            assert!(!is_build_product(Utf8Path::new(path)), "{path}");
        }
    }
}
