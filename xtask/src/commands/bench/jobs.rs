// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cases about the time per job: few and many jobs, restored and booted guests, and a run of
//! all scenarios.

use xtask::engine::scenarios;
use xtask::engine::session::Session;
use xtask::result::BootMode;

use super::case::Bench;
use super::test_run::{Figure, TestRun};
use crate::cli::BenchArgs;

/// The number of jobs of each side of `scale`.
const SIZES: [usize; 3] = [10, 100, 1000];
/// The minimum number of jobs of `rate`.
const RATE_JOBS: usize = 200;
/// The number of jobs whose median is a figure of `restore`.
const RESTORE_JOBS: usize = 3;
/// The number of guests of `restores`.
const RESTORES: usize = 1000;
/// A scenario without kexec on one checkout, so that a job starts a single kernel.
const ONE: &str = "get-outgoing-without-preserve --checkouts series";

/// Prepares the case `warm`: all scenarios on both checkouts, with nothing to build.
pub(super) fn warm(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let jobs = 2 * scenarios::scenarios(session)?.len();
    let name = format!("all scenarios on two checkouts, {jobs} jobs");
    let run = TestRun::new(&name, "--checkouts base,series", jobs, Figure::Wall, args);
    Ok(bench([run], ""))
}

/// Prepares the case `scale`: the same job 10, 100 and 1000 times.
pub(super) fn scale(args: &BenchArgs) -> Bench {
    let runs = SIZES.map(|size| repeated(&format!("{size} jobs"), size, args));
    let note = "the time per job includes the start and the end of the run";
    bench(runs, note)
}

/// Prepares the case `restores`: 1000 guests restored from one checkpoint.
pub(super) fn restores(args: &BenchArgs) -> Bench {
    let run = repeated(&format!("{RESTORES} restores"), RESTORES, args);
    let note = "all jobs passed and restored the checkpoint; no process or temporary file was left";
    bench([run], note)
}

fn repeated(name: &str, jobs: usize, args: &BenchArgs) -> TestRun {
    let words = format!("{ONE} --repeat {jobs}");
    TestRun::new(name, &words, jobs, Figure::WallAJob, args).requiring(BootMode::Restore)
}

/// Prepares the case `rate`: at least 200 jobs of all scenarios without kexec, on both
/// checkouts.
pub(super) fn rate(args: &BenchArgs, session: &Session) -> anyhow::Result<Bench> {
    let mut scenarios = scenarios::scenarios(session)?;
    scenarios.retain(|scenario| scenario.boots.len() == 1);
    let names: Vec<&str> = scenarios.iter().map(|one| one.name.as_str()).collect();
    let once = 2 * names.len().max(1);
    let repeat = RATE_JOBS.div_ceil(once);
    let words = format!(
        "{} --checkouts base,series --config kasan --repeat {repeat}",
        names.join(" ")
    );
    let jobs = repeat * once;
    let run = TestRun::new(
        &format!("{jobs} jobs"),
        &words,
        jobs,
        Figure::WallAJob,
        args,
    );
    let run = run.requiring(BootMode::Restore);
    Ok(bench([run], "1 s a job is 60 jobs a minute"))
}

/// Prepares a job that restores a checkpoint of a kernel with this config, and a job that boots.
pub(super) fn restore(config: &str, args: &BenchArgs) -> Bench {
    // One job at a time, so that no job waits for another.
    let words = format!("{ONE} --config {config} --repeat {RESTORE_JOBS} --jobs 1");
    let run = |name: &str, words: &str, boot_mode| {
        TestRun::new(name, words, RESTORE_JOBS, Figure::MedianJob, args).requiring(boot_mode)
    };
    let runs = [
        run("from a checkpoint", &words, BootMode::Restore),
        run("booting", &format!("{words} --cold-boot"), BootMode::Cold),
    ];
    let note = format!(
        "a figure is the median time of {RESTORE_JOBS} jobs, from the start of QEMU to its end"
    );
    bench(runs, &note)
}

fn bench<const N: usize>(runs: [TestRun; N], note: &str) -> Bench {
    let note = Some(note.to_owned()).filter(|note| !note.is_empty());
    Bench {
        sides: runs.map(TestRun::side).into(),
        notes: note.into_iter().collect(),
    }
}
