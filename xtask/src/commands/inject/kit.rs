// SPDX-License-Identifier: GPL-2.0-only
//! What a guest needs to inject faults: the module, and the program that injections.

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Modules;
use patchbed_host::cache::{hex, publish};
use selftests::fault;
use sha2::{Digest, Sha256};
use vm_images::vm::GuestFile;

use crate::session::Session;

/// Changes when the program is compiled in another way.
const FORMAT: &[u8] = b"fault 1";
/// The folder in the guest.
const IN_GUEST: &str = "/tests/fault";

/// What a guest needs, on the host.
#[derive(Clone, Debug)]
pub(crate) struct Kit {
    program: Utf8PathBuf,
    module: Utf8PathBuf,
}

/// Returns the modules to build: the faults, and those that tests load.
///
/// # Errors
/// When they are none that can be built.
pub(crate) fn modules() -> anyhow::Result<Modules> {
    let files = fault::modules().into_iter();
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    Ok(Modules::new(files)?)
}

impl Kit {
    /// Returns the kit of a kernel whose modules are in a folder; the program is cached in
    /// the cache by content.
    ///
    /// # Errors
    /// When the program does not compile, or the host fails.
    pub(crate) fn make(modules: &Utf8Path, session: &Session) -> anyhow::Result<Self> {
        Ok(Self {
            program: program(session)?,
            module: modules.join(fault::MODULE),
        })
    }

    /// Returns the files that go to the guest.
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
    let mut id = Sha256::new();
    id.update(FORMAT);
    id.update(fault::program());
    let cached = session.cache.dir(&["programs", &hex(&id.finalize())])?;
    let target = cached.join(fault::PROGRAM);
    let sum = cached.join("sum");
    let binary = fs::read(&target).unwrap_or_default();
    if !binary.is_empty() && fs::read_to_string(&sum).ok() == Some(hex(&Sha256::digest(&binary))) {
        return Ok(target);
    }
    let room = tempfile::Builder::new()
        .prefix(".sources-")
        .tempdir_in(&cached)?;
    let room = Utf8Path::from_path(room.path()).context("the cache's path is not UTF-8")?;
    let (source, output) = (room.join("inject.c"), room.join("inject.out"));
    fs::write(&source, fault::program())?;
    fault::compile(&source, &output, &session.cancel)?;
    let binary = fs::read(&output)?;
    publish(&target, &binary)?;
    publish(&sum, hex(&Sha256::digest(&binary)).as_bytes())?;
    Ok(target)
}
