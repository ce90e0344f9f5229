// SPDX-License-Identifier: MIT OR Apache-2.0
//! The individual start of a guest: many guests may be restored from one checkpoint, and
//! each needs the current time and random numbers of its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use patchbed_protocol::ENTROPY_BYTES;
use rustix::time::{ClockId, Timespec, clock_settime};

/// `RNDADDENTROPY` of linux/random.h: mixes bytes into the pool and credits them.
const RND_ADD_ENTROPY: libc::c_ulong = 0x4008_5203;
/// `RNDRESEEDCRNG` of linux/random.h: reseeds the generator from the pool.
const RND_RESEED_CRNG: libc::c_ulong = 0x5207;

/// `struct rand_pool_info` of linux/random.h, with its buffer.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    data: [u8; ENTROPY_BYTES],
}

/// Sets the clock and reseeds the kernel's random number generator.
pub(crate) fn begin(unix_ns: u64, entropy: &[u8]) -> io::Result<()> {
    let now = Timespec::try_from(Duration::from_nanos(unix_ns)).map_err(io::Error::other)?;
    clock_settime(ClockId::Realtime, now)?;
    let Ok(data) = <[u8; ENTROPY_BYTES]>::try_from(entropy) else {
        return Err(io::Error::other(format!(
            "{} random bytes, expected {ENTROPY_BYTES}",
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
    // SAFETY: the descriptor is open during both calls. The first only reads `info`, up to
    // the length in it; the second takes no argument.
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
