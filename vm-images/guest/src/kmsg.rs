// SPDX-License-Identifier: GPL-2.0-only
//! Lines into the kernel log, and so onto the serial console.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Longest line the kernel takes in one write.
const LINE_BYTES_MAX: usize = 900;

/// Writes one line at level notice. The kernel limits writers by open file,
/// hence a new one each time. There is nowhere to tell that it failed.
pub(crate) fn say(text: &str) {
    let mut line = format!("<5>{}", text.replace('\n', " ")).into_bytes();
    line.truncate(LINE_BYTES_MAX);
    line.push(b'\n');
    if let Ok(mut kmsg) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = kmsg.write_all(&line);
    }
}
