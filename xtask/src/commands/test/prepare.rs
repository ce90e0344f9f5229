// SPDX-License-Identifier: GPL-2.0-only
//! Makes ready what cells run: kernels, test programs and initramfs archives.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::kernel::Kernel;
use kernel_patches::profile::{GuestNeeds, Profile};
use selftests::generate::{self, Compile};
use selftests::scenario::Scenario;
use sha2::{Digest, Sha256};
use testbed_host::events::Activity;
use vm_images::initramfs::Initramfs;

use crate::commands::bench::Bench;
use crate::commands::build::Built;
use crate::commands::sources::Sources;
use crate::session::Session;

/// A kernel to run cells on, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) stack: String,
    pub(crate) profile: String,
    pub(crate) kernel: Kernel,
    pub(crate) guest: GuestNeeds,
    /// Names of the series in it.
    pub(crate) contains: BTreeSet<String>,
    /// By scenario, what to boot it with.
    pub(crate) initramfs: BTreeMap<String, Utf8PathBuf>,
}

/// Returns the path in the guest of a scenario's program.
pub(crate) fn program_in_guest(scenario: &Scenario) -> String {
    format!("/tests/{}", scenario.identifier())
}

/// Compiles the scenarios' programs for every kernel and packs them.
///
/// # Errors
/// When a program does not compile, or the host fails.
pub(crate) fn grounds(
    built: Vec<Built>,
    sources: &Sources,
    profiles: &[Profile],
    scenarios: &[Scenario],
    bench: &Bench,
    session: &Session,
) -> anyhow::Result<Vec<Ground>> {
    let total = (built.len() * scenarios.len()) as u64;
    let activity = Activity::start(&session.progress, "making selftests ready", Some(total));
    let mut grounds = Vec::new();
    let mut done = 0;
    for Built {
        stack,
        profile,
        kernel,
    } in built
    {
        let programs = Programs::of(scenarios, &kernel, session)?;
        let mut initramfs = BTreeMap::new();
        for scenario in scenarios {
            activity.advance(done, &scenario.name);
            done += 1;
            let program = programs.compile(scenario, session)?;
            let path = pack(scenario, &program, &kernel, bench, session)?;
            initramfs.insert(scenario.name.clone(), path);
        }
        let needs = profiles.iter().find(|one| one.name == profile);
        let from = sources.stacks.iter().find(|one| one.name == stack);
        let (Some(needs), Some(from)) = (needs, from) else {
            anyhow::bail!("no profile `{profile}` or stack `{stack}` to run on");
        };
        grounds.push(Ground {
            guest: needs.guest.clone(),
            contains: from.contains.clone(),
            stack,
            profile,
            kernel,
            initramfs,
        });
    }
    Ok(grounds)
}

/// The test programs for one kernel, kept in the cache by content.
struct Programs<'a> {
    kernel: &'a Kernel,
    /// The generated sources and the binaries beside them.
    folder: Utf8PathBuf,
}

impl<'a> Programs<'a> {
    fn of(scenarios: &[Scenario], kernel: &'a Kernel, session: &Session) -> anyhow::Result<Self> {
        let mut id = Sha256::new();
        let mut part = |bytes: &[u8]| {
            id.update((bytes.len() as u64).to_le_bytes());
            id.update(bytes);
        };
        part(kernel.id.as_bytes());
        for (name, text) in generate::files(scenarios) {
            part(name.as_bytes());
            part(text.as_bytes());
        }
        let folder = session.cache.dir(&["programs", &hex(&id.finalize())])?;
        generate::write(scenarios, &folder.join("src"))?;
        Ok(Self { kernel, folder })
    }

    fn compile(&self, scenario: &Scenario, session: &Session) -> anyhow::Result<Utf8PathBuf> {
        let program = scenario.identifier();
        let target = self.folder.join(&program);
        if !target.is_file() {
            let parts = self
                .folder
                .join(format!(".{program}.{}", std::process::id()));
            let compile = Compile {
                program: &program,
                folder: &self.folder.join("src"),
                kselftest: &self.kernel.selftests(),
                headers: &self.kernel.headers(),
                output: &parts,
            };
            generate::compile(&compile, &session.cancel)?;
            fs::rename(&parts, &target)?;
        }
        Ok(target)
    }
}

/// Makes the archive that a cell boots with; one that has a kexec in it also
/// carries the next kernel.
fn pack(
    scenario: &Scenario,
    program: &Utf8Path,
    kernel: &Kernel,
    bench: &Bench,
    session: &Session,
) -> anyhow::Result<Utf8PathBuf> {
    let mut archive = Initramfs::for_guest(&bench.guest)?;
    archive.add_test(&scenario.identifier(), program)?;
    if scenario.stages.len() > 1 {
        archive.add_next_kernel(&kernel.image())?;
    }
    let bytes = archive.to_bytes()?;
    let name = format!("{}.cpio", hex(&Sha256::digest(&bytes)));
    let folder = session.cache.dir(&["initramfs"])?;
    let path = folder.join(&name);
    if !path.is_file() {
        let parts = folder.join(format!(".{name}.{}", std::process::id()));
        fs::write(&parts, &bytes)?;
        fs::rename(&parts, &path)?;
    }
    Ok(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
