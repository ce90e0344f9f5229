// SPDX-License-Identifier: GPL-2.0-only
//! Over to the next kernel, with every process alive: a live update hands over
//! what running processes hold.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::system::{RebootCommand, reboot};
use testbed_protocol::{FromGuest, KEXEC_INITRD_PATH, KEXEC_KERNEL_PATH};

use crate::port::{Port, PortError};

/// Loads the next kernel and goes over to it. Comes back only when that was
/// refused, which the host has then been told; the guest stays usable.
pub(crate) fn go(port: &mut Port, cmdline: &str) -> Result<(), PortError> {
    if let Err(error) = load(cmdline) {
        return port.trouble(format!("load `{KEXEC_KERNEL_PATH}` for kexec"), &error);
    }
    port.send(&FromGuest::KexecLoaded)?;
    rustix::fs::sync();
    port.send(&FromGuest::Kexecing)?;
    match reboot(RebootCommand::Kexec) {
        Ok(()) => port.trouble("kexec".into(), &"the kernel came back from it"),
        Err(error) => port.trouble("kexec".into(), &io::Error::from(error)),
    }
}

fn load(cmdline: &str) -> io::Result<()> {
    let kernel = File::open(KEXEC_KERNEL_PATH)?;
    let initrd = File::open(KEXEC_INITRD_PATH)?;
    let cmdline = CString::new(cmdline)?;
    kexec_file_load(&kernel, &initrd, &cmdline)
}

#[expect(unsafe_code, reason = "no crate wraps kexec_file_load")]
fn kexec_file_load(kernel: &File, initrd: &File, cmdline: &CString) -> io::Result<()> {
    let bytes = cmdline.as_bytes_with_nul();
    // SAFETY: both descriptors are open for the time of the call, and the
    // kernel only reads `bytes.len()` bytes from the pointer.
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
