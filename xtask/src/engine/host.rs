// SPDX-License-Identifier: MIT OR Apache-2.0
//! Description of the host of a run or benchmark.

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::process::Tool;
use serde::Serialize;
use vm_images::arch::Arch;
use vm_images::qemu::Qemu;

use crate::engine::builtin;
use crate::engine::session::Session;

/// The host, its tools and the revision of this program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Host {
    /// The model of the processor.
    pub cpu: String,
    /// The number of processors that this program may use.
    pub cores: usize,
    /// The size of the memory.
    pub memory_gib: f64,
    /// The release of the kernel.
    pub kernel: String,
    /// The version of QEMU.
    pub qemu: String,
    /// The commit that the program was built from; followed by `+` if files differed.
    pub revision: String,
    /// The local date.
    pub date: String,
}

impl Host {
    /// Reads the values from the host; a value that cannot be read is `unknown`.
    pub fn look(session: &Session) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let uname = rustix::system::uname();
        Self {
            cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib(&read("/proc/meminfo")).unwrap_or_default(),
            kernel: uname.release().to_string_lossy().into_owned(),
            qemu: Qemu::find(Arch::default(), &session.cancel)
                .map_or_else(|_| unknown(), |qemu| qemu.full_version),
            revision: match session.layout.own_checkout() {
                Some(root) => revision(root, session).unwrap_or_else(unknown),
                None => builtin::revision().to_owned(),
            },
            date: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn revision(checkout: &Utf8Path, session: &Session) -> Option<String> {
    let git = |words: &[&str]| {
        let output = Tool::new("git")
            .args(words)
            .cwd(checkout)
            .run(&session.cancel);
        output.ok().map(|output| output.stdout_text())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let mark = if changes.trim().is_empty() { "" } else { "+" };
    Some(format!("{}{mark}", commit.trim()))
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib(meminfo: &str) -> Option<f64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_model_and_memory_are_read_from_proc_files() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 167\nmodel name\t: Some CPU @ 2.00GHz\n";
        assert_eq!(cpu_model(cpuinfo).unwrap(), "Some CPU @ 2.00GHz");
        assert_eq!(
            memory_gib("MemTotal:       2097152 kB\nMemFree: 1 kB\n"),
            Some(2.0)
        );
    }

    #[test]
    fn cpu_model_and_memory_of_truncated_files_are_none() {
        assert_eq!(cpu_model(""), None);
        assert_eq!(memory_gib("MemTotal:"), None);
    }
}
