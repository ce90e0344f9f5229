// SPDX-License-Identifier: MIT OR Apache-2.0
//! The diagnosis of a hang, recorded before the machine is ended. Addresses are the
//! guest's; other crates resolve symbols.

use serde::{Deserialize, Serialize};

use super::Phase;

/// The diagnosis of a machine that hangs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hang {
    /// The phase that exceeded its limit.
    pub during: Phase,
    /// Size of the console log when the diagnosis started. Later messages are answers to
    /// its requests and not reports of the kernel.
    pub console_bytes: u64,
    /// Address of the kernel's divide-error handler, the first entry of its interrupt
    /// descriptor table. It reveals the offset of the kernel (KASLR).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divide_error: Option<u64>,
    /// Several samples of the processors.
    pub samples: Vec<Sample>,
    /// Whether the kernel answers on its console.
    pub answers: bool,
    /// Parts of the diagnosis that failed, and why.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Name of the memory dump in the run's folder, if one was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<String>,
}

/// A sample of all processors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Time since the first sample.
    pub at_ms: u64,
    /// The processors, in order.
    pub processors: Vec<Processor>,
}

/// The state of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// Its number, from 0.
    pub number: u32,
    /// Whether it was halted until the next interrupt.
    pub is_halted: bool,
    /// Whether interrupts were enabled.
    pub takes_interrupts: bool,
    /// Whether it executed a program, not the kernel.
    pub in_program: bool,
    /// Instruction address and return addresses, innermost first.
    pub frames: Vec<u64>,
}
