// SPDX-License-Identifier: GPL-2.0-only
use super::*;
use crate::result::tests::cell;

fn result() -> RunResult {
    RunResult::new(
        "the tree".into(),
        "s".into(),
        vec!["a".into()],
        vec![
            cell("one", "base", "crash", "fail"),
            cell("one", "series", "pass", "pass"),
            cell("two", "base", "pass", "pass"),
            cell("two", "series", "hang", "pass"),
        ],
    )
}

#[test]
fn the_verdict_comes_first() {
    let page = page(&result(), None, &Evidence::default());
    let verdict = page.find("1 of 4 verdicts is not as expected").unwrap();
    assert!(verdict < page.find("<table").unwrap());
}
