// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run: the exchange of orders and messages between host and guest, from start to end.

use std::time::{Instant, SystemTime};

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::context::Context;
use patchbed_host::events::Activity;
use patchbed_protocol::{
    ENTROPY_BYTES, Exit, FromGuest, OUTPUT_TOTAL_BYTES_MAX, PROTOCOL, ToGuest,
};

use super::requests::Requests;
use super::session::Session;
use crate::checkpoint::Checkpoint;
use crate::pci::Devices;
use crate::qemu::Memory;
use crate::spec::{BootRun, NextKernel, VmRun, VmSpec, write_commands};
use crate::transcript::{BootMode, BootRecord, End, HostTime, Phase, Transcript, millis};

/// Runs the boots of a job. The next boot follows only after a program that ended with code
/// 0. QEMU has ended when this returns, and the transcript is stored in the artifacts
/// folder.
pub fn run(spec: &VmSpec, job: &VmRun, context: &Context) -> Transcript {
    let begin = Instant::now();
    let steps = u64::try_from(2 * job.boots.len().max(1)).ok();
    let activity = context.activity(format!("run {}", spec.name), steps);
    let mut run = Run::new(spec, &context.cancel, activity);
    let result = run.start(job).and_then(|mut session| {
        let result = run.run_job(&mut session, job);
        (run.transcript.host_time, run.transcript.hang) = session.into_records();
        result
    });
    let is_tainted = run.checkpoint_was_modified();
    let mut transcript = run.transcript;
    transcript.wall_ms = millis(begin.elapsed());
    if is_tainted {
        transcript.end = End::launch_failed("the checkpoint was modified while the guest ran");
    } else if let Err(end) = result {
        transcript.end = end;
    }
    if let Err(error) = transcript.save(&spec.artifacts)
        && transcript.end == End::PoweredOff
    {
        transcript.end = End::launch_failed(error);
    }
    transcript
}

/// Checks that a checkpoint can be restored: restores one guest and kills it.
pub(crate) fn test_restore(
    spec: &VmSpec,
    checkpoint: &Checkpoint,
    context: &Context,
) -> Result<(), End> {
    let activity = context.activity(format!("restore {}", spec.name), None);
    Run::new(spec, &context.cancel, activity)
        .restore(checkpoint)
        .map(drop)
}

/// Boots a machine until its guest waits for the order to begin, and saves it: the memory
/// in `memory`, the rest in `state`. Returns its devices. QEMU has ended when this returns.
pub(crate) fn save(
    spec: &VmSpec,
    memory: &Utf8Path,
    state: &Utf8Path,
    context: &Context,
) -> Result<Devices, End> {
    fs::create_dir_all(&spec.artifacts).map_err(End::launch_failed)?;
    let mut session = Session::launch(spec, Memory::Shared(memory.to_owned()), &context.cancel)?;
    session.enter(Phase::Boot, spec.deadlines.boot);
    wait_for_hello(&mut session)?;
    session.enter(Phase::Save, spec.deadlines.save);
    session.save(state)
}

/// Waits for the hello of a booted kernel.
fn wait_for_hello(session: &mut Session) -> Result<(), End> {
    match session.wait()? {
        FromGuest::Hello { protocol: PROTOCOL } => Ok(()),
        FromGuest::Hello { protocol } => Err(session.broken(format!(
            "the guest uses protocol {protocol}, expected {PROTOCOL}"
        ))),
        other => Err(session.unexpected(&other)),
    }
}

/// Returns the order to begin, with the current time and random bytes.
fn begin_order() -> std::io::Result<ToGuest> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(std::io::Error::other)?;
    let mut entropy = vec![0; ENTROPY_BYTES];
    rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())?;
    Ok(ToGuest::Begin {
        unix_ns: u64::try_from(now.as_nanos()).map_err(std::io::Error::other)?,
        entropy,
    })
}

