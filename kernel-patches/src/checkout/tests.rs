// SPDX-License-Identifier: GPL-2.0-only
//! Checkouts on a tree of one file.

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
        is_ours: false,
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
fn a_series_that_the_tree_lacks_is_put_on() {
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
fn a_series_that_the_tree_has_is_taken_out_by_content() {
    let fixture = Fixture::new("c\n");
    let two = series("s", &[&change("a", "b"), &change("b", "c")]);
    let got = checkouts(&fixture.tree(), &[], &two, &[], &Cancel::new()).unwrap();
    assert_eq!(text(&got.base).as_deref(), Some("a\n"));
    assert_eq!(
        text(&got.series),
        None,
        "the series checkout is the tree itself"
    );
    assert!(got.notes[0].contains("reverting"), "{:?}", got.notes);
}

#[test]
fn a_change_in_other_words_is_taken_out_by_its_own_patch() {
    let fixture = Fixture::new("B, in other words\n");
    let mut ours = series("s", &[&change("a", "b")]);
    ours.revert = series("t", &[&change("B, in other words", "a")]).patches;
    let got = checkouts(&fixture.tree(), &[], &ours, &[], &Cancel::new()).unwrap();
    assert_eq!(text(&got.base).as_deref(), Some("a\n"));
    assert_eq!(text(&got.series).as_deref(), Some("b\n"));
}

#[test]
fn a_strangers_copy_of_a_known_series_counts_as_contained() {
    let fixture = Fixture::new("a\n");
    let known = [series("known", &[&change("a", "b")])];
    let theirs = series("theirs", &[&change("a", "b")]);
    let got = checkouts(&fixture.tree(), &[], &theirs, &known, &Cancel::new()).unwrap();
    assert!(got.series.contains.contains("known"));
    assert!(!got.base.contains.contains("known"));
}

#[test]
fn a_name_alone_makes_no_series_one_of_ours() {
    let fixture = Fixture::new("a\n");
    let known = [series("known", &[&change("a", "b")])];
    let contains = |theirs: &Series, below: &[Series]| {
        let got = checkouts(&fixture.tree(), below, theirs, &known, &Cancel::new());
        got.unwrap().series.contains.contains("known")
    };
    let mut namesake = series("known", &[&change("a", "x")]);
    assert!(!contains(&namesake, &[]));
    let top = series("top", &[&change("x", "y")]);
    assert!(!contains(&top, std::slice::from_ref(&namesake)));
    namesake.provides = vec!["known".to_owned()];
    assert!(contains(&namesake, &[]), "that is said");
    namesake.provides.clear();
    namesake.is_ours = true;
    assert!(contains(&namesake, &[]));
    // On top of a copy, what it changed is not as it left it.
    let copy = series("known", &[&change("a", "b")]);
    let top = series("top", &[&change("b", "c")]);
    assert!(contains(&top, &[copy]));
}

#[test]
fn a_new_version_of_a_merged_series_takes_its_place() {
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
fn a_new_version_that_nearly_fits_is_explained_where_it_fits_best() {
    let fixture = Fixture::new("B, as merged\n");
    let mut known = series("known", &[&change("a", "b")]);
    known.revert = series("t", &[&change("B, as merged", "a")]).patches;
    let v2 = series("v2", &[&change("a", "c"), &change("typo", "d")]);
    let error = checkouts(&fixture.tree(), &[], &v2, &[known], &Cancel::new()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("patch 2 of 2 of `v2`"), "{text}");
    assert!(text.contains("the test tree without `known`"), "{text}");
}

#[test]
fn a_conflict_names_patch_file_and_hunk() {
    let fixture = Fixture::new("z\n");
    let two = series("s", &[&change("z", "y"), &change("q", "r")]);
    let error = checkouts(&fixture.tree(), &[], &two, &[], &Cancel::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("patch 2 of 2 of `s`"), "{error}");
    assert!(error.contains("`f`, hunk 1"), "{error}");
}

#[test]
fn what_a_series_needs_is_checked_first() {
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
fn there_is_a_checkout_after_each_patch_but_the_last() {
    let fixture = Fixture::new("a\n");
    let diffs = [change("a", "b"), change("b", "c"), change("c", "d")];
    let mut three = series("s", &[&diffs[0], &diffs[1], &diffs[2]]);
    three.config = Some("CONFIG_S=y\n".to_owned());
    let got = checkouts(&fixture.tree(), &[], &three, &[], &Cancel::new()).unwrap();
    let seen: Vec<_> = got
        .prefixes
        .iter()
        .map(|one| (one.name.as_str(), text(one)))
        .collect();
    let after = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [("patch-1", after("b\n")), ("patch-2", after("c\n"))]);
    let second = &got.prefixes[1];
    assert!(second.partly.contains("s") && !second.contains.contains("s"));
    assert_eq!((second.patches, got.series.patches), (2, 3));
    assert_eq!(second.plan_request, ["CONFIG_S=y\n"]);
    assert!(second.configs.is_empty() && got.series.plan_request.is_empty());
}

#[test]
fn a_patch_of_modes_alone_is_there_when_the_modes_are() {
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
fn a_damaged_patch_is_to_be_made_anew_and_what_it_says_is_cut() {
    let fixture = Fixture::new("a\n");
    let told = |origin: &str, diff: &str| {
        let one = series(origin, &[diff]);
        let got = checkouts(&fixture.tree(), &[], &one, &[], &Cancel::new());
        got.unwrap_err().to_string()
    };
    let corrupt = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1,3 @@\n-a\n+b\n";
    assert!(told("s", corrupt).ends_with("damaged: make it anew with `git format-patch`"));
    let binary = "diff --git a/f b/f\nindex 111..222 100644\nBinary files a/f and b/f differ\n";
    assert!(told("s", binary).contains("--binary --full-index"));
    let long = "x".repeat(100_000);
    let misfit = Misfit {
        index: 0,
        patch: mail::parse_one(&long, change("a", "b").as_bytes()).unwrap(),
        places: vec![Place::Patch { why: long }; 25],
    };
    let error = misfit.into_error(&series("s", &[]), "a tree").to_string();
    assert!(
        error.len() < 10_000 && error.contains("... and 5 more"),
        "{error}"
    );
    assert!(error.contains("rebase the series"), "{error}");
}
