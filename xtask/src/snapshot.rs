// SPDX-License-Identifier: GPL-2.0-only
//! Holds a cell's timeline against the one recorded, in insta's own files, so
//! that `cargo insta review` works on them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;
use fs_err as fs;

use crate::plan::CellPlan;

/// The panic hook is the process's; one comparison at a time may borrow it.
static HOOK: Mutex<()> = Mutex::new(());

/// What to do about a difference that is right.
const ACCEPT: &str = "if it is right, accept it with `cargo insta review`";

/// Tells insta to keep quiet, since a difference is shown by our own renderers,
/// and where the checkout is. To be called before any thread is started.
#[expect(unsafe_code, reason = "insta is configured by the environment alone")]
pub(crate) fn speak_for_ourselves(root: &Utf8Path) {
    // SAFETY: `main` calls this first, so no other thread reads the environment.
    unsafe {
        std::env::set_var("INSTA_OUTPUT", "none");
        std::env::set_var("INSTA_WORKSPACE_ROOT", root);
        // A shell that accepts snapshots unseen must not accept results unseen.
        std::env::set_var("INSTA_FORCE_PASS", "0");
        let in_ci = std::env::var_os("CI").is_some();
        std::env::set_var("INSTA_UPDATE", if in_ci { "no" } else { "new" });
    }
}

/// Returns how `timeline` differs from the recorded one, or `None` when it does
/// not. A difference is written beside the record for `cargo insta review`.
pub(crate) fn difference(folder: &Utf8Path, cell: &CellPlan, timeline: &str) -> Option<String> {
    let place = folder.join(&cell.profile).join(&cell.stack);
    if agrees(&place, &cell.scenario, timeline) {
        return None;
    }
    let Some(recorded) = recorded(folder, cell) else {
        return Some(format!("nothing is recorded for it yet; {ACCEPT}"));
    };
    let before = recorded
        .splitn(3, "---\n")
        .nth(2)
        .unwrap_or(&recorded)
        .trim_end();
    let diff = similar::TextDiff::from_lines(before, timeline.trim_end());
    let shown = diff
        .unified_diff()
        .context_radius(2)
        .header("recorded", "now")
        .to_string();
    Some(format!("{}\n{ACCEPT}", shown.trim_end()))
}

/// Returns what is recorded of a cell, in insta's format, if anything is.
pub(crate) fn recorded(folder: &Utf8Path, cell: &CellPlan) -> Option<String> {
    let place = folder.join(&cell.profile).join(&cell.stack);
    fs::read_to_string(place.join(format!("{}.snap", cell.scenario))).ok()
}

/// insta says a difference with a panic, which is caught and made a value.
fn agrees(place: &Utf8Path, name: &str, timeline: &str) -> bool {
    let _one = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(place);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let seen = catch_unwind(AssertUnwindSafe(|| {
        settings.bind(|| insta::assert_snapshot!(name, timeline));
    }));
    std::panic::set_hook(hook);
    seen.is_ok()
}
