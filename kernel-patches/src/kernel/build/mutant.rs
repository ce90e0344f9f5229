// SPDX-License-Identifier: GPL-2.0-only
//! Kernels of mutants, one after the other in the build folder of their series.
//!
//! First the objects that a mutant touches are made alone: most that differ in text
//! only are told by their code, and no kernel is built of them. Kernels of mutants are
//! used once, and lie where the caller says, outside of the cache.

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

use super::{Maker, Order};
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
/// Of a header that more objects include, a kernel is built without looking at them.
const OBJECTS_MAX: usize = 64;

/// What mutants are built from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// The series without a mistake.
    pub series: &'a Checkout,
    /// The configuration.
    pub config: &'a Config,
    /// What compiles them.
    pub toolchain: &'a Toolchain,
    /// Modules, and the folder of those that were built against the series.
    pub modules: Option<(&'a Modules, &'a Utf8Path)>,
}

/// What came of building a mutant.
#[derive(Clone, Debug)]
pub enum MutantBuild {
    /// A kernel, and the folder of its modules if any were wanted.
    Kernel(Box<Kernel>, Option<Utf8PathBuf>),
    /// Its code is the same as that of the series or of another mutant.
    SameCode {
        /// `the series`, or the other's name.
        as_what: String,
    },
    /// It does not compile, or is no part of this kernel.
    Unviable {
        /// Why, in a line.
        why: String,
    },
}

/// Builds mutants of one series and config.
pub struct Nursery<'a> {
    origin: Origin<'a>,
    cache: &'a Cache,
    cancel: &'a Cancel,
    observer: &'a dyn Observer,
    /// Of the series, the code of each object that a mutant may touch.
    codes: BTreeMap<Utf8PathBuf, String>,
    /// By file, the objects made from it; of what is no code, nobody knows.
    objects: BTreeMap<Utf8PathBuf, Vec<Utf8PathBuf>>,
    /// What the series exports, as the build lists it.
    exports: Vec<u8>,
    /// The files of the series' image. A mutant changes some of them and adds none.
    files: ImageFiles,
    /// By what differs from the series, the first mutant that does so.
    seen: HashMap<String, String>,
    /// Files of which the objects may not be those of the series.
    stale: BTreeSet<Utf8PathBuf>,
    /// The folder's state as it was left; none, when it is not known what is made.
    left: Option<Stamp>,
}

impl std::fmt::Debug for Nursery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Nursery");
        shown.field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<'a> Nursery<'a> {
    /// Makes the series ready for mutants of these files.
    ///
    /// # Errors
    /// When the series does not build, or the host fails.
    pub fn open(
        origin: Origin<'a>,
        files: impl IntoIterator<Item = &'a Utf8Path>,
        cache: &'a Cache,
        cancel: &'a Cancel,
        observer: &'a dyn Observer,
    ) -> Result<Self, Error> {
        let mut nursery = Self {
            origin,
            cache,
            cancel,
            observer,
            codes: BTreeMap::new(),
            objects: BTreeMap::new(),
            exports: Vec::new(),
            files: ImageFiles::default(),
            seen: HashMap::new(),
            stale: BTreeSet::new(),
            left: None,
        };
        let order = nursery.order(origin.series.clone(), Utf8Path::new(""));
        let work = nursery.take()?;
        let maker = Maker::begin(&work, &order, cache, cancel, observer)?;
        maker.compile()?;
        let folder = work.objects();
        nursery.exports = exports(&folder)?;
        nursery.files = maker.files()?;
        for file in files {
            let is_code = matches!(file.extension(), Some("c" | "h"));
            if !is_code || nursery.objects.contains_key(file) {
                continue;
            }
            let mut made = objects::made_from(file, &folder)?;
            // An object of an earlier build may still lie there.
            made.retain(|object| nursery.files.made.contains(object.as_str()));
            for object in &made {
                let name = code::name_of(&folder.join(object))?;
                nursery.codes.insert(object.clone(), name);
            }
            nursery.objects.insert(file.to_owned(), made);
        }
        nursery.left = Some(work.stamp()?);
        Ok(nursery)
    }

    /// Builds a mutant; its kernel goes to `place`, which must not be there.
    ///
    /// # Errors
    /// When the host fails.
    pub fn build(&mut self, mutant: &Mutant, place: &Utf8Path) -> Result<MutantBuild, Error> {
        let begun = Instant::now();
        let touched = self.made_from(mutant.files());
        if touched.as_ref().is_some_and(Vec::is_empty) {
            let why = format!("`{}` is no part of this kernel", mutant.file);
            return Ok(MutantBuild::Unviable { why });
        }
        let checkout = self.origin.series.mutated(mutant, self.origin.tree);
        let order = self.order(checkout, place);
        let work = self.take()?;
        // Whoever had the folder meanwhile left objects of another source.
        let is_as_left = self.left.take() == Some(work.stamp()?);
        let maker = Maker::begin(&work, &order, self.cache, self.cancel, self.observer)?;
        self.stale.extend(mutant.files().cloned());
        let stale = self.made_from(&self.stale);
        let few = stale.filter(|stale| stale.len() <= OBJECTS_MAX);
        let mut is_linked = false;
        if let (Some(stale), Some(touched)) = (few, touched) {
            let made = maker.make_objects(&stale)?;
            self.left = is_as_left.then(|| work.stamp()).transpose()?;
            if let Err(why) = made {
                return Ok(MutantBuild::Unviable { why });
            }
            if let Some(as_what) = self.same_code(mutant, &touched, &work.objects())? {
                return Ok(MutantBuild::SameCode { as_what });
            }
            is_linked = is_as_left && maker.link(&stale)?;
        }
        if !is_linked && let Err(why) = maker.until_error(|| maker.compile())? {
            self.left = None;
            return Ok(MutantBuild::Unviable { why });
        }
        self.stale = mutant.files().cloned().collect();
        self.left = Some(work.stamp()?);
        maker.install_headers()?;
        maker.publish(begun.elapsed().as_secs(), &self.files, None)?;
        let modules = self.modules(&maker, place)?;
        let id = kernel_id(&order.checkout, self.origin.config, self.origin.toolchain);
        let lost = || std::io::Error::other("the kernel is not there");
        let kernel = Kernel::load(place, &id, true)
            .ok_or_else(|| Error::host(format!("reading `{place}`"))(lost()))?;
        Ok(MutantBuild::Kernel(Box::new(kernel), modules))
    }

    fn take(&self) -> Result<WorkTree, Error> {
        let Origin { tree, config, .. } = self.origin;
        WorkTree::take(self.cache, tree, &config.name, self.cancel, self.observer)
    }

    fn order<'o>(&self, checkout: Checkout, dir: &'o Utf8Path) -> Order<'o>
    where
        'a: 'o,
    {
        Order {
            tree: self.origin.tree,
            config: self.origin.config.of(&checkout),
            checkout: Cow::Owned(checkout),
            dir,
            modules: None,
        }
    }

    /// Returns the objects made from files; nothing where what one becomes is not known.
    fn made_from<'f>(
        &self,
        files: impl IntoIterator<Item = &'f Utf8PathBuf>,
    ) -> Option<Vec<Utf8PathBuf>> {
        let mut made = BTreeSet::new();
        for file in files {
            made.extend(self.objects.get(file)?.iter().cloned());
        }
        Some(made.into_iter().collect())
    }

    /// Returns what has the same code as these objects of a mutant, if anything has.
    fn same_code(
        &mut self,
        mutant: &Mutant,
        touched: &[Utf8PathBuf],
        folder: &Utf8Path,
    ) -> Result<Option<String>, Error> {
        let mut id = ContentId::new("mutant");
        let mut differs = false;
        for object in touched {
            let name = code::name_of(&folder.join(object))?;
            if self.codes.get(object) != Some(&name) {
                differs = true;
                id = id.part(object.as_str().as_bytes()).part(name.as_bytes());
            }
        }
        if !differs {
            return Ok(Some("the series".to_owned()));
        }
        let first = self.seen.entry(id.finish());
        let first = first.or_insert_with(|| mutant.name.clone());
        Ok((*first != mutant.name).then(|| first.clone()))
    }

    /// Returns the modules for the mutant just built: those of the series, unless what
    /// they are linked against differs.
    fn modules(&self, maker: &Maker<'_>, place: &Utf8Path) -> Result<Option<Utf8PathBuf>, Error> {
        let Some((modules, of_series)) = self.origin.modules else {
            return Ok(None);
        };
        if exports(&maker.work.objects())? == self.exports {
            return Ok(Some(of_series.to_owned()));
        }
        let dir = place.join("modules");
        maker.make_modules(modules, &dir)?;
        Ok(Some(dir))
    }
}

