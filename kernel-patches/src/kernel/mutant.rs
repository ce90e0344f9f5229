// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds kernels of mutants, one after the other, in the build folder of their series.
//!
//! The objects that depend on a mutant are compiled first. If their code is the same as
//! that of the series or of another mutant, no kernel is linked. Kernels of mutants are
//! used once, and stored in a folder of the caller instead of the cache.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::content::ContentId;
use patchbed_host::context::Context;
use patchbed_host::files::walk;

use super::build::{BuildRequest, Builder};
use super::cached::{Kernel, Modules, kernel_id};
use super::files::{ImageFiles, code_id};
use super::toolchain::Toolchain;
use crate::checkout::Checkout;
use crate::config::Config;
use crate::error::{Doing, Error};
use crate::mutant::Mutant;
use crate::tree::Tree;
use crate::worktree::{Stamp, WorkTree};

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

impl<'a> Origin<'a> {
    fn lock(&self, context: &Context) -> Result<WorkTree, Error> {
        WorkTree::lock(self.tree, &self.config.name, context)
    }

    /// Returns a request for the kernel of `checkout` in the folder `dir`.
    fn request(&self, checkout: Checkout, dir: &Utf8Path) -> BuildRequest<'a> {
        BuildRequest {
            tree: self.tree,
            id: kernel_id(&checkout, self.config, self.toolchain),
            config: self.config.of(&checkout),
            checkout: Cow::Owned(checkout),
            dir: dir.to_owned(),
            arch: self.toolchain.arch,
            modules: None,
        }
    }
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
#[derive(Debug)]
pub struct MutantCompiler<'a> {
    origin: Origin<'a>,
    context: &'a Context,
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

impl<'a> MutantCompiler<'a> {
    /// Builds the series and records the code of the objects that depend on `files`.
    pub fn open(
        origin: Origin<'a>,
        files: impl IntoIterator<Item = &'a Utf8Path>,
        context: &'a Context,
    ) -> Result<Self, Error> {
        let request = origin.request(origin.series.clone(), Utf8Path::new(""));
        let work = origin.lock(context)?;
        let builder = Builder::begin(&work, &request, context)?;
        builder.compile()?;
        let (folder, image) = (work.objects(), builder.files()?);
        let (mut codes, mut objects) = (BTreeMap::new(), BTreeMap::new());
        for file in files {
            let is_code = matches!(file.extension(), Some("c" | "h"));
            if !is_code || objects.contains_key(file) {
                continue;
            }
            let mut dependents = dependents(file, &folder)?;
            // Objects of earlier builds stay in the folder.
            dependents.retain(|object| image.outputs.contains(object.as_str()));
            for object in &dependents {
                codes.insert(object.clone(), code_id(&folder.join(object))?);
            }
            objects.insert(file.to_owned(), dependents);
        }
        Ok(Self {
            origin,
            context,
            codes,
            objects,
            exports: exports(&folder)?,
            files: image,
            first_mutants: HashMap::new(),
            stale: BTreeSet::new(),
            last_stamp: Some(work.stamp()?),
        })
    }

    /// Builds a mutant and stores its kernel in `place`, which must not exist.
    pub fn build(&mut self, mutant: &Mutant, place: &Utf8Path) -> Result<MutantBuild, Error> {
        let started = Instant::now();
        let changed = self.dependents(mutant.files());
        if changed.as_ref().is_some_and(Vec::is_empty) {
            let why = format!("`{}` is not built in this config", mutant.file);
            return Ok(MutantBuild::Unviable { why });
        }
        let checkout = mutant.checkout(self.origin.series, self.origin.tree);
        let request = self.origin.request(checkout, place);
        let work = self.origin.lock(self.context)?;
        // Another run may have built another checkout in the folder.
        let is_unchanged = self.last_stamp.take() == Some(work.stamp()?);
        let builder = Builder::begin(&work, &request, self.context)?;
        self.stale.extend(mutant.files().cloned());
        let stale = self.dependents(&self.stale);
        let few = stale.filter(|stale| stale.len() <= OBJECTS_MAX);
        let mut is_linked = false;
        if let (Some(stale), Some(changed)) = (few, changed) {
            let error = compile_error(&builder, || builder.compile_objects(&stale))?;
            self.last_stamp = is_unchanged.then(|| work.stamp()).transpose()?;
            if let Some(why) = error {
                return Ok(MutantBuild::Unviable { why });
            }
            if let Some(same_as) = self.same_code(mutant, &changed, &work.objects())? {
                return Ok(MutantBuild::SameCode { same_as });
            }
            is_linked = is_unchanged && builder.link(&stale)?;
        }
        if !is_linked && let Some(why) = compile_error(&builder, || builder.compile())? {
            self.last_stamp = None;
            return Ok(MutantBuild::Unviable { why });
        }
        self.stale = mutant.files().cloned().collect();
        self.last_stamp = Some(work.stamp()?);
        builder.install_headers()?;
        builder.publish(started.elapsed().as_secs(), &self.files, None)?;
        let modules = self.modules(&builder, place)?;
        let kernel = request.kernel(true)?;
        Ok(MutantBuild::Kernel(Box::new(kernel), modules))
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
            let code = code_id(&folder.join(object))?;
            if self.codes.get(object) != Some(&code) {
                differs = true;
                id = id.part(object.as_str()).part(code);
            }
        }
        if !differs {
            return Ok(Some("the series".to_owned()));
        }
        let first = self.first_mutants.entry(id.finish());
        let first = first.or_insert_with(|| mutant.name.clone());
        Ok((*first != mutant.name).then(|| first.clone()))
    }

    /// Returns the modules of the series, or own modules if the exported symbols differ.
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
    fs::read(objects.join("vmlinux.symvers")).doing("reading the exported symbols of a kernel")
}

