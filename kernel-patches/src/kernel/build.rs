// SPDX-License-Identifier: GPL-2.0-only
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
/// Compile steps of a `fast` kernel from nothing, until this host knows better.
const STEPS_GUESS: u64 = 1300;

/// What to build, and where to put it.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) tree: &'a Tree,
    pub(super) checkout: Cow<'a, Checkout>,
    pub(super) config: Config,
    /// The kernel's folder in the cache.
    pub(super) dir: &'a Utf8Path,
    /// Modules to build against it, and their folder in the cache.
    pub(super) modules: Option<(&'a Modules, Utf8PathBuf)>,
}

impl Order<'_> {
    fn lacks_kernel(&self) -> bool {
        super::Kernel::load(self.dir, "", false).is_none()
    }

    fn lacks_modules(&self) -> bool {
        matches!(&self.modules, Some((_, dir)) if !dir.is_dir())
    }
}

/// Builds what is not there of the kernel and its modules, and puts each in place
/// whole. Modules of a kernel that is there have its objects made up to date first.
pub(super) fn build(
    order: &Order<'_>,
    cache: &Cache,
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let config = &order.config.name;
    let work = WorkTree::take(cache, order.tree, config, cancel, observer)?;
    if !order.lacks_kernel() && !order.lacks_modules() {
        // Another run built it while we waited for the lock.
        return Ok(());
    }
    let begun = Instant::now();
    let maker = Maker::begin(&work, order, cache, cancel, observer)?;
    maker.compile()?;
    if order.lacks_kernel() {
        let files = maker.files()?;
        let code = code::of_image(&maker.work.objects(), &maker.work.source(), &files)?;
        maker.install_headers()?;
        maker.publish(begun.elapsed().as_secs(), &files, Some(code))?;
    }
    match &order.modules {
        Some((modules, dir)) if order.lacks_modules() => maker.make_modules(modules, dir),
        _ => Ok(()),
    }
}

pub(super) struct Maker<'a> {
    pub(super) work: &'a WorkTree,
    compiler_wrappers: CompilerWrappers,
    headers: Headers,
    pub(super) in_progress: InProgress,
    order: &'a Order<'a>,
    pub(super) cancel: &'a Cancel,
    pub(super) observer: &'a dyn Observer,
}

impl<'a> Maker<'a> {
    /// Turns the build folder into the source that is to be built, and configures it.
    fn begin(
        work: &'a WorkTree,
        order: &'a Order<'a>,
        cache: &Cache,
        cancel: &'a Cancel,
        observer: &'a dyn Observer,
    ) -> Result<Self, Error> {
        work.turn_into(order.tree, &order.checkout.overlay, observer)?;
        let maker = Self {
            work,
            compiler_wrappers: CompilerWrappers::lay(work.home(), cache)?,
            headers: Headers::of(work.home(), order.tree, &order.checkout.overlay),
            in_progress: InProgress::of(work.home()),
            order,
            cancel,
            observer,
        };
        // First of all: a configuration runs tools that the last build made.
        maker.in_progress.forget(&work.objects())?;
        maker.configure()?;
        Ok(maker)
    }
}

