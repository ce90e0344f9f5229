// SPDX-License-Identifier: GPL-2.0-only
//! A kernel's configuration as a fragment that another build can start from.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use kernel_patches::worktree::WorkTree;
use patchbed_host::cache::publish;
use patchbed_host::process::Tool;

use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(600);
/// Off in our kernels, and closes a menu with an option that `vmtest.sh` insists
/// on in every kernel; by itself it adds nothing.
const CLOSES_A_MENU: &str = "# CONFIG_RUNTIME_TESTING_MENU is not set";

/// Returns the options in which `config`, that of the kernel `id`, differs from
/// the defaults: what `make savedefconfig` says. The script looks for each line
/// of its configuration with a process of its own, so the two thousand lines of
/// a whole `.config` would slow it down.
///
/// # Errors
/// When the tree's make fails.
pub(crate) fn of(
    id: &str,
    config: &Utf8Path,
    work: &WorkTree,
    session: &Session,
) -> anyhow::Result<String> {
    let folder = work.home().join("fragment");
    fs::create_dir_all(&folder)?;
    let cached = folder.join(format!("{id}.config"));
    if let Ok(text) = fs::read_to_string(&cached) {
        return Ok(text);
    }
    fs::copy(config, folder.join(".config"))?;
    let make = Tool::new("make")
        .args(["-s", "-C", work.source().as_str()])
        .arg(format!("O={folder}"))
        .arg("savedefconfig")
        .deadline("savedefconfig", LIMIT);
    clean(make).run(&session.cancel)?;
    let text = without_closed_menu(&fs::read_to_string(folder.join("defconfig"))?);
    publish(&cached, text.as_bytes())?;
    Ok(text)
}

/// Returns a call without the caller's environment, but for what any tool needs.
pub(crate) fn clean(tool: Tool) -> Tool {
    ["PATH", "HOME", "TMPDIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .fold(tool.env_clear(), |tool, (name, value)| {
            tool.env(name, value)
        })
        .env("LC_ALL", "C")
}

fn without_closed_menu(text: &str) -> String {
    let lines = text.lines().filter(|line| *line != CLOSES_A_MENU);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the options that differ between two configurations, by name.
pub(crate) fn differing(ours: &str, its: &str) -> Vec<String> {
    let (ours, its) = (options(ours), options(its));
    let mut names: Vec<&str> = ours.keys().chain(its.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| ours.get(name) != its.get(name))
        .map(str::to_owned)
        .collect()
}

/// Reads the options that are set; one that is off is as one that is not there.
fn options(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter_map(|line| line.split_once('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_differ_are_named() {
        let ours = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=1\nCONFIG_D=y\n";
        let its = "# Linux/x86\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=2\n";
        assert_eq!(differing(ours, its), ["CONFIG_B", "CONFIG_C", "CONFIG_D"]);
        assert!(differing(its, its).is_empty());
    }

    #[test]
    fn the_menu_that_is_insisted_on_is_not_closed() {
        let text = format!("CONFIG_A=y\n{CLOSES_A_MENU}\n# CONFIG_B is not set\n");
        let cached = "CONFIG_A=y\n# CONFIG_B is not set\n";
        assert_eq!(without_closed_menu(&text), cached);
    }
}
