// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hang diagnosis: the function that each CPU runs, and the functions that tasks wait
//! in. The cause of the hang is decided in `status`.

mod tasks;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vm_images::transcript::{self, Hang, Phase};

pub use self::tasks::{Backtrace, Task};
use crate::frame::Frame;
use crate::klog::Log;
use crate::symbols::{Relocated, Symbols};

/// Largest number of tasks in the summary.
const TASKS_SHOWN: usize = 3;

/// The idle loop. A CPU is idle if this function is on its stack with no interrupt entry
/// above it.
const IDLE: &str = "do_idle";
/// Prefix of the entry functions of interrupts and exceptions.
const INTERRUPT_ENTRY: &str = "asm_";

/// Address range of modules on x86-64.
const MODULES: std::ops::Range<u64> = 0xffff_ffff_c000_0000..0xffff_ffff_ff00_0000;

/// The diagnosis of a hang.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The busy CPUs and the waiting tasks, in one line without a final period.
    pub summary: String,
    /// The phase whose time limit expired.
    pub during: Phase,
    /// Parts of the diagnosis that could not be recorded, and why.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The file name of the memory dump, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<String>,
    /// The KASLR offset; `None` without the symbols of the kernel, so that the functions of
    /// the CPUs have no names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kaslr_offset: Option<u64>,
    /// The states of the CPUs at several times.
    pub samples: Vec<Sample>,
    /// The backtraces of the CPUs that the kernel printed.
    pub backtraces: Vec<Backtrace>,
    /// The tasks, in their last printed state.
    pub tasks: Vec<Task>,
    /// The kernel's messages from the first SysRq on.
    pub messages: Vec<String>,
}

/// The CPUs at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds since the first sample.
    pub at_ms: u64,
    /// The CPUs.
    pub processors: Vec<Processor>,
}

/// A CPU at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// Its number, from 0.
    pub number: u32,
    /// Whether it is halted, or in the idle loop and not interrupted.
    pub is_idle: bool,
    /// Whether interrupts are on.
    pub takes_interrupts: bool,
    /// Whether it is in user space.
    pub in_program: bool,
    /// Its stack, innermost first.
    pub frames: Vec<Address>,
}

/// An address on the stack of a CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address in the guest.
    pub address: u64,
    /// The function; unknown for modules and without symbols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
}

impl Diagnosis {
    /// Describes a hang. `answers` is the console log from the start of the diagnosis.
    /// Without the symbols of the kernel that ran, functions of CPUs have no names.
    #[must_use]
    pub fn of(hang: &Hang, symbols: Option<&Symbols>, answers: &[u8]) -> Self {
        let lines = Log::parse(answers).lines;
        let relocated = symbols.and_then(|symbols| symbols.relocated(hang.divide_error?));
        let samples = hang.samples.iter().map(|sample| Sample {
            at_ms: sample.at_ms,
            processors: sample
                .processors
                .iter()
                .map(|processor| Processor::of(processor, relocated))
                .collect(),
        });
        // Lines before the first SysRq are not part of the diagnosis.
        let messages = lines
            .iter()
            .map(|line| line.text.clone())
            .skip_while(|text| !text.starts_with("sysrq: "));
        let mut diagnosis = Self {
            summary: String::new(),
            during: hang.during,
            missing: hang.missing.clone(),
            dump: hang.dump.clone(),
            kaslr_offset: relocated.map(Relocated::offset),
            samples: samples.collect(),
            backtraces: tasks::backtraces(&lines),
            tasks: tasks::tasks(&lines),
            messages: messages.collect(),
        };
        diagnosis.summary = diagnosis.summarise();
        diagnosis
    }