impl Maker<'_> {
    pub(super) fn make(&self, targets: &[&str]) -> Tool {
        let make = Tool::new("make")
            .args(["-C", self.work.source().as_str()])
            .arg(format!("O={}", self.work.objects()))
            .args(targets)
            // The user's own kernel-building environment must not leak in, and
            // the same source must give the same kernel.
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
            .before(make, &std::env::var_os("PATH").unwrap_or_default())
    }

    pub(super) fn log(&self) -> Utf8PathBuf {
        self.work.home().join("build.log")
    }

    pub(super) fn what(&self) -> String {
        format!(
            "`{}` ({})",
            self.order.checkout.name, self.order.config.name
        )
    }

    /// Makes `.config`, unless the one there came from the same question.
    fn configure(&self) -> Result<(), Error> {
        let objects = self.work.objects();
        fs::create_dir_all(&objects).map_err(Error::host("making the object folder"))?;
        let key = self.configuration_key()?;
        let memory = self.work.home().join("configured");
        let config = objects.join(".config");
        let known = fs::read_to_string(&memory).is_ok_and(|known| known == key);
        if !(known && config.is_file()) {
            let _ = fs::remove_file(&memory);
            let _activity =
                Activity::start(self.observer, format!("configuring {}", self.what()), None);
            self.run_config("tinyconfig")?;
            let tiny = fs::read_to_string(&config).map_err(Error::host("reading .config"))?;
            let asked = tiny + &self.order.config.text();
            fs::write(&config, asked).map_err(Error::host("writing .config"))?;
            self.run_config("olddefconfig")?;
        }
        self.check_granted(&config)?;
        fs::write(&memory, key).map_err(Error::host("remembering a configuration"))
    }

    fn run_config(&self, target: &str) -> Result<(), Error> {
        let make = self
            .make(&[target])
            .log_to(self.log())
            .deadline("configuration", CONFIGURE_LIMIT);
        self.in_progress
            .during(|| make.run(self.cancel))?
            .map(drop)
            .map_err(|error| self.explain(error, "configure"))
    }

    fn check_granted(&self, config: &Utf8Path) -> Result<(), Error> {
        let text = fs::read_to_string(config).map_err(Error::host("reading .config"))?;
        let missing = self.order.config.ungranted(&text);
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::input(
            format!(
                "{} configuration option(s) of {} did not take effect:\n  {}",
                missing.len(),
                self.what(),
                missing.join("\n  ")
            ),
            "the tree lacks them, or something they depend on is off",
        ))
    }

    /// Everything that decides the configuration: what is asked for, and every
    /// Kconfig file that the checkout changes.
    fn configuration_key(&self) -> Result<String, Error> {
        let mut id = ContentId::new("configuration")
            .part(self.order.tree.id().as_bytes())
            .part(self.order.config.text().as_bytes());
        for (path, state) in self.order.checkout.overlay.files() {
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
        // From nothing there is a fair guess; how much an edit touches nobody knows.
        let total = (!self.work.objects().join("vmlinux").is_file()).then_some(STEPS_GUESS);
        let activity = Activity::start(self.observer, format!("building {}", self.what()), total);
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
            .map_err(|error| self.explain(error, "compile"))
    }

    fn compile(&self) -> Result<(), Error> {
        self.run_make()?;
        self.check_image()
    }

    /// An image that boots another kernel than the one built would prove nothing;
    /// one that an object of long ago got into is put together anew.
    fn check_image(&self) -> Result<(), Error> {
        let objects = self.work.objects();
        let is_right =
            || image::is_of_its_kernel(&objects).map_err(Error::host("looking into an image"));
        if is_right()? {
            return Ok(());
        }
        image::forget(&objects).map_err(Error::host("forgetting an image"))?;
        self.run_make()?;
        if is_right()? {
            return Ok(());
        }
        let other = std::io::Error::other("another kernel than the one built is in it");
        Err(Error::host("looking into an image")(other))
    }

    fn install_headers(&self) -> Result<(), Error> {
        if self.headers.are_there() {
            return Ok(());
        }
        let activity = format!("installing the headers of {}", self.what());
        let _activity = Activity::start(self.observer, activity, None);
        self.headers.clear()?;
        let make = self
            .make(&["headers_install"])
            .arg(format!("INSTALL_HDR_PATH={}", self.headers.folder))
            .log_to(self.log())
            .deadline("headers_install", CONFIGURE_LIMIT);
        self.in_progress
            .during(|| make.run(self.cancel))?
            .map_err(|error| self.explain(error, "install its headers"))?;
        self.headers.remember()
    }

    /// A tool that says no is the source's fault; anything else is the host's.
    pub(super) fn explain(&self, error: ProcessError, verb: &str) -> Error {
        match error {
            ProcessError::Failed { ref tail, .. } if caused_by_host(tail).is_some() => {
                Error::tool(format!("making {}", self.what()))(error)
            }
            ProcessError::Failed { tail, .. } => Error::input(
                format!(
                    "{} does not {verb}; the last lines:\n{}",
                    self.what(),
                    tail.trim_end()
                ),
                format!("the whole output is in {}", self.log()),
            ),
            other => Error::tool(format!("making {}", self.what()))(other),
        }
    }

    /// Returns the files that the image was built from.
    pub(super) fn files(&self) -> Result<ImageFiles, Error> {
        files::of_image(&self.work.objects(), &self.work.source(), self.cancel)
    }

    /// Copies what came out to its place in the cache, whole or not at all.
    fn publish(
        &self,
        build_secs: u64,
        files: &ImageFiles,
        code: Option<String>,
    ) -> Result<(), Error> {
        let place = self.order.dir.parent().unwrap_or(self.order.dir);
        let folder = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(place)
            .map_err(Error::host("making a folder"))?;
        let parts = Utf8Path::from_path(folder.path()).unwrap_or(place);
        let objects = self.work.objects();
        let copy = |from: Utf8PathBuf, name: &str| {
            fs::copy(from, parts.join(name))
                .map(drop)
                .map_err(Error::host("keeping a kernel"))
        };
        copy(image::path(&objects), "bzImage")?;
        copy(objects.join("vmlinux"), "vmlinux")?;
        copy(objects.join(".config"), "config")?;
        link_folder(&self.headers.folder, &parts.join("headers"))?;
        let selftests = parts.join("selftests");
        fs::create_dir_all(&selftests).map_err(Error::host("making a folder"))?;
        for name in ["kselftest.h", "kselftest_harness.h"] {
            let from = self
                .work
                .source()
                .join("tools/testing/selftests")
                .join(name);
            copy(from, &format!("selftests/{name}"))?;
        }
        let list = files::to_text(&files.sources);
        fs::write(parts.join(files::FILE_NAME), &list).map_err(Error::host("keeping a kernel"))?;
        let release = fs::read_to_string(objects.join("include/config/kernel.release"))
            .map_err(Error::host("reading the kernel's release"))?;
        let facts = Facts {
            release: release.trim().to_owned(),
            checkout: self.order.checkout.name.clone(),
            config: self.order.config.name.clone(),
            tree: self.order.tree.label().to_owned(),
            build_secs,
            image_bytes: fs::metadata(parts.join("bzImage"))
                .map_err(Error::host("keeping a kernel"))?
                .len(),
            sources_bytes: list.len() as u64,
            code,
        };
        let text = serde_json::to_vec_pretty(&facts).map_err(Error::host("keeping a kernel"))?;
        fs::write(parts.join(FACTS), text).map_err(Error::host("keeping a kernel"))?;
        self.put_in_place(parts)
    }

    /// Another checkout may have built the same kernel meanwhile; a whole one
    /// stays, since somebody may be running it.
    fn put_in_place(&self, parts: &Utf8Path) -> Result<(), Error> {
        if super::Kernel::load(self.order.dir, "", false).is_some() {
            return Ok(());
        }
        let _ = fs::remove_dir_all(self.order.dir);
        fs::rename(parts, self.order.dir).map_err(Error::host("keeping a kernel"))
    }
}

/// Reads a step of kbuild's output: `  CC      kernel/fork.o`.
fn step(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("  ")?;
    let verb = rest.split(' ').next()?;
    let upper = verb.len() >= 2 && verb.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    upper.then(|| rest.trim())
}

/// Shares the headers of a folder with another: nothing ever writes into one,
/// and installing makes each anew.
fn link_folder(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(Error::host(format!("reading `{from}`")))?;
        let Some(path) = Utf8Path::from_path(entry.path()) else {
            continue;
        };
        let Ok(below) = path.strip_prefix(from) else {
            continue;
        };
        if entry.file_type().is_dir() {
            fs::create_dir_all(to.join(below)).map_err(Error::host("making a folder"))?;
        } else if below.extension() == Some("h") && fs::hard_link(path, to.join(below)).is_err() {
            fs::copy(path, to.join(below)).map_err(Error::host("keeping headers"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_kbuild_are_counted_and_chatter_is_not() {
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
