// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that a guest needs to inject faults: the kernel module and the program that
//! loads it.

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Modules;
use patchbed_host::cache::{hex, publish};
use patchbed_host::content::ContentId;
use selftests::fault;
use sha2::{Digest, Sha256};
use vm_images::vm::GuestFile;

use crate::engine::session::Session;

/// Part of the cache key. Change it when the program is compiled in another way.
const FORMAT: &[u8] = b"fault 1";
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
    pub(super) fn files(&self) -> Vec<GuestFile> {
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
    pub(super) fn program_in_guest(&self) -> String {
        format!("{IN_GUEST}/{}", fault::PROGRAM)
    }

    /// Returns the module's path in the guest.
    pub(super) fn module_in_guest(&self) -> String {
        format!("{IN_GUEST}/{}", fault::MODULE)
    }
}

fn program(session: &Session) -> anyhow::Result<Utf8PathBuf> {
    let id = ContentId::new("inject").part(FORMAT).part(fault::program());
    let cached = session.cache.dir(&["programs", &id.finish()])?;
    let target = cached.join(fault::PROGRAM);
    let sum = cached.join("sum");
    let binary = fs::read(&target).unwrap_or_default();
    if !binary.is_empty() && fs::read_to_string(&sum).ok() == Some(hex(&Sha256::digest(&binary))) {
        return Ok(target);
    }
    let folder = tempfile::Builder::new()
        .prefix(".sources-")
        .tempdir_in(&cached)?;
    let folder = Utf8Path::from_path(folder.path()).context("the cache's path is not UTF-8")?;
    let (source, output) = (folder.join("inject.c"), folder.join("inject.out"));
    fs::write(&source, fault::program())?;
    fault::compile(&source, &output, &session.cancel)?;
    let binary = fs::read(&output)?;
    publish(&target, &binary)?;
    publish(&sum, hex(&Sha256::digest(&binary)).as_bytes())?;
    Ok(target)
}