    /// Returns the whole diagnosis as text; the first line is the summary.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\n\nrecorded during {}, when the time limit expired\n",
            self.summary, self.during
        );
        for missing in &self.missing {
            text += &format!("not recorded: {missing}\n");
        }
        if let Some(dump) = &self.dump {
            text +=
                &format!("guest memory dump: {dump} (registers, and memory by physical address)\n");
        }
        text += &match self.kaslr_offset {
            Some(offset) => format!("KASLR offset: {offset:#x}\n"),
            None => "functions have no names: no symbols of this kernel\n".to_owned(),
        };
        for sample in &self.samples {
            text += &format!("\nafter {} ms\n", sample.at_ms);
            text.extend(sample.processors.iter().map(Processor::text));
        }
        if !self.messages.is_empty() {
            text += "\nkernel messages after SysRq\n";
        }
        for message in &self.messages {
            text += &format!("  {message}\n");
        }
        text
    }

    fn summarise(&self) -> String {
        let all = || self.samples.iter().flat_map(|sample| &sample.processors);
        let numbers: BTreeSet<u32> = all().map(|processor| processor.number).collect();
        let busy = numbers.iter().filter_map(|number| {
            let samples: Vec<&Processor> = all().filter(|one| one.number == *number).collect();
            self.activity(&samples)
        });
        let mut parts: Vec<String> = busy.collect();
        if parts.is_empty() && !numbers.is_empty() {
            parts.push("all CPUs idle".to_owned());
        }
        let blocked = self.tasks.iter().filter(|task| task.is_blocked());
        let blocked = blocked.map(|task| {
            let place = task.place();
            format!("`{}` ({}) is blocked in {place}", task.name, task.id)
        });
        let waiting = |task: &&Task| task.is_user_task() && !task.is_blocked() && task.state != 'R';
        let waiting = self.tasks.iter().filter(waiting).map(|task| {
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

    /// Describes the activity of one CPU in all of its samples. Returns `None` for a CPU
    /// that is idle in any sample, because it is not stuck.
    fn activity(&self, samples: &[&Processor]) -> Option<String> {
        let first = samples.first()?;
        let number = first.number;
        if samples.iter().any(|sample| sample.is_idle) {
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
            .map(|sample| self.innermost(sample))
            .collect();
        // The innermost function that is on the stack in all samples does not return.
        let in_all = |name: &&str| {
            samples
                .iter()
                .all(|sample| sample.functions().any(|other| other == *name))
        };
        let mut common = first.functions().filter(in_all);
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

    /// Returns the function that a CPU was in. Functions of modules are only known from the
    /// backtraces that the kernel printed, because `vmlinux` has no symbols of modules.
    fn innermost(&self, processor: &Processor) -> String {
        let first = processor.frames.first();
        let printed = || {
            let mut all = self.backtraces.iter();
            let backtrace = all.find(|backtrace| backtrace.processor == processor.number)?;
            backtrace.frame.as_ref()
        };
        let address = first.map_or(0, |first| first.address);
        match first
            .and_then(|first| first.frame.as_ref())
            .or_else(printed)
        {
            Some(frame) => format!("`{}`", frame.with_module()),
            None if MODULES.contains(&address) => format!("a module ({address:#x})"),
            None => format!("{address:#x}"),
        }
    }
}

impl Processor {
    fn of(recorded: &transcript::Processor, relocated: Option<Relocated<'_>>) -> Self {
        let frames = recorded.frames.iter().enumerate();
        let frames = frames.map(|(index, &address)| {
            let found = relocated.and_then(|relocated| relocated.name(address));
            let frame = found.map(|(name, offset)| Frame {
                function: name.to_owned(),
                offset,
                size: None,
                module: None,
                is_return: index > 0,
                is_reliable: true,
            });
            Address { address, frame }
        });
        let mut processor = Self {
            number: recorded.number,
            is_idle: recorded.is_halted,
            takes_interrupts: recorded.takes_interrupts,
            in_program: recorded.in_program,
            frames: frames.collect(),
        };
        processor.is_idle |= processor.is_in_idle_loop();
        processor
    }

    fn is_in_idle_loop(&self) -> bool {
        let name = |address: &Address| Some(address.frame.as_ref()?.function.clone());
        let names: Vec<Option<String>> = self.frames.iter().map(name).collect();
        let idle_loop = names.iter().position(|name| name.as_deref() == Some(IDLE));
        idle_loop.is_some_and(|idle_loop| {
            let mut inner = names[..idle_loop].iter().flatten();
            inner.clone().count() == idle_loop
                && inner.all(|name| !name.starts_with(INTERRUPT_ENTRY))
        })
    }

    /// Returns the names of the functions on the stack.
    fn functions(&self) -> impl Iterator<Item = &str> {
        let frames = self.frames.iter().filter_map(|one| one.frame.as_ref());
        frames.map(|frame| frame.function.as_str())
    }

    fn text(&self) -> String {
        let place = match (self.in_program, self.is_idle) {
            (true, _) => "in user space",
            (false, true) => "idle",
            (false, false) => "in the kernel",
        };
        let off = match self.takes_interrupts {
            true => "",
            false => ", interrupts off",
        };
        let mut text = format!("  CPU {}: {place}{off}\n", self.number);
        for Address { address, frame } in &self.frames {
            text += &match frame {
                Some(frame) => format!("    {}+{:#x}\n", frame.function, frame.offset),
                None => format!("    {address:#x}\n"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests;