fn exports(objects: &Utf8Path) -> Result<Vec<u8>, Error> {
    fs::read(objects.join("vmlinux.symvers")).map_err(Error::host("reading what a kernel exports"))
}

impl Maker<'_> {
    /// Makes these objects alone; why not, if the source does not compile.
    fn make_objects(&self, objects: &[Utf8PathBuf]) -> Result<Result<(), String>, Error> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = format!("-j{jobs}");
        let targets: Vec<&str> = std::iter::once(jobs.as_str())
            .chain(objects.iter().map(|object| object.as_str()))
            .collect();
        let make = self
            .make(&targets)
            .log_to(self.log())
            .deadline("compiling a mutant", OBJECTS_LIMIT);
        self.until_error(|| {
            self.in_progress
                .during(|| make.run(self.cancel))?
                .map(drop)
                .map_err(|error| self.explain(error, "compile"))
        })
    }

    /// Links the kernel anew from what there is, of which only these objects are new, and
    /// packs it. What walks through all folders takes longer than that. Returns whether
    /// it can be seen that the objects went in.
    fn link(&self, new: &[Utf8PathBuf]) -> Result<bool, Error> {
        let objects = self.work.objects();
        // It lists the objects, and is looked at instead of them.
        match fs::remove_file(objects.join("vmlinux.a")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::host("linking a mutant")(error));
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
            // Whether it is the source's fault, a whole build tells.
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

    /// Runs a part of the build; why not, if the source does not compile.
    fn until_error(
        &self,
        run: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Result<(), String>, Error> {
        match run() {
            Ok(()) => Ok(Ok(())),
            Err(Error::Input { what, .. }) => {
                let log = fs::read(self.log()).unwrap_or_default();
                let source = format!("{}/", self.work.source());
                let said = String::from_utf8_lossy(&log).replace(&source, "");
                Ok(Err(first_error(&said).unwrap_or(what)))
            }
            Err(other) => Err(other),
        }
    }
}

/// Returns the first line in which a compiler or linker says what is wrong.
fn first_error(said: &str) -> Option<String> {
    let mut lines = said.lines();
    let is_error = |line: &&str| line.contains("error: ") || line.contains("undefined reference");
    lines.find(is_error).map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_wrong_is_told() {
        let said = "  CC      a.o\na.c: In function 'f':\na.c:3:2: error: 'x' undeclared\n\
            a.c:4:2: error: more\nmake: *** [a.o] Error 1\n";
        assert_eq!(
            first_error(said).as_deref(),
            Some("a.c:3:2: error: 'x' undeclared")
        );
        assert_eq!(first_error("make: nothing"), None);
    }
}
