// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hang diagnosis: records the state of the processors and, if the kernel answers, of its
//! tasks, before a machine is ended. Failed parts are recorded; they do not change the end
//! of the run.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::Session;
use crate::arch::{self, Registers};
use crate::qmp::QmpError;
use crate::transcript::{Hang, Processor, Sample, millis};
use crate::vm::channel_log::Sender;
use crate::vm::clock::LimitState;

/// Number of samples of the processors, and the pause between them.
const SAMPLES: usize = 5;
const PAUSE: Duration = Duration::from_millis(150);

/// Magic SysRq keys: backtraces of all processors, blocked tasks, all tasks, held locks.
const SYSRQ_KEYS: &str = "lwtd";

/// Time for the kernel to start an answer. With interrupts off it never does.
const BEGIN_LIMIT: Duration = Duration::from_secs(6);

/// An answer is complete after this time without output, at its time limit, or at its
/// maximum size.
const QUIET: Duration = Duration::from_millis(400);
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Polling interval of the console log.
const POLL: Duration = Duration::from_millis(20);

/// Name of the pipe for the input of the console.
const KEYS: &str = "console.keys";

/// Name of the memory dump.
const DUMP: &str = "memory.dump";

/// Time limit for the memory dump.
const DUMP_LIMIT: Duration = Duration::from_secs(300);

impl Session {
    /// Diagnoses the machine when a limit is reached for the first time. A later diagnosis
    /// could be affected by the first. If the host withheld the guest's time, the kernel is
    /// not asked: it has no time to answer.
    pub(super) fn diagnose_hang(&mut self, limit: LimitState) {
        if self.hang.is_some() {
            return;
        }
        self.channel_log.note(Sender::Host, "hang diagnosis");
        let mut hang = Hang {
            during: self.phase,
            console_bytes: self.console_bytes(),
            divide_error: None,
            samples: Vec::new(),
            answers: false,
            missing: Vec::new(),
            dump: None,
        };
        if limit == LimitState::Withheld {
            self.qmp.shorten_limit();
        }
        let sampled = self.sample_processors(&mut hang);
        // If a monitor command timed out, the following would too.
        if let Err(error) = sampled {
            hang.missing.push(format!("the processors: {error}"));
        } else {
            if self.keep_dump {
                self.dump_memory(&mut hang);
            }
            if limit == LimitState::Expired {
                self.query_kernel(&mut hang);
            }
        }
        self.hang = Some(hang);
    }

    fn sample_processors(&mut self, hang: &mut Hang) -> Result<(), QmpError> {
        let begin = Instant::now();
        for number in 0..SAMPLES {
            if number > 0 {
                std::thread::sleep(PAUSE);
            }
            // The call stack is consistent only while the guest is stopped.
            self.qmp.stop()?;
            let sample = self.sample(millis(begin.elapsed()), hang);
            self.qmp.resume()?;
            hang.samples.push(sample?);
        }
        Ok(())
    }

    fn sample(&mut self, at_ms: u64, hang: &mut Hang) -> Result<Sample, QmpError> {
        let text = self.qmp.monitor(0, "info registers -a")?;
        let all = self.arch.registers(&text);
        if hang.samples.is_empty() {
            self.write_artifact("hang.registers", &text);
            let table = all
                .iter()
                .find_map(|processor| Some((processor.number, processor.exceptions?)));
            if let Some((number, table)) = table {
                let gate = self.read(number, table, 2)?;
                let gate = <[u64; 2]>::try_from(gate).ok();
                hang.divide_error = gate.map(arch::gate_handler);
            }
        }
        let processors = all.iter().map(|processor| self.processor(processor));
        Ok(Sample {
            at_ms,
            processors: processors.collect::<Result<_, _>>()?,
        })
    }

    fn processor(&mut self, at: &Registers) -> Result<Processor, QmpError> {
        let mut failure = None;
        let frames = arch::call_trace(at, |address, count| {
            let words = self.read(at.number, address, count);
            words.unwrap_or_else(|error| {
                failure = Some(error);
                Vec::new()
            })
        });
        match failure {
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

    /// Reads words at an address of a processor's address space, as far as they are mapped.
    fn read(&mut self, processor: u32, address: u64, count: usize) -> Result<Vec<u64>, QmpError> {
        let line = format!("x /{count}gx {address:#x}");
        let text = self.qmp.monitor(processor, &line)?;
        let mut words = arch::memory_words(&text);
        words.truncate(count);
        Ok(words)
    }

    fn dump_memory(&mut self, hang: &mut Hang) {
        let path = self.artifacts.join(DUMP);
        let (end, cancel) = (Instant::now() + DUMP_LIMIT, self.cancel.clone());
        let may_continue = move || Instant::now() < end && !cancel.is_cancelled();
        match self.qmp.dump_memory(&path, &may_continue) {
            Ok(()) => hang.dump = Some(DUMP.to_owned()),
            Err(error) => {
                hang.missing.push(format!("the memory: {error}"));
                // A partial dump would mislead debuggers.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Queries the kernel about its tasks with breaks and SysRq keys on its console, which
    /// are handled in an interrupt.
    fn query_kernel(&mut self, hang: &mut Hang) {
        let keys = self.artifacts.join(KEYS);
        if let Err(error) = self.send_sysrqs(&keys, hang) {
            hang.missing.push(format!("the tasks: {error}"));
        }
        let _ = fs::remove_file(keys);
    }

    fn send_sysrqs(&mut self, keys: &Utf8PathBuf, hang: &mut Hang) -> Result<(), QmpError> {
        mknodat(CWD, keys.as_str(), FileType::Fifo, Mode::RWXU, 0).map_err(std::io::Error::from)?;
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        // Opened for reading and writing, so that neither end blocks.
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(nonblocking);
        let mut pipe = options.open(keys)?;
        self.qmp
            .connect_console_input(&self.artifacts.join("serial.log"), keys)?;
        for key in SYSRQ_KEYS.bytes() {
            let before = self.console_bytes();
            self.qmp.send_break()?;
            pipe.write_all(&[key])?;
            if !self.wait_for_answer(before) {
                hang.missing.push(
                    "the tasks: the kernel does not answer SysRq on its console, as with interrupts off"
                        .to_owned(),
                );
                return Ok(());
            }
            hang.answers = true;
        }
        Ok(())
    }

    /// Waits until an answer is complete; returns false if it did not start.
    fn wait_for_answer(&self, before: u64) -> bool {
        let begin = Instant::now();
        let (mut bytes, mut since) = (before, begin);
        while begin.elapsed() < ANSWER_LIMIT && !self.cancel.is_cancelled() {
            std::thread::sleep(POLL);
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

    fn write_artifact(&mut self, name: &str, text: &str) {
        if let Err(error) = fs::write(self.artifacts.join(name), text) {
            self.channel_log.note(Sender::Host, &error.to_string());
        }
    }
}
