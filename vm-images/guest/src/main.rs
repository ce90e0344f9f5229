// SPDX-License-Identifier: MIT OR Apache-2.0
//! PID 1 of the test guest: mounts file systems, sends a hello over the virtio port, and
//! executes the orders of the host until the order to power off.
//!
//! It does not interpret the programs that it runs. It never exits, because that would
//! panic the kernel and be reported as a finding. Failures are sent to the host; after a
//! fatal failure it powers off.

mod kexec;
mod port;
mod program;
mod requests;
mod system;

use patchbed_protocol::{FromGuest, PROTOCOL, ToGuest};
use rustix::system::{RebootCommand, reboot};

use crate::port::{Port, PortError};
use crate::program::Programs;

fn main() -> std::process::ExitCode {
    // The code below mounts file systems and kills processes: run it in a guest only.
    if !rustix::process::getpid().is_init() {
        return std::process::ExitCode::from(NOT_INIT);
    }
    std::panic::set_hook(Box::new(|panic| {
        system::log(&format!("patchbed: PID 1 failed: {panic}"));
        port::send_failure("go on", &panic.to_string());
        power_off();
    }));
    if let Err(error) = run() {
        system::log(&format!("patchbed: PID 1 failed: {error}"));
        port::send_failure("go on", &error.to_string());
    }
    power_off();
}

/// Exit code of a process that is not PID 1.
const NOT_INIT: u8 = 2;

/// Mounts file systems, sends the hello and executes orders; returns for a power-off.
/// Before the first order, it creates no state that must differ between guests, because the
/// host may save the machine at this point and restore it many times.
fn run() -> Result<(), PortError> {
    let missing = system::mount_all();
    let boot = system::boot();
    let mut programs = Programs::new(boot);
    let mut port = Port::open()?;
    port.hello(&FromGuest::Hello { protocol: PROTOCOL })?;
    loop {
        match port.receive(&mut || programs.clean_up())? {
            ToGuest::Begin { unix_ns, entropy } => match system::begin(unix_ns, &entropy) {
                Ok(()) => port.send(&system::ready(boot, &missing))?,
                Err(error) => port.trouble("begin".into(), &error)?,
            },
            ToGuest::Put {
                path,
                mode,
                content,
            } => {
                if let Err(error) = system::put(&path, mode, content) {
                    port.trouble(format!("write `{path}`"), &error)?;
                }
            }
            ToGuest::Run(call) => programs.run(&mut port, &call)?,
            // The program that sent the request has ended.
            ToGuest::Answer { .. } | ToGuest::TimeIsUp => {}
            ToGuest::Kexec { cmdline, again } => kexec::go(&mut port, &cmdline, again)?,
            ToGuest::PowerOff => {
                rustix::fs::sync();
                return port.send(&FromGuest::Goodbye);
            }
        }
    }
}

/// Powers off, and tries again if the kernel refuses.
fn power_off() -> ! {
    loop {
        if let Err(error) = reboot(RebootCommand::PowerOff) {
            system::log(&format!("patchbed: cannot power off: {error}"));
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
