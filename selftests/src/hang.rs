// SPDX-License-Identifier: MIT OR Apache-2.0
//! Summarises a hang diagnosis: the function that each CPU runs, and the functions that
//! tasks wait in. The cause of the hang is decided in `status`.

mod symbols;
mod tasks;

use std::collections::BTreeSet;

use vm_images::transcript::{Hang, Processor, Sample};

use self::symbols::Relocated;
pub use self::symbols::Symbols;
use self::tasks::{Backtrace, Task};
use crate::klog::Log;

/// Largest number of tasks in the summary.
const TASKS_SHOWN: usize = 3;

/// The idle loop. A CPU is idle if this function is on its stack with no interrupt entry
/// above it.
const IDLE: &str = "do_idle";
/// Prefix of the entry functions of interrupts and exceptions.
const INTERRUPT_ENTRY: &str = "asm_";

/// Address range of modules on x86-64.
const MODULES: std::ops::Range<u64> = 0xffff_ffff_c000_0000..0xffff_ffff_ff00_0000;

/// The description of a hang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The busy CPUs and the waiting tasks, in one line without a final period.
    pub summary: String,
    /// The whole diagnosis as text; the first line is the summary.
    pub text: String,
}

impl Account {
    /// Describes a hang. `answers` is the console log from the start of the diagnosis.
    /// Without the symbols of the kernel that ran, addresses are shown instead of names.
    #[must_use]
    pub fn of(hang: &Hang, symbols: Option<&Symbols>, answers: &[u8]) -> Self {
        let log = Log::parse(answers);
        let names = Names {
            relocated: symbols.and_then(|symbols| symbols.relocated(hang.divide_error?)),
            backtraces: tasks::backtraces(&log.lines),
        };
        let tasks = tasks::tasks(&log.lines);
        let summary = summary(hang, &names, &tasks);
        let mut text = format!(
            "{summary}\n\nrecorded during {}, when the time limit expired\n",
            hang.during
        );
        for missing in &hang.missing {
            text += &format!("not recorded: {missing}\n");
        }
        if let Some(dump) = &hang.dump {
            text +=
                &format!("guest memory dump: {dump} (registers, and memory by physical address)\n");
        }
        text += &match names.relocated {
            Some(relocated) => {
                let offset = relocated.offset();
                format!("KASLR offset: {offset:#x}\n")
            }
            None => "functions have no names: no symbols of this kernel\n".to_owned(),
        };
        for sample in &hang.samples {
            text += &sample_text(sample, &names);
        }
        text += &answers_text(&log);
        Self { summary, text }
    }
}

/// The sources of function names for addresses.
struct Names<'a> {
    relocated: Option<Relocated<'a>>,
    backtraces: Vec<Backtrace>,
}

impl Names<'_> {
    fn function(&self, address: u64) -> Option<&str> {
        Some(self.relocated?.name(address)?.0)
    }

    /// Returns the function that a CPU was in. Functions of modules are only known from the
    /// backtraces that the kernel printed, because `vmlinux` has no symbols of modules.
    fn innermost(&self, processor: &Processor) -> String {
        let address = processor.frames.first().copied().unwrap_or_default();
        let printed = || {
            let mut all = self.backtraces.iter();
            let backtrace = all.find(|backtrace| backtrace.processor == processor.number)?;
            backtrace.function.as_deref()
        };
        match self.function(address).or_else(printed) {
            Some(name) => format!("`{name}`"),
            None if MODULES.contains(&address) => format!("a module ({address:#x})"),
            None => format!("{address:#x}"),
        }
    }

    /// Returns the names of the functions on the stack of a CPU.
    fn functions<'a>(&'a self, processor: &'a Processor) -> impl Iterator<Item = &'a str> {
        let frames = processor.frames.iter();
        frames.filter_map(|address| self.function(*address))
    }

    fn is_idle(&self, processor: &Processor) -> bool {
        let frames = processor.frames.iter();
        let names: Vec<Option<&str>> = frames.map(|address| self.function(*address)).collect();
        let idle_loop = names.iter().position(|name| *name == Some(IDLE));
        let not_interrupted = idle_loop.is_some_and(|idle_loop| {
            let mut inner = names[..idle_loop].iter();
            inner.all(|name| name.is_some_and(|name| !name.starts_with(INTERRUPT_ENTRY)))
        });
        processor.is_halted || not_interrupted
    }
}

