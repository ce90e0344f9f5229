// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configures, compiles and publishes one kernel.

pub(super) mod mutant;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::process::{ProcessError, Tool};

use super::compiler_wrappers::CompilerWrappers;
use super::files::{self, ImageFiles};
use super::headers::Headers;
use super::image;
use super::in_progress::InProgress;
use super::{FACTS, Facts, Modules, code};
use crate::checkout::Checkout;
use crate::config::Config;
use crate::content::ContentId;
use crate::error::Error;
use crate::problems::caused_by_host;
use crate::tree::Tree;
use crate::worktree::WorkTree;

const CONFIGURE_LIMIT: Duration = Duration::from_secs(600);
const COMPILE_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Estimated number of compile steps of a `fast` kernel without any objects.
const STEPS_ESTIMATE: u64 = 1300;

/// A request to build a kernel and its modules.
#[derive(Debug)]
pub(super) struct BuildRequest<'a> {
    pub(super) tree: &'a Tree,
    pub(super) checkout: Cow<'a, Checkout>,
    pub(super) config: Config,
    /// Folder of the kernel in the cache.
    pub(super) dir: &'a Utf8Path,
    /// Modules to build and their folder in the cache.
    pub(super) modules: Option<(&'a Modules, Utf8PathBuf)>,
}

impl BuildRequest<'_> {
    fn lacks_kernel(&self) -> bool {
        super::Kernel::load(self.dir, "", false).is_none()
    }

    fn lacks_modules(&self) -> bool {
        matches!(&self.modules, Some((_, dir)) if !dir.is_dir())
    }
}

/// Builds the kernel and its modules, unless they are in the cache. For missing modules of
/// a cached kernel, the kernel's objects are rebuilt first, since modules link against
/// them.
pub(super) fn build(
    request: &BuildRequest<'_>,
    cache: &Cache,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let config = &request.config.name;
    let work = WorkTree::lock(cache, request.tree, config, cancel, observer)?;
    if !request.lacks_kernel() && !request.lacks_modules() {
        // Another run built them while this run waited for the lock.
        return Ok(());
    }
    let started = Instant::now();
    let builder = Builder::begin(&work, request, cache, cancel, observer)?;
    builder.compile()?;
    if request.lacks_kernel() {
        let files = builder.files()?;
        let code = code::image_code_id(&work.objects(), &work.source(), &files)?;
        builder.install_headers()?;
        builder.publish(started.elapsed().as_secs(), &files, Some(code))?;
    }
    match &request.modules {
        Some((modules, dir)) if request.lacks_modules() => builder.build_modules(modules, dir),
        _ => Ok(()),
    }
}

pub(super) struct Builder<'a> {
    pub(super) work: &'a WorkTree,
    compiler_wrappers: CompilerWrappers,
    headers: Headers,
    pub(super) in_progress: InProgress,
    request: &'a BuildRequest<'a>,
    pub(super) cancel: &'a Cancel,
    pub(super) observer: &'a dyn Observer,
}

impl<'a> Builder<'a> {
    /// Switches the build folder to the checkout and configures it.
    fn begin(
        work: &'a WorkTree,
        request: &'a BuildRequest<'a>,
        cache: &Cache,
        cancel: &'a Cancel,
        observer: &'a dyn Observer,
    ) -> Result<Self, Error> {
        work.switch_to(request.tree, &request.checkout.overlay, observer)?;
        let builder = Self {
            work,
            compiler_wrappers: CompilerWrappers::install(work.home(), cache)?,
            headers: Headers::of(work.home(), request.tree, &request.checkout.overlay),
            in_progress: InProgress::of(work.home()),
            request,
            cancel,
            observer,
        };
        // Before the configuration, which runs tools of the previous build.
        builder.in_progress.delete_partial(&work.objects())?;
        builder.configure()?;
        Ok(builder)
    }
}

