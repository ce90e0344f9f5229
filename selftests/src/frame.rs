// SPDX-License-Identifier: MIT OR Apache-2.0
//! A frame of a stack trace as the kernel prints it: `function+0x12/0x34 [module]`.

use serde::{Deserialize, Serialize};

/// A place in a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frame {
    /// The name of the function, with suffixes of the compiler such as `.isra.0`.
    pub function: String,
    /// The offset from the start of the function, in bytes.
    pub offset: u64,
    /// The size of the function in bytes, if it was printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The module of the function; the kernel image has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Whether the address is a return address: the call precedes it.
    pub is_return: bool,
    /// Whether the function is certainly a caller. The kernel prints `?` before addresses
    /// that it only found in the call stack.
    pub is_reliable: bool,
}

impl Frame {
    /// Returns the first frame in a line of the kernel's log: in a stack trace, in `RIP:
    /// 0010:f+0x1/0x2`, or in `WARNING: a.c:1 at f+0x1/0x2`.
    #[must_use]
    pub fn in_line(line: &str) -> Option<Self> {
        let Symbol {
            name,
            offset,
            size,
            rest,
        } = Symbol::find(line)?;
        let module = rest
            .strip_prefix(" [")
            .and_then(|rest| rest.split([' ', ']']).next());
        Some(Self {
            function: name.to_owned(),
            offset,
            size,
            module: module.map(str::to_owned),
            is_return: !line.contains("RIP: ") && !line.contains(" at "),
            is_reliable: !line.contains(" ? "),
        })
    }

    /// Returns the frame of a line of a stack trace, ` f+0x1/0x2`, if it is reliable.
    #[must_use]
    pub fn of_trace(line: &str) -> Option<Self> {
        let entry = line.strip_prefix(' ')?;
        let frame = Self::in_line(entry)?;
        entry.starts_with(&frame.function).then_some(frame)
    }

    /// Returns the name of the function without suffixes of the compiler.
    #[must_use]
    pub fn name(&self) -> &str {
        base_name(&self.function)
    }

    /// Returns the name of the function, and its module if it has one.
    #[must_use]
    pub fn with_module(&self) -> String {
        match &self.module {
            Some(module) => format!("{} [{module}]", self.function),
            None => self.function.clone(),
        }
    }
}

/// Returns the name of the first function in a text, without suffixes of the compiler.
pub(crate) fn function_in(text: &str) -> Option<&str> {
    Symbol::find(text).map(|symbol| base_name(symbol.name))
}

/// Shortens `name.isra.0` and `name.constprop.0.cold` to `name`.
pub(crate) fn base_name(symbol: &str) -> &str {
    symbol.split('.').next().unwrap_or(symbol)
}

/// `name+0x12/0x34` in a text, and the text after it.
struct Symbol<'a> {
    name: &'a str,
    offset: u64,
    size: Option<u64>,
    rest: &'a str,
}

impl<'a> Symbol<'a> {
    fn find(text: &'a str) -> Option<Self> {
        let mut places = text.match_indices("+0x");
        places.find_map(|(at, _)| Self::at(text, at))
    }

    /// Reads the symbol whose offset begins at the byte `at`.
    fn at(text: &'a str, at: usize) -> Option<Self> {
        let is_of_name = |character: char| {
            character.is_ascii_alphanumeric() || character == '_' || character == '.'
        };
        let before = text[..at].trim_end_matches(is_of_name);
        let name = &text[before.len()..at];
        let begins_word = before.is_empty() || before.ends_with([' ', '\t', ',', ':', '(', ')']);
        if name.is_empty() || !begins_word {
            return None;
        }
        let (offset, rest) = hexadecimal(&text[at + "+0x".len()..])?;
        let size = rest.strip_prefix("/0x").and_then(hexadecimal);
        let (size, rest) = size.map_or((None, rest), |(size, rest)| (Some(size), rest));
        Some(Self {
            name,
            offset,
            size,
            rest,
        })
    }
}

fn hexadecimal(text: &str) -> Option<(u64, &str)> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_hexdigit());
    let number = u64::from_str_radix(&text[..text.len() - rest.len()], 16).ok()?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_line_finds_the_first_frame_of_a_line() {
        let named = |line: &str| {
            Frame::in_line(line).map(|frame| (frame.with_module(), frame.offset, frame.is_return))
        };
        let of = |name: &str, offset, is_return| Some((name.to_owned(), offset, is_return));
        assert_eq!(
            named(" vfs_write+0x199/0x370"),
            of("vfs_write", 0x199, true)
        );
        assert_eq!(named(" ? a.isra.0+0x1/0x2"), of("a.isra.0", 1, true));
        assert_eq!(named(" f+0x1/0x2 [module]"), of("f [module]", 1, true));
        assert_eq!(
            named("RIP: 0010:pci_x+0xee/0x140"),
            of("pci_x", 0xee, false)
        );
        assert_eq!(
            named("WARNING: drivers/pci/x.c:329 at pci_x+0xeb/0x140, CPU#0: t/41"),
            of("pci_x", 0xeb, false)
        );
        for other in [
            "RIP: 0033:0x44bc40",
            " <b>+0x1/0x2",
            " f+0xzz/0x2",
            " f+0x11111111111111111/0x2",
            "+0x/0x",
            "",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
        assert_eq!(Frame::in_line(" f+0x1").unwrap().size, None);
    }

    #[test]
    fn of_trace_accepts_only_reliable_frames_at_the_start_of_a_line() {
        let name = |line: &str| Frame::of_trace(line).map(|frame| frame.name().to_owned());
        assert_eq!(name(" f.isra.0+0x1/0x2").as_deref(), Some("f"));
        for other in [
            " ? f+0x1/0x2",
            "f+0x1/0x2",
            " #0: ffff888001234560 (&lock){+.+.}-{4:4}, at: f+0x1/0x2",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