fn summary(hang: &Hang, names: &Names<'_>, tasks: &[Task]) -> String {
    let numbers: BTreeSet<u32> = hang
        .samples
        .iter()
        .flat_map(|sample| &sample.processors)
        .map(|processor| processor.number)
        .collect();
    let samples_of = |number: u32| -> Vec<&Processor> {
        let all = hang.samples.iter().flat_map(|sample| &sample.processors);
        all.filter(|sample| sample.number == number).collect()
    };
    let busy = numbers
        .iter()
        .filter_map(|number| activity(&samples_of(*number), names));
    let mut parts: Vec<String> = busy.collect();
    if parts.is_empty() && !numbers.is_empty() {
        parts.push("all CPUs idle".to_owned());
    }
    let blocked = tasks.iter().filter(|task| task.is_blocked());
    let blocked = blocked.map(|task| {
        let place = task.place();
        format!("`{}` ({}) is blocked in {place}", task.name, task.id)
    });
    let waiting = |task: &&Task| task.is_user_task() && !task.is_blocked() && task.state != 'R';
    let waiting = tasks.iter().filter(waiting).map(|task| {
        let place = task.place();
        format!("`{}` ({}) waits in {place}", task.name, task.id)
    });
    let tasks: Vec<String> = blocked.chain(waiting).collect();
    let more = tasks.len().saturating_sub(TASKS_SHOWN);
    parts.extend(tasks.into_iter().take(TASKS_SHOWN));
    if more > 0 {
        parts.push(format!("and {more} more tasks"));
    }
    if parts.is_empty() {
        parts.push("no CPU or task state was recorded".to_owned());
    }
    parts.join("; ")
}

/// Describes the activity of one CPU in all of its samples. Returns `None` for a CPU that
/// is idle in any sample, because it is not stuck.
fn activity(samples: &[&Processor], names: &Names<'_>) -> Option<String> {
    let first = samples.first()?;
    let number = first.number;
    if samples.iter().any(|sample| names.is_idle(sample)) {
        return None;
    }
    if samples.iter().all(|sample| sample.in_program) {
        return Some(format!("CPU {number} is busy in user space"));
    }
    let off = if samples.iter().all(|sample| !sample.takes_interrupts) {
        ", interrupts off"
    } else {
        ""
    };
    let inner: BTreeSet<String> = samples
        .iter()
        .map(|sample| names.innermost(sample))
        .collect();
    // The innermost function that is on the stack in all samples does not return.
    let in_all = |name: &&str| {
        samples
            .iter()
            .all(|sample| names.functions(sample).any(|other| other == *name))
    };
    let mut common = names.functions(first).filter(in_all);
    let activity = match (inner.len(), common.next()) {
        (1, Some(name)) if inner.contains(&format!("`{name}`")) => match common.next() {
            Some(caller) => format!("spins in `{name}`, called from `{caller}`"),
            None => format!("spins in `{name}`"),
        },
        (1, caller) => {
            let name = inner.first().cloned().unwrap_or_default();
            let caller = caller.map(|caller| format!(", called from `{caller}`"));
            format!("spins in {name}{}", caller.unwrap_or_default())
        }
        (_, Some(name)) => format!("does not return from `{name}`"),
        (_, None) => "is busy in the kernel".to_owned(),
    };
    Some(format!("CPU {number} {activity}{off}"))
}

fn sample_text(sample: &Sample, names: &Names<'_>) -> String {
    let mut text = format!("\nafter {} ms\n", sample.at_ms);
    for processor in &sample.processors {
        let place = match (processor.in_program, names.is_idle(processor)) {
            (true, _) => "in user space",
            (false, true) => "idle",
            (false, false) => "in the kernel",
        };
        let off = match processor.takes_interrupts {
            true => "",
            false => ", interrupts off",
        };
        text += &format!("  CPU {}: {place}{off}\n", processor.number);
        for address in &processor.frames {
            let name = names
                .relocated
                .and_then(|relocated| relocated.name(*address));
            text += &match name {
                Some((name, offset)) => format!("    {name}+{offset:#x}\n"),
                None => format!("    {address:#x}\n"),
            };
        }
    }
    text
}

fn answers_text(log: &Log) -> String {
    let mut text = String::new();
    // Lines before the first SysRq are not part of the diagnosis.
    let is_before = |text: &str| !text.starts_with("sysrq: ");
    let answers = log.lines.iter().skip_while(|line| is_before(&line.text));
    for line in answers {
        if text.is_empty() {
            text += "\nkernel messages after SysRq\n";
        }
        text += &format!("  {}\n", line.text);
    }
    text
}

#[cfg(test)]
mod tests;
