// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a guest that injects faults, and evaluates it like any job.

use std::time::Duration;

use selftests::evidence::{Ending, Evidence};
use selftests::fault;
use selftests::klog::Log;
use selftests::status::{self, Judgement};
use vm_images::transcript::read_console;
use vm_images::vm::{self, BootRun, VmRun, VmSpec};

use super::kit::Kit;
use crate::engine::session::Session;

/// Time after the guest's own time limit until it counts as hung.
const SILENCE: Duration = Duration::from_secs(2);

/// A guest that is to inject faults.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The faults, in this order.
    pub words: &'a [String],
    /// Its time limits.
    pub time_limits: TimeLimits,
    /// The files that it needs.
    pub kit: &'a Kit,
}

/// The time limits of a guest.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// Factor of the run time to that of a kernel without sanitizers.
    slowness: u32,
    /// The time limit of the program in the guest.
    limit: Duration,
    /// Additional time until the guest counts as hung.
    silence: Duration,
}

impl TimeLimits {
    /// Returns the time limits of these faults on a kernel that is `slowness` times slower
    /// than a kernel without sanitizers.
    pub fn of(words: &[String], slowness: u32) -> Self {
        Self {
            slowness,
            limit: Duration::from_secs(fault::limit_secs(words, slowness)),
            silence: SILENCE * slowness.max(1),
        }
    }
}

/// The result of a guest that injected faults.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Its judgement, as of a job.
    pub judgement: Judgement,
    pub(crate) ending: Ending,
    pub(crate) log: Log,
    /// The output of the program.
    pub output: String,
}

impl Guest<'_> {
    /// Runs the guest on a machine and evaluates it.
    pub fn run(&self, mut spec: VmSpec, session: &Session) -> Injected {
        spec.deadlines.program_margin = self.time_limits.silence;
        let transcript = vm::run(&spec, &self.vm_run(), &session.context());
        let serial = read_console(&spec.artifacts).unwrap_or_default();
        let log = Log::parse(&serial);
        let evidence = Evidence::of(&transcript, &serial);
        let test = fault::test(self.words);
        let judgement = status::judge(&test, &evidence, &log);
        let output = evidence.boots.first().map_or(&b""[..], |boot| boot.output);
        let output = String::from_utf8_lossy(output).into_owned();
        Injected {
            judgement,
            ending: evidence.ending,
            log,
            output,
        }
    }

    fn vm_run(&self) -> VmRun {
        let mut args = vec![self.kit.module_in_guest()];
        args.extend_from_slice(self.words);
        let boot = BootRun {
            kernel: None,
            files: self.kit.files(),
            program: self.kit.program_in_guest(),
            args,
            env: fault::environment(self.time_limits.slowness),
            dir: "/".to_owned(),
            timeout: self.time_limits.limit,
        };
        VmRun { boots: vec![boot] }
    }
}
