// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configures, compiles and publishes one kernel.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::{partial_folder, publish_folder};
use patchbed_host::content::ContentId;
use patchbed_host::context::Context;
use patchbed_host::files::{missing_is_removed, walk};
use patchbed_host::process::{Output, ProcessError, Tool};

use super::cached::{Facts, IMAGE, Kernel, Modules, SOURCES, publish_modules};
use super::files::{self, ImageFiles};
use super::state::{Headers, InProgress, has_newest_kernel};
use super::toolchain::CompilerWrappers;
use crate::arch::Arch;
use crate::checkout::Checkout;
use crate::config::Config;
use crate::error::{Doing, Error};
use crate::make::{caused_by_host, jobs, make};
use crate::overlay::bytes_of;
use crate::tree::Tree;
use crate::worktree::WorkTree;

const CONFIGURE_LIMIT: Duration = Duration::from_secs(600);
const COMPILE_LIMIT: Duration = Duration::from_secs(2 * 3600);
const PREPARE_LIMIT: Duration = Duration::from_secs(600);
const OBJECTS_LIMIT: Duration = Duration::from_secs(1800);
const MODULES_LIMIT: Duration = Duration::from_secs(1800);
/// Estimated number of compile steps of a `fast` kernel without any objects.
const STEPS_ESTIMATE: u64 = 1300;

#[derive(Debug)]
pub(super) struct BuildRequest<'a> {
    pub(super) tree: &'a Tree,
    pub(super) checkout: Cow<'a, Checkout>,
    pub(super) config: Config,
    pub(super) arch: &'static Arch,
    pub(super) id: String,
    pub(super) dir: Utf8PathBuf,
    /// Modules to build, and their folder in the cache.
    pub(super) modules: Option<(&'a Modules, Utf8PathBuf)>,
}

impl BuildRequest<'_> {
    pub(super) fn is_complete(&self) -> bool {
        !self.lacks_kernel() && !self.lacks_modules()
    }

    fn lacks_kernel(&self) -> bool {
        Kernel::load(&self.dir, &self.id, false).is_none()
    }

    fn lacks_modules(&self) -> bool {
        matches!(&self.modules, Some((_, dir)) if !dir.is_dir())
    }

    pub(super) fn kernel(&self, is_fresh: bool) -> Result<Kernel, Error> {
        Kernel::load(&self.dir, &self.id, is_fresh).ok_or_else(|| {
            Error::unexpected(format!("reading `{}`", self.dir), "the kernel is missing")
        })
    }
}

/// Returns the kernel from the cache, or builds it and its modules. For missing modules of
/// a cached kernel, the kernel's objects are rebuilt first, since modules link against
/// them.
pub(super) fn make_kernel(request: &BuildRequest<'_>, context: &Context) -> Result<Kernel, Error> {
    let is_fresh = request.lacks_kernel();
    if request.is_complete() {
        return request.kernel(is_fresh);
    }
    let work = WorkTree::lock(request.tree, &request.config.name, context)?;
    // Another run may have built them while this run waited for the lock.
    if !request.is_complete() {
        build(request, &work, context)?;
    }
    request.kernel(is_fresh)
}

