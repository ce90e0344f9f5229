// SPDX-License-Identifier: GPL-2.0-only
//! What `watch` says at the end of a turn, in one line.

use std::time::Duration;

use super::escape::one_line;
use crate::result::{CellResult, Verdict};

/// Parts of a turn that took less are not worth a word.
const WORTH_SAYING: Duration = Duration::from_millis(100);

/// What became of a turn.
#[derive(Clone, Debug)]
pub(crate) enum Turn<'a> {
    /// There is a verdict on every cell.
    Judged {
        cells: &'a [CellResult],
        /// From the save until now.
        took: Duration,
        /// Where the time went, in order.
        parts: &'a [(&'static str, Duration)],
        /// Why the series, or a part of it, is not tested.
        not_tested: Option<&'a str>,
    },
    /// What was saved is not what any cell rests on.
    Unaffected,
    /// Something is wrong, and was said.
    Mistake,
}

/// Returns the line for a turn that ended at `time`.
pub(crate) fn line(time: &str, turn: &Turn<'_>) -> String {
    let text = match turn {
        Turn::Judged {
            cells,
            took,
            parts,
            not_tested,
        } => {
            let judged = judged(cells, *took, parts);
            match not_tested {
                Some(not_tested) => format!("{}; {judged}", one_line(not_tested)),
                None => judged,
            }
        }
        Turn::Unaffected => "nothing that a cell rests on has changed".to_owned(),
        Turn::Mistake => "nothing judged".to_owned(),
    };
    format!("{time} {text}; waiting for changes, Ctrl-C ends")
}

fn judged(cells: &[CellResult], took: Duration, parts: &[(&str, Duration)]) -> String {
    let count = |test: &dyn Fn(&CellResult) -> bool| cells.iter().filter(|cell| test(cell)).count();
    let good = count(&|cell| cell.verdict == Verdict::Ok);
    let changed = count(&|cell| cell.snapshot_difference.is_some());
    let kept = count(&|cell| cell.kept.is_some());
    let not_recorded = match changed {
        0 => String::new(),
        some => format!(", {some} not as recorded"),
    };
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, took)| *took >= WORTH_SAYING)
        .map(|(name, took)| format!("{name} {:.1}", took.as_secs_f64()))
        .collect();
    let parts = match parts.as_slice() {
        [] => String::new(),
        some => format!(": {}", some.join(", ")),
    };
    format!(
        "{good} of {} as expected{not_recorded} ({} run, {kept} kept) in {:.1} s{parts}",
        cells.len(),
        cells.len() - kept,
        took.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Kept;
    use crate::result::tests::cell;

    #[test]
    fn the_last_line() {
        let mut old = cell("a", "base", "fail", "fail");
        old.kept = Some(Kept {
            run: "20261122-184000-1".to_owned(),
            at: "2026-11-22T18:40:02+00:00".to_owned(),
        });
        let cells = [old, cell("a", "series", "crash", "pass")];
        let millis = Duration::from_millis;
        let parts = [
            ("sources", millis(20)),
            ("kernels", millis(4060)),
            ("cells", millis(1500)),
        ];
        let turn = Turn::Judged {
            cells: &cells,
            took: millis(6_200),
            parts: &parts,
            not_tested: None,
        };
        insta::assert_snapshot!(
            line("18:42:10", &turn),
            @"18:42:10 1 of 2 as expected (1 run, 1 kept) in 6.2 s: kernels 4.1, cells 1.5; waiting for changes, Ctrl-C ends"
        );
        let not_tested = Turn::Judged {
            cells: &cells[1..],
            took: millis(1),
            parts: &[],
            not_tested: Some("not tested: nothing of the series is in this kernel: a.c"),
        };
        insta::assert_snapshot!(line("18:42:10", &not_tested), @"18:42:10 not tested: nothing of the series is in this kernel: a.c; 0 of 1 as expected (1 run, 0 kept) in 0.0 s; waiting for changes, Ctrl-C ends");
        insta::assert_snapshot!(
            line("18:42:10", &Turn::Mistake),
            @"18:42:10 nothing judged; waiting for changes, Ctrl-C ends"
        );
    }
}
