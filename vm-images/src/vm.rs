// SPDX-License-Identifier: GPL-2.0-only
//! Runs one virtual machine through its stages and gives an account of it.
//! Whatever goes wrong is part of the account, never an error: the caller gets
//! what was seen up to then in any case.

mod ending;
mod journal;
mod recipe;
mod session;
mod sockets;

use std::time::{Duration, Instant, SystemTime};

use camino::Utf8PathBuf;
use fs_err as fs;
use testbed_host::cancel::Cancel;
use testbed_host::events::{Activity, Observer};
use testbed_host::files::read_plain;
use testbed_protocol::{
    Content, ENTROPY_BYTES, Exit, FILE_BYTES_MAX, FromGuest, OUTPUT_TOTAL_BYTES_MAX, PROTOCOL,
    STAGE_PARAMETER, ToGuest,
};

use crate::accel::Accelerator;
use crate::deadlines::Deadlines;
use crate::machine::Machine;
use crate::qemu::{Launch, Memory, Qemu, Wiring};
use crate::template::Template;
use crate::template::devices::Devices;
use crate::transcript::{End, Phase, StageRecord, Start, Transcript, millis};
use session::Session;

/// What every kernel is told: where its console is, that live update is to be
/// on (a kernel without it ignores that), not to linger after a panic, and not
/// to take a busy host's lost timer ticks for broken hardware.
const CMDLINE: &str =
    "console=ttyS0 console_msg_format=syslog liveupdate=on kho=on panic=-1 no_timer_check";

/// A virtual machine to run.
#[derive(Debug, Clone)]
pub struct VmSpec {
    /// Name of the run, for progress.
    pub name: String,
    /// The QEMU to use.
    pub qemu: Qemu,
    /// The kernel of the first stage.
    pub kernel: Utf8PathBuf,
    /// Its initramfs.
    pub initramfs: Utf8PathBuf,
    /// The machine.
    pub machine: Machine,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Memory in MiB, when the machine's own is not enough.
    pub memory_mib: Option<u32>,
    /// Added to every kernel's command line, like `kho_scratch=16M,64M,64M`.
    pub cmdline: String,
    /// A saved guest to go on from, which must have been made for these very
    /// things; without one, or when that fails, the guest boots.
    pub template: Option<Template>,
    /// Folder for what the run leaves behind; made when it is not there.
    pub artifacts: Utf8PathBuf,
    /// Limits for the parts of the run.
    pub deadlines: Deadlines,
}

impl VmSpec {
    /// Returns the command line of a stage's kernel.
    pub fn stage_cmdline(&self, stage: u32) -> String {
        let stage = format!("{STAGE_PARAMETER}{stage}");
        [CMDLINE, self.accelerator.cmdline(), &stage, &self.cmdline]
            .iter()
            .flat_map(|words| words.split_ascii_whitespace())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Returns all that QEMU's call depends on.
    pub(crate) fn launch(&self, memory: Memory, wiring: Wiring) -> Launch {
        Launch {
            accelerator: self.accelerator,
            memory_mib: self.memory_mib.unwrap_or(self.machine.memory_mib),
            memory,
            kernel: self.kernel.clone(),
            initramfs: self.initramfs.clone(),
            cmdline: self.stage_cmdline(1),
            wiring,
        }
    }

    fn kexec_order(&self, stage: u32) -> ToGuest {
        ToGuest::Kexec {
            cmdline: self.stage_cmdline(stage),
        }
    }
}

/// What is to be done in the machine: one program a stage, a kexec between
/// two. Without any stage the machine is booted and switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// The stages in their order.
    pub stages: Vec<StageJob>,
}

/// The program of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageJob {
    /// Files that the guest gets first.
    pub files: Vec<GuestFile>,
    /// Path in the guest.
    pub program: String,
    /// Arguments, without the program's own name.
    pub args: Vec<String>,
    /// Additions to the environment.
    pub env: Vec<(String, String)>,
    /// Folder in the guest that it starts in.
    pub dir: String,
    /// Time after which the guest kills it.
    pub timeout: Duration,
}

