// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel source package of Debian, downloaded with a private apt state.
//!
//! The host's apt configuration is not used; apt checks the signatures with the host's
//! archive keyring. Debian removes old versions, so the newest version is chosen and no
//! exact version is pinned.

use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::publish;
use patchbed_host::context::Context;
use patchbed_host::files::{listing, read_json, write_json};
use patchbed_host::process::Tool;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Suites with recent kernel sources, most stable first; a suite may disappear.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];
const UPDATE_LIMIT: Duration = Duration::from_secs(300);
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(1800);
const UNPACK_LIMIT: Duration = Duration::from_secs(900);
const STORED_BYTES_MAX: u64 = 64 * 1024;
/// The newest version is looked up again after this time.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Package {
    package: String,
    version: String,
    series: (u32, u32),
}

impl Package {
    fn label(&self) -> String {
        format!("{} {}", self.package, self.version)
    }

    /// Returns the name of its folder; `~` and `:` of versions are replaced.
    fn folder(&self) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
        format!("{}_{}", self.package, self.version).replace(|c: char| !is_plain(c), "_")
    }
}

/// Returns folder and label of the newest 7.x source package; it is cached for [`FRESH`].
pub(crate) fn newest(context: &Context) -> Result<(Utf8PathBuf, String), Error> {
    let home = context.cache.dir(&["trees"])?;
    let _lock = context.lock(&home.join("newest.lock"), "the default tree")?;
    let package = choose_and_fetch(&home, context)?;
    Ok((home.join(package.folder()), package.label()))
}

fn choose_and_fetch(home: &Utf8Path, context: &Context) -> Result<Package, Error> {
    let stored = home.join("newest.json");
    let known = match read_stored(&stored, home) {
        Some((package, age)) if age < FRESH => return Ok(package),
        known => known,
    };
    let apt = Apt::prepare(context)?;
    let package = match (apt.packages(), known) {
        (Ok(packages), _) => choose(packages),
        (Err(Error::Interrupted), _) => return Err(Error::Interrupted),
        (Err(_), Some((package, age))) => {
            context.note(format!(
                "the package lists of Debian cannot be read; using {}, fetched {} days ago",
                package.label(),
                age.as_secs() / 86400
            ));
            return Ok(package);
        }
        (Err(error), None) => return Err(error),
    };
    let package = package.ok_or_else(|| {
        let suites = SUITES.join(", ");
        Error::input(
            format!("selecting the default tree: no linux-source-7.x package in {suites}"),
            "select a kernel tree with `--tree DIR` or `--tree GIT@REV`",
        )
    })?;
    let target = home.join(package.folder());
    if !target.is_dir() {
        apt.fetch(&package, &target)?;
    }
    write_json(&stored, &package).doing("storing the version of the default tree")?;
    Ok(package)
}

/// Returns the stored package and its age, if its folder exists.
fn read_stored(stored: &Utf8Path, home: &Utf8Path) -> Option<(Package, Duration)> {
    let package: Package = read_json(stored, STORED_BYTES_MAX)?;
    let written = fs::metadata(stored).ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(written);
    let is_fetched = home.join(package.folder()).is_dir();
    is_fetched.then(|| (package, age.unwrap_or_default()))
}

/// Returns the newest kernel; for equal kernels, the package of the first suite.
fn choose(packages: Vec<Package>) -> Option<Package> {
    // `max_by_key` returns the last of equal packages.
    let packages = packages.into_iter().rev();
    packages.max_by_key(|package| package.series)
}

