// SPDX-License-Identifier: MIT OR Apache-2.0
//! Progress on standard error: activity, amount, elapsed time.
//!
//! On a terminal, progress bars are shown and removed. Elsewhere (CI), a line is printed at
//! intervals, because some CI systems stop a job without output.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use patchbed_host::events::{Event, Observer};

use super::output::line_to_stderr;

/// Shorter activities get no line in a log.
const LOGGED_MIN: Duration = Duration::from_secs(2);
/// Interval between two lines of an activity in a log.
const INTERVAL: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(200);

/// Receives events and shows them; clones share the state.
#[derive(Clone)]
pub struct Progress(Arc<Mutex<Shown>>);

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

struct Shown {
    bars: Option<MultiProgress>,
    running: BTreeMap<String, Running>,
    /// Activities started so far; numbers them.
    started: u64,
}

struct Running {
    number: u64,
    begun: Instant,
    logged: Option<Instant>,
    done: u64,
    total: Option<u64>,
    detail: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts to show events: bars if standard error is a terminal, else lines.
    pub fn start() -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let shown = Arc::new(Mutex::new(Shown {
            bars: terminal.then(MultiProgress::new),
            running: BTreeMap::new(),
            started: 0,
        }));
        if !terminal {
            let shown = Arc::downgrade(&shown);
            std::thread::spawn(move || tick(&shown));
        }
        Self(shown)
    }

    /// Removes all bars from the terminal, before other output is printed.
    pub fn clear(&self) {
        let mut shown = lock(&self.0);
        if let Some(bars) = &shown.bars {
            let _ = bars.clear();
        }
        shown.running.clear();
    }
}

impl Observer for Progress {
    fn clear(&self) {
        Self::clear(self);
    }

    fn event(&self, event: Event) {
        let mut shown = lock(&self.0);
        match event {
            Event::Started { activity, total } => shown.started(activity, total),
            Event::Advanced {
                activity,
                done,
                detail,
            } => shown.advanced(&activity, done, detail),
            Event::Finished { activity } => shown.finished(&activity),
            Event::Note { text } => shown.print(&text),
        }
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints lines at intervals, until the last clone of the progress is dropped.
fn tick(shown: &Weak<Mutex<Shown>>) {
    loop {
        std::thread::sleep(TICK);
        let Some(shown) = shown.upgrade() else {
            return;
        };
        lock(&shown).tick();
    }
}

impl Shown {
    fn started(&mut self, activity: String, total: Option<u64>) {
        let bar = self
            .bars
            .as_ref()
            .map(|bars| bars.add(bar(&activity, total)));
        self.started += 1;
        let running = Running {
            number: self.started,
            begun: Instant::now(),
            logged: None,
            done: 0,
            total,
            detail: String::new(),
            bar,
        };
        self.running.insert(activity, running);
    }

    fn advanced(&mut self, activity: &str, done: u64, detail: String) {
        if let Some(running) = self.running.get_mut(activity) {
            running.done = done;
            running.detail = detail;
            if let Some(bar) = &running.bar {
                // The total is an estimate and may be exceeded.
                if running.total.is_some_and(|total| done > total) {
                    bar.set_length(done);
                }
                bar.set_position(done);
                bar.set_message(running.detail.clone());
            }
        }
    }

    fn finished(&mut self, activity: &str) {
        let is_outermost = self.outermost().as_deref() == Some(activity);
        let Some(running) = self.running.remove(activity) else {
            return;
        };
        let took = running.begun.elapsed();
        if let Some(bar) = running.bar {
            bar.finish_and_clear();
        }
        if is_outermost && took >= LOGGED_MIN {
            self.print(&format!("{activity}: {} s", took.as_secs()));
        }
    }

    /// Returns the activity that started first. A log has lines of this activity only.
    fn outermost(&self) -> Option<String> {
        let first = self
            .running
            .iter()
            .min_by_key(|(_, running)| running.number)?;
        Some(first.0.clone())
    }

    fn print(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| line_to_stderr(text)),
            None => line_to_stderr(text),
        }
    }

    fn tick(&mut self) {
        let Some(activity) = self.outermost() else {
            return;
        };
        let Some(running) = self.running.get_mut(&activity) else {
            return;
        };
        let age = running.begun.elapsed();
        let is_due = running
            .logged
            .map_or(age >= LOGGED_MIN, |logged| logged.elapsed() >= INTERVAL);
        if is_due {
            running.logged = Some(Instant::now());
            line_to_stderr(&log_line(&activity, running, age));
        }
    }
}

fn log_line(activity: &str, running: &Running, age: Duration) -> String {
    let mut line = format!("{activity} ... {} s", age.as_secs());
    match running.total {
        Some(total) if running.done > 0 => {
            line += &format!(", {} of about {}", running.done, total.max(running.done));
        }
        _ if running.done > 0 => line += &format!(", {} so far", running.done),
        _ => {}
    }
    if !running.detail.is_empty() {
        line += &format!(" ({})", running.detail);
    }
    line
}

fn bar(activity: &str, total: Option<u64>) -> ProgressBar {
    let (bar, layout) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{prefix} {bar:20} {pos}/{len} {elapsed} {wide_msg}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{prefix} {spinner} {elapsed} {wide_msg}",
        ),
    };
    let style =
        ProgressStyle::with_template(layout).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(activity.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}