/// A run.
pub(super) struct Run<'a> {
    spec: &'a VmSpec,
    cancel: &'a Cancel,
    activity: Activity<'a>,
    steps: u64,
    /// The record up to now, with the end of a run without failures.
    pub(super) transcript: Transcript,
}

impl<'a> Run<'a> {
    pub(super) fn new(spec: &'a VmSpec, cancel: &'a Cancel, activity: Activity<'a>) -> Self {
        Self {
            spec,
            cancel,
            activity,
            steps: 0,
            transcript: Transcript {
                boots: Vec::new(),
                end: End::PoweredOff,
                boot_mode: BootMode::Cold,
                restore_error: None,
                shared: false,
                host_time: HostTime::default(),
                hang: None,
                wall_ms: 0,
                accelerator: spec.accelerator,
                qemu_version: spec.qemu.full_version.clone(),
            },
        }
    }

    /// Returns whether the checkpoint of a restored guest was modified.
    pub(super) fn checkpoint_was_modified(&self) -> bool {
        let checkpoint = self.spec.checkpoint.as_ref();
        let is_restored = self.transcript.boot_mode == BootMode::Restore;
        is_restored && checkpoint.is_some_and(Checkpoint::is_modified)
    }

    /// Starts a guest: restores the checkpoint, or boots.
    pub(super) fn start(&mut self, job: &VmRun) -> Result<Session, End> {
        fs::create_dir_all(&self.spec.artifacts)
            .and_then(|()| write_commands(self.spec, job))
            .map_err(End::launch_failed)?;
        if let Some(checkpoint) = &self.spec.checkpoint {
            self.report("restore");
            match self.restore(checkpoint) {
                Err(End::Cancelled) => return Err(End::Cancelled),
                Err(trouble) => {
                    self.transcript.boot_mode = BootMode::ColdInstead;
                    self.transcript.restore_error = Some(trouble.to_string());
                }
                Ok(session) => {
                    self.transcript.boot_mode = BootMode::Restore;
                    return Ok(session);
                }
            }
        }
        self.report("boot");
        let mut session = Session::launch(self.spec, Memory::Fresh, self.cancel)?;
        session.enter(Phase::Boot, self.spec.deadlines.boot);
        Ok(session)
    }

    /// Starts boot 1.
    pub(super) fn begin_first_boot(&mut self, session: &mut Session) -> Result<(), End> {
        if self.transcript.boot_mode != BootMode::Restore {
            wait_for_hello(session)?;
        }
        self.begin(session, 1)
    }