/// Parses `apt-cache madison` (`package | version | url suite/section ...`) and sorts by
/// suite.
fn parse_madison(text: &str) -> Vec<Package> {
    let parse = |line: &str| {
        let mut columns = line.split('|').map(str::trim);
        let (package, version, place) = (columns.next()?, columns.next()?, columns.next()?);
        let mut suites = SUITES.iter();
        let rank = suites.position(|suite| place.contains(&format!(" {suite}/")));
        let package = Package {
            package: package.to_owned(),
            version: version.to_owned(),
            series: series_of(package)?,
        };
        Some((rank.unwrap_or(SUITES.len()), package))
    };
    let mut packages: Vec<(usize, Package)> = text.lines().filter_map(parse).collect();
    packages.sort_by_key(|(rank, _)| *rank);
    packages.into_iter().map(|(_, package)| package).collect()
}

/// Parses `linux-source-7.3`; the Live Update series are made for 7.x.
fn series_of(package: &str) -> Option<(u32, u32)> {
    let (major, minor) = package.strip_prefix("linux-source-")?.split_once('.')?;
    let series = (major.parse().ok()?, minor.parse().ok()?);
    (series.0 == 7).then_some(series)
}

/// A private apt state in the cache folder.
#[derive(Debug)]
struct Apt<'a> {
    home: Utf8PathBuf,
    context: &'a Context,
}

impl<'a> Apt<'a> {
    fn prepare(context: &'a Context) -> Result<Self, Error> {
        if !Utf8Path::new(KEYRING).is_file() {
            return Err(Error::input(
                format!("downloading the default tree: `{KEYRING}` does not exist"),
                "install debian-archive-keyring, or select a tree with `--tree`",
            ));
        }
        let home = context.cache.dir(&["apt"])?;
        for below in ["lists/partial", "cache/archives/partial", "download"] {
            context.cache.dir(&["apt", below])?;
        }
        let line = |suite| format!("deb [signed-by={KEYRING}] {MIRROR} {suite} main\n");
        let sources: String = SUITES.map(line).concat();
        publish(&home.join("sources.list"), sources.as_bytes()).doing("preparing apt")?;
        Ok(Self { home, context })
    }

    fn tool(&self, program: &str) -> Tool {
        let home = &self.home;
        let options = [
            format!("Dir::Etc::SourceList={home}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={home}/lists"),
            format!("Dir::Cache={home}/cache"),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ];
        let tool = Tool::new(program).env("LC_ALL", "C");
        options
            .iter()
            .fold(tool, |tool, option| tool.args(["-o", option]))
    }

    fn packages(&self) -> Result<Vec<Package>, Error> {
        let doing = "reading the package lists of Debian";
        let _activity = self.context.activity(doing, None);
        // A removed suite makes `update` fail after it has read the other suites.
        let updated = self
            .tool("apt-get")
            .arg("update")
            .deadline("apt update", UPDATE_LIMIT)
            .run(&self.context.cancel)
            .doing(doing);
        if let Err(Error::Interrupted) = updated {
            return Err(Error::Interrupted);
        }
        let names = self
            .tool("apt-cache")
            .args(["search", "--names-only", "^linux-source-7\\."])
            .run(&self.context.cancel)
            .doing("searching the package lists")?
            .stdout_text();
        let names = names.lines().filter_map(|line| line.split(' ').next());
        let names: Vec<&str> = names.collect();
        if names.is_empty() {
            updated?;
            return Ok(Vec::new());
        }
        let table = self
            .tool("apt-cache")
            .arg("madison")
            .args(names)
            .run(&self.context.cancel)
            .doing("reading the package lists")?;
        Ok(parse_madison(&table.stdout_text()))
    }

    /// Downloads a package and unpacks its source to the folder `target`.
    fn fetch(&self, package: &Package, target: &Utf8Path) -> Result<(), Error> {
        let download = self.home.join("download");
        let _ = fs::remove_dir_all(&download);
        fs::create_dir_all(&download).doing("making a folder")?;
        self.download(package, &download)?;
        self.unpack(package, &download, target)?;
        fs::remove_dir_all(&download).doing("removing the download folder")
    }

