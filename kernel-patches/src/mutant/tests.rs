// SPDX-License-Identifier: GPL-2.0-only
//! Mutants of whole files, and their names.

use super::*;

const BEFORE: &[u8] = b"#include <a.h>

int luo_flb_get(struct it *it)
{
	return it->obj;
}
";
const BETWEEN: &[u8] = b"#include <a.h>

int luo_flb_get(struct it *it)
{
	it_get(it);
	return it->obj;
}
";
const AFTER: &[u8] = b"#include <a.h>

int luo_flb_get(struct it *it)
{
	/* Words. */
	it_get(it);
	it->users = 1;
	return it->obj;
}
";

fn names(versions: &[&[u8]]) -> Vec<(String, Option<usize>, usize)> {
    of_file(Utf8Path::new("x/luo_flb.c"), versions)
        .into_iter()
        .map(|draft| (draft.name, draft.patch, draft.line))
        .collect()
}

#[test]
fn mutants_have_names_and_are_of_a_patch() {
    insta::assert_debug_snapshot!(names(&[BEFORE, BETWEEN, AFTER]), @r#"
    [
        (
            "luo-flb-get-drop-it-get-1",
            Some(
                1,
            ),
            5,
        ),
        (
            "luo-flb-get-swap-it-get-users-1",
            Some(
                1,
            ),
            5,
        ),
        (
            "luo-flb-get-drop-set-users-1",
            Some(
                2,
            ),
            6,
        ),
        (
            "luo-flb-get-constant-1",
            Some(
                2,
            ),
            6,
        ),
        (
            "luo-flb-get-revert-1",
            Some(
                1,
            ),
            5,
        ),
    ]
    "#);
    assert!(names(&[AFTER, AFTER]).is_empty());
    assert!(names(&[]).is_empty());
}

#[test]
fn places_do_not_say_it_twice() {
    let name = |function| place_name(Utf8Path::new("kernel/luo_flb.c"), function);
    assert_eq!(name("liveupdate-flb-put-outgoing"), "luo-flb-put-outgoing");
    assert_eq!(name("flb"), "luo-flb-flb");
    assert_eq!(name("other"), "luo-flb-other");
    assert_eq!(name(""), "luo-flb");
}
