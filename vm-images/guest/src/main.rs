// SPDX-License-Identifier: GPL-2.0-only
//! PID 1 of the test guest: mounts what a test needs, says hello over the
//! virtio port, and then obeys the host until it is told to switch off.
//!
//! It knows nothing of the programs it runs. It never exits, as that would be
//! a kernel panic and look like a finding: what it cannot do it tells, and
//! when it cannot go on it switches the machine off.

mod begin;
mod facts;
mod files;
mod kexec;
mod kmsg;
mod mounts;
mod port;
mod program;
mod requests;

use patchbed_protocol::{FromGuest, PROTOCOL, ToGuest};
use rustix::system::{RebootCommand, reboot};

use crate::port::{Port, PortError};
use crate::program::{Call, Programs};

fn main() -> std::process::ExitCode {
    // What follows mounts, kills and switches off: only ever inside a guest.
    if !rustix::process::getpid().is_init() {
        return std::process::ExitCode::from(NOT_INIT);
    }
    std::panic::set_hook(Box::new(|panic| {
        kmsg::say(&format!("patchbed: PID 1 failed: {panic}"));
        port::last_words("go on", &panic.to_string());
        power_off();
    }));
    if let Err(error) = live() {
        kmsg::say(&format!("patchbed: PID 1 gives up: {error}"));
        port::last_words("go on", &error.to_string());
    }
    power_off();
}

/// Exit code when this is started as anything but the first process.
const NOT_INIT: u8 = 2;

/// Mounts, greets and obeys; comes back when the guest is to be switched off.
/// Up to the first order it does nothing that may not be the same in many
/// guests: the host may save the machine here and go on from it many times.
fn live() -> Result<(), PortError> {
    let missing = mounts::mount_all();
    let boot = facts::boot();
    let mut programs = Programs::new(boot);
    let mut port = Port::open()?;
    port.hello(&FromGuest::Hello { protocol: PROTOCOL })?;
    loop {
        match port.receive(&mut programs)? {
            ToGuest::Begin { unix_ns, entropy } => match begin::begin(unix_ns, &entropy) {
                Ok(()) => port.send(&facts::ready(boot, &missing))?,
                Err(error) => port.trouble("begin".into(), &error)?,
            },
            ToGuest::Put {
                path,
                mode,
                content,
            } => {
                if let Err(error) = files::put(&path, mode, content) {
                    port.trouble(format!("write `{path}`"), &error)?;
                }
            }
            ToGuest::Run {
                program,
                args,
                env,
                dir,
                timeout_ms,
            } => {
                let call = Call {
                    program,
                    args,
                    env,
                    dir,
                };
                programs.run(&mut port, &call, timeout_ms)?;
            }
            // Whoever asked has ended.
            ToGuest::Answer { .. } | ToGuest::TimeIsUp => {}
            ToGuest::Kexec { cmdline, again } => kexec::go(&mut port, &cmdline, again)?,
            ToGuest::PowerOff => {
                rustix::fs::sync();
                return port.send(&FromGuest::Goodbye);
            }
        }
    }
}

/// Switches the machine off, and stays here should the kernel refuse.
fn power_off() -> ! {
    loop {
        if let Err(error) = reboot(RebootCommand::PowerOff) {
            kmsg::say(&format!("patchbed: power-off refused: {error}"));
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