/// A file for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// The file on the host, of at most [`FILE_BYTES_MAX`] bytes.
    pub source: Utf8PathBuf,
    /// Path in the guest.
    pub path: String,
    /// Permissions in the guest.
    pub mode: u32,
}

impl GuestFile {
    fn order(&self) -> std::io::Result<ToGuest> {
        Ok(ToGuest::Put {
            path: self.path.clone(),
            mode: self.mode,
            content: Content::pack(&read_plain(&self.source, FILE_BYTES_MAX as u64)?),
        })
    }
}

impl StageJob {
    fn order(&self) -> ToGuest {
        ToGuest::Run {
            program: self.program.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            dir: self.dir.clone(),
            timeout_ms: millis(self.timeout),
        }
    }
}

/// Runs a machine through a job. Stages go on only after a program that ended
/// with code 0. QEMU is gone when this returns, and the transcript is in the
/// folder for artifacts as well.
pub fn run(spec: &VmSpec, job: &Job, cancel: &Cancel, observer: &dyn Observer) -> Transcript {
    let begin = Instant::now();
    let activity = Activity::start(
        observer,
        format!("run {}", spec.name),
        u64::try_from(2 * job.stages.len().max(1)).ok(),
    );
    let mut run = Run {
        spec,
        cancel,
        activity,
        start: Start::Boot,
        stages: Vec::new(),
        steps: 0,
    };
    let end = match run
        .start(job)
        .and_then(|mut session| run.drive(&mut session, job))
    {
        Ok(()) => End::PoweredOff,
        Err(end) => end,
    };
    let mut transcript = Transcript {
        stages: run.stages,
        end,
        start: run.start,
        wall_ms: millis(begin.elapsed()),
        accelerator: spec.accelerator,
        qemu_version: spec.qemu.full_version.clone(),
    };
    if let Err(error) = transcript.save(&spec.artifacts)
        && transcript.end == End::PoweredOff
    {
        transcript.end = End::launch_failed(error);
    }
    transcript
}

/// Boots a machine up to where its guest waits to be told to begin, and saves it:
/// its memory into `memory`, the rest into `state`. Returns its devices. QEMU is
/// gone when this returns.
pub(crate) fn save(
    spec: &VmSpec,
    memory: &camino::Utf8Path,
    state: &camino::Utf8Path,
    cancel: &Cancel,
) -> Result<Devices, End> {
    fs::create_dir_all(&spec.artifacts).map_err(End::launch_failed)?;
    let mut session = Session::launch(spec, Memory::Kept(memory.to_owned()), cancel)?;
    session.enter(Phase::Boot, spec.deadlines.boot);
    meet(&mut session)?;
    session.enter(Phase::Save, spec.deadlines.save);
    session.save(state)
}

/// Waits for the hello of a kernel that has booted.
fn meet(session: &mut Session) -> Result<(), End> {
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
struct Run<'a> {
    spec: &'a VmSpec,
    cancel: &'a Cancel,
    activity: Activity<'a>,
    start: Start,
    stages: Vec<StageRecord>,
    steps: u64,
}

