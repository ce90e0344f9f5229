// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checkouts of a tree with one file.

use camino::Utf8Path;
use fs_err as fs;

use super::*;
use crate::mail;

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), text).unwrap();
        Self { dir }
    }

    fn tree(&self) -> Tree {
        let root = Utf8Path::from_path(self.dir.path()).unwrap();
        Tree::fixed("test", root, "the test tree")
    }
}

fn series(name: &str, diffs: &[&str]) -> Series {
    let patches: Vec<Patch> = diffs
        .iter()
        .filter_map(|diff| mail::parse_one(name, diff.as_bytes()))
        .collect();
    Series {
        name: name.to_owned(),
        title: String::new(),
        patches,
        revert: Vec::new(),
        requires: Vec::new(),
        needs_in_tree: Vec::new(),
        config: None,
        provides: Vec::new(),
        is_known: false,
    }
}

fn change(from: &str, to: &str) -> String {
    format!("diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{from}\n+{to}\n")
}

fn text(checkout: &Checkout) -> Option<String> {
    let state = checkout.overlay.files().get(Utf8Path::new("f"))?.as_ref()?;
    Some(String::from_utf8(state.bytes.clone()).unwrap())
}

#[test]
fn checkouts_apply_a_new_series() {
    let fixture = Fixture::new("a\n");
    let got = checkouts(
        &fixture.tree(),
        &[],
        &series("s", &[&change("a", "b")]),
        &[],
        &Cancel::new(),
    );
    let got = got.unwrap();
    assert_eq!(text(&got.base), None);
    assert_eq!(text(&got.series).as_deref(), Some("b\n"));
    assert!(got.series.contains.contains("s") && !got.base.contains.contains("s"));
    assert_eq!(
        fs::read_to_string(fixture.dir.path().join("f")).unwrap(),
        "a\n"
    );
}

#[test]
fn checkouts_revert_a_series_that_the_tree_contains() {
    let fixture = Fixture::new("c\n");
    let two = series("s", &[&change("a", "b"), &change("b", "c")]);
    let got = checkouts(&fixture.tree(), &[], &two, &[], &Cancel::new()).unwrap();
    assert_eq!(text(&got.base).as_deref(), Some("a\n"));
    assert_eq!(
        text(&got.series),
        None,
        "the series checkout is the tree itself"
    );
    assert!(got.notes[0].contains("is reverted"), "{:?}", got.notes);
}

#[test]
fn checkouts_use_the_revert_patch_for_a_reworded_change() {
    let fixture = Fixture::new("B, reworded\n");
    let mut ours = series("s", &[&change("a", "b")]);
    ours.revert = series("t", &[&change("B, reworded", "a")]).patches;
    let got = checkouts(&fixture.tree(), &[], &ours, &[], &Cancel::new()).unwrap();
    assert_eq!(text(&got.base).as_deref(), Some("a\n"));
    assert_eq!(text(&got.series).as_deref(), Some("b\n"));
}

#[test]
fn checkouts_detect_a_copy_of_a_known_series_by_content() {
    let fixture = Fixture::new("a\n");
    let known = [series("known", &[&change("a", "b")])];
    let copy = series("copy", &[&change("a", "b")]);
    let got = checkouts(&fixture.tree(), &[], &copy, &known, &Cancel::new()).unwrap();
    assert!(got.series.contains.contains("known"));
    assert!(!got.base.contains.contains("known"));
}

#[test]
fn checkouts_do_not_trust_the_name_of_a_series_with_other_changes() {
    let fixture = Fixture::new("a\n");
    let known = [series("known", &[&change("a", "b")])];
    let contains = |top: &Series, below: &[Series]| {
        let got = checkouts(&fixture.tree(), below, top, &known, &Cancel::new());
        got.unwrap().series.contains.contains("known")
    };
    let mut namesake = series("known", &[&change("a", "x")]);
    assert!(!contains(&namesake, &[]));
    let top = series("top", &[&change("x", "y")]);
    assert!(!contains(&top, std::slice::from_ref(&namesake)));
    namesake.provides = vec!["known".to_owned()];
    assert!(contains(&namesake, &[]), "`--provides` is explicit");
    namesake.provides.clear();
    namesake.is_known = true;
    assert!(contains(&namesake, &[]));
    // `top` changes the same line as the copy, so the copy cannot be found by content.
    let copy = series("known", &[&change("a", "b")]);
    let top = series("top", &[&change("b", "c")]);
    assert!(contains(&top, &[copy]));
}

#[test]
fn checkouts_replace_a_merged_series_by_its_new_version() {
    let fixture = Fixture::new("B, as merged\n");
    let mut known = series("known", &[&change("a", "b")]);
    known.revert = series("t", &[&change("B, as merged", "a")]).patches;
    let v2 = series("v2", &[&change("a", "B, second version")]);
    let got = checkouts(&fixture.tree(), &[], &v2, &[known], &Cancel::new()).unwrap();
    assert_eq!(text(&got.base).as_deref(), Some("a\n"));
    assert_eq!(text(&got.series).as_deref(), Some("B, second version\n"));
    assert!(got.series.contains.contains("known"));
}

