// SPDX-License-Identifier: GPL-2.0-only
//! Holds a job's timeline against the one recorded, in insta's own files, so
//! that `cargo insta review` works on them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::plan::JobPlan;

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
/// not. A difference is written beside the record for `cargo insta review`, where the
/// config and the checkout have a folder of records.
pub(crate) fn difference(folder: &Utf8Path, job: &JobPlan, timeline: &str) -> Option<String> {
    let place = place(folder, job);
    if !place.is_dir() {
        return Some("nothing is recorded for its config and checkout yet".to_owned());
    }
    if agrees(&place, &job.test, timeline) {
        return None;
    }
    let Some(recorded) = recorded(folder, job) else {
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

/// Returns where what is recorded of a job's config and checkout is.
pub(crate) fn place(folder: &Utf8Path, job: &JobPlan) -> Utf8PathBuf {
    folder.join(&job.config).join(&job.checkout)
}

/// Returns what is recorded of a job, in insta's format, if anything is.
pub(crate) fn recorded(folder: &Utf8Path, job: &JobPlan) -> Option<String> {
    let name = format!("{}.snap", job.test);
    fs::read_to_string(place(folder, job).join(name)).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_is_made_for_what_has_no_records() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let job = JobPlan {
            test: "s".to_owned(),
            config: "new".to_owned(),
            checkout: "base".to_owned(),
            machine: "edu-pair".to_owned(),
            repetition: 1,
        };
        let told = difference(folder, &job, "a\n").unwrap();
        assert_eq!(told, "nothing is recorded for its config and checkout yet");
        assert_eq!(folder.read_dir_utf8().unwrap().count(), 0);
    }
}