impl Builder<'_> {
    pub(super) fn make(&self, targets: &[&str]) -> Tool {
        let make = Tool::new("make")
            .args(["-C", self.work.source().as_str()])
            .arg(format!("O={}", self.work.objects()))
            .args(targets)
            // Kernel build variables of the user must have no effect, and builds must be
            // reproducible.
            .env_clear()
            .env("LC_ALL", "C")
            .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970")
            // Part of every image and not of its id: another name needs another
            // `BUILD_FORMAT`.
            .env("KBUILD_BUILD_USER", "testbed")
            .env("KBUILD_BUILD_HOST", "testbed")
            .env("KBUILD_BUILD_VERSION", "1");
        let make = ["HOME", "TMPDIR"]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .fold(make, |make, (name, value)| make.env(name, value));
        self.compiler_wrappers
            .prepend(make, &std::env::var_os("PATH").unwrap_or_default())
    }

    pub(super) fn log(&self) -> Utf8PathBuf {
        self.work.home().join("build.log")
    }

    /// Returns checkout and config for messages: `` `base` (fast) ``.
    pub(super) fn name(&self) -> String {
        format!(
            "`{}` ({})",
            self.request.checkout.name, self.request.config.name
        )
    }

    /// Writes `.config`, unless the existing file has the same inputs.
    fn configure(&self) -> Result<(), Error> {
        let objects = self.work.objects();
        fs::create_dir_all(&objects)
            .map_err(Error::infrastructure("creating the object folder"))?;
        let key = self.configuration_key()?;
        let key_file = self.work.home().join("configured");
        let config = objects.join(".config");
        let is_same = fs::read_to_string(&key_file).is_ok_and(|old| old == key);
        if !(is_same && config.is_file()) {
            let _ = fs::remove_file(&key_file);
            let _activity =
                Activity::start(self.observer, format!("configuring {}", self.name()), None);
            self.run_config("tinyconfig")?;
            let tiny =
                fs::read_to_string(&config).map_err(Error::infrastructure("reading .config"))?;
            let requested = tiny + &self.request.config.text();
            fs::write(&config, requested).map_err(Error::infrastructure("writing .config"))?;
            self.run_config("olddefconfig")?;
        }
        self.check_config(&config)?;
        fs::write(&key_file, key)
            .map_err(Error::infrastructure("storing the key of a configuration"))
    }

    fn run_config(&self, target: &str) -> Result<(), Error> {
        let make = self
            .make(&[target])
            .log_to(self.log())
            .deadline("configuration", CONFIGURE_LIMIT);
        self.in_progress
            .during(|| make.run(self.cancel))?
            .map(drop)
            .map_err(|error| self.explain(error, "configuring"))
    }

    fn check_config(&self, config: &Utf8Path) -> Result<(), Error> {
        let text = fs::read_to_string(config).map_err(Error::infrastructure("reading .config"))?;
        let missing = self.request.config.mismatches(&text);
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::input(
            format!(
                "configuring {}: options that are not set as requested:\n  {}",
                self.name(),
                missing.join("\n  ")
            ),
            "check that the tree defines them and that their dependencies are enabled",
        ))
    }

    /// Returns the hash of the inputs of the configuration: tree, fragments and the Kconfig
    /// files that the checkout changes.
    fn configuration_key(&self) -> Result<String, Error> {
        let mut id = ContentId::new("configuration")
            .part(self.request.tree.id().as_bytes())
            .part(self.request.config.text().as_bytes());
        for (path, state) in self.request.checkout.overlay.files() {
            if path
                .file_name()
                .is_some_and(|name| name.starts_with("Kconfig"))
            {
                id = id.part(path.as_str().as_bytes());
                id = id.part(state.as_ref().map_or(&[], |state| state.bytes.as_slice()));
            }
        }
        Ok(id.finish())
    }

    fn run_make(&self) -> Result<(), Error> {
        // The number of steps of an incremental build is unknown.
        let total = (!self.work.objects().join("vmlinux").is_file()).then_some(STEPS_ESTIMATE);
        let activity = Activity::start(self.observer, format!("building {}", self.name()), total);
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut steps = 0;
        let mut on_line = |line: &str| {
            if let Some(step) = step(line) {
                steps += 1;
                activity.advance(steps, step);
            }
        };
        let make = self
            .make(&[&format!("-j{jobs}"), "bzImage"])
            .log_to(self.log())
            .deadline("kernel build", COMPILE_LIMIT);
        self.in_progress
            .during(|| make.run_lines(self.cancel, &mut on_line))?
            .map(drop)
            .map_err(|error| self.explain(error, "compiling"))
    }

    fn compile(&self) -> Result<(), Error> {
        self.run_make()?;
        self.check_image()
    }

    /// Checks that the image contains the kernel that was built. If a stale object was
    /// linked into it, it is linked again once.
    fn check_image(&self) -> Result<(), Error> {
        let objects = self.work.objects();
        let is_current = || {
            image::has_newest_kernel(&objects)
                .map_err(Error::infrastructure("checking the kernel image"))
        };
        if is_current()? {
            return Ok(());
        }
        image::delete_object(&objects).map_err(Error::infrastructure(
            "deleting the packed kernel of an image",
        ))?;
        self.run_make()?;
        if is_current()? {
            return Ok(());
        }
        let stale = std::io::Error::other("it contains an older kernel than the built one");
        Err(Error::infrastructure("checking the kernel image")(stale))
    }

    fn install_headers(&self) -> Result<(), Error> {
        if self.headers.are_current() {
            return Ok(());
        }
        let activity = format!("installing the headers of {}", self.name());
        let _activity = Activity::start(self.observer, activity, None);
        self.headers.clear()?;
        let make = self
            .make(&["headers_install"])
            .arg(format!("INSTALL_HDR_PATH={}", self.headers.folder))
            .log_to(self.log())
            .deadline("headers_install", CONFIGURE_LIMIT);
        self.in_progress
            .during(|| make.run(self.cancel))?
            .map_err(|error| self.explain(error, "installing the headers of"))?;
        self.headers.store_key()
    }

    /// Returns a failure of make as wrong input, unless its output has a message about the
    /// host. `step` is a phrase before the checkout: `compiling`.
    pub(super) fn explain(&self, error: ProcessError, step: &str) -> Error {
        match error {
            ProcessError::Failed { ref tail, .. } if caused_by_host(tail).is_some() => {
                Error::tool(format!("{step} {}", self.name()))(error)
            }
            ProcessError::Failed { tail, .. } => Error::input(
                format!(
                    "{step} {}: make failed; the last lines of its output:\n{}",
                    self.name(),
                    tail.trim_end()
                ),
                format!("the full output is in `{}`", self.log()),
            ),
            other => Error::tool(format!("{step} {}", self.name()))(other),
        }
    }

    /// Returns the files that the image was built from.
    pub(super) fn files(&self) -> Result<ImageFiles, Error> {
        files::of_image(&self.work.objects(), &self.work.source(), self.cancel)
    }

    /// Copies the build to the cache and publishes it by a rename.
    fn publish(
        &self,
        build_secs: u64,
        files: &ImageFiles,
        code: Option<String>,
    ) -> Result<(), Error> {
        let parent = self.request.dir.parent().unwrap_or(self.request.dir);
        let folder = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(parent)
            .map_err(Error::infrastructure("creating a folder"))?;
        let parts = Utf8Path::from_path(folder.path()).unwrap_or(parent);
        let objects = self.work.objects();
        let copy = |from: Utf8PathBuf, name: &str| {
            fs::copy(from, parts.join(name))
                .map(drop)
                .map_err(Error::infrastructure("storing a kernel in the cache"))
        };
        copy(image::path(&objects), "bzImage")?;
        copy(objects.join("vmlinux"), "vmlinux")?;
        copy(objects.join(".config"), "config")?;
        link_folder(&self.headers.folder, &parts.join("headers"))?;
        let selftests = parts.join("selftests");
        fs::create_dir_all(&selftests).map_err(Error::infrastructure("creating a folder"))?;
        for name in ["kselftest.h", "kselftest_harness.h"] {
            let from = self
                .work
                .source()
                .join("tools/testing/selftests")
                .join(name);
            copy(from, &format!("selftests/{name}"))?;
        }
        let list = files::to_text(&files.sources);
        fs::write(parts.join(files::FILE_NAME), &list)
            .map_err(Error::infrastructure("storing a kernel in the cache"))?;
        let release = fs::read_to_string(objects.join("include/config/kernel.release"))
            .map_err(Error::infrastructure("reading the kernel's release"))?;
        let facts = Facts {
            release: release.trim().to_owned(),
            checkout: self.request.checkout.name.clone(),
            config: self.request.config.name.clone(),
            tree: self.request.tree.label().to_owned(),
            build_secs,
            image_bytes: fs::metadata(parts.join("bzImage"))
                .map_err(Error::infrastructure("storing a kernel in the cache"))?
                .len(),
            sources_bytes: list.len() as u64,
            code,
        };
        let text = serde_json::to_vec_pretty(&facts)
            .map_err(Error::infrastructure("storing a kernel in the cache"))?;
        fs::write(parts.join(FACTS), text)
            .map_err(Error::infrastructure("storing a kernel in the cache"))?;
        self.rename_to_cache(parts)
    }

    /// Renames `parts` to the cache. A complete kernel of a concurrent run stays, since a
    /// VM may use it.
    fn rename_to_cache(&self, parts: &Utf8Path) -> Result<(), Error> {
        if super::Kernel::load(self.request.dir, "", false).is_some() {
            return Ok(());
        }
        let _ = fs::remove_dir_all(self.request.dir);
        fs::rename(parts, self.request.dir)
            .map_err(Error::infrastructure("storing a kernel in the cache"))
    }
}

