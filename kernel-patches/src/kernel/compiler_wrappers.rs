// SPDX-License-Identifier: GPL-2.0-only
//! Small programs that stand in front of the host's while a kernel is built.
//!
//! They are found through `PATH` and through kbuild's own variables. The names
//! under which make calls its tools thus stay the same whether they are used or
//! not, and nothing is rebuilt when a host gains or loses one of them.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::{Cache, publish};
use patchbed_host::process::Tool;

use crate::error::Error;

/// The compiler cache may grow to this; ccache drops what was not used for long.
const CCACHE_BYTES_MAX: &str = "2G";
/// Raise the number when what is in it cannot be trusted any more.
const CCACHE_FOLDER: &str = "ccache-2";
/// The compressor ignores the level that kbuild asks for, the slowest there is:
/// this image is unpacked a few times, minutes after it was packed.
const QUICK_GZIP: &str = "#!/bin/sh\nexec gzip -n -1\n";

/// The folder of the stand-ins of one build folder.
#[derive(Debug)]
pub(super) struct CompilerWrappers {
    folder: Utf8PathBuf,
    /// Where ccache keeps what it remembers, if the host has one.
    ccache: Option<Utf8PathBuf>,
}

impl CompilerWrappers {
    /// Lays the stand-ins into `home`: ccache as the compiler, if this host has
    /// it, and a compressor that does not try hard.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn lay(home: &Utf8Path, cache: &Cache) -> Result<Self, Error> {
        let folder = home.join("compiler_wrappers");
        let ccache = find_in_path("ccache");
        lay(&folder, ccache.as_deref()).map_err(Error::host("laying out the build's tools"))?;
        let ccache = match ccache {
            Some(_) => Some(cache.dir(&[CCACHE_FOLDER])?),
            None => None,
        };
        Ok(Self { folder, ccache })
    }

    /// Returns a call of make, whose environment was cleared, that finds them.
    pub(super) fn before(&self, make: Tool, path: &OsStr) -> Tool {
        let mut found = OsString::from(self.folder.as_str());
        found.push(":");
        found.push(path);
        let make = make
            .env("PATH", found)
            .arg(format!("KGZIP={}", self.folder.join("quick-gzip")));
        match &self.ccache {
            Some(memory) => make
                .env("CCACHE_DIR", memory)
                // Never `CCACHE_DEPEND`: in that mode nobody notices `.incbin`, and
                // `piggy.o` comes with the kernel of another checkout in it when that
                // happens to pack to the same size.
                .env("CCACHE_NODEPEND", "1")
                // What else a host's own settings may be lax about.
                .env("CCACHE_SLOPPINESS", "")
                .env("CCACHE_NOHARDLINK", "1")
                .env("CCACHE_NOFILECLONE", "1")
                .env("CCACHE_MAXSIZE", CCACHE_BYTES_MAX),
            None => make,
        }
    }
}

fn lay(folder: &Utf8Path, ccache: Option<&Utf8Path>) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let compiler = folder.join("gcc");
    let is_right = fs::read_link(&compiler).ok().as_deref() == ccache.map(Utf8Path::as_std_path);
    if !is_right {
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

fn find_in_path(program: &str) -> Option<Utf8PathBuf> {
    let is_program = |path: &Utf8PathBuf| {
        fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter_map(|folder| Utf8PathBuf::try_from(folder).ok())
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(is_program)
}

#[cfg(test)]
mod tests {
    use patchbed_host::cancel::Cancel;

    use super::*;

    #[test]
    fn the_compiler_is_shadowed_only_while_there_is_a_ccache() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path())
            .unwrap()
            .join("compiler_wrappers");
        let gcc = folder.join("gcc");
        lay(&folder, Some(Utf8Path::new("/one/ccache"))).unwrap();
        lay(&folder, Some(Utf8Path::new("/other/ccache"))).unwrap();
        let target = fs::read_link(&gcc).unwrap();
        assert_eq!(target.to_str(), Some("/other/ccache"));
        lay(&folder, None).unwrap();
        assert!(fs::symlink_metadata(&gcc).is_err());
    }

    #[test]
    #[ignore = "needs ccache"]
    fn ccache_compiles_again_when_a_file_of_incbin_changes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        let cache = Cache::at(folder.join("cache")).unwrap();
        let compiler_wrappers = CompilerWrappers::lay(folder, &cache).unwrap();
        assert!(
            compiler_wrappers.ccache.is_some(),
            "there is no `ccache` in PATH"
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
                .before(make, &path)
                .run(&Cancel::new())
                .unwrap();
            fs::read(folder.join("it.o")).unwrap()
        };
        let (one, other) = (build("the one kernel"), build("another kernel"));
        assert!(one.windows(14).any(|part| part == b"the one kernel"));
        assert!(other.windows(14).any(|part| part == b"another kernel"));
    }

    #[test]
    fn what_is_packed_in_a_hurry_unpacks_to_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        lay(folder, None).unwrap();
        let image = b"a kernel ".repeat(1000);
        // With kbuild's own arguments.
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
