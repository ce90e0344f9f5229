// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds kernels of mutants, one after the other, in the build folder of their series.
//!
//! The objects that depend on a mutant are compiled first. If their code is the same as
//! that of the series or of another mutant, no kernel is linked. Kernels of mutants are
//! used once, and stored in a folder of the caller instead of the cache.

mod objects;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Observer;
use patchbed_host::process::ProcessError;

use super::{BuildRequest, Builder};
use crate::checkout::Checkout;
use crate::config::Config;
use crate::content::ContentId;
use crate::error::Error;
use crate::kernel::files::ImageFiles;
use crate::kernel::{Kernel, Modules, Toolchain, code, kernel_id};
use crate::mutant::Mutant;
use crate::tree::Tree;
use crate::worktree::{Stamp, WorkTree};

const OBJECTS_LIMIT: Duration = Duration::from_secs(1800);
/// If more objects depend on a mutant, the kernel is built without comparing their code.
const OBJECTS_MAX: usize = 64;

/// The inputs of mutant builds.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// The unmodified series.
    pub series: &'a Checkout,
    /// The configuration.
    pub config: &'a Config,
    /// The compiler and linker.
    pub toolchain: &'a Toolchain,
    /// Modules, and the folder of the modules built against the series.
    pub modules: Option<(&'a Modules, &'a Utf8Path)>,
}

/// The result of a mutant build.
#[derive(Clone, Debug)]
pub enum MutantBuild {
    /// A kernel, and the folder of its modules if modules were requested.
    Kernel(Box<Kernel>, Option<Utf8PathBuf>),
    /// Its code is the same as the code of the series or of another mutant.
    SameCode {
        /// `the series`, or the name of the other mutant.
        same_as: String,
    },
    /// It does not compile or is not built in this config.
    Unviable {
        /// The reason in one line.
        why: String,
    },
}

/// Builds the mutants of a series and config.
pub struct MutantCompiler<'a> {
    origin: Origin<'a>,
    cache: &'a Cache,
    cancel: &'a Cancel,
    observer: &'a dyn Observer,
    /// Code ids of the series' objects that depend on a mutated file.
    codes: BTreeMap<Utf8PathBuf, String>,
    /// Objects that depend on a file; only `.c` and `.h` files have an entry.
    objects: BTreeMap<Utf8PathBuf, Vec<Utf8PathBuf>>,
    /// `vmlinux.symvers` of the series.
    exports: Vec<u8>,
    /// The files of the series' image. A mutant changes files and adds no files.
    files: ImageFiles,
    /// The first mutant for each code difference from the series.
    first_mutants: HashMap<String, String>,
    /// Files whose objects may differ from the objects of the series.
    stale: BTreeSet<Utf8PathBuf>,
    /// State of the build folder after the last build; `None` if its objects are unknown.
    last_stamp: Option<Stamp>,
}