/// Parses a line of kbuild's output: `  CC      kernel/fork.o`.
fn step(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("  ")?;
    let verb = rest.split(' ').next()?;
    let upper = verb.len() >= 2 && verb.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    upper.then(|| rest.trim())
}

/// Copies the headers of a folder by hard links. `headers_install` replaces files and
/// does not write to existing files.
fn link_folder(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(Error::infrastructure(format!("reading `{from}`")))?;
        let Some(path) = Utf8Path::from_path(entry.path()) else {
            continue;
        };
        let Ok(relative) = path.strip_prefix(from) else {
            continue;
        };
        if entry.file_type().is_dir() {
            fs::create_dir_all(to.join(relative))
                .map_err(Error::infrastructure("creating a folder"))?;
        } else if relative.extension() == Some("h")
            && fs::hard_link(path, to.join(relative)).is_err()
        {
            fs::copy(path, to.join(relative))
                .map_err(Error::infrastructure("storing headers in the cache"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_parses_kbuild_lines_only() {
        assert_eq!(
            step("  CC      kernel/fork.o"),
            Some("CC      kernel/fork.o")
        );
        assert_eq!(
            step("  OBJCOPY arch/x86/boot/vmlinux.bin"),
            Some("OBJCOPY arch/x86/boot/vmlinux.bin")
        );
        assert_eq!(step("make[1]: Entering directory"), None);
        assert_eq!(step("  some prose"), None);
    }
}
