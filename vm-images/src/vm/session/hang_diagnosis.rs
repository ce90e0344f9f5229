// SPDX-License-Identifier: GPL-2.0-only
//! A last look at a machine in which nothing goes on any more: what its processors do,
//! and what its kernel says of its tasks if it still answers. Whatever cannot be seen is
//! noted; nothing here makes the end another one.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::{Session, Speaker};
use crate::qmp::QmpError;
use crate::transcript::{Hang, Processor, Sample, millis};
use crate::vm::registers::{self, Registers};

/// Looks at the processors, and the pause between two: what spins is in the same place.
const SAMPLES: usize = 5;
const PAUSE: Duration = Duration::from_millis(150);

/// What the kernel is asked for on its console: what all processors do, which tasks are
/// blocked, what all tasks do, who holds which locks.
const QUESTIONS: &str = "lwtd";

/// Time for the kernel to begin an answer; one that has interrupts off never does.
const BEGIN_LIMIT: Duration = Duration::from_secs(6);

/// An answer is over when nothing has come for so long, or when it has taken this long,
/// or is as long as that.
const QUIET: Duration = Duration::from_millis(400);
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// How often the console is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Name of the pipe by which keys come to the console, while they do.
const KEYS: &str = "console.keys";

/// Name of the file with the guest's memory.
const DUMP: &str = "memory.dump";

/// Limit for the memory to be written.
const DUMP_LIMIT: Duration = Duration::from_secs(300);

/// How thoroughly a machine is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// From outside only: the guest has no time to answer.
    Outside,
    /// The kernel is asked, too.
    Kernel,
}

impl Session {
    /// Looks at the machine, the first time that something takes too long: what comes
    /// after may only be what looking at it did.
    pub(super) fn diagnose_hang(&mut self, depth: Depth) {
        if self.hang.is_some() {
            return;
        }
        self.channel_log.note(Speaker::Host, "looks at what hangs");
        let mut hang = Hang {
            during: self.phase,
            console_bytes: self.console_bytes(),
            divide_error: None,
            samples: Vec::new(),
            answers: false,
            missing: Vec::new(),
            dump: None,
        };
        if depth == Depth::Outside {
            self.qmp.be_brief();
        }
        let looked = self.look_at_processors(&mut hang);
        // A monitor that does not answer will not do so for what follows.
        if let Err(error) = looked {
            hang.missing.push(format!("the processors: {error}"));
        } else {
            if self.keep_dump {
                self.dump_memory(&mut hang);
            }
            if depth == Depth::Kernel {
                self.question(&mut hang);
            }
        }
        self.hang = Some(hang);
    }

    fn look_at_processors(&mut self, hang: &mut Hang) -> Result<(), QmpError> {
        let begin = Instant::now();
        for number in 0..SAMPLES {
            if number > 0 {
                std::thread::sleep(PAUSE);
            }
            // What is read of a stack is only worth something while nobody uses it.
            self.qmp.stop()?;
            let seen = self.sample(millis(begin.elapsed()), hang);
            self.qmp.go_on()?;
            hang.samples.push(seen?);
        }
        Ok(())
    }

    fn sample(&mut self, at_ms: u64, hang: &mut Hang) -> Result<Sample, QmpError> {
        let text = self.qmp.monitor("info registers -a")?;
        let all = registers::parse(&text);
        if hang.samples.is_empty() {
            self.leave("hang.registers", &text);
            let table = all
                .iter()
                .find_map(|one| Some((one.number, one.exceptions?)));
            if let Some((number, table)) = table {
                let gate = self.read(number, table, 2)?;
                let gate = <[u64; 2]>::try_from(gate).ok();
                hang.divide_error = gate.map(registers::handler);
            }
        }
        let processors = all.iter().map(|one| self.processor(one));
        Ok(Sample {
            at_ms,
            processors: processors.collect::<Result<_, _>>()?,
        })
    }

