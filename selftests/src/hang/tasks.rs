// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the output of SysRq-T (tasks) and SysRq-L (backtraces of CPUs). The output comes
//! from a guest and may contain anything; lines that do not match are skipped.

use serde::{Deserialize, Serialize};

use crate::frame::Frame;
use crate::klog::Line;

/// Largest number of tasks, of CPUs, and of frames of a task that are read.
const TASKS_MAX: usize = 4096;
const FRAMES_MAX: usize = 64;

/// `PF_KTHREAD`
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Prefixes of functions that tasks wait in.
const WAITING: &[&str] = &[
    "__schedule",
    "schedule",
    "preempt_schedule",
    "io_schedule",
    "__mutex_lock",
    "mutex_lock",
    "rwsem_",
    "down_",
    "__down",
    "do_wait_for",
    "__wait",
    "wait_for_",
    "wait_on_",
    "wait_woken",
    "rt_mutex",
    "rtlock",
    "percpu_down",
];

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its PID.
    pub id: u64,
    /// The letter of its state, such as `D` for uninterruptible sleep.
    pub state: char,
    /// Whether it is a kernel thread.
    pub is_kernel_thread: bool,
    /// Its stack, innermost first.
    pub frames: Vec<Frame>,
}

/// The backtrace of a CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backtrace {
    /// The number of the CPU, from 0.
    pub processor: u32,
    /// The frame of the instruction pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
}

impl Task {
    /// Returns whether it is in uninterruptible sleep.
    pub(super) const fn is_blocked(&self) -> bool {
        self.state == 'D'
    }

    /// Returns whether it belongs to the test's program.
    pub(super) const fn is_user_task(&self) -> bool {
        !self.is_kernel_thread && self.id > 1
    }

    /// Returns the function that the task waits in, and its caller.
    pub(super) fn place(&self) -> String {
        let mut names = self.frames.iter().map(Frame::name).peekable();
        let is_waiting = |name: &&str| WAITING.iter().any(|start| name.starts_with(start));
        let waits: Vec<&str> = std::iter::from_fn(|| names.next_if(is_waiting)).collect();
        let caller = names.next();
        // The scheduler functions are on the stack of every sleeping task.
        let wait = waits.last().filter(|name| !name.contains("schedule"));
        match (wait, caller) {
            (Some(wait), Some(caller)) => format!("`{wait}`, called from `{caller}`"),
            (None, Some(only)) => format!("`{only}`"),
            (Some(only), None) => format!("`{only}`"),
            (None, None) => "an unknown place".to_owned(),
        }
    }
}

/// Returns the tasks, each once, in their last printed state.
pub(super) fn tasks(lines: &[Line]) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut current: Option<usize> = None;
    for line in lines {
        if let Some(task) = heading(&line.text) {
            let place = tasks.iter().position(|known| known.id == task.id);
            current = match place {
                Some(place) => {
                    tasks[place] = task;
                    Some(place)
                }
                None if tasks.len() < TASKS_MAX => {
                    tasks.push(task);
                    Some(tasks.len() - 1)
                }
                None => None,
            };
        } else if line.text.starts_with("sysrq: ") || line.text.trim() == "</TASK>" {
            current = None;
        } else if let (Some(place), Some(frame)) = (current, Frame::of_trace(&line.text)) {
            let frames = &mut tasks[place].frames;
            if frames.len() < FRAMES_MAX {
                frames.push(frame);
            }
        }
    }
    tasks
}

/// Returns the backtraces of the CPUs.
pub(super) fn backtraces(lines: &[Line]) -> Vec<Backtrace> {
    let mut all: Vec<Backtrace> = Vec::new();
    for line in lines {
        if let Some(rest) = line.text.strip_prefix("NMI backtrace for cpu ") {
            let number = rest.split(' ').next().and_then(|word| word.parse().ok());
            all.extend(number.filter(|_| all.len() < TASKS_MAX).map(|processor| {
                Backtrace {
                    processor,
                    frame: rest
                        .split_once("idling at ")
                        .and_then(|(_, at)| Frame::in_line(at)),
                }
            }));
        } else if let (Some(last), Some(at)) =
            (all.last_mut(), line.text.strip_prefix("RIP: 0010:"))
            && last.frame.is_none()
        {
            last.frame = Frame::in_line(at);
        }
    }
    all
}

