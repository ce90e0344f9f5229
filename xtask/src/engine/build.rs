// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds: kernels of checkouts and configs, each with its initramfs and test programs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::checkout::{Checkout, MUTANT_PREFIX};
use kernel_patches::config::Config;
use kernel_patches::kernel::{self, Kernel, Modules, Toolchain, Wanted};
use patchbed_host::cache::{hex, publish};
use patchbed_host::content::ContentId;
use patchbed_host::pool;
use selftests::catalogue::Catalogue;
use selftests::generate::{self, CompileError, Compiler, Program};
use selftests::scenario::ScenarioFile;
use sha2::{Digest, Sha256};
use vm_images::initramfs::Initramfs;
use vm_images::needs::GuestNeeds;
use vm_images::vm::NextKernel;

use crate::engine::environment::{Environment, find_needs};
use crate::engine::session::Session;
use crate::engine::sources::Sources;
use crate::job_plan::SERIES;

/// Part of the cache key; to be changed when programs are compiled differently.
const FORMAT: &str = "4";

/// A kernel, with the names of the checkout and config that it was built from.
#[derive(Clone, Debug)]
pub struct Built {
    /// The checkout's name.
    pub checkout: String,
    /// The config's name.
    pub config: String,
    /// The kernel.
    pub kernel: Kernel,
    /// The folder of the modules that were built for it, if any were requested.
    pub modules: Option<Utf8PathBuf>,
}

/// The tests of a run.
#[derive(Debug)]
pub struct Tests<'a> {
    /// The catalogue.
    pub catalogue: &'a Catalogue,
    /// All scenario files of the catalogue. A program has all tests of its topic.
    pub scenario_files: &'a [ScenarioFile],
    /// The names of the programs that have the tests of the run.
    pub programs: BTreeSet<String>,
}

/// Looks up configs by name.
///
/// # Errors
/// When a config does not exist.
pub fn find_configs(names: &[String], session: &Session) -> anyhow::Result<Vec<Config>> {
    let mut seen = BTreeSet::new();
    let folder = session.layout.configs();
    names
        .iter()
        .filter(|name| seen.insert(*name))
        .map(|name| Ok(Config::find(name, &folder)?))
        .collect()
}

