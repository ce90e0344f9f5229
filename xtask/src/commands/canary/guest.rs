// SPDX-License-Identifier: GPL-2.0-only
//! A guest in which canaries are pulled, and what is made of it: the way of any cell.

use std::time::Duration;

use selftests::canary;
use selftests::evidence::Evidence;
use selftests::klog::Log;
use selftests::outcome::{self, Judgement};
use testbed_host::files::read_plain;
use vm_images::vm::{self, Job, StageJob, VmSpec};

use super::kit::Kit;
use crate::commands::test::judge::CONSOLE_BYTES_MAX;
use crate::session::Session;

/// How long a guest may be silent beyond its own time limit; these are made to be.
const SILENCE: Duration = Duration::from_secs(5);

/// A guest to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest<'a> {
    /// What it pulls, in this order.
    pub(crate) words: &'a [String],
    /// By how much its kernel is slower than a plain one.
    pub(crate) slowness: u32,
    pub(crate) kit: &'a Kit,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Pulled {
    pub(crate) judgement: Judgement,
    pub(crate) log: Log,
    /// What the program wrote.
    pub(crate) said: String,
}

impl Guest<'_> {
    /// Runs it on a machine, and judges it.
    pub(crate) fn run(&self, mut spec: VmSpec, session: &Session) -> Pulled {
        spec.deadlines.stage_margin = SILENCE * self.slowness.max(1);
        let transcript = vm::run(&spec, &self.job(), &session.cancel, &session.progress);
        let console = spec.artifacts.join("serial.log");
        let serial = read_plain(&console, CONSOLE_BYTES_MAX).unwrap_or_default();
        let log = Log::parse(&serial);
        let evidence = Evidence::of(&transcript, &serial);
        let test = canary::test(self.words, self.slowness);
        let judgement = outcome::judge(&test, &evidence, &log);
        let output = evidence.stages.first().map_or(&b""[..], |one| one.output);
        let said = String::from_utf8_lossy(output).into_owned();
        Pulled {
            judgement,
            log,
            said,
        }
    }

    fn job(&self) -> Job {
        let mut args = vec![self.kit.module_in_guest()];
        args.extend_from_slice(self.words);
        let stage = StageJob {
            kernel: None,
            files: self.kit.files(),
            program: self.kit.program_in_guest(),
            args,
            env: Vec::new(),
            dir: "/".to_owned(),
            timeout: Duration::from_secs(canary::limit_secs(self.words, self.slowness)),
        };
        Job {
            stages: vec![stage],
        }
    }
}