impl std::fmt::Debug for MutantCompiler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("MutantCompiler");
        shown.field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<'a> MutantCompiler<'a> {
    /// Builds the series and records the code of the objects that depend on `files`.
    ///
    /// # Errors
    /// When the series does not build or the host fails.
    pub fn open(
        origin: Origin<'a>,
        files: impl IntoIterator<Item = &'a Utf8Path>,
        cache: &'a Cache,
        cancel: &'a Cancel,
        observer: &'a dyn Observer,
    ) -> Result<Self, Error> {
        let mut compiler = Self {
            origin,
            cache,
            cancel,
            observer,
            codes: BTreeMap::new(),
            objects: BTreeMap::new(),
            exports: Vec::new(),
            files: ImageFiles::default(),
            first_mutants: HashMap::new(),
            stale: BTreeSet::new(),
            last_stamp: None,
        };
        let request = compiler.request(origin.series.clone(), Utf8Path::new(""));
        let work = compiler.lock()?;
        let builder = Builder::begin(&work, &request, cache, cancel, observer)?;
        builder.compile()?;
        let folder = work.objects();
        compiler.exports = exports(&folder)?;
        compiler.files = builder.files()?;
        for file in files {
            let is_code = matches!(file.extension(), Some("c" | "h"));
            if !is_code || compiler.objects.contains_key(file) {
                continue;
            }
            let mut dependents = objects::dependents(file, &folder)?;
            // Objects of earlier builds stay in the folder.
            dependents.retain(|object| compiler.files.outputs.contains(object.as_str()));
            for object in &dependents {
                let id = code::code_id(&folder.join(object))?;
                compiler.codes.insert(object.clone(), id);
            }
            compiler.objects.insert(file.to_owned(), dependents);
        }
        compiler.last_stamp = Some(work.stamp()?);
        Ok(compiler)
    }

    /// Builds a mutant and stores its kernel in `place`, which must not exist.
    ///
    /// # Errors
    /// When the host fails.
    pub fn build(&mut self, mutant: &Mutant, place: &Utf8Path) -> Result<MutantBuild, Error> {
        let started = Instant::now();
        let changed = self.dependents(mutant.files());
        if changed.as_ref().is_some_and(Vec::is_empty) {
            let why = format!("`{}` is not built in this config", mutant.file);
            return Ok(MutantBuild::Unviable { why });
        }
        let checkout = self.origin.series.mutated(mutant, self.origin.tree);
        let request = self.request(checkout, place);
        let work = self.lock()?;
        // Another run may have built another checkout in the folder.
        let is_unchanged = self.last_stamp.take() == Some(work.stamp()?);
        let builder = Builder::begin(&work, &request, self.cache, self.cancel, self.observer)?;
        self.stale.extend(mutant.files().cloned());
        let stale = self.dependents(&self.stale);
        let few = stale.filter(|stale| stale.len() <= OBJECTS_MAX);
        let mut is_linked = false;
        if let (Some(stale), Some(changed)) = (few, changed) {
            let compiled = builder.compile_objects(&stale)?;
            self.last_stamp = is_unchanged.then(|| work.stamp()).transpose()?;
            if let Err(why) = compiled {
                return Ok(MutantBuild::Unviable { why });
            }
            if let Some(same_as) = self.same_code(mutant, &changed, &work.objects())? {
                return Ok(MutantBuild::SameCode { same_as });
            }
            is_linked = is_unchanged && builder.link(&stale)?;
        }
        if !is_linked && let Err(why) = builder.error_line(|| builder.compile())? {
            self.last_stamp = None;
            return Ok(MutantBuild::Unviable { why });
        }
        self.stale = mutant.files().cloned().collect();
        self.last_stamp = Some(work.stamp()?);
        builder.install_headers()?;
        builder.publish(started.elapsed().as_secs(), &self.files, None)?;
        let modules = self.modules(&builder, place)?;
        let id = kernel_id(&request.checkout, self.origin.config, self.origin.toolchain);
        let missing = || std::io::Error::other("the kernel is missing");
        let kernel = Kernel::load(place, &id, true)
            .ok_or_else(|| Error::infrastructure(format!("reading `{place}`"))(missing()))?;
        Ok(MutantBuild::Kernel(Box::new(kernel), modules))
    }

    fn lock(&self) -> Result<WorkTree, Error> {
        let Origin { tree, config, .. } = self.origin;
        WorkTree::lock(self.cache, tree, &config.name, self.cancel, self.observer)
    }

    fn request<'r>(&self, checkout: Checkout, dir: &'r Utf8Path) -> BuildRequest<'r>
    where
        'a: 'r,
    {
        BuildRequest {
            tree: self.origin.tree,
            config: self.origin.config.of(&checkout),
            checkout: Cow::Owned(checkout),
            dir,
            modules: None,
        }
    }

    /// Returns the objects that depend on files; `None` if they are unknown for a file.
    fn dependents<'f>(
        &self,
        files: impl IntoIterator<Item = &'f Utf8PathBuf>,
    ) -> Option<Vec<Utf8PathBuf>> {
        let mut objects = BTreeSet::new();
        for file in files {
            objects.extend(self.objects.get(file)?.iter().cloned());
        }
        Some(objects.into_iter().collect())
    }

    /// Returns `the series` or the mutant with the same code as these objects, if any.
    fn same_code(
        &mut self,
        mutant: &Mutant,
        changed: &[Utf8PathBuf],
        folder: &Utf8Path,
    ) -> Result<Option<String>, Error> {
        let mut id = ContentId::new("mutant");
        let mut differs = false;
        for object in changed {
            let code = code::code_id(&folder.join(object))?;
            if self.codes.get(object) != Some(&code) {
                differs = true;
                id = id.part(object.as_str().as_bytes()).part(code.as_bytes());
            }
        }
        if !differs {
            return Ok(Some("the series".to_owned()));
        }
        let first = self.first_mutants.entry(id.finish());
        let first = first.or_insert_with(|| mutant.name.clone());
        Ok((*first != mutant.name).then(|| first.clone()))
    }

    /// Returns the modules for the mutant that was built: the modules of the series, unless
    /// the exported symbols differ.
    fn modules(
        &self,
        builder: &Builder<'_>,
        place: &Utf8Path,
    ) -> Result<Option<Utf8PathBuf>, Error> {
        let Some((modules, of_series)) = self.origin.modules else {
            return Ok(None);
        };
        if exports(&builder.work.objects())? == self.exports {
            return Ok(Some(of_series.to_owned()));
        }
        let dir = place.join("modules");
        builder.build_modules(modules, &dir)?;
        Ok(Some(dir))
    }
}

