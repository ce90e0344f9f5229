// SPDX-License-Identifier: GPL-2.0-only
//! What cells cost: few and many, restored and booted, and a warm run of everything.

use super::case::{Bench, Side};
use super::ours::{Figure, Ours};
use crate::cli::BenchArgs;
use crate::commands::generate;
use crate::session::Session;

/// Ten times more cells from side to side.
const SIZES: [usize; 3] = [10, 100, 1000];
/// Cells of a run that shows how many go through in a minute, at least.
const RATE_CELLS: usize = 200;
/// Cells whose median is one figure of a start.
const RESTORE_CELLS: usize = 3;
/// Guests from one template, in a row.
const RESTORES: usize = 1000;
/// A scenario that lives in one kernel, so that a cell is one start of a guest.
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
        let side = Ours::test(&name, &words, *size, Figure::WallACell);
        Box::new(side.starting("template"))
    };
    Ok(Bench {
        sides: SIZES.iter().map(side).collect(),
        notes: vec!["a run's start and end are part of what its cells cost".to_owned()],
    })
}

/// Gets ready: 200 cells and a few of all scenarios that live in one kernel, on
/// both stacks.
pub(crate) fn rate(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let scenarios = generate::scenarios(session)?;
    let single: Vec<&str> = scenarios
        .iter()
        .filter(|scenario| scenario.stages.len() == 1)
        .map(|scenario| scenario.name.as_str())
        .collect();
    let once = 2 * single.len().max(1);
    let repeat = RATE_CELLS.div_ceil(once);
    let cells = repeat * once;
    let repeat = repeat.to_string();
    let mut words = single;
    words.extend(["--stacks", "base,series", "--profile", "kasan"]);
    words.extend(["--repeat", &repeat]);
    let words = with_tree(&words, args);
    let name = format!("{cells} cells");
    let side = Ours::test(&name, &words, cells, Figure::WallACell);
    Ok(Bench {
        sides: vec![Box::new(side.starting("template"))],
        notes: vec!["60 cells a minute are 1 s a cell".to_owned()],
    })
}

/// Gets ready: a cell of a `fast` kernel from its template and by booting.
pub(crate) fn restore_fast(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    Ok(restore(args, "fast"))
}

/// Gets ready: the same with a `kasan` kernel.
pub(crate) fn restore_kasan(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    Ok(restore(args, "kasan"))
}

fn restore(args: &BenchArgs, profile: &str) -> Bench {
    let cells = RESTORE_CELLS.to_string();
    let words = [SCENARIO, "--stacks", "series", "--profile", profile];
    // One at a time: a cell's own time, not what it waits for another.
    let words = [&words[..], &["--repeat", &cells, "--parallel", "1"]].concat();
    let words = with_tree(&words, args);
    let booting = [&words[..], &["--no-template"]].concat();
    let side = |name: &str, words: &[&str], start| -> Box<dyn Side> {
        Box::new(Ours::test(name, words, RESTORE_CELLS, Figure::MedianCell).starting(start))
    };
    Bench {
        sides: vec![
            side("from a template", &words, "template"),
            side("booting", &booting, "boot"),
        ],
        notes: vec![format!(
            "a figure is the median time of {RESTORE_CELLS} cells, from starting QEMU to its end"
        )],
    }
}

/// Gets ready: a thousand guests in a row from one template.
pub(crate) fn restores(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    let repeat = RESTORES.to_string();
    let words = with_tree(&[SCENARIO, "--stacks", "series", "--repeat", &repeat], args);
    let name = format!("{RESTORES} restores");
    let side = Ours::test(&name, &words, RESTORES, Figure::WallACell);
    Ok(Bench {
        sides: vec![Box::new(side.starting("template"))],
        notes: vec![
            "every cell passed, none booted instead; no process and no temporary file was left"
                .to_owned(),
        ],
    })
}

fn with_tree<'a>(words: &[&'a str], args: &'a BenchArgs) -> Vec<&'a str> {
    let tree = args.kernel.iter().flat_map(|tree| ["--kernel", tree]);
    words.iter().copied().chain(tree).collect()
}
