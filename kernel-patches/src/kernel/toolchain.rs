// SPDX-License-Identifier: MIT OR Apache-2.0
//! The compiler and linker of the host, and wrappers for them in kernel builds.
//!
//! make finds the wrappers through `PATH` and kbuild's variables. The command lines do not
//! depend on whether ccache is installed, so that installing or removing it does not rebuild
//! anything.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::{Cache, publish};
use patchbed_host::cancel::Cancel;
use patchbed_host::process::Tool;

use crate::arch::{self, Arch};
use crate::error::{Doing, Error};

/// The compiler and linker of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// First lines of `gcc --version` and `ld --version`.
    pub identity: String,
    /// The architecture that it compiles for.
    pub arch: &'static Arch,
}

impl Toolchain {
    /// Reads the versions of the host's tools.
    pub fn detect(cancel: &Cancel) -> Result<Self, Error> {
        let arch = &arch::X86_64;
        let mut identity = Vec::new();
        for program in ["gcc", "ld"] {
            let output = Tool::new(format!("{}{program}", arch.cross_prefix))
                .arg("--version")
                .env("LC_ALL", "C")
                .run(cancel)
                .doing(format!("reading the version of `{program}`"))?;
            let version = output.stdout_text();
            identity.push(version.lines().next().unwrap_or_default().to_owned());
        }
        Ok(Self {
            identity: identity.join("; "),
            arch,
        })
    }
}

/// Size limit of the ccache folder; ccache deletes the least recently used files.
const CCACHE_BYTES_MAX: &str = "2G";
/// Increase the number if the existing cache may have wrong objects.
const CCACHE_FOLDER: &str = "ccache-2";
/// Ignores kbuild's `-9`: an image is unpacked a few times only, so fast compression is
/// better than a small image.
const QUICK_GZIP: &str = "#!/bin/sh\nexec gzip -n -1\n";

#[derive(Debug)]
pub(super) struct CompilerWrappers {
    folder: Utf8PathBuf,
    /// Folder of the compiler cache, if ccache is installed.
    ccache: Option<Utf8PathBuf>,
}

impl CompilerWrappers {
    /// Writes the wrappers to `home`: ccache as `gcc`, if it is installed, and a fast gzip.
    pub(super) fn install(home: &Utf8Path, cache: &Cache) -> Result<Self, Error> {
        let folder = home.join("compiler_wrappers");
        let ccache = which::which("ccache")
            .ok()
            .filter(|path| path.is_absolute());
        install(&folder, ccache.as_deref()).doing("writing the compiler wrappers")?;
        let ccache = ccache.map(|_| cache.dir(&[CCACHE_FOLDER])).transpose()?;
        Ok(Self { folder, ccache })
    }

    /// Adds the wrappers to the environment of a make command, before `path`.
    pub(super) fn prepend(&self, make: Tool, path: &OsStr) -> Tool {
        let mut search_path = OsString::from(self.folder.as_str());
        search_path.push(":");
        search_path.push(path);
        let make = make
            .env("PATH", search_path)
            .arg(format!("KGZIP={}", self.folder.join("quick-gzip")));
        match &self.ccache {
            Some(folder) => make
                .env("CCACHE_DIR", folder)
                // With `CCACHE_DEPEND`, ccache does not hash files of `.incbin`. It would
                // return a `piggy.o` with the kernel of another checkout if both kernels
                // have the same compressed size.
                .env("CCACHE_NODEPEND", "1")
                // Override settings of the host that allow wrong cache hits.
                .env("CCACHE_SLOPPINESS", "")
                .env("CCACHE_NOHARDLINK", "1")
                .env("CCACHE_NOFILECLONE", "1")
                .env("CCACHE_MAXSIZE", CCACHE_BYTES_MAX),
            None => make,
        }
    }
}

fn install(folder: &Utf8Path, ccache: Option<&Path>) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let compiler = folder.join("gcc");
    if fs::read_link(&compiler).ok().as_deref() != ccache {
        let _ = fs::remove_file(&compiler);
        if let Some(ccache) = ccache {
            fs_err::os::unix::fs::symlink(ccache, &compiler)?;
        }
    }
    let gzip = folder.join("quick-gzip");
    if fs::read_to_string(&gzip).ok().as_deref() != Some(QUICK_GZIP) {
        publish(&gzip, QUICK_GZIP.as_bytes())?;
        fs::set_permissions(&gzip, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_links_gcc_to_ccache_only_if_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path())
            .unwrap()
            .join("compiler_wrappers");
        let gcc = folder.join("gcc");
        install(&folder, Some(Path::new("/one/ccache"))).unwrap();
        install(&folder, Some(Path::new("/other/ccache"))).unwrap();
        let target = fs::read_link(&gcc).unwrap();
        assert_eq!(target.to_str(), Some("/other/ccache"));
        install(&folder, None).unwrap();
        assert!(fs::symlink_metadata(&gcc).is_err());
    }

    #[test]
    #[ignore = "needs ccache"]
    fn ccache_compiles_again_when_a_file_of_incbin_changes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        let cache = Cache::at(folder.join("cache")).unwrap();
        let compiler_wrappers = CompilerWrappers::install(folder, &cache).unwrap();
        assert!(
            compiler_wrappers.ccache.is_some(),
            "`ccache` is not in PATH"
        );
        fs::write(
            folder.join("Makefile"),
            "it.o: it.S\n\tgcc -Wp,-MMD,./it.d -c -o $@ $<\n",
        )
        .unwrap();
        fs::write(folder.join("it.S"), ".incbin \"it.bin\"\n").unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let build = |content: &str| {
            fs::write(folder.join("it.bin"), content).unwrap();
            let make = Tool::new("make")
                .args(["-B", "-C", folder.as_str()])
                .env_clear();
            compiler_wrappers
                .prepend(make, &path)
                .run(&Cancel::new())
                .unwrap();
            fs::read(folder.join("it.o")).unwrap()
        };
        let (first, second) = (build("the old kernel"), build("another kernel"));
        assert!(first.windows(14).any(|part| part == b"the old kernel"));
        assert!(second.windows(14).any(|part| part == b"another kernel"));
    }

    #[test]
    fn quick_gzip_output_decompresses_to_the_input() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        install(folder, None).unwrap();
        let image = b"a kernel ".repeat(1000);
        // The arguments that kbuild uses.
        let packed = Tool::new(folder.join("quick-gzip"))
            .args(["-n", "-f", "-9"])
            .stdin(image.clone())
            .run(&Cancel::new())
            .unwrap();
        assert!(packed.stdout.len() < image.len() / 10);
        let unpacked = Tool::new("gzip")
            .arg("-dc")
            .stdin(packed.stdout)
            .run(&Cancel::new())
            .unwrap();
        assert_eq!(unpacked.stdout, image);
    }
}