/// `task:NAME state:S stack:0 pid:1 tgid:1 ppid:0 task_flags:0x400100 flags:0x80000`,
/// where the name may contain spaces.
fn heading(text: &str) -> Option<Task> {
    let (name, rest) = text.strip_prefix("task:")?.split_once(" state:")?;
    let number = |key: &str| {
        let mut words = rest.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(key))
    };
    let flags = number("task_flags:0x").and_then(|flags| u64::from_str_radix(flags, 16).ok());
    Some(Task {
        name: name.trim().to_owned(),
        id: number("pid:")?.parse().ok()?,
        state: rest.chars().next()?,
        is_kernel_thread: flags.unwrap_or_default() & KERNEL_THREAD != 0,
        frames: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klog::Log;

    const TEXT: &str = "\
<6>[    1.642963][    C0] sysrq: Show backtrace of all active CPUs
<4>[    1.643207][    C0] NMI backtrace for cpu 0
<4>[    1.644184][    C0] RIP: 0010:default_idle+0x13/0x20
<4>[    1.644184][    C0] RIP: 0010:other+0x13/0x20
<4>[    1.648370][    C1] NMI backtrace for cpu 1
<4>[    1.644184][    C0] RIP: 0010:spin+0x13/0x20 [fault]
<4>[    1.648370][    C1] NMI backtrace for cpu 2 skipped: idling at default_idle+0x13/0x20
<6>[    3.748647][    C0] sysrq: Show State
<6>[    3.748937][    C0] task:my program      state:D stack:0     pid:80    tgid:80    ppid:1      task_flags:0x400100 flags:0x00080000
<6>[    3.749216][    C0] Call Trace:
<6>[    3.749281][    C0]  <TASK>
<6>[    3.749300][    C0]  __schedule+0x333/0x800
<6>[    3.749300][    C0]  schedule+0x28/0x70
<6>[    3.749338][    C0]  schedule_preempt_disabled+0x28/0x70
<6>[    3.749338][    C0]  __mutex_lock.constprop.0+0x28/0x70
<6>[    3.749338][    C0]  mutex_lock+0x28/0x70
<6>[    3.749338][    C0]  ? unreliable+0x28/0x70
<6>[    3.749338][    C0]  luo_file_unpreserve_files+0x28/0x70
<6>[    3.749338][    C0]  do_syscall_64+0x28/0x70
<6>[    3.749338][    C0]  </TASK>
<6>[    3.749338][    C0]  after_the_trace+0x28/0x70
<6>[    3.749338][    C0] task:kworker/0:1     state:I stack:0     pid:12    tgid:12    ppid:2      task_flags:0x4208060 flags:0x00080000
<6>[    3.749300][    C0]  __schedule+0x333/0x800
<6>[    3.749300][    C0]  worker_thread+0x333/0x800
<6>[    3.749338][    C0] task:broken          state:
";

    #[test]
    fn tasks_parses_state_and_waiting_function_of_each_task() {
        let tasks = tasks(&Log::parse(TEXT.as_bytes()).lines);
        assert_eq!(tasks.len(), 2);
        let first = &tasks[0];
        assert_eq!((first.name.as_str(), first.id), ("my program", 80));
        assert!(first.is_blocked() && first.is_user_task());
        assert_eq!(
            first.place(),
            "`mutex_lock`, called from `luo_file_unpreserve_files`"
        );
        assert_eq!(tasks[1].place(), "`worker_thread`");
        assert!(!tasks[1].is_blocked() && !tasks[1].is_user_task());
        let without_frames = Task {
            frames: Vec::new(),
            ..first.clone()
        };
        assert_eq!(without_frames.place(), "an unknown place");
    }

    #[test]
    fn backtraces_parses_the_function_of_each_cpu() {
        let all = backtraces(&Log::parse(TEXT.as_bytes()).lines);
        let all: Vec<_> = all
            .iter()
            .map(|backtrace| {
                let frame = backtrace.frame.as_ref();
                (backtrace.processor, frame.map(Frame::with_module))
            })
            .collect();
        let of = |number, name: &str| (number, Some(name.to_owned()));
        let idle = "default_idle";
        assert_eq!(all, [of(0, idle), of(1, "spin [fault]"), of(2, idle)]);
    }
}
