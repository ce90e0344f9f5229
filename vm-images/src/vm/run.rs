// SPDX-License-Identifier: GPL-2.0-only
//! A run under way: what the host and the guest say to each other, from a start
//! to the end.

use std::time::SystemTime;

use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::Activity;
use patchbed_protocol::{
    ENTROPY_BYTES, Exit, FromGuest, OUTPUT_TOTAL_BYTES_MAX, PROTOCOL, ToGuest,
};

use super::requests::Requests;
use super::session::Session;
use super::{BootRun, NextKernel, VmRun, VmSpec, recipe};
use crate::checkpoint::Checkpoint;
use crate::qemu::Memory;
use crate::transcript::{BootMode, BootRecord, End, Hang, HostTime, Phase, millis};

/// Waits for the hello of a kernel that has booted.
pub(super) fn meet(session: &mut Session) -> Result<(), End> {
    match session.wait()? {
        FromGuest::Hello { protocol: PROTOCOL } => Ok(()),
        FromGuest::Hello { protocol } => Err(session.broken(format!(
            "the guest speaks protocol {protocol}, not {PROTOCOL}"
        ))),
        other => Err(session.unexpected(&other)),
    }
}

/// Returns the order to begin, with the time of day and with randomness.
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

/// A run under way.
pub(super) struct Run<'a> {
    spec: &'a VmSpec,
    cancel: &'a Cancel,
    activity: Activity<'a>,
    /// How the first kernel came to run.
    pub(super) start: BootMode,
    /// The boots that were begun.
    pub(super) boots: Vec<BootRecord>,
    /// What the host gave the guest of its time.
    pub(super) host_time: HostTime,
    /// What was seen when something took too long.
    pub(super) hang: Option<Hang>,
    steps: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(spec: &'a VmSpec, cancel: &'a Cancel, activity: Activity<'a>) -> Self {
        Self {
            spec,
            cancel,
            activity,
            start: BootMode::Cold,
            boots: Vec::new(),
            host_time: HostTime::default(),
            hang: None,
            steps: 0,
        }
    }

    /// Gets a guest on its way to boot 1: from the checkpoint, or else by booting it.
    pub(super) fn start(&mut self, job: &VmRun) -> Result<Session, End> {
        fs::create_dir_all(&self.spec.artifacts)
            .and_then(|()| recipe::write(self.spec, job))
            .map_err(End::launch_failed)?;
        if let Some(checkpoint) = &self.spec.checkpoint {
            self.say("restore");
            match self.restore(checkpoint) {
                Err(End::Cancelled) => return Err(End::Cancelled),
                Err(trouble) => {
                    self.start = BootMode::ColdInstead {
                        trouble: trouble.to_string(),
                    };
                }
                Ok(session) => {
                    self.start = BootMode::Restore;
                    return Ok(session);
                }
            }
        }
        self.say("boot");
        let mut session = Session::launch(self.spec, Memory::Fresh, self.cancel)?;
        session.enter(Phase::Boot, self.spec.deadlines.boot);
        Ok(session)
    }

    /// Has the guest begin with boot 1. From here on it is the guest that does or
    /// does not.
    pub(super) fn greet(&mut self, session: &mut Session) -> Result<(), End> {
        if self.start != BootMode::Restore {
            meet(session)?;
        }
        self.begin(session, 1)
    }

    /// Gets a guest that goes on from where the checkpoint was saved. What fails
    /// before it does is QEMU's or the host's doing.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<Session, End> {
        if !checkpoint.is_whole() {
            return Err(End::launch_failed("the checkpoint is gone, or was touched"));
        }
        // What the kernel said while it booted belongs to every guest's log.
        fs::copy(checkpoint.console(), self.spec.artifacts.join("serial.log"))
            .map_err(End::launch_failed)?;
        let mut session =
            Session::launch(self.spec, Memory::Copied(checkpoint.memory()), self.cancel)?;
        session.enter(Phase::Restore, self.spec.deadlines.restore);
        let devices = checkpoint.devices().map_err(End::launch_failed)?;
        session.load(&checkpoint.state(), &devices)?;
        Ok(session)
    }

    pub(super) fn drive(&mut self, session: &mut Session, job: &VmRun) -> Result<(), End> {
        let driven = self.greet(session);
        match driven.and_then(|()| self.drive_boots(session, job)) {
            Ok(()) => self.power_off(session),
            // The guest is said to be usable still: end in order, keep the news.
            Err(trouble @ End::Trouble { .. }) => match self.power_off(session) {
                Err(End::Cancelled) => Err(End::Cancelled),
                _ => Err(trouble),
            },
            Err(end) => Err(end),
        }
    }

    fn drive_boots(&mut self, session: &mut Session, job: &VmRun) -> Result<(), End> {
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

    /// Has a boot's kernel begin; the boot's record begins with it.
    fn begin(&mut self, session: &mut Session, number: u32) -> Result<(), End> {
        session.send(&begin_order().map_err(End::launch_failed)?)?;
        let message = session.wait()?;
        let FromGuest::RunContext {
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
            return Err(session.broken(format!("the guest is at boot {boot}, not {number}")));
        }
        self.boots.push(BootRecord {
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
        self.say(&format!("boot {number}"));
        let margin = self.spec.deadlines.program_margin;
        session.enter(Phase::Program(number), boot.timeout + margin);
        session.ring_at(boot.timeout);
        for file in &boot.files {
            session.send(&file.order().map_err(End::launch_failed)?)?;
        }
        session.send(&boot.order())?;
        let record = self
            .boots
            .last_mut()
            .expect("a boot begins with its greeting");
        let requests = Requests::new(self.spec);
        let exit = follow_program(session, requests, record);
        record.duration_ms = millis(session.phase_elapsed());
        exit
    }

    fn kexec(&mut self, session: &mut Session, job: &VmRun, number: u32) -> Result<(), End> {
        self.say(&format!("kexec to boot {number}"));
        session.enter(Phase::Kexec(number), self.spec.deadlines.kexec);
        for file in job
            .next_kernel(number)
            .into_iter()
            .flat_map(NextKernel::files)
        {
            session.send(&file.order().map_err(End::launch_failed)?)?;
        }
        session.send(&self.spec.kexec_order(job, number))?;
        for expected in [FromGuest::KexecLoaded, FromGuest::Kexecing] {
            let message = session.wait()?;
            if message != expected {
                return Err(session.unexpected(&message));
            }
        }
        meet(session)?;
        self.begin(session, number)
    }

    pub(super) fn power_off(&mut self, session: &mut Session) -> Result<(), End> {
        self.say("power off");
        session.enter(Phase::PowerOff, self.spec.deadlines.power_off);
        session.send(&ToGuest::PowerOff)?;
        let message = session.wait()?;
        if message != FromGuest::Goodbye {
            return Err(session.unexpected(&message));
        }
        session.wait_for_end()
    }

    fn say(&mut self, detail: &str) {
        self.activity.advance(self.steps, detail);
        self.steps += 1;
    }
}

/// Keeps what a program writes until it ends.
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
                // Also of a program that came to its end while it was being looked at:
                // what the kernel said from then on is nobody's report.
                exit.timed_out |= session.has_rung();
                record.output_cut |= output_cut;
                record.exit = Some(exit);
                return Ok(exit);
            }
            FromGuest::Hello { .. } => return Err(session.gone_over()),
            other => return Err(session.unexpected(&other)),
        }
    }
}
