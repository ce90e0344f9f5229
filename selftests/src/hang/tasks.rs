// SPDX-License-Identifier: GPL-2.0-only
//! What a kernel says of its tasks and processors when it is asked on its console. From
//! a guest, and so anything: whatever is no answer is passed over.

use crate::klog::Line;

/// Tasks, processors, and frames of each that are read.
const MANY: usize = 4096;
const FRAMES_MAX: usize = 64;

/// The flag of a task that is the kernel's own.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Functions by whose names begins what a task does to wait.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) id: u64,
    pub(super) state: char,
    is_kernel_thread: bool,
    /// Innermost first.
    pub(super) frames: Vec<String>,
}

/// Where a processor was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backtrace {
    pub(super) processor: u32,
    /// The function that the instruction was in.
    pub(super) function: Option<String>,
}

impl Task {
    /// Returns whether it waits for something that no signal can end.
    pub(super) const fn is_blocked(&self) -> bool {
        self.state == 'D'
    }

    /// Returns whether it belongs to the test's program.
    pub(super) const fn is_of_program(&self) -> bool {
        !self.is_kernel_thread && self.id > 1
    }

    /// Returns where it is, and who had it go there.
    pub(super) fn place(&self) -> String {
        let is_waiting = |name: &&String| WAITING.iter().any(|start| name.starts_with(start));
        let waits: Vec<&String> = self.frames.iter().take_while(is_waiting).collect();
        let caller = self.frames.get(waits.len());
        // That it gave up its processor goes without saying.
        let wait = waits.last().filter(|name| !name.contains("schedule"));
        match (wait, caller) {
            (Some(wait), Some(caller)) => format!("`{wait}`, called from `{caller}`"),
            (None, Some(only)) => format!("`{only}`"),
            (Some(only), None) => format!("`{only}`"),
            (None, None) => "an unknown place".to_owned(),
        }
    }
}

/// Returns the tasks, each once, and what the kernel said last of it.
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
                None if tasks.len() < MANY => {
                    tasks.push(task);
                    Some(tasks.len() - 1)
                }
                None => None,
            };
        } else if line.text.starts_with("sysrq: ") || line.text.trim() == "</TASK>" {
            current = None;
        } else if let (Some(place), Some(name)) = (current, frame(&line.text)) {
            let frames = &mut tasks[place].frames;
            if frames.len() < FRAMES_MAX {
                frames.push(name.to_owned());
            }
        }
    }
    tasks
}

/// Returns where the processors were.
pub(super) fn backtraces(lines: &[Line]) -> Vec<Backtrace> {
    let mut all: Vec<Backtrace> = Vec::new();
    for line in lines {
        if let Some(rest) = line.text.strip_prefix("NMI backtrace for cpu ") {
            let number = rest.split(' ').next().and_then(|word| word.parse().ok());
            all.extend(number.filter(|_| all.len() < MANY).map(|processor| {
                Backtrace {
                    processor,
                    function: rest
                        .split_once("idling at ")
                        .and_then(|(_, at)| function(at)),
                }
            }));
        } else if let (Some(last), Some(at)) =
            (all.last_mut(), line.text.strip_prefix("RIP: 0010:"))
            && last.function.is_none()
        {
            last.function = function(at);
        }
    }
    all
}

/// `task:NAME state:S stack:0 pid:1 tgid:1 ppid:0 task_flags:0x400100 flags:0x80000`,
/// where a name may have blanks.
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

/// ` name+0x1/0x2`, but for what was only found lying on the stack: ` ? name+0x1/0x2`.
fn frame(text: &str) -> Option<&str> {
    let text = text.strip_prefix(' ')?;
    let (name, rest) = text.split_once("+0x")?;
    // What the compiler made of a function is still that function.
    let name = name.split('.').next()?;
    (!name.contains(' ') && rest.contains("/0x")).then_some(name)
}

fn function(text: &str) -> Option<String> {
    let (name, rest) = text.split_once("+0x")?;
    let module = rest
        .split_once(" [")
        .and_then(|(_, module)| module.split_once(']'));
    Some(match module {
        Some((module, _)) => format!("{name} [{module}]"),
        None => name.to_owned(),
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
<6>[    3.749338][    C0]  ? lying_about+0x28/0x70
<6>[    3.749338][    C0]  luo_file_unpreserve_files+0x28/0x70
<6>[    3.749338][    C0]  do_syscall_64+0x28/0x70
<6>[    3.749338][    C0]  </TASK>
<6>[    3.749338][    C0]  of_nobody+0x28/0x70
<6>[    3.749338][    C0] task:kworker/0:1     state:I stack:0     pid:12    tgid:12    ppid:2      task_flags:0x4208060 flags:0x00080000
<6>[    3.749300][    C0]  __schedule+0x333/0x800
<6>[    3.749300][    C0]  worker_thread+0x333/0x800
<6>[    3.749338][    C0] task:broken          state:
";

    #[test]
    fn tasks_say_where_they_wait_and_for_whom() {
        let tasks = tasks(&Log::parse(TEXT.as_bytes()).lines);
        assert_eq!(tasks.len(), 2);
        let first = &tasks[0];
        assert_eq!((first.name.as_str(), first.id), ("my program", 80));
        assert!(first.is_blocked() && first.is_of_program());
        assert_eq!(
            first.place(),
            "`mutex_lock`, called from `luo_file_unpreserve_files`"
        );
        assert_eq!(tasks[1].place(), "`worker_thread`");
        assert!(!tasks[1].is_blocked() && !tasks[1].is_of_program());
        let nowhere = Task {
            frames: Vec::new(),
            ..first.clone()
        };
        assert_eq!(nowhere.place(), "an unknown place");
    }

    #[test]
    fn processors_say_what_they_run() {
        let all = backtraces(&Log::parse(TEXT.as_bytes()).lines);
        let all: Vec<_> = all
            .iter()
            .map(|one| (one.processor, one.function.as_deref()))
            .collect();
        let idle = Some("default_idle");
        assert_eq!(all, [(0, idle), (1, Some("spin [fault]")), (2, idle)]);
    }
}
