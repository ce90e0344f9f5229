// SPDX-License-Identifier: GPL-2.0-only
//! What jobs cost: few and many, restored and booted, and a warm run of everything.

use super::case::{Bench, Side};
use super::ours::{Figure, Ours};
use crate::cli::BenchArgs;
use crate::commands::generate;
use crate::session::Session;

/// Ten times more jobs from side to side.
const SIZES: [usize; 3] = [10, 100, 1000];
/// Jobs of a run that shows how many go through in a minute, at least.
const RATE_JOBS: usize = 200;
/// Jobs whose median is one figure of a start.
const RESTORE_JOBS: usize = 3;
/// Guests from one checkpoint, in a row.
const RESTORES: usize = 1000;
/// A scenario that lives in one kernel, so that a job is one start of a guest.
const SCENARIO: &str = "get-outgoing-without-preserve";

/// Gets ready: all scenarios on both checkouts, with nothing to build.
pub(crate) fn warm(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let jobs = 2 * generate::scenarios(session)?.len();
    let words = with_tree(&["--checkouts", "base,series"], args);
    let name = format!("all scenarios on two checkouts, {jobs} jobs");
    Ok(Bench {
        sides: vec![Box::new(Ours::test(&name, &words, jobs, Figure::Wall))],
        notes: Vec::new(),
    })
}

/// Gets ready: the same job ten, a hundred and a thousand times.
pub(crate) fn scale(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    let side = |size: &usize| -> Box<dyn Side> {
        let repeat = size.to_string();
        let words = [SCENARIO, "--checkouts", "series", "--repeat", &repeat];
        let words = with_tree(&words, args);
        let name = format!("{size} jobs");
        let side = Ours::test(&name, &words, *size, Figure::WallAJob);
        Box::new(side.starting("restore"))
    };
    Ok(Bench {
        sides: SIZES.iter().map(side).collect(),
        notes: vec!["a run's start and end are part of what its jobs cost".to_owned()],
    })
}

/// Gets ready: 200 jobs and a few of all scenarios that live in one kernel, on
/// both checkouts.
pub(crate) fn rate(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let scenarios = generate::scenarios(session)?;
    let single: Vec<&str> = scenarios
        .iter()
        .filter(|scenario| scenario.boots.len() == 1)
        .map(|scenario| scenario.name.as_str())
        .collect();
    let once = 2 * single.len().max(1);
    let repeat = RATE_JOBS.div_ceil(once);
    let jobs = repeat * once;
    let repeat = repeat.to_string();
    let mut words = single;
    words.extend(["--checkouts", "base,series", "--config", "kasan"]);
    words.extend(["--repeat", &repeat]);
    let words = with_tree(&words, args);
    let name = format!("{jobs} jobs");
    let side = Ours::test(&name, &words, jobs, Figure::WallAJob);
    Ok(Bench {
        sides: vec![Box::new(side.starting("restore"))],
        notes: vec!["60 jobs a minute are 1 s a job".to_owned()],
    })
}

/// Gets ready: a job of a `fast` kernel from its checkpoint and by booting.
pub(crate) fn restore_fast(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    Ok(restore(args, "fast"))
}

/// Gets ready: the same with a `kasan` kernel.
pub(crate) fn restore_kasan(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    Ok(restore(args, "kasan"))
}

fn restore(args: &BenchArgs, config: &str) -> Bench {
    let jobs = RESTORE_JOBS.to_string();
    let words = [SCENARIO, "--checkouts", "series", "--config", config];
    // One at a time: a job's own time, not what it waits for another.
    let words = [&words[..], &["--repeat", &jobs, "--jobs", "1"]].concat();
    let words = with_tree(&words, args);
    let booting = [&words[..], &["--cold-boot"]].concat();
    let side = |name: &str, words: &[&str], start| -> Box<dyn Side> {
        Box::new(Ours::test(name, words, RESTORE_JOBS, Figure::MedianJob).starting(start))
    };
    Bench {
        sides: vec![
            side("from a checkpoint", &words, "restore"),
            side("booting", &booting, "boot"),
        ],
        notes: vec![format!(
            "a figure is the median time of {RESTORE_JOBS} jobs, from starting QEMU to its end"
        )],
    }
}

/// Gets ready: a thousand guests in a row from one checkpoint.
pub(crate) fn restores(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    let repeat = RESTORES.to_string();
    let words = with_tree(
        &[SCENARIO, "--checkouts", "series", "--repeat", &repeat],
        args,
    );
    let name = format!("{RESTORES} restores");
    let side = Ours::test(&name, &words, RESTORES, Figure::WallAJob);
    Ok(Bench {
        sides: vec![Box::new(side.starting("restore"))],
        notes: vec![
            "every job passed, none booted instead; no process and no temporary file was left"
                .to_owned(),
        ],
    })
}

fn with_tree<'a>(words: &[&'a str], args: &'a BenchArgs) -> Vec<&'a str> {
    let tree = args.tree.iter().flat_map(|tree| ["--tree", tree]);
    words.iter().copied().chain(tree).collect()
}
