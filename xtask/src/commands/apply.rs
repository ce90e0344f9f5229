// SPDX-License-Identifier: MIT OR Apache-2.0
//! `apply`: makes checkouts from a tree and series, and lists the files that differ.

use camino::{Utf8Path, Utf8PathBuf};
use kernel_patches::checkout::MUTANT_PREFIX;
use kernel_patches::mutant::Mutant;

use crate::cli::ApplyArgs;
use xtask::engine::session::Session;
use xtask::engine::sources::SourceRequest;
use xtask::exit::{Exit, bad_input};
use xtask::job_plan::SERIES;
use xtask::report;

/// Applies the series and prints the files of each checkout that differ from the tree.
pub(crate) fn run(args: &ApplyArgs, session: &Session) -> anyhow::Result<Exit> {
    let source_request = SourceRequest::from_args(&args.source, session)?;
    if let Some(out) = &args.out {
        check_is_folder(out)?;
    }
    let sources = source_request.apply(session)?;
    session.observer.clear();
    let mut text = format!("tree: {}\n", sources.tree.label());
    for checkout in &sources.checkouts {
        let contains: Vec<&str> = checkout.contains.iter().map(String::as_str).collect();
        text += &format!(
            "{}: contains {}; differs from the tree in\n",
            checkout.name,
            contains.join(", ")
        );
        for (path, state) in checkout.overlay.files() {
            text += &format!(
                "  {path}{}\n",
                if state.is_none() { " (removed)" } else { "" }
            );
        }
        if let Some(out) = &args.out {
            checkout
                .overlay
                .write_over(&folder_in(out, &checkout.name)?)?;
        }
    }
    for mutant in &sources.mutants {
        let name = format!("{MUTANT_PREFIX}{}", mutant.name);
        let Mutant {
            file, line, title, ..
        } = mutant;
        text += &format!("{name}: in {file}:{line}, {title}\n");
        if let Some(out) = &args.out {
            let mut checkouts = sources.checkouts.iter();
            let series = checkouts.find(|checkout| checkout.name == SERIES);
            let overlay = series.map(|series| series.overlay.with(&mutant.changed));
            overlay
                .unwrap_or_default()
                .write_over(&folder_in(out, &name)?)?;
        }
    }
    report::to_stdout(&text)?;
    Ok(Exit::Ok)
}

/// Returns the folder for a checkout. A symbolic link is refused, because its target may be
/// any folder of the user.
fn folder_in(out: &Utf8Path, name: &str) -> anyhow::Result<Utf8PathBuf> {
    let folder = out.join(name);
    if folder.is_symlink() {
        return Err(bad_input(
            format!("cannot write to `{folder}`: it is a symbolic link"),
            "remove it, or give another folder with `--out`",
        ));
    }
    check_is_folder(&folder)?;
    Ok(folder)
}

fn check_is_folder(path: &Utf8Path) -> anyhow::Result<()> {
    let is_other = path.is_symlink() || path.exists();
    if is_other && !path.is_dir() {
        return Err(bad_input(
            format!("`{path}` is not a folder"),
            "give a new or an empty folder with `--out`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn folder_in_refuses_links_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let out = Utf8Path::from_path(dir.path()).unwrap();
        fs::create_dir(out.join("base")).unwrap();
        fs::write(out.join("file"), "").unwrap();
        fs_err::os::unix::fs::symlink("base", out.join("series")).unwrap();
        fs_err::os::unix::fs::symlink("gone", out.join("patch-1")).unwrap();
        for free in ["base", "patch-2"] {
            assert!(folder_in(out, free).is_ok(), "{free}");
        }
        for taken in ["series", "patch-1", "file"] {
            assert!(folder_in(out, taken).is_err(), "{taken}");
        }
        assert!(check_is_folder(&out.join("file")).is_err());
        assert!(check_is_folder(&out.join("patch-1")).is_err());
        assert!(check_is_folder(&out.join("series")).is_ok());
    }
}
