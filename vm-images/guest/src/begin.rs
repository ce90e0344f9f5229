// SPDX-License-Identifier: GPL-2.0-only
//! A life of the guest's own: many guests may go on from one saved moment, and
//! none of them may have the time of day or the random numbers of another.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use patchbed_protocol::ENTROPY_BYTES;
use rustix::time::{ClockId, Timespec, clock_settime};

/// `RNDADDENTROPY` of linux/random.h: mixes bytes in and counts them.
const RND_ADD_ENTROPY: libc::c_ulong = 0x4008_5203;
/// `RNDRESEEDCRNG` of linux/random.h: what comes next depends on what was mixed in.
const RND_RESEED_CRNG: libc::c_ulong = 0x5207;

/// `struct rand_pool_info` of linux/random.h, with its bytes.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    data: [u8; ENTROPY_BYTES],
}

/// Sets the clock and makes the kernel's random numbers this guest's own.
pub(crate) fn begin(unix_ns: u64, entropy: &[u8]) -> io::Result<()> {
    let now = Timespec::try_from(Duration::from_nanos(unix_ns)).map_err(io::Error::other)?;
    clock_settime(ClockId::Realtime, now)?;
    let Ok(data) = <[u8; ENTROPY_BYTES]>::try_from(entropy) else {
        return Err(io::Error::other(format!(
            "{} bytes of randomness instead of {ENTROPY_BYTES}",
            entropy.len()
        )));
    };
    let random = OpenOptions::new().write(true).open("/dev/urandom")?;
    mix_in(&random, data)
}

#[expect(unsafe_code, reason = "no crate wraps these two requests")]
fn mix_in(random: &File, data: [u8; ENTROPY_BYTES]) -> io::Result<()> {
    let info = PoolInfo {
        entropy_bits: 8 * ENTROPY_BYTES as libc::c_int,
        bytes: ENTROPY_BYTES as libc::c_int,
        data,
    };
    let fd = random.as_raw_fd();
    // SAFETY: the descriptor is open for the time of both calls; the first only
    // reads `info`, as long as it says it is; the second takes no argument.
    let results = unsafe {
        [
            libc::ioctl(fd, RND_ADD_ENTROPY, &raw const info),
            libc::ioctl(fd, RND_RESEED_CRNG),
        ]
    };
    if results == [0, 0] {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