    fn processor(&mut self, at: &Registers) -> Result<Processor, QmpError> {
        let mut trouble = None;
        let frames = registers::callers(at, |address, count| {
            let words = self.read(at.number, address, count);
            words.unwrap_or_else(|error| {
                trouble = Some(error);
                Vec::new()
            })
        });
        match trouble {
            Some(error) => Err(error),
            None => Ok(Processor {
                number: at.number,
                is_halted: at.is_halted,
                takes_interrupts: at.takes_interrupts(),
                in_program: at.in_program(),
                frames,
            }),
        }
    }

    /// Reads words of the guest's memory as a processor sees it, as far as they are there.
    fn read(&mut self, processor: u32, address: u64, count: usize) -> Result<Vec<u64>, QmpError> {
        let line = format!("x /{count}gx {address:#x}");
        let text = self.qmp.monitor_of(processor, &line)?;
        let mut words = registers::words(&text);
        words.truncate(count);
        Ok(words)
    }

    fn dump_memory(&mut self, hang: &mut Hang) {
        let path = self.artifacts.join(DUMP);
        let (end, cancel) = (Instant::now() + DUMP_LIMIT, self.cancel.clone());
        let go_on = move || Instant::now() < end && !cancel.is_cancelled();
        match self.qmp.dump_memory(&path, &go_on) {
            Ok(()) => hang.dump = Some(DUMP.to_owned()),
            Err(error) => {
                hang.missing.push(format!("the memory: {error}"));
                // Half of one misleads whoever opens it.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Asks the kernel about its tasks, by a break and a key on its console: that works
    /// in an interrupt, whatever the tasks do.
    fn question(&mut self, hang: &mut Hang) {
        let keys = self.artifacts.join(KEYS);
        if let Err(error) = self.ask_all(&keys, hang) {
            hang.missing.push(format!("the tasks: {error}"));
        }
        let _ = fs::remove_file(keys);
    }

    fn ask_all(&mut self, keys: &Utf8PathBuf, hang: &mut Hang) -> Result<(), QmpError> {
        mknodat(CWD, keys.as_str(), FileType::Fifo, Mode::RWXU, 0).map_err(std::io::Error::from)?;
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        // Open at both ends, so that neither QEMU nor we wait for one another.
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(nonblocking);
        let mut pipe = options.open(keys)?;
        self.qmp
            .listen_on_console(&self.artifacts.join("serial.log"), keys)?;
        for key in QUESTIONS.bytes() {
            let before = self.console_bytes();
            self.qmp.send_break()?;
            pipe.write_all(&[key])?;
            if !self.wait_for_answer(before) {
                hang.missing.push(
                    "the tasks: the kernel does not answer on its console, as with interrupts off"
                        .to_owned(),
                );
                return Ok(());
            }
            hang.answers = true;
        }
        Ok(())
    }

    /// Waits until an answer is over; false if none began.
    fn wait_for_answer(&self, before: u64) -> bool {
        let begin = Instant::now();
        let (mut bytes, mut since) = (before, begin);
        while begin.elapsed() < ANSWER_LIMIT && !self.cancel.is_cancelled() {
            std::thread::sleep(GLANCE);
            let now = self.console_bytes();
            if now != bytes {
                (bytes, since) = (now, Instant::now());
            }
            let limit = if bytes == before { BEGIN_LIMIT } else { QUIET };
            if since.elapsed() >= limit || bytes - before > ANSWER_BYTES_MAX {
                break;
            }
        }
        bytes > before
    }

    fn console_bytes(&self) -> u64 {
        let console = fs::metadata(self.artifacts.join("serial.log"));
        console.map_or(0, |console| console.len())
    }

    fn leave(&mut self, name: &str, text: &str) {
        if let Err(error) = fs::write(self.artifacts.join(name), text) {
            self.channel_log.note(Speaker::Host, &error.to_string());
        }
    }
}
