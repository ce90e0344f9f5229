// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool of threads that works through a sequence of jobs.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use crate::cancel::Cancel;

/// Runs `work` for each job on `workers` threads (at least one), and passes each result to
/// `done` on the calling thread, in the order of completion. Jobs start in the order of the
/// iterator, which is advanced when a worker is free. A worker waits while `workers` results
/// are not yet taken by `done`, so a slow `done` limits the work ahead of it.
///
/// After a cancellation no further job starts; the results of running jobs still arrive.
/// Each thread waits for its children, as [`crate::process`] requires. Returns the first
/// error of `done`; no further job starts, and the results of running jobs are dropped.
///
/// # Panics
/// With the panic of a job, after the running jobs have ended.
pub fn run<J, R: Send, E>(
    workers: usize,
    jobs: impl IntoIterator<Item = J, IntoIter: Send>,
    cancel: &Cancel,
    work: impl Fn(J) -> R + Sync,
    mut done: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let workers = workers.max(1);
    let jobs = Mutex::new(jobs.into_iter());
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (send, receive) = sync_channel(workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (send, work, next) = (send.clone(), &work, &next);
            scope.spawn(move || {
                while !cancel.is_cancelled()
                    && let Some(job) = next()
                {
                    let result = catch_unwind(AssertUnwindSafe(|| work(job)));
                    // The receiver is gone after an error or a panic.
                    if send.send(result).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        receive
            .into_iter()
            .try_for_each(|result| done(result.unwrap_or_else(|panic| resume_unwind(panic))))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Runs jobs that return their number, and returns the results of all.
    fn numbers(workers: usize, count: usize, cancel: &Cancel) -> Vec<usize> {
        let mut results = Vec::new();
        let all: Result<(), Infallible> = run(
            workers,
            0..count,
            cancel,
            |number| number,
            |number| {
                results.push(number);
                Ok(())
            },
        );
        all.unwrap();
        results
    }

    #[test]
    fn run_returns_the_result_of_every_job() {
        let mut results = numbers(3, 50, &Cancel::new());
        results.sort_unstable();
        assert_eq!(results, (0..50).collect::<Vec<_>>());
        assert_eq!(numbers(1, 5, &Cancel::new()), [0, 1, 2, 3, 4]);
        assert_eq!(numbers(0, 2, &Cancel::new()), [0, 1]);
        assert!(numbers(2, 0, &Cancel::new()).is_empty());
    }

    #[test]
    fn run_uses_all_workers_at_the_same_time() {
        let both = Barrier::new(2);
        let result: Result<(), Infallible> = run(
            2,
            0..2,
            &Cancel::new(),
            |_| both.wait().is_leader(),
            |_| Ok(()),
        );
        result.unwrap();
    }

    #[test]
    fn results_arrive_in_the_order_of_completion() {
        let second_is_done = Barrier::new(2);
        let mut order = Vec::new();
        let result: Result<(), Infallible> = run(
            2,
            [1, 2],
            &Cancel::new(),
            |job| {
                if job == 1 {
                    second_is_done.wait();
                }
                job
            },
            |job| {
                order.push(job);
                if job == 2 {
                    second_is_done.wait();
                }
                Ok(())
            },
        );
        result.unwrap();
        assert_eq!(order, [2, 1]);
    }

    #[test]
    fn no_job_starts_after_a_cancellation() {
        let cancel = Cancel::new();
        let mut results = Vec::new();
        let result: Result<(), Infallible> = run(
            1,
            0..100,
            &cancel,
            |number| {
                if number == 3 {
                    cancel.cancel();
                }
                number
            },
            |number| {
                results.push(number);
                Ok(())
            },
        );
        result.unwrap();
        assert_eq!(results, [0, 1, 2, 3]);
    }

    #[test]
    fn an_error_of_done_ends_the_run_after_the_running_jobs() {
        let started = AtomicUsize::new(0);
        let result = run(
            1,
            0..100,
            &Cancel::new(),
            |_| started.fetch_add(1, Ordering::SeqCst),
            |number| if number == 1 { Err("enough") } else { Ok(()) },
        );
        assert_eq!(result, Err("enough"));
        // One result can be queued and one job can run when the error occurs.
        assert!(started.load(Ordering::SeqCst) <= 4);
    }

    #[test]
    fn a_panic_of_a_job_reaches_the_caller_and_stops_the_others() {
        // The jobs never end by themselves.
        let panic = catch_unwind(AssertUnwindSafe(|| {
            run(
                2,
                0_u64..,
                &Cancel::new(),
                |number| assert!(number != 1, "job 1 failed"),
                |()| Ok::<(), Infallible>(()),
            )
        }));
        let text = panic.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(*text, "job 1 failed");
    }
}
