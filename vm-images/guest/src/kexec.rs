// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kexec to the next kernel. Processes are not terminated before, because a live update
//! hands over the objects that running processes hold.
//!
//! The next kernel's initramfs is stored as sent by the host. If another kexec to the same
//! kernel follows, a second archive with the kernel and the initramfs is appended: the
//! kernel unpacks concatenated archives, and an emulated guest would take much longer to
//! receive both files again.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

use cpio::newc;
use patchbed_protocol::{FromGuest, KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH};
use rustix::system::{RebootCommand, reboot};

use crate::port::{Port, PortError};

/// Path of the initramfs that includes its kernel.
const INITRD_WITH_ITSELF: &str = "/kexec/initrd.again";

const DIRECTORY: u32 = 0o040_755;
const PLAIN_FILE: u32 = 0o100_644;

/// Loads the next kernel and executes it. Returns only after a failure, which is reported
/// to the host; the guest stays usable.
pub(crate) fn go(port: &mut Port, cmdline: &str, again: bool) -> Result<(), PortError> {
    if let Err(error) = load(cmdline, again) {
        return port.trouble(format!("load `{KEXEC_KERNEL_PATH}` for kexec"), &error);
    }
    port.send(&FromGuest::KexecLoaded)?;
    rustix::fs::sync();
    port.send(&FromGuest::Kexecing)?;
    let error = match reboot(RebootCommand::Kexec) {
        Ok(()) => io::Error::other("the reboot call returned"),
        Err(error) => error.into(),
    };
    port.trouble("kexec".into(), &error)
}

fn load(cmdline: &str, again: bool) -> io::Result<()> {
    let kernel = File::open(KEXEC_KERNEL_PATH)?;
    let initrd = match again {
        true => with_itself()?,
        false => File::open(KEXEC_INITRD_PATH)?,
    };
    kexec_file_load(&kernel, &initrd, &CString::new(cmdline)?)
}

/// Returns the next kernel's initramfs with that kernel and the initramfs appended.
fn with_itself() -> io::Result<File> {
    let mut bytes = fs::read(KEXEC_INITRD_PATH)?;
    // An archive must start at a multiple of 4 bytes.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    add(&mut bytes, "kexec", DIRECTORY, &[])?;
    for path in [KEXEC_KERNEL_PATH, KEXEC_INITRD_PATH] {
        let name = path.trim_start_matches('/');
        add(&mut bytes, name, PLAIN_FILE, &fs::read(path)?)?;
    }
    newc::trailer(&mut bytes)?;
    fs::write(INITRD_WITH_ITSELF, bytes)?;
    File::open(INITRD_WITH_ITSELF)
}

fn add(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let size = u32::try_from(content.len()).map_err(io::Error::other)?;
    let header = newc::Builder::new(name).mode(mode).nlink(1);
    let mut writer = header.write(archive, size);
    writer.write_all(content)?;
    writer.finish().map(drop)
}

#[expect(unsafe_code, reason = "no crate wraps kexec_file_load")]
fn kexec_file_load(kernel: &File, initrd: &File, cmdline: &CString) -> io::Result<()> {
    let bytes = cmdline.as_bytes_with_nul();
    // SAFETY: both descriptors are open during the call, and the kernel only reads
    // `bytes.len()` bytes from the pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            bytes.len(),
            bytes.as_ptr(),
            0_usize,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