/// Builds every checkout with every config, and the requested modules for each kernel. Passes
/// each kernel to `ready` as soon as it is built: first the kernels in the cache, then the
/// others in the order in which they are built.
///
/// # Errors
/// When a kernel cannot be built, or `ready` fails.
pub fn build_each(
    sources: &Sources,
    configs: &[Config],
    modules: Option<&Modules>,
    session: &Session,
    mut ready: impl FnMut(Built) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let toolchain = Toolchain::detect(&session.cancel)?;
    for config in configs {
        let wanted = Wanted {
            tree: &sources.tree,
            checkouts: &sources.checkouts,
            config,
            toolchain: &toolchain,
            modules,
        };
        let mut failed = None;
        let named = |index: usize, kernel, modules| {
            let checkout: &Checkout = &sources.checkouts[index];
            let built = Built {
                checkout: checkout.name.clone(),
                config: config.name.clone(),
                kernel,
                modules,
            };
            ready(built).map_err(|error| failed = Some(error)).is_ok()
        };
        kernel::make_each(&wanted, &session.context(), named)?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}

/// Builds every checkout with every config, and returns the kernels in the order of configs
/// and checkouts.
///
/// # Errors
/// When a kernel cannot be built.
pub fn build_all(
    sources: &Sources,
    configs: &[Config],
    modules: Option<&Modules>,
    session: &Session,
) -> anyhow::Result<Vec<Built>> {
    let mut all = Vec::new();
    build_each(sources, configs, modules, session, |built| {
        all.push(built);
        Ok(())
    })?;
    let place = |built: &Built| {
        let config = configs.iter().position(|one| one.name == built.config);
        let checkouts = &sources.checkouts;
        let checkout = checkouts.iter().position(|one| one.name == built.checkout);
        (config, checkout)
    };
    all.sort_by_key(place);
    Ok(all)
}

/// A kernel to run jobs on.
#[derive(Clone, Debug)]
pub struct Build {
    pub(crate) checkout: String,
    pub(crate) config: String,
    pub(crate) kernel: Kernel,
    pub(crate) needs: GuestNeeds,
    /// Names of the series that are completely applied.
    pub(crate) contains: BTreeSet<String>,
    /// Names of the series that are partly applied.
    pub(crate) partly: BTreeSet<String>,
    /// The folder of the test modules built for the kernel, if any are used.
    pub(crate) modules: Option<Utf8PathBuf>,
    pub(crate) initramfs: Utf8PathBuf,
    /// The test programs, by name.
    pub(crate) programs: BTreeMap<String, Utf8PathBuf>,
}

impl Build {
    /// Returns the build of a kernel, with compiled programs of the scenario files.
    ///
    /// # Errors
    /// When a program does not compile, or the host fails.
    pub(crate) fn new(
        built: Built,
        sources: &Sources,
        tests: &Tests<'_>,
        environment: &Environment,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let mut checkouts = sources.checkouts.iter();
        let source = checkouts
            .find(|one| one.name == built.checkout)
            .with_context(|| format!("no checkout `{}`", built.checkout))?;
        let name = format!("{} ({})", built.checkout, built.config);
        Ok(Self {
            needs: find_needs(&built.config, &tests.catalogue.manifest, session)?,
            contains: source.contains.clone(),
            partly: source.partly.clone(),
            initramfs: pack(&built.kernel, environment, session)?,
            programs: programs(tests, &built.kernel, &name, session)?,
            checkout: built.checkout,
            config: built.config,
            kernel: built.kernel,
            modules: built.modules,
        })
    }

    /// Returns the build of a mutant of the series `self`, with the same programs.
    ///
    /// # Errors
    /// When the initramfs cannot be written next to the kernel.
    pub(crate) fn mutant(
        &self,
        checkout: String,
        kernel: Kernel,
        modules: Option<Utf8PathBuf>,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let initramfs = kernel.dir.join("initramfs.cpio");
        fs::write(&initramfs, archive(&kernel, environment)?)?;
        Ok(Self {
            checkout,
            kernel,
            initramfs,
            modules: modules.or_else(|| self.modules.clone()),
            ..self.panicking_on_oops()
        })
    }

    /// Returns the build with a command line that makes the kernel panic on an oops or KASAN
    /// report. A task killed by an oops keeps its locks, so that other tasks would block until
    /// the job's timeout.
    pub(crate) fn panicking_on_oops(&self) -> Self {
        let mut build = self.clone();
        build.needs.kernel_arguments += " oops=panic kasan.fault=panic";
        build
    }

    /// Returns the name of the checkout for scenarios, in which a mutant takes the place of
    /// the series.
    pub(crate) fn role(&self) -> &str {
        match self.checkout.starts_with(MUTANT_PREFIX) {
            true => SERIES,
            false => &self.checkout,
        }
    }

    /// Returns the kernel for a kexec from another build.
    pub(crate) fn as_next_kernel(&self) -> NextKernel {
        NextKernel {
            image: self.kernel.image(),
            initramfs: self.initramfs.clone(),
        }
    }

    /// Returns its name as printed.
    pub(crate) fn label(&self) -> String {
        format!("{} ({})", self.checkout, self.config)
    }
}

/// Writes the initramfs of a kernel. It always contains the kernel for a kexec, so that all jobs
/// of the kernel can restore the same checkpoint.
///
/// # Errors
/// When a file cannot be read or written.
pub fn pack(
    kernel: &Kernel,
    environment: &Environment,
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let bytes = archive(kernel, environment)?;
    let name = format!("{}.cpio", hex(&Sha256::digest(&bytes)));
    let path = session.cache.dir(&["initramfs"])?.join(&name);
    if fs::read(&path).ok().as_ref() != Some(&bytes) {
        publish(&path, &bytes)?;
    }
    Ok(path)
}

fn archive(kernel: &Kernel, environment: &Environment) -> anyhow::Result<Vec<u8>> {
    let mut archive = Initramfs::for_guest(&environment.guest)?;
    archive.add_next_kernel(&kernel.image())?;
    Ok(archive.to_bytes()?)
}

/// Compiles the programs that have the tests of scenarios for a kernel, on all cores. Most
/// kernels of a tree have the same headers and share their programs.
fn programs(
    tests: &Tests<'_>,
    kernel: &Kernel,
    name: &str,
    session: &Session,
) -> anyhow::Result<BTreeMap<String, Utf8PathBuf>> {
    let all = generate::programs(tests.catalogue, tests.scenario_files);
    let needed = all
        .iter()
        .filter(|program| tests.programs.contains(&program.name));
    let total = tests.programs.len() as u64;
    let context = session.context();
    let activity = context.activity(format!("compiling test programs of {name}"), Some(total));
    let inputs = header_inputs(kernel)?;
    let compilation = Compilation::new(tests.catalogue, kernel, &inputs, session)?;
    let mut programs = BTreeMap::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    pool::run(
        cores,
        needed,
        &session.cancel,
        |program| (program.name.clone(), compilation.program(program)),
        |(name, made)| -> anyhow::Result<()> {
            let path = made?;
            activity.advance(programs.len() as u64 + 1, &name);
            programs.insert(name, path);
            Ok(())
        },
    )?;
    session.check_interrupted()?;
    Ok(programs)
}

/// The compilation of the programs for a kernel, with their compiled library.
struct Compilation<'a> {
    catalogue: &'a Catalogue,
    kernel: &'a Kernel,
    session: &'a Session,
    /// The id of the headers, the harness and the library.
    id: ContentId,
    library: Utf8PathBuf,
}

