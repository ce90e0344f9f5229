// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the description of constructed hangs.

use vm_images::transcript::{Phase, Processor, Sample};

use super::{Diagnosis, Hang, Symbols};

const BASE: u64 = 0xffff_ffff_8100_0000;

fn symbols() -> Symbols {
    let names = [
        "asm_exc_divide_error",
        "do_idle",
        "default_idle",
        "spin",
        "caller",
        "syscall",
        "other",
        "asm_interrupt",
    ];
    let functions: Vec<(u64, &str)> = (0..)
        .zip(names)
        .map(|(n, name)| (BASE + n * 0x100, name))
        .collect();
    Symbols::of(&functions, BASE + 0x1000)
}

/// Returns an address in a function of a kernel with a KASLR offset.
fn at(name: &str) -> u64 {
    let symbols = symbols();
    let relocated = symbols.relocated(BASE + 0x40_0000).unwrap();
    let mut all = (0..0x10).map(|n| BASE + 0x40_0000 + n * 0x100);
    all.find(|address| relocated.name(*address).unwrap().0 == name)
        .unwrap()
        + 0x10
}

fn processor(number: u32, frames: &[&str]) -> Processor {
    Processor {
        number,
        is_halted: frames == ["default_idle", "do_idle"],
        takes_interrupts: true,
        in_program: frames.is_empty(),
        frames: frames.iter().map(|name| at(name)).collect(),
    }
}

fn hang(samples: Vec<Vec<Processor>>) -> Hang {
    let samples = (0..).zip(samples).map(|(n, processors)| Sample {
        at_ms: n * 150,
        processors,
    });
    Hang {
        during: Phase::Program(1),
        console_bytes: 0,
        divide_error: Some(BASE + 0x40_0000),
        samples: samples.collect(),
        answers: true,
        missing: Vec::new(),
        dump: None,
    }
}

fn summary(hang: &Hang, answers: &str) -> String {
    Diagnosis::of(hang, Some(&symbols()), answers.as_bytes()).summary
}

const BLOCKED: &str = "\
<6>[    3.748647][    C0] sysrq: Show State\n\
<6>[    3.748937][    C0] task:reader          state:D stack:0 pid:80 tgid:80 ppid:1 task_flags:0x400100 flags:0x0\n\
<6>[    3.748937][    C0]  __schedule+0x333/0x800\n\
<6>[    3.748937][    C0]  schedule+0x333/0x800\n\
<6>[    3.748937][    C0]  wait_for_completion+0x333/0x800\n\
<6>[    3.748937][    C0]  flb_wait+0x333/0x800\n\
<6>[    3.748937][    C0] task:main            state:S stack:0 pid:79 tgid:79 ppid:1 task_flags:0x400100 flags:0x0\n\
<6>[    3.748937][    C0]  schedule+0x333/0x800\n\
<6>[    3.748937][    C0]  do_wait+0x333/0x800\n";

#[test]
fn summary_names_the_function_in_all_samples_and_the_waiting_tasks() {
    let idle = || processor(0, &["default_idle", "do_idle"]);
    let spins = || processor(1, &["spin", "caller", "syscall"]);
    let stuck = hang(vec![vec![idle(), spins()], vec![idle(), spins()]]);
    assert_eq!(
        summary(&stuck, BLOCKED),
        "CPU 1 spins in `spin`, called from `caller`; `reader` (80) is blocked in \
         `wait_for_completion`, called from `flb_wait`; `main` (79) waits in `do_wait`"
    );
}

#[test]
fn summary_names_the_common_caller_of_different_functions() {
    let mut samples = vec![
        vec![processor(1, &["spin", "caller", "syscall"])],
        vec![processor(1, &["other", "caller", "syscall"])],
    ];
    samples[0][0].takes_interrupts = false;
    assert_eq!(
        summary(&hang(samples.clone()), ""),
        "CPU 1 does not return from `caller`"
    );
    samples[1][0].takes_interrupts = false;
    assert_eq!(
        summary(&hang(samples), ""),
        "CPU 1 does not return from `caller`, interrupts off"
    );
}

#[test]
fn summary_distinguishes_idle_cpus_interrupted_cpus_and_user_space() {
    let idle = processor(0, &["default_idle", "do_idle"]);
    assert_eq!(
        summary(&hang(vec![vec![idle.clone()]]), ""),
        "all CPUs idle"
    );
    // A CPU that is idle in any sample is not stuck; an interrupted idle loop may be.
    let moving = processor(0, &["other", "do_idle"]);
    let away = processor(0, &["spin", "asm_interrupt", "default_idle", "do_idle"]);
    let sometimes_idle = hang(vec![vec![away.clone()], vec![idle.clone()], vec![moving]]);
    assert_eq!(summary(&sometimes_idle, ""), "all CPUs idle");
    assert_eq!(
        summary(&hang(vec![vec![away.clone()], vec![away]]), ""),
        "CPU 0 spins in `spin`, called from `asm_interrupt`"
    );
    let busy = processor(1, &[]);
    assert_eq!(
        summary(&hang(vec![vec![idle, busy]]), ""),
        "CPU 1 is busy in user space"
    );
    assert_eq!(
        summary(&hang(Vec::new()), ""),
        "no CPU or task state was recorded"
    );
}

#[test]
fn summary_takes_module_functions_from_the_backtraces() {
    let mut spins = processor(1, &["spin", "caller"]);
    spins.frames[0] = 0xffff_ffff_c020_1234;
    let answers = "<4>[    1.643207][    C1] NMI backtrace for cpu 1\n\
        <4>[    1.644184][    C1] RIP: 0010:hold+0x13/0x20 [sync_point]\n";
    let stuck = hang(vec![vec![spins.clone()], vec![spins]]);
    assert_eq!(
        summary(&stuck, answers),
        "CPU 1 spins in `hold [sync_point]`, called from `caller`"
    );
    assert_eq!(
        summary(&stuck, ""),
        "CPU 1 spins in a module (0xffffffffc0201234), called from `caller`"
    );
    let nameless = Diagnosis::of(&stuck, None, b"");
    assert_eq!(
        nameless.summary,
        "CPU 1 spins in a module (0xffffffffc0201234)"
    );
}

#[test]
fn text_contains_all_recorded_facts() {
    let mut stuck = hang(vec![vec![processor(1, &["spin", "caller"])]]);
    stuck.missing.push("the tasks: no output".to_owned());
    stuck.dump = Some("memory.dump".to_owned());
    let text = Diagnosis::of(&stuck, Some(&symbols()), BLOCKED.as_bytes()).text();
    insta::assert_snapshot!(text, @r"
    CPU 1 spins in `spin`, called from `caller`; `reader` (80) is blocked in `wait_for_completion`, called from `flb_wait`; `main` (79) waits in `do_wait`

    recorded during boot 1, when the time limit expired
    not recorded: the tasks: no output
    guest memory dump: memory.dump (registers, and memory by physical address)
    KASLR offset: 0x400000

    after 0 ms
      CPU 1: in the kernel
        spin+0x10
        caller+0x10

    kernel messages after SysRq
      sysrq: Show State
      task:reader          state:D stack:0 pid:80 tgid:80 ppid:1 task_flags:0x400100 flags:0x0
       __schedule+0x333/0x800
       schedule+0x333/0x800
       wait_for_completion+0x333/0x800
       flb_wait+0x333/0x800
      task:main            state:S stack:0 pid:79 tgid:79 ppid:1 task_flags:0x400100 flags:0x0
       schedule+0x333/0x800
       do_wait+0x333/0x800
    ");
}
