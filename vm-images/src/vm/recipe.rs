// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the commands that repeat a run by hand: QEMU's command line, and the orders to
//! the guest.

use std::io;

use fs_err as fs;
use patchbed_host::process::quote;
use patchbed_protocol::{Message, ToGuest, encode};

use super::{GuestFile, NextKernel, VmRun, VmSpec};
use crate::qemu::{Memory, Wiring, arguments, shell_command};

/// Writes a command that starts the same machine, and the orders for its guest, which waits
/// for orders.
pub(super) fn write(spec: &VmSpec, job: &VmRun) -> io::Result<()> {
    let mut text = String::from(
        "# Boots the same machine with its console on this terminal. The guest reads orders,\n\
         # one on each line, from `socat - UNIX-CONNECT:channel.sock`. The following commands\n\
         # print the orders of this run:\n",
    );
    text += &order_command(&ToGuest::Begin {
        unix_ns: 0,
        entropy: vec![0; patchbed_protocol::ENTROPY_BYTES],
    })?;
    for (number, boot) in (1..).zip(&job.boots) {
        if number > 1 {
            let kernel = boot.kernel.iter().flat_map(NextKernel::files);
            text += &put_commands(kernel);
            text += &order_command(&spec.kexec_order(job, number))?;
        }
        text += &put_commands(boot.files.iter().cloned());
        text += &order_command(&boot.order())?;
    }
    text += &order_command(&ToGuest::PowerOff)?;
    let launch = spec.launch(Memory::Fresh, Wiring::Terminal);
    text += &shell_command(&spec.qemu.program, &arguments(&spec.machine, &launch));
    fs::write(spec.artifacts.join("qemu.cmdline"), text)
}

/// Returns a command that prints an order.
fn order_command<M: Message + serde::Serialize>(order: &M) -> io::Result<String> {
    let line = encode(order).map_err(io::Error::other)?;
    let line = String::from_utf8_lossy(&line);
    Ok(format!("#   echo {}\n", quote(line.trim_end())))
}

/// Returns commands that print the orders for files.
fn put_commands(files: impl IntoIterator<Item = GuestFile>) -> String {
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