impl<'a> Compilation<'a> {
    fn new(
        catalogue: &'a Catalogue,
        kernel: &'a Kernel,
        inputs: &str,
        session: &'a Session,
    ) -> anyhow::Result<Self> {
        let mut id = ContentId::new("program").part(FORMAT).part(inputs);
        for (name, text) in catalogue.c_files() {
            id = id.part(name).part(text);
        }
        let mut compilation = Self {
            catalogue,
            kernel,
            session,
            id,
            library: Utf8PathBuf::new(),
        };
        compilation.library = compilation.cached("library.o", &[], |compiler, output| {
            compiler.library(output, &session.cancel)
        })?;
        Ok(compilation)
    }

    fn program(&self, program: &Program) -> anyhow::Result<Utf8PathBuf> {
        let texts = [&program.text, &program.trace];
        self.cached(&program.name, &texts, |compiler, output| {
            compiler.program(program, &self.library, output, &self.session.cancel)
        })
    }

    /// Returns the path of a binary that depends on `texts`. A cached binary whose checksum does
    /// not match is compiled again.
    fn cached(
        &self,
        name: &str,
        texts: &[&String],
        compile: impl FnOnce(&Compiler<'_>, &Utf8Path) -> Result<(), CompileError>,
    ) -> anyhow::Result<Utf8PathBuf> {
        let id = texts
            .iter()
            .fold(self.id.clone(), |id, text| id.part(text.as_str()));
        let cached = self.session.cache.dir(&["programs", &id.finish()])?;
        cached_binary(&cached, name, |folder, output| {
            let compiler = Compiler {
                catalogue: self.catalogue,
                kselftest: &self.kernel.selftests(),
                headers: &self.kernel.headers(),
                folder,
            };
            Ok(compile(&compiler, output)?)
        })
    }
}

/// Returns the path of a binary in a folder of the cache. If it is missing, or its checksum does
/// not match, `make` writes it to a path in a temporary folder.
///
/// # Errors
/// The error of `make`, or of the host.
pub(crate) fn cached_binary(
    cached: &Utf8Path,
    name: &str,
    make: impl FnOnce(&Utf8Path, &Utf8Path) -> anyhow::Result<()>,
) -> anyhow::Result<Utf8PathBuf> {
    let target = cached.join(name);
    let sum = cached.join(format!("{name}.sha256"));
    let binary = fs::read(&target).unwrap_or_default();
    if !binary.is_empty() && fs::read_to_string(&sum).ok() == Some(hex(&Sha256::digest(&binary))) {
        return Ok(target);
    }
    let sources = tempfile::Builder::new()
        .prefix(".sources-")
        .tempdir_in(cached)?;
    let folder =
        Utf8Path::from_path(sources.path()).context("the path of the cache is not UTF-8")?;
    let output = folder.join(format!("{name}.out"));
    make(folder, &output)?;
    let binary = fs::read(&output)?;
    publish(&target, &binary)?;
    publish(&sum, hex(&Sha256::digest(&binary)).as_bytes())?;
    Ok(target)
}

/// Returns the hash of a kernel's headers and kselftest harness.
fn header_inputs(kernel: &Kernel) -> anyhow::Result<String> {
    let mut id = ContentId::new("headers");
    for folder in [kernel.selftests(), kernel.headers()] {
        let mut folders = vec![folder.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir_utf8()? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => folders.push(entry.into_path()),
                    false => files.push(entry.into_path()),
                }
            }
        }
        files.sort();
        for file in files {
            let name = file.strip_prefix(&folder).unwrap_or(&file);
            id = id.part(name.as_str()).part(fs::read(&file)?);
        }
    }
    Ok(id.finish())
}