    fn download(&self, package: &Package, folder: &Utf8Path) -> Result<(), Error> {
        let doing = format!("downloading {}", package.label());
        let activity = self.context.activity(&doing, Some(100));
        self.tool("apt-get")
            .args(["-o", "APT::Status-Fd=1", "-o", "APT::Sandbox::User=root"])
            .arg("download")
            .arg(format!("{}={}", package.package, package.version))
            .cwd(folder)
            .deadline("download", DOWNLOAD_LIMIT)
            .run_lines(&self.context.cancel, &mut |line| {
                if let Some(percent) = percent(line) {
                    activity.advance(percent, "%");
                }
            })
            .doing(&doing)?;
        Ok(())
    }

    fn unpack(
        &self,
        package: &Package,
        download: &Utf8Path,
        target: &Utf8Path,
    ) -> Result<(), Error> {
        let doing = format!("unpacking {}", package.label());
        let activity = self.context.activity(&doing, None);
        let (deb, unpacked) = (only_file(download, "deb")?, download.join("deb"));
        Tool::new("dpkg-deb")
            .args(["-x", deb.as_str(), unpacked.as_str()])
            .deadline("unpacking the package", UNPACK_LIMIT)
            .run(&self.context.cancel)
            .doing(&doing)?;
        let archive = only_file(&unpacked.join("usr/src"), "xz")?;
        let parts = Utf8PathBuf::from(format!("{target}.partial"));
        let _ = fs::remove_dir_all(&parts);
        fs::create_dir_all(&parts).doing("making a folder")?;
        let mut files = 0;
        Tool::new("tar")
            .args(["-xvf", archive.as_str(), "-C", parts.as_str()])
            .args(["--strip-components=1", "--no-same-owner"])
            .deadline("unpacking the source", UNPACK_LIMIT)
            .run_lines(&self.context.cancel, &mut |line| {
                files += 1;
                if files % 500 == 0 {
                    activity.advance(files, line);
                }
            })
            .doing(&doing)?;
        fs::rename(&parts, target).doing(doing)
    }
}

/// Parses `dlstatus:1:20.5:Retrieving file 1 of 1`.
fn percent(line: &str) -> Option<u64> {
    let number = line.strip_prefix("dlstatus:")?.split(':').nth(1)?;
    number.split('.').next()?.parse().ok()
}

fn only_file(folder: &Utf8Path, ending: &str) -> Result<Utf8PathBuf, Error> {
    let doing = format!("listing `{folder}`");
    let files = listing(folder).doing(&doing)?;
    let mut files = files.into_iter();
    let file = files.find(|path| path.extension() == Some(ending));
    file.ok_or_else(|| Error::unexpected(doing, format!("no `.{ending}` file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choose_prefers_the_newest_kernel_then_the_most_stable_suite() {
        let madison = "\
linux-source-7.3 | 7.3.4-1 | http://deb.debian.org/debian sid/main amd64 Packages
linux-source-7.3 | 7.3.4-1~bpo13+1 | http://deb.debian.org/debian trixie-backports/main amd64 Packages
linux-source-7.2 | 7.2.13-1 | http://deb.debian.org/debian sid/main amd64 Packages
linux-source-6.18 | 6.18.1-1 | http://deb.debian.org/debian sid/main amd64 Packages
";
        let best = choose(parse_madison(madison)).unwrap();
        assert_eq!(best.package, "linux-source-7.3");
        assert_eq!(best.version, "7.3.4-1~bpo13+1");
        assert_eq!(best.folder(), "linux-source-7.3_7.3.4-1_bpo13+1");
        assert_eq!(choose(parse_madison("junk\n\n|||\n")), None);
    }

    #[test]
    fn series_of_compares_versions_numerically() {
        assert!(series_of("linux-source-7.10") > series_of("linux-source-7.9"));
        assert_eq!(series_of("linux-source-7.3-rt"), None);
    }

    #[test]
    fn percent_parses_download_progress() {
        assert_eq!(percent("dlstatus:1:20.5:Retrieving file 1 of 1"), Some(20));
        assert_eq!(percent("Get:1 http"), None);
    }
}