fn exports(objects: &Utf8Path) -> Result<Vec<u8>, Error> {
    fs::read(objects.join("vmlinux.symvers")).map_err(Error::infrastructure(
        "reading the exported symbols of a kernel",
    ))
}

impl Builder<'_> {
    /// Compiles only these objects; returns the error line if the source does not compile.
    fn compile_objects(&self, objects: &[Utf8PathBuf]) -> Result<Result<(), String>, Error> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = format!("-j{jobs}");
        let targets: Vec<&str> = std::iter::once(jobs.as_str())
            .chain(objects.iter().map(|object| object.as_str()))
            .collect();
        let make = self
            .make(&targets)
            .log_to(self.log())
            .deadline("compiling a mutant", OBJECTS_LIMIT);
        self.error_line(|| {
            self.in_progress
                .during(|| make.run(self.cancel))?
                .map(drop)
                .map_err(|error| self.explain(error, "compiling"))
        })
    }

    /// Links the existing objects, of which only `new` changed, and builds the image. This
    /// skips make's walk through all folders, which takes longer than linking. Returns
    /// false if the result may lack the new objects.
    fn link(&self, new: &[Utf8PathBuf]) -> Result<bool, Error> {
        let objects = self.work.objects();
        // make compares only the time of this thin archive, not the times of its objects.
        match fs::remove_file(objects.join("vmlinux.a")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::infrastructure("linking a mutant")(error));
            }
            _ => {}
        }
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let make = self
            .make(&[&format!("-j{jobs}"), "bzImage", "build-dir=nowhere"])
            .log_to(self.log())
            .deadline("linking a mutant", OBJECTS_LIMIT);
        let linked = self.in_progress.during(|| make.run(self.cancel))?;
        if let Err(error) = linked {
            // The full build reports whether the source is the cause.
            return match error {
                ProcessError::Failed { .. } => Ok(false),
                other => Err(Error::tool("linking a mutant")(other)),
            };
        }
        let time = |file: Utf8PathBuf| fs::metadata(file).and_then(|meta| meta.modified()).ok();
        let image = time(crate::kernel::image::path(&objects));
        let kernel = time(objects.join("vmlinux"));
        let is_in = |object: &Utf8PathBuf| time(objects.join(object)) < kernel;
        let is_whole = kernel.is_some() && kernel <= image && new.iter().all(is_in);
        if is_whole {
            self.check_image()?;
        }
        Ok(is_whole)
    }

    /// Runs a build step; returns the first error line if the source does not compile.
    fn error_line(
        &self,
        run: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Result<(), String>, Error> {
        match run() {
            Ok(()) => Ok(Ok(())),
            Err(Error::Input { message, .. }) => {
                let log = fs::read(self.log()).unwrap_or_default();
                let source = format!("{}/", self.work.source());
                let output = String::from_utf8_lossy(&log).replace(&source, "");
                Ok(Err(first_error(&output).unwrap_or(message)))
            }
            Err(other) => Err(other),
        }
    }
}

/// Returns the first error line of a compiler or linker.
fn first_error(output: &str) -> Option<String> {
    let mut lines = output.lines();
    let is_error = |line: &&str| line.contains("error: ") || line.contains("undefined reference");
    lines.find(is_error).map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_error_returns_the_first_compiler_error() {
        let output = "  CC      a.o\na.c: In function 'f':\na.c:3:2: error: 'x' undeclared\n\
            a.c:4:2: error: more\nmake: *** [a.o] Error 1\n";
        assert_eq!(
            first_error(output).as_deref(),
            Some("a.c:3:2: error: 'x' undeclared")
        );
        assert_eq!(first_error("make: nothing"), None);
    }
}
