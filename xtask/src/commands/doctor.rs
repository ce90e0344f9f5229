// SPDX-License-Identifier: MIT OR Apache-2.0
//! `doctor`: checks the host for the programs and files that a run needs, and installs them.

use std::time::Duration;

use camino::Utf8Path;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Event};
use patchbed_host::process::Tool;

use crate::cli::DoctorArgs;
use xtask::engine::session::Session;
use xtask::exit::Exit;
use xtask::report;

const INSTALL_LIMIT: Duration = Duration::from_secs(1800);

/// How to check that a package is installed.
#[derive(Clone, Copy, Debug)]
enum Probe {
    /// A program in PATH.
    Program(&'static str),
    /// One of these files.
    File(&'static [&'static str]),
}

/// A program or file that a run needs.
#[derive(Clone, Copy, Debug)]
struct Need {
    probe: Probe,
    /// Debian's package.
    package: &'static str,
    why: &'static str,
}

const fn program(name: &'static str, package: &'static str, why: &'static str) -> Need {
    Need {
        probe: Probe::Program(name),
        package,
        why,
    }
}

const NEEDS: [Need; 17] = [
    program("make", "make", "builds kernels"),
    program("gcc", "gcc", "compiles kernels and selftests"),
    program("ld", "binutils", "links kernels"),
    program("flex", "flex", "builds kconfig"),
    program("bison", "bison", "builds kconfig"),
    program("bc", "bc", "kernel build scripts"),
    program("perl", "perl", "kernel build scripts and checkpatch"),
    program("rsync", "rsync", "installs kernel headers"),
    program("git", "git", "applies patches"),
    program("tar", "tar", "unpacks kernel source"),
    program("xz", "xz-utils", "unpacks kernel source"),
    program("dpkg-deb", "dpkg", "unpacks Debian's kernel source package"),
    program("apt-get", "apt", "fetches Debian's kernel source package"),
    program("qemu-system-x86_64", "qemu-system-x86", "runs the kernels"),
    Need {
        probe: Probe::File(&["/usr/include/gelf.h"]),
        package: "libelf-dev",
        why: "objtool, a part of the kernel build",
    },
    Need {
        probe: Probe::File(&[
            "/usr/lib/x86_64-linux-gnu/libc.a",
            "/usr/lib64/libc.a",
            "/usr/lib/libc.a",
        ]),
        package: "libc6-dev",
        why: "links selftests and the guest statically",
    },
    Need {
        probe: Probe::File(&["/usr/share/keyrings/debian-archive-keyring.gpg"]),
        package: "debian-archive-keyring",
        why: "verifies Debian's kernel source package",
    },
];

/// Prints the missing packages, after installing them if requested.
pub(crate) fn run(args: &DoctorArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.install {
        install(session)?;
    }
    let missing = missing();
    session.observer.clear();
    report::to_stdout(&format!("data: {}", session.layout.origin()))?;
    if missing.is_empty() {
        report::to_stdout(&format!(
            "all {} programs and files that a run needs are installed",
            NEEDS.len()
        ))?;
        return Ok(Exit::Ok);
    }
    report::to_stdout(&report(&missing))?;
    Ok(Exit::Infrastructure)
}

/// Checks that all packages are installed, after installing them if requested.
///
/// # Errors
/// When a package is missing; the message has the command that installs it.
pub(crate) fn require(may_install: bool, session: &Session) -> anyhow::Result<()> {
    if may_install {
        install(session)?;
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    Err(anyhow::anyhow!("{}", report(&missing)))
}

fn missing() -> Vec<Need> {
    NEEDS
        .into_iter()
        .filter(|need| !is_installed(need.probe))
        .collect()
}

fn is_installed(probe: Probe) -> bool {
    match probe {
        Probe::Program(name) => which::which(name).is_ok(),
        Probe::File(paths) => paths.iter().any(|path| Utf8Path::new(path).is_file()),
    }
}

fn report(missing: &[Need]) -> String {
    let mut text = "missing on this host:\n".to_owned();
    for need in missing {
        let name = match need.probe {
            Probe::Program(name) => name,
            Probe::File(paths) => paths[0],
        };
        text += &format!("  {name}: {}\n", need.why);
    }
    text += &format!(
        "hint: install with (on Debian and derivatives; `--install` runs the same command):\n  {}{}",
        if rustix::process::geteuid().is_root() {
            ""
        } else {
            "sudo "
        },
        command_line(&packages(missing)).join(" "),
    );
    text
}

fn packages(missing: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn command_line(packages: &[&str]) -> Vec<String> {
    let words = ["apt-get", "install", "--yes", "--no-install-recommends"];
    words
        .iter()
        .chain(packages)
        .map(|word| (*word).to_owned())
        .collect()
}

/// Installs the missing packages. Needs root, unlike all other functions of this program.
fn install(session: &Session) -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = packages(&missing);
    if which::which("apt-get").is_err() {
        anyhow::bail!("{}\n`--install` needs `apt-get`", report(&missing));
    }
    let words = command_line(&packages);
    session.observer.event(Event::Note {
        text: format!("running: {}", words.join(" ")),
    });
    let activity = Activity::start(&*session.observer, "installing host packages", None);
    apt(
        &["apt-get".to_owned(), "update".to_owned()],
        &activity,
        &session.cancel,
    )?;
    apt(&words, &activity, &session.cancel)
}

fn apt(words: &[String], activity: &Activity<'_>, cancel: &Cancel) -> anyhow::Result<()> {
    let mut command: Vec<&str> = words.iter().map(String::as_str).collect();
    if !rustix::process::geteuid().is_root() {
        command.splice(0..0, ["sudo", "--non-interactive"]);
    }
    let mut lines = 0;
    Tool::new(command[0])
        .args(&command[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .deadline("package installation", INSTALL_LIMIT)
        .run_lines(cancel, &mut |line| {
            lines += 1;
            activity.advance(lines, line);
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_lists_missing_packages_and_the_install_command() {
        let text = report(&[NEEDS[3], NEEDS[4], NEEDS[14]]);
        assert!(text.contains("  flex: builds kconfig\n"), "{text}");
        assert!(
            text.ends_with("--no-install-recommends bison flex libelf-dev"),
            "{text}"
        );
    }
}
