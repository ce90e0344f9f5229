// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel's configuration as a fragment that `vmtest.sh` can start from.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use kernel_patches::worktree::WorkTree;
use patchbed_host::cache::publish;
use patchbed_host::process::Tool;

use xtask::engine::session::Session;

const LIMIT: Duration = Duration::from_secs(600);
/// Off in our kernels. `vmtest.sh` requires an option that depends on it. Without this line,
/// the script can enable both; by itself, the option has no effect.
const TESTING_MENU_OFF: &str = "# CONFIG_RUNTIME_TESTING_MENU is not set";

/// Returns the options in which `config`, the configuration of the kernel `id`, differs from
/// the defaults, by `make savedefconfig`. The script starts a process for each line of its
/// configuration, so the 2000 lines of a whole `.config` would slow it down.
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

/// Removes the caller's environment from a call, except the variables that all tools need.
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
    let lines = text.lines().filter(|line| *line != TESTING_MENU_OFF);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the options that differ between two configurations, by name.
pub(crate) fn differing(first: &str, second: &str) -> Vec<String> {
    let (first, second) = (options(first), options(second));
    let mut names: Vec<&str> = first.keys().chain(second.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| first.get(name) != second.get(name))
        .map(str::to_owned)
        .collect()
}

/// Parses the options that are set. Options that are off are left out.
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
    fn differing_returns_changed_missing_and_added_options() {
        let ours = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=1\nCONFIG_D=y\n";
        let its = "# Linux/x86\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=2\n";
        assert_eq!(differing(ours, its), ["CONFIG_B", "CONFIG_C", "CONFIG_D"]);
        assert!(differing(its, its).is_empty());
    }

    #[test]
    fn without_closed_menu_removes_the_line_of_the_testing_menu() {
        let text = format!("CONFIG_A=y\n{TESTING_MENU_OFF}\n# CONFIG_B is not set\n");
        let cached = "CONFIG_A=y\n# CONFIG_B is not set\n";
        assert_eq!(without_closed_menu(&text), cached);
    }
}
