// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes to the kernel log, which appears on the serial console.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Maximum length of a line that the kernel accepts in a write, in bytes.
const LINE_BYTES_MAX: usize = 900;

/// Writes a line with level notice. The kernel limits the rate for each open file, so the
/// file is opened for each line. Errors cannot be reported and are ignored.
pub(crate) fn log(text: &str) {
    let mut line = format!("<5>{}", text.replace('\n', " ")).into_bytes();
    line.truncate(LINE_BYTES_MAX);
    line.push(b'\n');
    if let Ok(mut kmsg) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = kmsg.write_all(&line);
    }
}
