// SPDX-License-Identifier: GPL-2.0-only
//! What a cell costs as there are more of them, and a warm run of everything.

use super::case::{Bench, Side};
use super::ours::{Figure, Ours};
use crate::cli::BenchArgs;
use crate::commands::generate;
use crate::session::Session;

/// Ten times more cells from side to side.
const SIZES: [usize; 3] = [10, 100, 1000];
/// A scenario that lives in one kernel, so that a cell is a restored guest.
const SCENARIO: &str = "get-outgoing-without-preserve";

/// Gets ready: all scenarios on both stacks, with nothing to build.
pub(crate) fn warm(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let cells = 2 * generate::scenarios(session)?.len();
    let words = with_tree(&["--stacks", "base,series"], args);
    let name = format!("all scenarios on two stacks, {cells} cells");
    Ok(Bench {
        sides: vec![Box::new(Ours::test(&name, &words, cells, Figure::Wall))],
        notes: Vec::new(),
    })
}

/// Gets ready: the same cell ten, a hundred and a thousand times.
pub(crate) fn scale(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    let side = |size: &usize| -> Box<dyn Side> {
        let repeat = size.to_string();
        let words = [SCENARIO, "--stacks", "series", "--repeat", &repeat];
        let words = with_tree(&words, args);
        let name = format!("{size} cells");
        Box::new(Ours::test(&name, &words, *size, Figure::WallACell))
    };
    Ok(Bench {
        sides: SIZES.iter().map(side).collect(),
        notes: vec!["a run's start and end are part of what its cells cost".to_owned()],
    })
}

fn with_tree<'a>(words: &[&'a str], args: &'a BenchArgs) -> Vec<&'a str> {
    let tree = args.kernel.iter().flat_map(|tree| ["--kernel", tree]);
    words.iter().copied().chain(tree).collect()
}
