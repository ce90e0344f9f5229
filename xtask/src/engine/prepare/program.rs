// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the test programs for a kernel. Binaries are cached by the hash of their inputs.

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Kernel;
use patchbed_host::cache::{hex, publish};
use patchbed_host::content::ContentId;
use selftests::generate::{self, Compile};
use selftests::scenario::ScenarioFile;
use sha2::{Digest, Sha256};

use crate::engine::session::Session;

/// Part of the cache key; to be changed when programs are compiled differently.
const FORMAT: &[u8] = b"2";

/// Returns the path of a scenario file's program for a kernel with the given [`kernel_inputs`].
/// A cached binary whose checksum does not match is compiled again.
///
/// # Errors
/// When the program does not compile, or the host fails.
pub(super) fn make(
    scenario_file: &ScenarioFile,
    kernel: &Kernel,
    inputs: &[u8],
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let files = generate::files(std::slice::from_ref(scenario_file));
    let mut id = ContentId::default().part(FORMAT).part(inputs);
    for (name, text) in files {
        id = id.part(name).part(text);
    }
    let cached = session.cache.dir(&["programs", &id.finish()])?;
    let name = scenario_file.first().identifier();
    let target = cached.join(&name);
    let binary = fs::read(&target).unwrap_or_default();
    let sum = cached.join(format!("{name}.sha256"));
    if !binary.is_empty() && fs::read_to_string(&sum).ok() == Some(hex(&Sha256::digest(&binary))) {
        return Ok(target);
    }
    let binary = compile(scenario_file, kernel, &cached, session)?;
    publish(&target, &binary)?;
    publish(&sum, hex(&Sha256::digest(&binary)).as_bytes())?;
    Ok(target)
}

/// Returns the hash of a kernel's headers and kselftest harness. Most kernels of a tree have the
/// same, so their programs are shared.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn kernel_inputs(kernel: &Kernel) -> anyhow::Result<Vec<u8>> {
    let mut sum = Sha256::new();
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
            let bytes = fs::read(&file)?;
            let name = file.strip_prefix(&folder).unwrap_or(&file);
            for part in [name.as_str().as_bytes(), &bytes] {
                sum.update((part.len() as u64).to_le_bytes());
                sum.update(part);
            }
        }
    }
    Ok(sum.finalize().to_vec())
}

/// Compiles a program in a new temporary folder below `place`.
fn compile(
    scenario_file: &ScenarioFile,
    kernel: &Kernel,
    place: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Vec<u8>> {
    let sources = tempfile::Builder::new()
        .prefix(".sources-")
        .tempdir_in(place)?;
    let folder =
        Utf8Path::from_path(sources.path()).context("the path of the cache is not UTF-8")?;
    generate::write(std::slice::from_ref(scenario_file), folder)?;
    let name = scenario_file.first().identifier();
    let output = folder.join(format!("{name}.out"));
    let compile = Compile {
        program: &name,
        folder,
        kselftest: &kernel.selftests(),
        headers: &kernel.headers(),
        output: &output,
    };
    generate::compile(&compile, &session.cancel)?;
    Ok(fs::read(&output)?)
}
