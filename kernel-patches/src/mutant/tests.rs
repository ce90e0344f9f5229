// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mutants of whole files and their names.

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
    let mut bytes_left = BYTES_MAX;
    of_file(Utf8Path::new("x/luo_flb.c"), versions, &mut bytes_left)
        .unwrap()
        .into_iter()
        .map(|draft| (draft.name, draft.patch, draft.line))
        .collect()
}

#[test]
fn of_file_names_mutants_and_finds_their_patch() {
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
fn place_name_drops_words_of_the_file_name() {
    let name = |function| place_name(Utf8Path::new("kernel/luo_flb.c"), function);
    assert_eq!(name("liveupdate-flb-put-outgoing"), "luo-flb-put-outgoing");
    assert_eq!(name("flb"), "luo-flb-flb");
    assert_eq!(name("other"), "luo-flb-other");
    assert_eq!(name(""), "luo-flb");
}

#[test]
fn of_file_returns_none_beyond_the_memory_limit() {
    let path = Utf8Path::new("x/luo_flb.c");
    assert!(of_file(path, &[BEFORE, AFTER], &mut AFTER.len()).is_none());
}

/// Random sequences of C tokens.
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
    fn of_file_accepts_any_bytes(
        before in prop::collection::vec(any::<u8>(), 0..300),
        after in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let drafts = of_file(Utf8Path::new("a.c"), &[&before, &after], &mut { BYTES_MAX });
        prop_assert!(drafts.is_some());
    }

    #[test]
    fn of_file_is_deterministic_and_mutants_differ_from_the_source(
        before in code(),
        after in code(),
    ) {
        let versions = [before.as_bytes(), after.as_bytes()];
        let drafts = || of_file(Utf8Path::new("a.c"), &versions, &mut { BYTES_MAX }).unwrap();
        let (first, second) = (drafts(), drafts());
        let mut names: Vec<&str> = first.iter().map(|draft| draft.name.as_str()).collect();
        prop_assert!(names.iter().copied().eq(second.iter().map(|draft| draft.name.as_str())));
        prop_assert!(first.iter().all(|draft| draft.bytes != after.as_bytes()));
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), first.len());
    }
}
