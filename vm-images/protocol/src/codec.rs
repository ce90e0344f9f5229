// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encodes messages as lines and decodes them. The decoder accepts any input: split
//! anywhere, overlong, or invalid UTF-8. It returns messages and errors, never panics, and
//! holds at most one line.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message of the protocol.
pub trait Message {
    /// Maximum length of its line that the receiver accepts, including the newline.
    const LINE_BYTES_MAX: usize;
}

/// Maximum number of bytes of an invalid line in an error.
const EXCERPT_BYTES_MAX: usize = 80;

/// Why a message cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its line would be longer than the receiver accepts.
    #[error("cannot send a message of {bytes} bytes: the limit is {limit}")]
    TooLong {
        /// Length of the line.
        bytes: usize,
        /// Maximum length.
        limit: usize,
    },
    /// It cannot be written as JSON.
    #[error("cannot encode a message as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// An error in a received line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is too long and was discarded.
    #[error("a line is longer than {limit} bytes")]
    TooLong {
        /// Maximum length.
        limit: usize,
    },
    /// It is not a message of the protocol.
    #[error("`{excerpt}` is not a message: {detail}")]
    NotAMessage {
        /// The error of the JSON parser.
        detail: String,
        /// The start of the line.
        excerpt: String,
    },
}

/// Encodes a message as a line of at most [`Message::LINE_BYTES_MAX`] bytes, including the
/// newline.
pub fn encode<M: Message + Serialize>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let (bytes, limit) = (line.len(), M::LINE_BYTES_MAX);
    match bytes > limit {
        true => Err(EncodeError::TooLong { bytes, limit }),
        false => Ok(line),
    }
}

/// Decodes a byte stream into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Vec<u8>,
    skipping: bool,
}

impl Decoder {
    /// Adds bytes and returns the complete lines, in order, as messages or errors. Empty
    /// lines are ignored.
    pub fn push<M: Message + DeserializeOwned>(
        &mut self,
        bytes: &[u8],
    ) -> Vec<Result<M, LineError>> {
        let limit = M::LINE_BYTES_MAX;
        let mut found = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            // The newline counts towards the limit.
            if self.skipping || self.partial.len() + text.len() >= limit {
                (self.partial, self.skipping) = (Vec::new(), true);
            } else {
                self.partial.extend_from_slice(text);
            }
            if text.len() < piece.len() {
                found.extend(self.finish_line());
            }
        }
        found
    }

    fn finish_line<M: Message + DeserializeOwned>(&mut self) -> Option<Result<M, LineError>> {
        let limit = M::LINE_BYTES_MAX;
        if std::mem::take(&mut self.skipping) {
            return Some(Err(LineError::TooLong { limit }));
        }
        let line = std::mem::take(&mut self.partial);
        if line.trim_ascii().is_empty() {
            return None;
        }
        Some(
            serde_json::from_slice(&line).map_err(|error| LineError::NotAMessage {
                detail: error.to_string(),
                excerpt: excerpt(&line),
            }),
        )
    }
}

fn excerpt(line: &[u8]) -> String {
    let shown = &line[..line.len().min(EXCERPT_BYTES_MAX)];
    shown.escape_ascii().to_string()
}

