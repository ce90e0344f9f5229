// SPDX-License-Identifier: GPL-2.0-only
//! What was seen of a machine in which nothing went on any more, before it was ended.
//! Addresses are as they were in the guest: names are for those who have the kernel.

use serde::{Deserialize, Serialize};

use super::Phase;

/// What was seen of a machine that hangs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hang {
    /// What was going on.
    pub during: Phase,
    /// So many bytes were on the console before anybody looked. What comes after them
    /// answers the one who looks, and is no report of the kernel's own.
    pub console_bytes: u64,
    /// Where the kernel handles a division by zero, which is the first thing that its
    /// table of exceptions says: tells where the kernel was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divide_error: Option<u64>,
    /// What the processors did, several times.
    pub samples: Vec<Sample>,
    /// Whether the kernel still answers on its console.
    pub answers: bool,
    /// What could not be seen, and why.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The file with the guest's memory in the run's folder, if it was to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<String>,
}

/// What all processors did at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the first sample.
    pub at_ms: u64,
    /// The processors, in their order.
    pub processors: Vec<Processor>,
}

/// What a processor did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// Its number, from 0.
    pub number: u32,
    /// Whether it waited for an interrupt.
    pub is_halted: bool,
    /// Whether interrupts could reach it.
    pub takes_interrupts: bool,
    /// Whether it was in a program, and not in the kernel.
    pub in_program: bool,
    /// Where it was, and who had called that, innermost first.
    pub frames: Vec<u64>,
}