impl Run<'_> {
    /// Gets a guest that is ready for stage 1: from the template, or else by
    /// booting it.
    fn start(&mut self, job: &Job) -> Result<Session, End> {
        fs::create_dir_all(&self.spec.artifacts)
            .and_then(|()| recipe::write(self.spec, job))
            .map_err(End::launch_failed)?;
        if let Some(template) = &self.spec.template {
            self.say("restore");
            match self.restore(template) {
                Err(End::Cancelled) => return Err(End::Cancelled),
                Err(trouble) => {
                    self.stages.clear();
                    self.start = Start::BootInstead {
                        trouble: trouble.to_string(),
                    };
                }
                Ok(session) => {
                    self.start = Start::Template;
                    return Ok(session);
                }
            }
        }
        self.say("boot");
        let mut session = Session::launch(self.spec, Memory::Fresh, self.cancel)?;
        session.enter(Phase::Boot, self.spec.deadlines.boot);
        meet(&mut session)?;
        self.begin(&mut session, 1)?;
        Ok(session)
    }

    fn restore(&mut self, template: &Template) -> Result<Session, End> {
        // What the kernel said while it booted belongs to every guest's log.
        fs::copy(template.console(), self.spec.artifacts.join("serial.log"))
            .map_err(End::launch_failed)?;
        let mut session =
            Session::launch(self.spec, Memory::Copied(template.memory()), self.cancel)?;
        session.enter(Phase::Restore, self.spec.deadlines.restore);
        let devices = template.devices().map_err(End::launch_failed)?;
        session.load(&template.state(), &devices)?;
        self.begin(&mut session, 1)?;
        Ok(session)
    }

    fn drive(&mut self, session: &mut Session, job: &Job) -> Result<(), End> {
        match self.drive_stages(session, job) {
            Ok(()) => self.power_off(session),
            // The guest is said to be usable still: end in order, keep the news.
            Err(trouble @ End::Trouble { .. }) => match self.power_off(session) {
                Err(End::Cancelled) => Err(End::Cancelled),
                _ => Err(trouble),
            },
            Err(end) => Err(end),
        }
    }

    fn drive_stages(&mut self, session: &mut Session, job: &Job) -> Result<(), End> {
        for (number, stage) in (1..).zip(&job.stages) {
            if number > 1 {
                self.kexec(session, number)?;
            }
            let exit = self.run_stage(session, number, stage)?;
            if !exit.is_success() {
                break;
            }
        }
        Ok(())
    }

    /// Has a stage's kernel begin; the stage's record begins with it.
    fn begin(&mut self, session: &mut Session, number: u32) -> Result<(), End> {
        session.send(&begin_order().map_err(End::launch_failed)?)?;
        let message = session.wait()?;
        let FromGuest::Ready {
            stage,
            boot_id,
            release,
            missing,
            ..
        } = message
        else {
            return Err(session.unexpected(&message));
        };
        if stage != number {
            return Err(session.broken(format!("the guest is at stage {stage}, not {number}")));
        }
        self.stages.push(StageRecord {
            number,
            boot_ms: millis(session.phase_elapsed()),
            release,
            boot_id,
            missing_mounts: missing,
            ..StageRecord::default()
        });
        Ok(())
    }

    fn run_stage(
        &mut self,
        session: &mut Session,
        number: u32,
        stage: &StageJob,
    ) -> Result<Exit, End> {
        self.say(&format!("stage {number}"));
        let limit = stage.timeout + self.spec.deadlines.stage_margin;
        session.enter(Phase::Stage(number), limit);
        for file in &stage.files {
            session.send(&file.order().map_err(End::launch_failed)?)?;
        }
        session.send(&stage.order())?;
        let record = self
            .stages
            .last_mut()
            .expect("a stage begins with its greeting");
        let exit = follow_program(session, record);
        record.duration_ms = millis(session.phase_elapsed());
        exit
    }

    fn kexec(&mut self, session: &mut Session, number: u32) -> Result<(), End> {
        self.say(&format!("kexec to stage {number}"));
        session.enter(Phase::Kexec(number), self.spec.deadlines.kexec);
        session.send(&self.spec.kexec_order(number))?;
        for expected in [FromGuest::KexecLoaded, FromGuest::Kexecing] {
            let message = session.wait()?;
            if message != expected {
                return Err(session.unexpected(&message));
            }
        }
        meet(session)?;
        self.begin(session, number)
    }

    fn power_off(&mut self, session: &mut Session) -> Result<(), End> {
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
fn follow_program(session: &mut Session, record: &mut StageRecord) -> Result<Exit, End> {
    loop {
        match session.wait()? {
            FromGuest::Started { .. } if !record.started => record.started = true,
            FromGuest::Output { data } if record.started => {
                let room = OUTPUT_TOTAL_BYTES_MAX - record.output.len();
                record.output_cut |= data.len() > room;
                record.output.extend(data.into_iter().take(room));
            }
            FromGuest::Exited {
                exit, output_cut, ..
            } if record.started => {
                record.output_cut |= output_cut;
                record.exit = Some(exit);
                return Ok(exit);
            }
            other => return Err(session.unexpected(&other)),
        }
    }
}
