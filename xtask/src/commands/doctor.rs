// SPDX-License-Identifier: MIT OR Apache-2.0
//! `doctor`: checks the host for the programs and files that a run needs, and installs them.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8Path;
use patchbed_host::events::Activity;
use patchbed_host::process::Tool;

use crate::cli::DoctorArgs;
use xtask::engine::session::Session;
use xtask::exit::Exit;
use xtask::report;

const INSTALL_LIMIT: Duration = Duration::from_secs(1800);

/// A program or file that a run needs.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// A program in PATH, or the path of a file; one of them is enough.
    any_of: &'static [&'static str],
    /// Debian's package.
    package: &'static str,
    why: &'static str,
}

const fn need(any_of: &'static [&'static str], package: &'static str, why: &'static str) -> Need {
    Need {
        any_of,
        package,
        why,
    }
}

const LIBC: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/libc.a",
    "/usr/lib64/libc.a",
    "/usr/lib/libc.a",
];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const NEEDS: [Need; 17] = [
    need(&["make"], "make", "builds kernels"),
    need(&["gcc"], "gcc", "compiles kernels and selftests"),
    need(&["ld"], "binutils", "links kernels"),
    need(&["flex"], "flex", "builds kconfig"),
    need(&["bison"], "bison", "builds kconfig"),
    need(&["bc"], "bc", "kernel build scripts"),
    need(&["perl"], "perl", "kernel build scripts and checkpatch"),
    need(&["rsync"], "rsync", "installs kernel headers"),
    need(&["git"], "git", "applies patches"),
    need(&["tar"], "tar", "unpacks kernel source"),
    need(&["xz"], "xz-utils", "unpacks kernel source"),
    need(
        &["dpkg-deb"],
        "dpkg",
        "unpacks Debian's kernel source package",
    ),
    need(
        &["apt-get"],
        "apt",
        "fetches Debian's kernel source package",
    ),
    need(
        &["qemu-system-x86_64"],
        "qemu-system-x86",
        "runs the kernels",
    ),
    need(
        &["/usr/include/gelf.h"],
        "libelf-dev",
        "objtool, a part of the kernel build",
    ),
    need(
        &LIBC,
        "libc6-dev",
        "links selftests and the guest statically",
    ),
    need(
        &[KEYRING],
        "debian-archive-keyring",
        "verifies Debian's kernel source package",
    ),
];

const INSTALL: [&str; 4] = ["apt-get", "install", "--yes", "--no-install-recommends"];

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
    let is_installed = |name: &&'static str| match name.starts_with('/') {
        true => Utf8Path::new(name).is_file(),
        false => which::which(name).is_ok(),
    };
    let is_missing = |need: &Need| !need.any_of.iter().any(is_installed);
    NEEDS.into_iter().filter(is_missing).collect()
}

fn report(missing: &[Need]) -> String {
    let mut text = "missing on this host:\n".to_owned();
    for need in missing {
        text += &format!("  {}: {}\n", need.any_of[0], need.why);
    }
    let sudo = if is_root() { "" } else { "sudo " };
    text + &format!(
        "hint: install with (on Debian and derivatives; `--install` runs the same command):\n  \
         {sudo}{}",
        install_command(missing).join(" "),
    )
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn install_command(missing: &[Need]) -> Vec<&'static str> {
    let packages: BTreeSet<&str> = missing.iter().map(|need| need.package).collect();
    INSTALL.into_iter().chain(packages).collect()
}

/// Installs the missing packages. Needs root, unlike all other functions of this program.
fn install(session: &Session) -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if which::which("apt-get").is_err() {
        anyhow::bail!("{}\n`--install` needs `apt-get`", report(&missing));
    }
    let words = install_command(&missing);
    session.note(format!("running: {}", words.join(" ")));
    let activity = Activity::start(&*session.observer, "installing host packages", None);
    for mut command in [vec!["apt-get", "update"], words] {
        if !is_root() {
            command.splice(0..0, ["sudo", "--non-interactive"]);
        }
        let mut lines = 0;
        Tool::new(command[0])
            .args(&command[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .deadline("package installation", INSTALL_LIMIT)
            .run_lines(&session.cancel, &mut |line| {
                lines += 1;
                activity.advance(lines, line);
            })?;
    }
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