/// Serializes bytes as base64 text: the output of a program may be invalid UTF-8, which JSON
/// cannot hold.
pub mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes bytes as a base64 string.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads bytes from a base64 string.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Content, Exit, ExitStatus, FILE_BYTES_MAX, FromGuest, LINE_BYTES_MAX,
        OUTPUT_CHUNK_BYTES_MAX, ToGuest,
    };

    fn ready() -> FromGuest {
        FromGuest::Ready {
            boot: 2,
            boot_id: "b".into(),
            release: "7.3.4".into(),
            uptime_ms: 900,
            missing: vec![],
        }
    }

    fn exited() -> FromGuest {
        FromGuest::Exited {
            exit: Exit {
                status: ExitStatus::Signal(9),
                timed_out: true,
            },
            uptime_ms: 7,
            output_cut: false,
        }
    }

    #[test]
    fn encode_writes_the_documented_json() {
        let line = |message: &FromGuest| String::from_utf8(encode(message).unwrap()).unwrap();
        assert_eq!(
            line(&exited()),
            "{\"type\":\"exited\",\"status\":{\"signal\":9},\"timed_out\":true,\
             \"uptime_ms\":7,\"output_cut\":false}\n"
        );
        assert_eq!(
            line(&FromGuest::Output { data: vec![0xff] }),
            "{\"type\":\"output\",\"data\":\"/w==\"}\n"
        );
        assert_eq!(
            encode(&ToGuest::PowerOff).unwrap(),
            b"{\"type\":\"power_off\"}\n"
        );
    }

    #[test]
    fn encode_accepts_an_output_message_of_maximum_size() {
        let data = vec![0xff; OUTPUT_CHUNK_BYTES_MAX];
        assert!(encode(&FromGuest::Output { data }).is_ok());
    }

    #[test]
    fn push_reports_an_overlong_line_once_and_reads_the_next() {
        let mut decoder = Decoder::default();
        for _ in 0..200 {
            assert_eq!(decoder.push::<FromGuest>(&[b'x'; 1024]), vec![]);
            assert!(decoder.partial.len() < LINE_BYTES_MAX);
        }
        let mut rest = b"\n".to_vec();
        rest.extend(encode(&ready()).unwrap());
        assert_eq!(
            decoder.push(&rest),
            vec![
                Err(LineError::TooLong {
                    limit: LINE_BYTES_MAX
                }),
                Ok(ready())
            ]
        );
    }

    #[test]
    fn encode_rejects_a_message_longer_than_a_line() {
        let doing = "x".repeat(LINE_BYTES_MAX);
        let error = String::new();
        assert!(matches!(
            encode(&FromGuest::Trouble { doing, error }),
            Err(EncodeError::TooLong { .. })
        ));
    }

    #[test]
    fn encode_accepts_a_file_of_maximum_size_only() {
        let put = |bytes: usize| ToGuest::Put {
            path: "/tests/a".into(),
            mode: 0o755,
            content: Content::Data(vec![0xff; bytes]),
        };
        assert!(encode(&put(FILE_BYTES_MAX)).is_ok());
        assert!(encode(&put(FILE_BYTES_MAX + 64 * 1024)).is_err());
    }

    #[test]
    fn unpack_returns_the_packed_or_plain_content() {
        let bytes = [vec![7; 100_000], (0..=255).collect()].concat();
        for content in [Content::pack(&bytes), Content::Data(bytes.clone())] {
            let order = ToGuest::Put {
                path: "/tests/a".into(),
                mode: 0o755,
                content,
            };
            let line = encode(&order).unwrap();
            let read = Decoder::default().push::<ToGuest>(&line);
            let [Ok(ToGuest::Put { content, .. })] = read.as_slice() else {
                panic!("not the order that was sent");
            };
            assert_eq!(content.clone().unpack().unwrap(), bytes);
        }
        for packed in [vec![], vec![0xff; 4], vec![9, 0, 0, 0, 0xf0]] {
            assert!(Content::Lz4(packed).unpack().is_err());
        }
    }

    proptest! {
        #[test]
        fn push_result_does_not_depend_on_the_split_of_the_input(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            cut in 1usize..300,
        ) {
            let whole = Decoder::default().push::<FromGuest>(&bytes);
            let mut decoder = Decoder::default();
            let pieces: Vec<_> = bytes.chunks(cut).flat_map(|piece| decoder.push::<FromGuest>(piece)).collect();
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn push_reads_messages_before_and_after_invalid_lines(
            noise in proptest::collection::vec(any::<u8>().prop_filter("newline", |b| *b != b'\n'), 1..200),
            cut in 1usize..100,
        ) {
            let mut bytes = encode(&ready()).unwrap();
            bytes.extend(&noise);
            bytes.push(b'\n');
            bytes.extend(encode(&exited()).unwrap());
            let mut decoder = Decoder::default();
            let found: Vec<_> = bytes.chunks(cut).flat_map(|piece| decoder.push::<FromGuest>(piece)).collect();
            prop_assert_eq!(&found[0], &Ok(ready()));
            prop_assert_eq!(found.last().unwrap(), &Ok(exited()));
        }
    }
}
