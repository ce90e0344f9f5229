// SPDX-License-Identifier: MIT OR Apache-2.0
//! How this program is run: installed, or by cargo in a checkout.

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

/// Files and folders by which a checkout is recognized.
const PARTS: [&str; 4] = [
    "kernel-patches",
    "selftests/catalogues",
    "vm-images/machines",
    "xtask/src/main.rs",
];

/// Returns the command by which the user calls this program.
pub fn name() -> &'static str {
    match checkout() {
        Some(_) => "cargo xtask",
        None => "patchbed",
    }
}

/// Returns the checkout in which cargo runs this program; `None` for an installed program,
/// also if it is called in a checkout.
pub fn checkout() -> Option<&'static Utf8Path> {
    static CHECKOUT: OnceLock<Option<Utf8PathBuf>> = OnceLock::new();
    let found = CHECKOUT.get_or_init(|| {
        let program = std::env::current_exe().ok()?;
        let manifest = std::env::var("CARGO_MANIFEST_DIR").ok();
        find(
            &Utf8PathBuf::try_from(program).ok()?,
            manifest.as_deref().map(Utf8Path::new),
        )
    });
    found.as_deref()
}

/// Returns the checkout that contains `folder`, if any.
pub fn checkout_around(folder: &Utf8Path) -> Option<&Utf8Path> {
    folder.ancestors().find(|folder| is_checkout(folder))
}

/// Only a program in a target folder of cargo has a checkout: the checkout around that folder,
/// or else the checkout that `cargo run` names in `CARGO_MANIFEST_DIR`. The variable alone is
/// not enough, because an installed program may inherit it. cargo puts its lock file into the
/// folder of a program, or one above for tests; a lock file further up may be another user's.
fn find(program: &Utf8Path, manifest: Option<&Utf8Path>) -> Option<Utf8PathBuf> {
    let is_target = |folder: &&Utf8Path| folder.join(".cargo-lock").is_file();
    let target = program.ancestors().skip(1).take(2).find(is_target)?;
    let around = checkout_around(target);
    let named = || manifest?.parent().filter(|folder| is_checkout(folder));
    around.or_else(named)?.canonicalize_utf8().ok()
}

fn is_checkout(folder: &Utf8Path) -> bool {
    PARTS
        .iter()
        .all(|part| fs::symlink_metadata(folder.join(part)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Utf8Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    /// A checkout with a target folder, another target folder, and an installed program.
    fn place() -> (tempfile::TempDir, Utf8PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(place.path()).unwrap();
        let root = root.canonicalize_utf8().unwrap();
        for part in PARTS {
            put(&root.join("checkout").join(part));
        }
        for target in ["checkout/target", "elsewhere"] {
            put(&root.join(target).join("debug/.cargo-lock"));
        }
        (place, root)
    }

    #[test]
    fn find_returns_the_checkout_around_the_target_folder() {
        let (_place, root) = place();
        let checkout = root.join("checkout");
        for program in ["debug/patchbed", "debug/deps/patchbed-1234 (deleted)"] {
            let program = checkout.join("target").join(program);
            assert_eq!(find(&program, None).as_ref(), Some(&checkout));
        }
    }

    #[test]
    fn find_uses_the_manifest_variable_for_a_target_folder_outside_a_checkout() {
        let (_place, root) = place();
        let program = root.join("elsewhere/debug/patchbed");
        let manifest = root.join("checkout/xtask");
        assert_eq!(find(&program, Some(&manifest)), Some(root.join("checkout")));
        assert_eq!(find(&program, None), None);
        assert_eq!(find(&program, Some(&root.join("elsewhere/debug"))), None);
    }

    #[test]
    fn find_returns_no_checkout_for_an_installed_program() {
        let (_place, root) = place();
        let manifest = root.join("checkout/xtask");
        let program = root.join("bin/patchbed");
        assert_eq!(find(&program, Some(&manifest)), None);
        let beside = root.join("checkout/patchbed");
        assert_eq!(find(&beside, Some(&manifest)), None);
    }

    #[test]
    fn checkout_of_a_test_is_its_workspace() {
        let here = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(
            checkout(),
            Some(here.canonicalize_utf8().unwrap().as_path())
        );
        assert_eq!(name(), "cargo xtask");
    }
}
