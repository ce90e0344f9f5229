// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tasks that are ready to run: filled while builds end, emptied by the workers.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use patchbed_host::cancel::Cancel;

/// How often a waiting worker checks for a cancellation.
const TICK: Duration = Duration::from_millis(50);

/// Tasks in the order of their rank, the highest first; of equal rank, the earliest.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    cancel: Cancel,
    /// The number of tasks that run at once while the queue is filled.
    while_open: usize,
}

#[derive(Debug)]
struct State<T> {
    /// In ascending order of the rank.
    tasks: Vec<(u64, T)>,
    running: usize,
    is_closed: bool,
}

impl<T> Queue<T> {
    /// Returns an empty queue. A cancellation ends it. Until it is closed, at most `while_open`
    /// tasks run at once, because builds use the cores at the same time.
    pub(crate) fn new(cancel: &Cancel, while_open: usize) -> Self {
        Self {
            state: Mutex::new(State {
                tasks: Vec::new(),
                running: 0,
                is_closed: false,
            }),
            changed: Condvar::new(),
            cancel: cancel.clone(),
            while_open,
        }
    }

    /// Adds a task, unless the queue is closed.
    pub(crate) fn push(&self, rank: u64, task: T) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return;
        }
        // Before the tasks of the same rank, which are returned first.
        let place = state.tasks.partition_point(|(other, _)| *other < rank);
        state.tasks.insert(place, (rank, task));
        self.changed.notify_one();
    }

    /// Ends the queue after the present tasks.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        self.changed.notify_all();
    }

    /// Drops the present tasks and ends the queue.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tasks.clear();
        state.is_closed = true;
        self.changed.notify_all();
    }

    /// Records that a task has ended.
    pub(crate) fn ended(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running = state.running.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Returns whether the queue takes no more tasks.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed
    }

    /// Returns a guard that ends the queue if its thread panics. Without it, the workers would
    /// wait for ever.
    pub(crate) fn stop_on_panic(&self) -> StopOnPanic<'_, T> {
        StopOnPanic(self)
    }

    /// Returns the next task, and waits for it if necessary; `None` at the end.
    fn next(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.cancel.is_cancelled() {
                return None;
            }
            let is_free = state.is_closed || state.running < self.while_open;
            if is_free && let Some((_, task)) = state.tasks.pop() {
                state.running += 1;
                return Some(task);
            }
            if state.is_closed {
                return None;
            }
            let waited = self.changed.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Ends a queue if its thread panics.
pub(crate) struct StopOnPanic<'a, T>(&'a Queue<T>);

impl<T> Drop for StopOnPanic<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl<T> Iterator for &Queue<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        Queue::next(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_returned_by_rank_and_then_in_order() {
        let queue = Queue::new(&Cancel::new(), 1);
        for (rank, task) in [(1, "a"), (5, "b"), (1, "c"), (5, "d")] {
            queue.push(rank, task);
        }
        queue.close();
        let all: Vec<&str> = (&queue).collect();
        assert_eq!(all, ["b", "d", "a", "c"]);
    }

    #[test]
    fn next_waits_for_a_task_and_ends_when_the_queue_is_closed() {
        let queue = Queue::new(&Cancel::new(), 1);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| (&queue).collect::<Vec<u32>>());
            queue.push(0, 7);
            queue.close();
            assert_eq!(reader.join().unwrap(), [7]);
        });
    }

    #[test]
    fn next_ends_when_the_run_is_cancelled_or_stopped() {
        let cancel = Cancel::new();
        let queue = Queue::new(&cancel, 1);
        queue.push(0, 1);
        cancel.cancel();
        assert_eq!(queue.next(), None);
        let queue = Queue::new(&Cancel::new(), 1);
        queue.push(0, 1);
        queue.stop();
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn an_open_queue_limits_the_running_tasks() {
        let cancel = Cancel::new();
        let queue = Queue::new(&cancel, 1);
        queue.push(0, 1);
        queue.push(0, 2);
        assert_eq!(queue.next(), Some(1));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| queue.next());
            std::thread::sleep(TICK);
            assert!(!second.is_finished());
            queue.ended();
            assert_eq!(second.join().unwrap(), Some(2));
        });
    }
}
