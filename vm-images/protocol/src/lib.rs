// SPDX-License-Identifier: MIT OR Apache-2.0
//! The protocol between guest and host over the virtio port: one JSON object on each line,
//! in both directions.
//!
//! This crate defines the messages and their encoding. It does not depend on sockets,
//! devices or programs.

mod codec;
mod message;

pub use codec::{Decoder, EncodeError, LineError, Message, bytes, encode};
pub use message::*;