    /// Restores a guest from a checkpoint. Failures here are caused by QEMU or the host.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<Session, End> {
        if !checkpoint.is_intact() {
            return Err(End::launch_failed("the checkpoint was deleted or modified"));
        }
        // The console log of every restored guest starts with the kernel's boot.
        fs::copy(checkpoint.console(), self.spec.artifacts.join("serial.log"))
            .map_err(End::launch_failed)?;
        let mut session =
            Session::launch(self.spec, Memory::Private(checkpoint.memory()), self.cancel)?;
        session.enter(Phase::Restore, self.spec.deadlines.restore);
        let devices = checkpoint.devices().map_err(End::launch_failed)?;
        session.load(&checkpoint.state(), &devices)?;
        Ok(session)
    }

    pub(super) fn run_job(&mut self, session: &mut Session, job: &VmRun) -> Result<(), End> {
        let begun = self.begin_first_boot(session);
        match begun.and_then(|()| self.run_boots(session, job)) {
            Ok(()) => self.power_off(session),
            // The guest is still usable: power off, and return the error.
            Err(trouble @ End::Trouble { .. }) => match self.power_off(session) {
                Err(End::Cancelled) => Err(End::Cancelled),
                _ => Err(trouble),
            },
            Err(end) => Err(end),
        }
    }

    fn run_boots(&mut self, session: &mut Session, job: &VmRun) -> Result<(), End> {
        for (number, boot) in (1..).zip(&job.boots) {
            if number > 1 {
                self.kexec(session, job, number)?;
            }
            let exit = self.run_boot(session, number, boot)?;
            if !exit.is_success() {
                break;
            }
        }
        Ok(())
    }

    /// Starts a boot and its record.
    fn begin(&mut self, session: &mut Session, number: u32) -> Result<(), End> {
        session.send(&begin_order().map_err(End::launch_failed)?)?;
        let message = session.wait()?;
        let FromGuest::Ready {
            boot,
            boot_id,
            release,
            missing,
            ..
        } = message
        else {
            return Err(session.unexpected(&message));
        };
        if boot != number {
            return Err(session.broken(format!("the guest reports boot {boot}, expected {number}")));
        }
        self.transcript.boots.push(BootRecord {
            number,
            boot_ms: millis(session.phase_elapsed()),
            release,
            boot_id,
            missing_mounts: missing,
            ..BootRecord::default()
        });
        Ok(())
    }

    pub(super) fn run_boot(
        &mut self,
        session: &mut Session,
        number: u32,
        boot: &BootRun,
    ) -> Result<Exit, End> {
        self.report(&format!("boot {number}"));
        let limit = boot.timeout + self.spec.deadlines.program_margin;
        session.enter(Phase::Program(number), limit);
        for file in &boot.files {
            session.send(&file.order().map_err(End::launch_failed)?)?;
        }
        // The program's time does not include the transfer of its files.
        session.enter(Phase::Program(number), limit);
        session.set_program_timeout(boot.timeout);
        session.send(&boot.order())?;
        let record = self
            .transcript
            .boots
            .last_mut()
            .expect("`begin` adds a record");
        let requests = Requests::new(self.spec);
        let exit = follow_program(session, requests, record);
        record.duration_ms = millis(session.phase_elapsed());
        exit
    }

    fn kexec(&mut self, session: &mut Session, job: &VmRun, number: u32) -> Result<(), End> {
        self.report(&format!("kexec to boot {number}"));
        session.enter(Phase::Kexec(number), self.spec.deadlines.kexec);
        let next = job.next_kernel(number);
        for file in next.into_iter().flat_map(NextKernel::files) {
            session.send(&file.order().map_err(End::launch_failed)?)?;
        }
        session.send(&self.spec.kexec_order(job, number))?;
        for expected in [FromGuest::KexecLoaded, FromGuest::Kexecing] {
            let message = session.wait()?;
            if message != expected {
                return Err(session.unexpected(&message));
            }
        }
        wait_for_hello(session)?;
        self.begin(session, number)
    }

    pub(super) fn power_off(&mut self, session: &mut Session) -> Result<(), End> {
        self.report("power off");
        session.enter(Phase::PowerOff, self.spec.deadlines.power_off);
        session.send(&ToGuest::PowerOff)?;
        let message = session.wait()?;
        if message != FromGuest::Goodbye {
            return Err(session.unexpected(&message));
        }
        session.wait_for_end()
    }

    fn report(&mut self, detail: &str) {
        self.activity.advance(self.steps, detail);
        self.steps += 1;
    }
}

/// Records the output of a program until it ends.
fn follow_program(
    session: &mut Session,
    mut requests: Requests<'_>,
    record: &mut BootRecord,
) -> Result<Exit, End> {
    loop {
        match requests.wait(session)? {
            FromGuest::Started { .. } if !record.started => record.started = true,
            FromGuest::Output { data } if record.started => {
                let room = OUTPUT_TOTAL_BYTES_MAX - record.output.len();
                record.output_cut |= data.len() > room;
                record.output.extend(data.into_iter().take(room));
            }
            FromGuest::Exited {
                mut exit,
                output_cut,
                ..
            } if record.started => {
                // This includes a program that ended during the hang diagnosis: the kernel
                // messages from then on are answers to the diagnosis.
                exit.timed_out |= session.program_timed_out();
                record.output_cut |= output_cut;
                record.exit = Some(exit);
                return Ok(exit);
            }
            FromGuest::Hello { .. } => return Err(session.unexpected_kexec()),
            other => return Err(session.unexpected(&other)),
        }
    }
}
