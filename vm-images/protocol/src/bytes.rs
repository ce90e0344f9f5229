// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serializes bytes as base64 text: the output of a program may be invalid UTF-8, which
//! JSON cannot hold.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Writes bytes as a base64 string.
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

/// Reads bytes from a base64 string.
///
/// # Errors
/// When the value is no string, or no base64.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
