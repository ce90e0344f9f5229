// SPDX-License-Identifier: MIT OR Apache-2.0
//! `boot`: boots a kernel image in a VM until the guest agent answers.

use kernel_patches::config::Config;
use vm_images::initramfs::Initramfs;
use vm_images::transcript::End;
use vm_images::vm::{self, VmRun};

use crate::cli::BootArgs;
use xtask::engine::environment::{Environment, find_needs};
use xtask::engine::program;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report;

/// Boots the image and prints the boot time and the path of the console log.
pub(crate) fn run(args: &BootArgs, session: &Session) -> anyhow::Result<Exit> {
    if !args.image.is_file() {
        return Err(bad_input(
            format!("no kernel image at `{}`", args.image),
            format!(
                "`{} build` builds kernels and prints the paths of their images",
                program::name()
            ),
        ));
    }
    let config = Config::find(&args.config, &session.layout.configs())?;
    let needs = find_needs(&config.name, &session.manifest()?, session)?;
    let artifacts = match &args.out {
        Some(out) => out.clone(),
        None => session.layout.state("boot")?,
    };
    fs_err::create_dir_all(&artifacts)?;
    let environment = Environment::set_up([args.machine.as_str()], session)?;
    let initramfs = artifacts.join("initramfs.cpio");
    Initramfs::for_guest(&environment.guest)?.write_to(&initramfs)?;
    environment.choose_accelerator(&args.machine, &args.image, &initramfs, &needs, session)?;
    let machine = environment.machine(&args.machine)?;
    let spec = environment.spec("boot", machine, &args.image, &initramfs, &needs, &artifacts);
    let transcript = vm::run(&spec, &VmRun::default(), &session.context());
    session.observer.clear();
    let Some(boot) = transcript.boots.first() else {
        report::to_stdout(&format!("{}\nsee: {artifacts}/serial.log", transcript.end))?;
        return Ok(match transcript.end {
            End::Cancelled => Exit::Interrupted,
            End::QemuDied { .. } | End::LaunchFailed { .. } => Exit::Infrastructure,
            _ => Exit::Finding,
        });
    };
    report::to_stdout(&format!(
        "{} answered after {} ms under {}, {}\nsee: {artifacts}/serial.log",
        boot.release,
        boot.boot_ms,
        environment.accelerator(),
        transcript.end
    ))?;
    Ok(match transcript.end {
        End::PoweredOff => Exit::Ok,
        _ => Exit::Finding,
    })
}
