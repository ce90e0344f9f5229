// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cases about the time per job: few and many jobs, restored and booted guests, and a run of
//! all scenarios.

use super::case::{Bench, Side};
use super::test_run::{Figure, TestRun};
use crate::cli::BenchArgs;
use xtask::engine::scenarios;
use xtask::engine::session::Session;
use xtask::result::BootMode;

/// The number of jobs of each side of `scale`.
const SIZES: [usize; 3] = [10, 100, 1000];
/// The minimum number of jobs of `rate`.
const RATE_JOBS: usize = 200;
/// The number of jobs whose median is a figure of `restore`.
const RESTORE_JOBS: usize = 3;
/// The number of guests of `restores`.
const RESTORES: usize = 1000;
/// A scenario without kexec, so that a job starts a single kernel.
const SCENARIO: &str = "get-outgoing-without-preserve";

/// Prepares the case `warm`: all scenarios on both checkouts, with nothing to build.
pub(crate) fn warm(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let jobs = 2 * scenarios::scenarios(session)?.len();
    let words = with_tree(&["--checkouts", "base,series"], args);
    let name = format!("all scenarios on two checkouts, {jobs} jobs");
    Ok(Bench {
        sides: vec![Box::new(TestRun::new(&name, &words, jobs, Figure::Wall))],
        notes: Vec::new(),
    })
}

/// Prepares the case `scale`: the same job 10, 100 and 1000 times.
pub(crate) fn scale(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    let side = |size: &usize| -> Box<dyn Side> {
        let repeat = size.to_string();
        let words = [SCENARIO, "--checkouts", "series", "--repeat", &repeat];
        let words = with_tree(&words, args);
        let name = format!("{size} jobs");
        let side = TestRun::new(&name, &words, *size, Figure::WallAJob);
        Box::new(side.starting(BootMode::Restore))
    };
    Ok(Bench {
        sides: SIZES.iter().map(side).collect(),
        notes: vec!["the time per job includes the start and the end of the run".to_owned()],
    })
}

/// Prepares the case `rate`: at least 200 jobs of all scenarios without kexec, on both
/// checkouts.
pub(crate) fn rate(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let scenarios = scenarios::scenarios(session)?;
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
    let side = TestRun::new(&name, &words, jobs, Figure::WallAJob);
    Ok(Bench {
        sides: vec![Box::new(side.starting(BootMode::Restore))],
        notes: vec!["1 s a job is 60 jobs a minute".to_owned()],
    })
}

/// Prepares the case `restore`: a job of a `fast` kernel that restores a checkpoint, and a job
/// that boots.
pub(crate) fn restore_fast(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    Ok(restore(args, "fast"))
}

/// Prepares the case `restore-kasan`: the same with a `kasan` kernel.
pub(crate) fn restore_kasan(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    Ok(restore(args, "kasan"))
}

fn restore(args: &BenchArgs, config: &str) -> Bench {
    let jobs = RESTORE_JOBS.to_string();
    let words = [SCENARIO, "--checkouts", "series", "--config", config];
    // One job at a time, so that no job waits for another.
    let words = [&words[..], &["--repeat", &jobs, "--jobs", "1"]].concat();
    let words = with_tree(&words, args);
    let booting = [&words[..], &["--cold-boot"]].concat();
    let side = |name: &str, words: &[&str], start| -> Box<dyn Side> {
        Box::new(TestRun::new(name, words, RESTORE_JOBS, Figure::MedianJob).starting(start))
    };
    Bench {
        sides: vec![
            side("from a checkpoint", &words, BootMode::Restore),
            side("booting", &booting, BootMode::Cold),
        ],
        notes: vec![format!(
            "a figure is the median time of {RESTORE_JOBS} jobs, from the start of QEMU to its end"
        )],
    }
}

/// Prepares the case `restores`: 1000 guests restored from one checkpoint.
pub(crate) fn restores(args: &BenchArgs, _session: &Session) -> anyhow::Result<Bench> {
    let repeat = RESTORES.to_string();
    let words = with_tree(
        &[SCENARIO, "--checkouts", "series", "--repeat", &repeat],
        args,
    );
    let name = format!("{RESTORES} restores");
    let side = TestRun::new(&name, &words, RESTORES, Figure::WallAJob);
    Ok(Bench {
        sides: vec![Box::new(side.starting(BootMode::Restore))],
        notes: vec![
            "all jobs passed and restored the checkpoint; no process or temporary file was left"
                .to_owned(),
        ],
    })
}

fn with_tree<'a>(words: &[&'a str], args: &'a BenchArgs) -> Vec<&'a str> {
    let tree = args.tree.iter().flat_map(|tree| ["--tree", tree]);
    words.iter().copied().chain(tree).collect()
}
