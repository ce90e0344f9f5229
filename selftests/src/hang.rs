// SPDX-License-Identifier: GPL-2.0-only
//! Where a machine hangs, told from what was seen of it: what each processor is doing,
//! and which task waits for what. Values to words; whose fault it is, `status` says.

mod symbols;
mod tasks;

use std::collections::BTreeSet;

use vm_images::transcript::{Hang, Processor, Sample};

use self::symbols::Placed;
pub use self::symbols::Symbols;
use self::tasks::{Backtrace, Task};
use crate::klog::Log;

/// Tasks that are named in one sentence.
const TASKS_SHOWN: usize = 3;

/// In whom a processor has nothing to do, unless it was called away from there.
const IDLE: &str = "do_idle";
const CALLED_AWAY: &str = "asm_";

/// Where the functions of modules are.
const MODULES: std::ops::Range<u64> = 0xffff_ffff_c000_0000..0xffff_ffff_ff00_0000;

/// What is to be said about a hang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Where it hangs, in half a sentence.
    pub summary: String,
    /// All that was seen, for a person; the first line is the summary.
    pub text: String,
}

impl Account {
    /// Tells where a machine hangs. `answers` is the console from when it was looked at;
    /// without the symbols of the kernel that ran, functions have no names.
    #[must_use]
    pub fn of(hang: &Hang, symbols: Option<&Symbols>, answers: &[u8]) -> Self {
        let log = Log::parse(answers);
        let names = Names {
            placed: symbols.and_then(|symbols| symbols.placed(hang.divide_error?)),
            backtraces: tasks::backtraces(&log.lines),
        };
        let tasks = tasks::tasks(&log.lines);
        let summary = summary(hang, &names, &tasks);
        let mut text = format!(
            "{summary}\n\nseen during {}, when its time was up\n",
            hang.during
        );
        for missing in &hang.missing {
            text += &format!("not seen: {missing}\n");
        }
        if let Some(dump) = &hang.dump {
            text += &format!(
                "the guest's memory: {dump} (registers, and memory by physical address)\n"
            );
        }
        text += &match names.placed {
            Some(placed) => {
                let distance = placed.distance();
                format!("the kernel was put {distance:#x} above where vmlinux has it\n")
            }
            None => "functions have no names: the kernel's symbols are not there\n".to_owned(),
        };
        for sample in &hang.samples {
            text += &sample_text(sample, &names);
        }
        text += &answers_text(&log);
        Self { summary, text }
    }
}

/// All that gives names to addresses.
struct Names<'a> {
    placed: Option<Placed<'a>>,
    backtraces: Vec<Backtrace>,
}

impl Names<'_> {
    fn function(&self, address: u64) -> Option<&str> {
        Some(self.placed?.name(address)?.0)
    }

    /// Returns the function a processor was in. The kernel itself knows those of modules.
    fn innermost(&self, processor: &Processor) -> String {
        let address = processor.frames.first().copied().unwrap_or_default();
        let told = || {
            let mut all = self.backtraces.iter();
            let one = all.find(|one| one.processor == processor.number)?;
            one.function.as_deref()
        };
        match self.function(address).or_else(told) {
            Some(name) => format!("`{name}`"),
            None if MODULES.contains(&address) => format!("a module ({address:#x})"),
            None => format!("{address:#x}"),
        }
    }

    /// Returns the functions that a processor was in, as far as they have names.
    fn functions<'a>(&'a self, processor: &'a Processor) -> impl Iterator<Item = &'a str> {
        let frames = processor.frames.iter();
        frames.filter_map(|address| self.function(*address))
    }

    fn is_idle(&self, processor: &Processor) -> bool {
        let frames = processor.frames.iter();
        let names: Vec<Option<&str>> = frames.map(|address| self.function(*address)).collect();
        let waits = names.iter().position(|name| *name == Some(IDLE));
        let stayed = waits.is_some_and(|waits| {
            let mut inner = names[..waits].iter();
            inner.all(|name| name.is_some_and(|name| !name.starts_with(CALLED_AWAY)))
        });
        processor.is_halted || stayed
    }
}

