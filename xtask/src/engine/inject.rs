// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fault injection into a kernel: the files that a guest needs, and the guest.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Modules;
use patchbed_host::content::ContentId;
use selftests::evidence::{Ending, Evidence};
use selftests::fault;
use selftests::klog::Log;
use selftests::status::{self, Judgement};
use vm_images::transcript::read_console;
use vm_images::vm::GuestFile;
use vm_images::vm::{self, BootRun, VmRun, VmSpec};

use crate::engine::build::cached_binary;
use crate::engine::session::Session;

/// Part of the cache key. Change it when the program is compiled in another way.
const FORMAT: &str = "fault 1";
/// The folder in the guest.
const IN_GUEST: &str = "/tests/fault";

/// The paths of the files on the host.
#[derive(Clone, Debug)]
pub struct Kit {
    program: Utf8PathBuf,
    module: Utf8PathBuf,
}

/// Returns the modules to build: the fault module, and the modules that tests load.
///
/// # Errors
/// When a file name is invalid or the Makefile is missing.
pub fn modules() -> anyhow::Result<Modules> {
    let files = fault::modules().into_iter();
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    Ok(Modules::new(files)?)
}

impl Kit {
    /// Returns the files for a kernel whose modules are in a folder. The compiled program is
    /// cached by the content of its source.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn make(modules: &Utf8Path, session: &Session) -> anyhow::Result<Self> {
        Ok(Self {
            program: program(session)?,
            module: modules.join(fault::MODULE),
        })
    }

    /// Returns the files to copy to the guest.
    fn files(&self) -> Vec<GuestFile> {
        let file = |source: &Utf8Path, path: String, mode| GuestFile {
            source: source.to_owned(),
            path,
            mode,
        };
        vec![
            file(&self.program, self.program_in_guest(), 0o755),
            file(&self.module, self.module_in_guest(), 0o644),
        ]
    }

    /// Returns the program's path in the guest.
    fn program_in_guest(&self) -> String {
        format!("{IN_GUEST}/{}", fault::PROGRAM)
    }

    /// Returns the module's path in the guest.
    fn module_in_guest(&self) -> String {
        format!("{IN_GUEST}/{}", fault::MODULE)
    }
}

fn program(session: &Session) -> anyhow::Result<Utf8PathBuf> {
    let id = ContentId::new("program")
        .part(FORMAT)
        .part(fault::program());
    let cached = session.cache.dir(&["programs", &id.finish()])?;
    cached_binary(&cached, fault::PROGRAM, |folder, output| {
        let source = folder.join("inject.c");
        fs::write(&source, fault::program())?;
        Ok(fault::compile(&source, output, &session.cancel)?)
    })
}

/// Time after the guest's own time limit until it counts as hung.
const SILENCE: Duration = Duration::from_secs(2);

/// A guest that is to inject faults.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The faults, in this order.
    pub words: &'a [String],
    /// Its time limits.
    pub time_limits: TimeLimits,
    /// The files that it needs.
    pub kit: &'a Kit,
}

/// The time limits of a guest.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// Factor of the run time to that of a kernel without sanitizers.
    slowness: u32,
    /// The time limit of the program in the guest.
    limit: Duration,
    /// Additional time until the guest counts as hung.
    silence: Duration,
}

impl TimeLimits {
    /// Returns the time limits of these faults on a kernel that is `slowness` times slower
    /// than a kernel without sanitizers.
    pub fn of(words: &[String], slowness: u32) -> Self {
        Self {
            slowness,
            limit: Duration::from_secs(fault::limit_secs(words, slowness)),
            silence: SILENCE * slowness.max(1),
        }
    }
}

/// The result of a guest that injected faults.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Its judgement, as of a job.
    pub judgement: Judgement,
    pub(crate) ending: Ending,
    pub(crate) log: Log,
    /// The output of the program.
    pub output: String,
}

impl Guest<'_> {
    /// Runs the guest on a machine and evaluates it.
    pub fn run(&self, mut spec: VmSpec, session: &Session) -> Injected {
        spec.deadlines.program_margin = self.time_limits.silence;
        let transcript = vm::run(&spec, &self.vm_run(), &session.context());
        let serial = read_console(&spec.artifacts).unwrap_or_default();
        let log = Log::parse(&serial);
        let evidence = Evidence::of(&transcript, &serial);
        let test = fault::test(self.words);
        let judgement = status::judge(&test, &evidence, &log);
        let output = evidence.boots.first().map_or(&b""[..], |boot| boot.output);
        let output = String::from_utf8_lossy(output).into_owned();
        Injected {
            judgement,
            ending: evidence.ending,
            log,
            output,
        }
    }

    fn vm_run(&self) -> VmRun {
        let mut args = vec![self.kit.module_in_guest()];
        args.extend_from_slice(self.words);
        let boot = BootRun {
            kernel: None,
            files: self.kit.files(),
            program: self.kit.program_in_guest(),
            args,
            env: fault::environment(self.time_limits.slowness),
            dir: "/".to_owned(),
            timeout: self.time_limits.limit,
        };
        VmRun { boots: vec![boot] }
    }
}
