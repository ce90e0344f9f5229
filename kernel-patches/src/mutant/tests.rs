// SPDX-License-Identifier: GPL-2.0-only
//! Mutants of whole files, and their names.

use proptest::prelude::*;

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
    let mut room = BYTES_MAX;
    of_file(Utf8Path::new("x/luo_flb.c"), versions, &mut room)
        .unwrap()
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

#[test]
fn too_many_mutants_are_refused_and_not_left_out() {
    let path = Utf8Path::new("x/luo_flb.c");
    assert!(of_file(path, &[BEFORE, AFTER], &mut AFTER.len()).is_none());
}

/// Text that looks like C now and then.
fn code() -> impl Strategy<Value = String> {
    let pieces = [
        "if",
        "else",
        "while",
        "do",
        "case",
        "return",
        "guard",
        "scoped_guard",
        "goto",
        "f",
        "x",
        "mutex_lock",
        "mutex_unlock",
        "WARN_ON",
        "it_put",
        "int",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ";",
        ":",
        ",",
        "=",
        "==",
        "<=",
        "*",
        "->",
        "!",
        "&",
        "0",
        "1",
        "\"",
        "'",
        "/*",
        "*/",
        "//",
        "#",
        "\\\n",
        "\n",
        "\n",
        "\n}",
        "\n}\n",
        "void f(void)\n{\n",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..200)
        .prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_something_comes_out(
        before in prop::collection::vec(any::<u8>(), 0..300),
        after in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let drafts = of_file(Utf8Path::new("a.c"), &[&before, &after], &mut { BYTES_MAX });
        prop_assert!(drafts.is_some());
    }

    #[test]
    fn mutants_of_what_looks_like_code_differ_and_are_the_same_twice(
        before in code(),
        after in code(),
    ) {
        let versions = [before.as_bytes(), after.as_bytes()];
        let made = || of_file(Utf8Path::new("a.c"), &versions, &mut { BYTES_MAX }).unwrap();
        let (one, other) = (made(), made());
        let mut names: Vec<&str> = one.iter().map(|draft| draft.name.as_str()).collect();
        prop_assert!(names.iter().copied().eq(other.iter().map(|draft| draft.name.as_str())));
        prop_assert!(one.iter().all(|draft| draft.bytes != after.as_bytes()));
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), one.len());
    }
}
