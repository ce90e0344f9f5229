// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system in which programs run: file systems, time, random numbers, the kernel log, and
//! files sent by the host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use patchbed_protocol::{BOOT_PARAMETER, Content, ENTROPY_BYTES, FromGuest};
use rustix::mount::{MountFlags, mount};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

/// The types and mount points of file systems, in the order of mounting: a mount point
/// follows its parent.
const MOUNTS: [(&str, &str); 7] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Mounts all file systems and returns the mount points that failed. A kernel need not
/// support all of them; the test decides which it requires.
pub(crate) fn mount_all() -> Vec<String> {
    let failed = MOUNTS.iter().filter(|(kind, at)| {
        // In sysfs the kernel creates the directory; an error appears as a mount error.
        let _ = fs::create_dir_all(at);
        mount(*kind, *at, *kind, MountFlags::empty(), None).is_err()
    });
    failed.map(|(_, at)| (*at).to_owned()).collect()
}

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

/// Sets the clock and reseeds the kernel's random number generator: many guests may be
/// restored from one checkpoint, and each needs the current time and random numbers of its
/// own.
pub(crate) fn begin(unix_ns: u64, entropy: &[u8]) -> io::Result<()> {
    let now = Timespec::try_from(Duration::from_nanos(unix_ns)).map_err(io::Error::other)?;
    clock_settime(ClockId::Realtime, now)?;
    let count = entropy.len();
    let data = <[u8; ENTROPY_BYTES]>::try_from(entropy)
        .map_err(|_| io::Error::other(format!("{count} random bytes, expected {ENTROPY_BYTES}")))?;
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
    match results {
        [0, 0] => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns the boot number of the kernel's command line, 0 if there is none.
pub(crate) fn boot() -> u32 {
    boot_of(&read("/proc/cmdline"))
}

/// Returns the `Ready` message; fields that cannot be read are empty. The kernel generates
/// its boot id on the first read, so this must follow the reseeding.
pub(crate) fn ready(boot: u32, missing: &[String]) -> FromGuest {
    FromGuest::Ready {
        boot,
        boot_id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        release: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        uptime_ms: uptime_ms(),
        missing: missing.to_vec(),
    }
}

/// Returns the time since the kernel started, in milliseconds.
pub(crate) fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

fn read(path: &str) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// Returns the last boot number of a command line, 0 if there is none.
fn boot_of(cmdline: &str) -> u32 {
    cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(BOOT_PARAMETER)?.parse().ok())
        .next_back()
        .unwrap_or(0)
}

/// Maximum length of a line that the kernel accepts in a write, in bytes.
const LOG_BYTES_MAX: usize = 900;

/// Writes a line with level notice. The kernel limits the rate for each open file, so the
/// file is opened for each line. Errors cannot be reported and are ignored.
pub(crate) fn log(text: &str) {
    let mut line = format!("<5>{}", text.replace('\n', " ")).into_bytes();
    line.truncate(LOG_BYTES_MAX);
    line.push(b'\n');
    if let Ok(mut kmsg) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = kmsg.write_all(&line);
    }
}

/// Writes or replaces a file, and creates its folders.
pub(crate) fn put(path: &str, mode: u32, content: Content) -> io::Result<()> {
    let data = content.unpack().map_err(io::Error::other)?;
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(&data)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_of_returns_the_last_number() {
        assert_eq!(boot_of("console=ttyS0 patchbed.boot=2 panic=-1\n"), 2);
        assert_eq!(boot_of("patchbed.boot=1 patchbed.boot=3"), 3);
        assert_eq!(boot_of("patchbed.boot=x quiet"), 0);
        assert_eq!(boot_of(""), 0);
    }
}
