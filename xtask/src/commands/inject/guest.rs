// SPDX-License-Identifier: GPL-2.0-only
//! A guest in which faults are injected, and what is made of it: the way of any job.

use std::time::Duration;

use selftests::evidence::{Ending, Evidence};
use selftests::fault;
use selftests::klog::Log;
use selftests::status::{self, Judgement};
use vm_images::transcript::read_console;
use vm_images::vm::{self, BootRun, VmRun, VmSpec};

use super::kit::Kit;
use crate::session::Session;

/// How long a guest may be silent beyond its own time limit; these are made to be.
const SILENCE: Duration = Duration::from_secs(2);

/// A guest to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest<'a> {
    /// What it injections, in this order.
    pub(crate) words: &'a [String],
    pub(crate) patience: Patience,
    pub(crate) kit: &'a Kit,
}

/// How long a guest is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// By how much all takes longer than on a plain kernel.
    slowness: u32,
    /// After this time the guest itself gives up.
    limit: Duration,
    /// And after this one more, its silence is a hang.
    silence: Duration,
}

impl Patience {
    /// Returns how long these faults take at most, on a kernel that is `slowness`
    /// times slower than a plain one.
    pub(crate) fn of(words: &[String], slowness: u32) -> Self {
        Self {
            slowness,
            limit: Duration::from_secs(fault::limit_secs(words, slowness)),
            silence: SILENCE * slowness.max(1),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Injected {
    pub(crate) judgement: Judgement,
    pub(crate) ending: Ending,
    pub(crate) log: Log,
    /// What the program wrote.
    pub(crate) said: String,
}

impl Guest<'_> {
    /// Runs it on a machine, and judges it.
    pub(crate) fn run(&self, mut spec: VmSpec, session: &Session) -> Injected {
        spec.deadlines.program_margin = self.patience.silence;
        let transcript = vm::run(&spec, &self.vm_run(), &session.cancel, &session.progress);
        let serial = read_console(&spec.artifacts).unwrap_or_default();
        let log = Log::parse(&serial);
        let evidence = Evidence::of(&transcript, &serial);
        let test = fault::test(self.words);
        let judgement = status::judge(&test, &evidence, &log);
        let output = evidence.boots.first().map_or(&b""[..], |one| one.output);
        let said = String::from_utf8_lossy(output).into_owned();
        Injected {
            judgement,
            ending: evidence.ending,
            log,
            said,
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
            env: fault::environment(self.patience.slowness),
            dir: "/".to_owned(),
            timeout: self.patience.limit,
        };
        VmRun { boots: vec![boot] }
    }
}
