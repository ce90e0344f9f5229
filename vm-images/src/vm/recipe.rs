// SPDX-License-Identifier: GPL-2.0-only
//! What a person needs to do a run by hand: QEMU's command, and the orders.

use std::io;

use fs_err as fs;
use patchbed_host::process::quote;
use patchbed_protocol::{Message, ToGuest, encode};

use super::{GuestFile, NextKernel, VmRun, VmSpec};
use crate::qemu::{Memory, Wiring, arguments, shell_command};

/// Leaves the command by which a person starts the same machine, and what to
/// tell its guest, which does nothing unasked.
pub(super) fn write(spec: &VmSpec, job: &VmRun) -> io::Result<()> {
    let mut text = String::from(
        "# Boots the same machine with its console here. The guest takes orders, a\n\
         # line each, from `socat - UNIX-CONNECT:channel.sock`; this run's were what\n\
         # the following commands print:\n",
    );
    text += &say(&ToGuest::Begin {
        unix_ns: 0,
        entropy: vec![0; patchbed_protocol::ENTROPY_BYTES],
    })?;
    for (number, boot) in (1..).zip(&job.boots) {
        if number > 1 {
            let kernel = boot.kernel.iter().flat_map(NextKernel::files);
            text += &put(kernel);
            text += &say(&spec.kexec_order(job, number))?;
        }
        text += &put(boot.files.iter().cloned());
        text += &say(&boot.order())?;
    }
    text += &say(&ToGuest::PowerOff)?;
    let launch = spec.launch(Memory::Fresh, Wiring::Terminal);
    text += &shell_command(&spec.qemu.program, &arguments(&spec.machine, &launch));
    fs::write(spec.artifacts.join("qemu.cmdline"), text)
}

/// Returns a command that prints an order.
fn say<M: Message + serde::Serialize>(order: &M) -> io::Result<String> {
    let line = encode(order).map_err(io::Error::other)?;
    let line = String::from_utf8_lossy(&line);
    Ok(format!("#   echo {}\n", quote(line.trim_end())))
}

/// Returns commands that print the orders to write files.
fn put(files: impl IntoIterator<Item = GuestFile>) -> String {
    let mut text = String::new();
    for file in files {
        let order = format!(
            r#"{{"type":"put","path":"{}","mode":{},"data":"%s"}}\n"#,
            file.path, file.mode
        );
        let content = format!("\"$(base64 -w0 {})\"", quote(file.source.as_str()));
        text += &format!("#   printf {} {content}\n", quote(&order));
    }
    text
}