fn summary(hang: &Hang, names: &Names<'_>, tasks: &[Task]) -> String {
    let numbers: BTreeSet<u32> = hang
        .samples
        .iter()
        .flat_map(|sample| &sample.processors)
        .map(|processor| processor.number)
        .collect();
    let looks = |number: u32| -> Vec<&Processor> {
        let all = hang.samples.iter().flat_map(|sample| &sample.processors);
        all.filter(|one| one.number == number).collect()
    };
    let busy = numbers
        .iter()
        .filter_map(|number| doing(&looks(*number), names));
    let mut parts: Vec<String> = busy.collect();
    if parts.is_empty() && !numbers.is_empty() {
        parts.push("all CPUs idle".to_owned());
    }
    let blocked = tasks.iter().filter(|task| task.is_blocked());
    let blocked = blocked.map(|task| {
        let place = task.place();
        format!("`{}` ({}) is blocked in {place}", task.name, task.id)
    });
    let waiting = |task: &&Task| task.is_of_program() && !task.is_blocked() && task.state != 'R';
    let waiting = tasks.iter().filter(waiting).map(|task| {
        let place = task.place();
        format!("`{}` ({}) waits in {place}", task.name, task.id)
    });
    let told: Vec<String> = blocked.chain(waiting).collect();
    let more = told.len().saturating_sub(TASKS_SHOWN);
    parts.extend(told.into_iter().take(TASKS_SHOWN));
    if more > 0 {
        parts.push(format!("and {more} tasks more"));
    }
    if parts.is_empty() {
        parts.push("nothing could be seen of it".to_owned());
    }
    parts.join("; ")
}

/// What a processor is doing, all looks at it taken together; nothing if it is idle.
fn doing(looks: &[&Processor], names: &Names<'_>) -> Option<String> {
    let first = looks.first()?;
    let number = first.number;
    // One that ever has nothing to do is not what does not come to an end.
    if looks.iter().any(|one| names.is_idle(one)) {
        return None;
    }
    if looks.iter().all(|one| one.in_program) {
        return Some(format!("CPU {number} is busy in its program"));
    }
    let off = if looks.iter().all(|one| !one.takes_interrupts) {
        ", interrupts off"
    } else {
        ""
    };
    let inner: BTreeSet<String> = looks.iter().map(|one| names.innermost(one)).collect();
    // Whoever is there in every look is the one that does not come to an end.
    let stays = |name: &&str| {
        looks
            .iter()
            .all(|one| names.functions(one).any(|it| it == *name))
    };
    let mut common = names.functions(first).filter(stays);
    let said = match (inner.len(), common.next()) {
        (1, Some(name)) if inner.contains(&format!("`{name}`")) => match common.next() {
            Some(caller) => format!("spins in `{name}`, called from `{caller}`"),
            None => format!("spins in `{name}`"),
        },
        (1, caller) => {
            let name = inner.first().cloned().unwrap_or_default();
            let caller = caller.map(|caller| format!(", called from `{caller}`"));
            format!("spins in {name}{}", caller.unwrap_or_default())
        }
        (_, Some(name)) => format!("does not leave `{name}`"),
        (_, None) => "is busy in the kernel".to_owned(),
    };
    Some(format!("CPU {number} {said}{off}"))
}

fn sample_text(sample: &Sample, names: &Names<'_>) -> String {
    let mut text = format!("\nafter {} ms\n", sample.at_ms);
    for one in &sample.processors {
        let what = match (one.in_program, names.is_idle(one)) {
            (true, _) => "in its program",
            (false, true) => "idle",
            (false, false) => "in the kernel",
        };
        let off = match one.takes_interrupts {
            true => "",
            false => ", interrupts off",
        };
        text += &format!("  CPU {}: {what}{off}\n", one.number);
        for address in &one.frames {
            let name = names.placed.and_then(|placed| placed.name(*address));
            text += &match name {
                Some((name, distance)) => format!("    {name}+{distance:#x}\n"),
                None => format!("    {address:#x}\n"),
            };
        }
    }
    text
}

fn answers_text(log: &Log) -> String {
    let mut text = String::new();
    // What was being written at the time is no answer.
    let is_before = |text: &str| !text.starts_with("sysrq: ");
    let answers = log.lines.iter().skip_while(|line| is_before(&line.text));
    for line in answers {
        if text.is_empty() {
            text += "\nwhat the kernel says when it is asked\n";
        }
        text += &format!("  {}\n", line.text);
    }
    text
}

#[cfg(test)]
mod tests;