fn build(request: &BuildRequest<'_>, work: &WorkTree, context: &Context) -> Result<(), Error> {
    let started = Instant::now();
    let builder = Builder::begin(work, request, context)?;
    builder.compile()?;
    if request.lacks_kernel() {
        let files = builder.files()?;
        let code = files::image_code_id(&work.objects(), &work.source(), &files, request.arch)?;
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
    in_progress: InProgress,
    request: &'a BuildRequest<'a>,
    context: &'a Context,
}

impl<'a> Builder<'a> {
    /// Switches the build folder to the checkout and configures it.
    pub(super) fn begin(
        work: &'a WorkTree,
        request: &'a BuildRequest<'a>,
        context: &'a Context,
    ) -> Result<Self, Error> {
        let (home, overlay) = (work.home(), &request.checkout.overlay);
        work.switch_to(request.tree, overlay, &*context.observer)?;
        let builder = Self {
            work,
            compiler_wrappers: CompilerWrappers::install(home, &context.cache)?,
            headers: Headers::of(home, request.tree, overlay, request.arch),
            in_progress: InProgress::of(home),
            request,
            context,
        };
        // Before the configuration, which runs tools of the previous build.
        builder.in_progress.delete_partial(&work.objects())?;
        builder.configure()?;
        Ok(builder)
    }

    /// Returns a make command with a named time limit, whose output goes to the build log.
    fn make(&self, targets: &[&str], (name, limit): (&str, Duration)) -> Tool {
        // Builds must be reproducible.
        let make = make(&self.work.source(), &self.work.objects())
            .args(targets)
            .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970")
            // Part of every image and not of its id: another name needs another
            // `BUILD_FORMAT`.
            .env("KBUILD_BUILD_USER", "testbed")
            .env("KBUILD_BUILD_HOST", "testbed")
            .env("KBUILD_BUILD_VERSION", "1");
        self.compiler_wrappers
            .prepend(make, &std::env::var_os("PATH").unwrap_or_default())
            .log_to(self.log())
            .deadline(name, limit)
    }

    fn run_make(&self, make: &Tool, step: &str) -> Result<(), Error> {
        self.run(|| make.run(&self.context.cancel), step)
    }

    /// Runs make; if it is killed, the in-progress marker stays.
    fn run(
        &self,
        run: impl FnOnce() -> Result<Output, ProcessError>,
        step: &str,
    ) -> Result<(), Error> {
        self.in_progress.begin()?;
        let result = run();
        self.in_progress.end(&result)?;
        result.map(drop).map_err(|error| self.explain(error, step))
    }

    pub(super) fn log(&self) -> Utf8PathBuf {
        self.work.home().join("build.log")
    }

    /// Returns checkout and config for messages: `` `base` (fast) ``.
    fn name(&self) -> String {
        let BuildRequest {
            checkout, config, ..
        } = self.request;
        format!("`{}` ({})", checkout.name, config.name)
    }

    /// Writes `.config`, unless the existing file has the same inputs.
    fn configure(&self) -> Result<(), Error> {
        let objects = self.work.objects();
        fs::create_dir_all(&objects).doing("creating the object folder")?;
        let key = self.configuration_key()?;
        let key_file = self.work.home().join("configured");
        let config = objects.join(".config");
        let is_same = fs::read_to_string(&key_file).is_ok_and(|old| old == key);
        if !(is_same && config.is_file()) {
            let _ = fs::remove_file(&key_file);
            let activity = format!("configuring {}", self.name());
            let _activity = self.context.activity(activity, None);
            self.run_config("tinyconfig")?;
            let tiny = fs::read_to_string(&config).doing("reading .config")?;
            let requested = tiny + &self.request.config.text();
            fs::write(&config, requested).doing("writing .config")?;
            self.run_config("olddefconfig")?;
        }
        self.check_config(&config)?;
        fs::write(&key_file, key).doing("storing the key of a configuration")
    }

    fn run_config(&self, target: &str) -> Result<(), Error> {
        let make = self.make(&[target], ("configuration", CONFIGURE_LIMIT));
        self.run_make(&make, "configuring")
    }

    fn check_config(&self, config: &Utf8Path) -> Result<(), Error> {
        let text = fs::read_to_string(config).doing("reading .config")?;
        let missing = self.request.config.mismatches(&text);
        if missing.is_empty() {
            return Ok(());
        }
        let (name, missing) = (self.name(), missing.join("\n  "));
        Err(Error::input(
            format!("configuring {name}: options that are not set as requested:\n  {missing}"),
            "check that the tree defines them and that their dependencies are enabled",
        ))
    }

    /// Hashes tree, fragments and the Kconfig files that the checkout changes.
    fn configuration_key(&self) -> Result<String, Error> {
        let mut id = ContentId::new("configuration")
            .part(self.request.tree.id())
            .part(self.request.config.text());
        for (path, state) in self.request.checkout.overlay.files() {
            if path
                .file_name()
                .is_some_and(|name| name.starts_with("Kconfig"))
            {
                id = id.part(path.as_str()).part(bytes_of(state.as_ref()));
            }
        }
        Ok(id.finish())
    }

    pub(super) fn compile(&self) -> Result<(), Error> {
        self.make_image()?;
        self.check_image()
    }

    fn make_image(&self) -> Result<(), Error> {
        // The number of steps of an incremental build is unknown.
        let total = (!self.work.objects().join("vmlinux").is_file()).then_some(STEPS_ESTIMATE);
        let activity = format!("building {}", self.name());
        let activity = self.context.activity(activity, total);
        let mut steps = 0;
        let mut on_line = |line: &str| {
            if let Some(step) = step(line) {
                steps += 1;
                activity.advance(steps, step);
            }
        };
        let targets = [&jobs(), self.request.arch.image_target];
        let make = self.make(&targets, ("kernel build", COMPILE_LIMIT));
        let run = || make.run_lines(&self.context.cancel, &mut on_line);
        self.run(run, "compiling")
    }

    pub(super) fn compile_objects(&self, objects: &[Utf8PathBuf]) -> Result<(), Error> {
        let objects = objects.iter().map(|object| object.as_str());
        let make = self.make(&[&jobs()], ("compiling objects", OBJECTS_LIMIT));
        self.run_make(&make.args(objects), "compiling")
    }

    /// Links the existing objects, of which only `new` changed, and builds the image. This
    /// skips make's walk through all folders, which takes longer than linking. Returns
    /// false if the result may lack the new objects.
    pub(super) fn link(&self, new: &[Utf8PathBuf]) -> Result<bool, Error> {
        let objects = self.work.objects();
        // make compares only the time of this thin archive, not the times of its objects.
        missing_is_removed(fs::remove_file(objects.join("vmlinux.a"))).doing("linking a kernel")?;
        let targets = [&jobs(), self.request.arch.image_target, "build-dir=nowhere"];
        let make = self.make(&targets, ("linking a kernel", OBJECTS_LIMIT));
        self.in_progress.begin()?;
        let linked = make.run(&self.context.cancel);
        self.in_progress.end(&linked)?;
        match linked {
            // The full build reports whether the source is the cause.
            Err(ProcessError::Failed { .. }) => return Ok(false),
            other => other.doing("linking a kernel")?,
        };
        let time = |file: &str| fs::metadata(objects.join(file)).and_then(|meta| meta.modified());
        let (image, kernel) = (time(self.request.arch.image).ok(), time("vmlinux").ok());
        let is_in = |object: &Utf8PathBuf| time(object.as_str()).ok() < kernel;
        let is_whole = kernel.is_some() && kernel <= image && new.iter().all(is_in);
        if is_whole {
            self.check_image()?;
        }
        Ok(is_whole)
    }

    /// Checks that the image contains the new kernel; links it again once if not.
    fn check_image(&self) -> Result<(), Error> {
        let (objects, arch) = (self.work.objects(), self.request.arch);
        let doing = "checking the kernel image";
        if has_newest_kernel(&objects, arch).doing(doing)? {
            return Ok(());
        }
        fs::remove_file(objects.join(arch.packed_object))
            .doing("deleting the packed kernel of an image")?;
        self.make_image()?;
        match has_newest_kernel(&objects, arch).doing(doing)? {
            true => Ok(()),
            false => Err(Error::unexpected(
                doing,
                "it contains an older kernel than the built one",
            )),
        }
    }

    pub(super) fn install_headers(&self) -> Result<(), Error> {
        if self.headers.are_current() {
            return Ok(());
        }
        let activity = format!("installing the headers of {}", self.name());
        let _activity = self.context.activity(activity, None);
        self.headers.clear()?;
        let make = self
            .make(&["headers_install"], ("headers_install", CONFIGURE_LIMIT))
            .arg(format!("INSTALL_HDR_PATH={}", self.headers.folder));
        self.run_make(&make, "installing the headers of")?;
        self.headers.store_key()
    }

    /// Builds `modules` against the kernel in the build folder and stores them in `dir`.
    pub(super) fn build_modules(&self, modules: &Modules, dir: &Utf8Path) -> Result<(), Error> {
        let activity = format!("building modules of {}", self.name());
        let _activity = self.context.activity(activity, None);
        let folder = self.work.home().join("modules");
        modules.write_to(&folder)?;
        let make = self.make(&["modules_prepare"], ("modules_prepare", PREPARE_LIMIT));
        self.run_make(&make, "preparing modules of")?;
        // modpost reads `Module.symvers`, which kbuild writes only when all modules of the
        // tree are built.
        let objects = self.work.objects();
        let symbols = objects.join("vmlinux.symvers");
        fs::copy(symbols, objects.join("Module.symvers"))
            .doing("copying the exported symbols of a kernel")?;
        let make = self
            .make(&["modules"], ("module build", MODULES_LIMIT))
            .arg(format!("M={folder}"));
        self.run_make(&make, "building modules of")?;
        publish_modules(&folder, dir)
    }

    /// Returns a failure of make as wrong input, unless its output has a message about the
    /// host. `step` is a phrase before the checkout: `compiling`.
    fn explain(&self, error: ProcessError, step: &str) -> Error {
        let doing = format!("{step} {}", self.name());
        match error {
            ProcessError::Failed { tail, .. } if caused_by_host(&tail).is_none() => Error::input(
                format!(
                    "{doing}: make failed; the last lines of its output:\n{}",
                    tail.trim_end()
                ),
                format!("the full output is in `{}`", self.log()),
            ),
            other => Error::infrastructure(doing, other),
        }
    }

    pub(super) fn files(&self) -> Result<ImageFiles, Error> {
        let (objects, source) = (self.work.objects(), self.work.source());
        files::of_image(&objects, &source, self.request.arch, &self.context.cancel)
    }

    /// Copies the build to the cache and publishes it by a rename.
    pub(super) fn publish(
        &self,
        build_secs: u64,
        files: &ImageFiles,
        code: Option<String>,
    ) -> Result<(), Error> {
        let doing = "storing a kernel in the cache";
        let dir = &self.request.dir;
        let (_folder, parts) = partial_folder(dir).doing(doing)?;
        let (objects, source) = (self.work.objects(), self.work.source());
        link_folder(&self.headers.folder, &parts.join("headers"))?;
        fs::create_dir_all(parts.join("selftests")).doing("creating a folder")?;
        for (from, to) in [
            (self.request.arch.image, IMAGE),
            ("vmlinux", "vmlinux"),
            (".config", "config"),
        ] {
            fs::copy(objects.join(from), parts.join(to)).doing(doing)?;
        }
        for header in ["selftests/kselftest.h", "selftests/kselftest_harness.h"] {
            let from = source.join("tools/testing").join(header);
            fs::copy(from, parts.join(header)).doing(doing)?;
        }
        let list = files.source_list();
        fs::write(parts.join(SOURCES), &list).doing(doing)?;
        let release = fs::read_to_string(objects.join("include/config/kernel.release"))
            .doing("reading the kernel's release")?;
        let facts = Facts {
            release: release.trim().to_owned(),
            checkout: self.request.checkout.name.clone(),
            config: self.request.config.name.clone(),
            tree: self.request.tree.label().to_owned(),
            build_secs,
            image_bytes: fs::metadata(parts.join(IMAGE)).doing(doing)?.len(),
            sources_bytes: list.len() as u64,
            code,
        };
        Kernel::store(&facts, &parts).doing(doing)?;
        publish_folder(&parts, dir, || !self.request.lacks_kernel()).doing(doing)
    }
}

/// Parses a line of kbuild's output: `  CC      kernel/fork.o`.
fn step(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("  ")?;
    let verb = rest.split(' ').next()?;
    let upper = verb.len() >= 2 && verb.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    upper.then(|| rest.trim())
}

/// Copies headers by hard links, since `headers_install` does not write to existing files.
fn link_folder(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    for entry in walk(from) {
        let (path, kind) = entry.doing(format!("reading `{from}`"))?;
        let (source, target) = (from.join(&path), to.join(&path));
        if kind.is_dir() {
            fs::create_dir_all(target).doing("creating a folder")?;
        } else if path.extension() == Some("h") && fs::hard_link(&source, &target).is_err() {
            fs::copy(source, target).doing("storing headers in the cache")?;
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