/// Runs a build step; returns the first error line if the source does not compile.
fn compile_error(
    builder: &Builder<'_>,
    step: impl FnOnce() -> Result<(), Error>,
) -> Result<Option<String>, Error> {
    let message = match step() {
        Ok(()) => return Ok(None),
        Err(Error::Input { message, .. }) => message,
        Err(other) => return Err(other),
    };
    let log = fs::read(builder.log()).unwrap_or_default();
    let source = format!("{}/", builder.work.source());
    let output = String::from_utf8_lossy(&log).replace(&source, "");
    Ok(Some(first_error(&output).unwrap_or(message)))
}

/// Returns the first error line of a compiler or linker.
fn first_error(output: &str) -> Option<String> {
    let is_error = |line: &&str| line.contains("error: ") || line.contains("undefined reference");
    let line = output.lines().find(is_error)?;
    Some(line.trim().to_owned())
}

/// Returns the object of a `.c` file, or the objects that include a header.
fn dependents(file: &Utf8Path, folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    if file.extension() == Some("c") {
        let object = file.with_extension("o");
        let exists = folder.join(&object).is_file();
        return Ok(exists.then_some(object).into_iter().collect());
    }
    let entry_in_record = format!("/{file} ");
    let mut objects = Vec::new();
    let doing = "reading kbuild's dependency files";
    for entry in walk(folder) {
        let (path, _) = entry.doing(doing)?;
        let Some(object) = object_of_record(&path) else {
            continue;
        };
        let record = fs::read(folder.join(path)).doing(doing)?;
        let mut places = record.windows(entry_in_record.len());
        if places.any(|part| part == entry_in_record.as_bytes()) && folder.join(&object).is_file() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Returns the object of `kernel/.fork.o.cmd`; `None` for objects of host tools.
fn object_of_record(path: &Utf8Path) -> Option<Utf8PathBuf> {
    let name = path.file_name()?;
    let name = name.strip_prefix('.')?.strip_suffix(".cmd")?;
    let is_tool = path.starts_with("scripts") || path.starts_with("tools");
    (name.ends_with(".o") && !is_tool).then(|| path.with_file_name(name))
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

    #[test]
    fn dependents_returns_the_object_of_a_source_and_the_users_of_a_header() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir_all(folder.join("kernel")).unwrap();
        fs::create_dir_all(folder.join("scripts")).unwrap();
        for (object, deps) in [
            ("kernel/a.o", "/src/include/linux/x.h \\\n"),
            ("kernel/b.o", "/src/include/linux/xx.h \\\n"),
            ("scripts/c.o", "/src/include/linux/x.h \\\n"),
        ] {
            let object = Utf8Path::new(object);
            let record = format!(".{}.cmd", object.file_name().unwrap());
            fs::write(folder.join(object), "").unwrap();
            fs::write(folder.join(object.with_file_name(record)), deps).unwrap();
        }
        let found = |file: &str| dependents(Utf8Path::new(file), folder).unwrap();
        assert_eq!(found("include/linux/x.h"), ["kernel/a.o"]);
        assert_eq!(found("kernel/b.c"), ["kernel/b.o"]);
        assert!(found("kernel/none.c").is_empty());
        assert!(found("include/none.h").is_empty());
    }
}
