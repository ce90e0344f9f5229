// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fault injection into a kernel, by a module and a program in a guest.

pub mod guest;
pub mod kit;