#[test]
fn checkouts_report_the_conflict_of_a_new_version_without_the_merged_one() {
    let fixture = Fixture::new("B, as merged\n");
    let mut known = series("known", &[&change("a", "b")]);
    known.revert = series("t", &[&change("B, as merged", "a")]).patches;
    let v2 = series("v2", &[&change("a", "c"), &change("typo", "d")]);
    let error = checkouts(&fixture.tree(), &[], &v2, &[known], &Cancel::new()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("applying `v2` to the test tree without `known`: patch 2 of 2"),
        "{text}"
    );
}

#[test]
fn checkouts_report_patch_file_and_hunk_of_a_conflict() {
    let fixture = Fixture::new("z\n");
    let two = series("s", &[&change("z", "y"), &change("q", "r")]);
    let error = checkouts(&fixture.tree(), &[], &two, &[], &Cancel::new());
    assert_eq!(
        error.unwrap_err().to_string(),
        "applying `s` to the test tree: patch 2 of 2 (`s`) does not apply:\n  \
        `f`: hunk 1 does not match\n\
        hint: rebase the series onto this tree, or select its tree with `--tree`"
    );
}

#[test]
fn checkouts_reject_a_missing_prerequisite_or_path() {
    let fixture = Fixture::new("a\n");
    let mut one = series("s", &[&change("a", "b")]);
    one.requires = vec!["below".to_owned()];
    let error = checkouts(&fixture.tree(), &[], &one, &[], &Cancel::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("--prereq below"), "{error}");
    one.requires.clear();
    one.needs_in_tree = vec!["kernel/liveupdate".into()];
    let error = checkouts(&fixture.tree(), &[], &one, &[], &Cancel::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no `kernel/liveupdate`"), "{error}");
}

#[test]
fn checkouts_have_a_prefix_for_each_patch_but_the_last() {
    let fixture = Fixture::new("a\n");
    let diffs = [change("a", "b"), change("b", "c"), change("c", "d")];
    let mut three = series("s", &[&diffs[0], &diffs[1], &diffs[2]]);
    three.config = Some("CONFIG_S=y\n".to_owned());
    let got = checkouts(&fixture.tree(), &[], &three, &[], &Cancel::new()).unwrap();
    let prefixes: Vec<_> = got
        .prefixes
        .iter()
        .map(|prefix| (prefix.name.as_str(), text(prefix)))
        .collect();
    let after = |text: &str| Some(text.to_owned());
    assert_eq!(
        prefixes,
        [("patch-1", after("b\n")), ("patch-2", after("c\n"))]
    );
    let second = &got.prefixes[1];
    assert!(second.partly.contains("s") && !second.contains.contains("s"));
    assert_eq!((second.patches, got.series.patches), (2, 3));
    assert_eq!(second.optional_configs, ["CONFIG_S=y\n"]);
    assert!(second.configs.is_empty() && got.series.optional_configs.is_empty());
}

#[test]
fn checkouts_detect_a_contained_patch_that_changes_modes_only() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::new("a\n");
    let modes = "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n";
    let one = series("s", &[modes]);
    let got = checkouts(&fixture.tree(), &[], &one, &[], &Cancel::new()).unwrap();
    assert_eq!((got.notes.len(), text(&got.base)), (0, None));
    let mode = |checkout: &Checkout| {
        Some(
            checkout
                .overlay
                .files()
                .values()
                .next()?
                .as_ref()?
                .executable,
        )
    };
    assert_eq!(mode(&got.series), Some(true));
    let file = fixture.dir.path().join("f");
    fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let got = checkouts(&fixture.tree(), &[], &one, &[], &Cancel::new()).unwrap();
    assert!(got.notes[0].contains("already has `s`"), "{:?}", got.notes);
    assert_eq!(mode(&got.base), Some(false));
}

#[test]
fn checkouts_give_a_hint_for_a_damaged_patch_and_shorten_long_texts() {
    let fixture = Fixture::new("a\n");
    let error_of = |origin: &str, diff: &str| {
        let one = series(origin, &[diff]);
        let got = checkouts(&fixture.tree(), &[], &one, &[], &Cancel::new());
        got.unwrap_err().to_string()
    };
    let corrupt = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1,3 @@\n-a\n+b\n";
    assert!(
        error_of("s", corrupt).ends_with("hint: create the patch again with `git format-patch`")
    );
    let binary = "diff --git a/f b/f\nindex 111..222 100644\nBinary files a/f and b/f differ\n";
    assert!(error_of("s", binary).contains("--binary --full-index"));
    let long = "x".repeat(100_000);
    let conflict = Conflict {
        index: 0,
        origin: long.clone(),
        places: vec![Place::new(None, long); 25],
    };
    let error = conflict.into_error(&series("s", &[]), "a tree").to_string();
    assert!(
        error.len() < 10_000 && error.contains("... and 5 more"),
        "{error}"
    );
    assert!(error.contains("rebase the series"), "{error}");
}
