// SPDX-License-Identifier: GPL-2.0-only
//! From a frame of a stack trace, such as `luo_thing+0x51/0x80`, to the lines of the
//! source, by the kernel with symbols that the cache may still have. A frame is only
//! explained where exactly one function has its name and its size; all else stays as it was
//! logged.

use std::collections::BTreeMap;

use addr2line::Loader;
use camino::{Utf8Path, Utf8PathBuf};
use object::{Object, ObjectSymbol, SymbolKind};

use super::splat::SplatEvidence;

/// A kernel with symbols that is larger is not looked into, in bytes.
const KERNEL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// So many different frames are looked up for a report; the others stay as logged.
const LOOK_UPS_MAX: usize = 20_000;
/// The kernel counts what pads a function as part of it, at most so many bytes.
const PADDING_BYTES_MAX: u64 = 64;
/// So many functions that were inlined into one another are named.
const INLINED_MAX: usize = 6;
/// A function that every kernel has, and where: it tells what to take off the others'
/// paths.
const LANDMARK: (&str, &str) = ("start_kernel", "init/main.c");

/// A frame as logged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    function: String,
    offset: u64,
    size: u64,
    /// Whether the address is that of the instruction behind a call.
    is_return: bool,
}

/// The kernels that frames of a report are from.
#[derive(Default)]
pub(crate) struct Symbols {
    kernels: BTreeMap<Utf8PathBuf, Option<Kernel>>,
    known: BTreeMap<(Utf8PathBuf, Frame), Vec<String>>,
}

impl Symbols {
    /// Adds to the frames of a splat where in the source they are; `symbols` is the kernel
    /// that logged it, with symbols.
    pub(crate) fn explain(&mut self, splat: &mut SplatEvidence, symbols: &Utf8Path) {
        for line in &mut splat.lines {
            let Some(frame) = frame(&line.text) else {
                continue;
            };
            let key = (symbols.to_owned(), frame);
            if let Some(places) = self.known.get(&key) {
                line.places.clone_from(places);
            } else if self.known.len() < LOOK_UPS_MAX {
                let kernel = self
                    .kernels
                    .entry(key.0.clone())
                    .or_insert_with(|| Kernel::open(symbols));
                let places = kernel.as_ref().map(|kernel| kernel.places(&key.1));
                line.places = places.unwrap_or_default();
                self.known.insert(key, line.places.clone());
            }
        }
    }
}

/// Finds the frame in a line of a log, if it has one of the kernel itself.
fn frame(line: &str) -> Option<Frame> {
    // A module's frame ends with its name in brackets.
    let line = line.trim_end();
    if line.ends_with(']') {
        return None;
    }
    let is_register = line.contains("RIP: ") || line.contains(" at ");
    let words = line.split_ascii_whitespace();
    let mut frames = words.filter_map(|word| {
        let word = word.trim_end_matches([',', ')']);
        let word = word.rsplit_once(':').map_or(word, |(_, last)| last);
        let (function, rest) = word.split_once("+0x")?;
        let (offset, size) = rest.split_once("/0x")?;
        let is_name = |text: &str| {
            let mut bytes = text.bytes();
            !text.is_empty()
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
        };
        is_name(function).then_some(())?;
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
        Some(Frame {
            function: function.to_owned(),
            offset: number(offset)?,
            size: number(size)?,
            is_return: !is_register,
        })
    });
    frames.next()
}

/// A kernel with symbols.
struct Kernel {
    /// Each function's address and size, by name.
    functions: BTreeMap<String, Vec<(u64, u64)>>,
    lines: Loader,
    /// What every path of its source begins with.
    prefix: String,
}

impl Kernel {
    /// Opens a kernel; one that is gone, or not what was expected, explains nothing.
    fn open(path: &Utf8Path) -> Option<Self> {
        let meta = fs_err::metadata(path).ok()?;
        if !meta.is_file() || meta.len() > KERNEL_BYTES_MAX {
            return None;
        }
        let functions = functions(path)?;
        let lines = Loader::new(path).ok()?;
        let mut kernel = Self {
            functions,
            lines,
            prefix: String::new(),
        };
        kernel.prefix = kernel.prefix();
        Some(kernel)
    }

    fn prefix(&self) -> String {
        let (function, file) = LANDMARK;
        let at = self.functions.get(function).and_then(|them| them.first());
        let found = at.and_then(|(address, _)| self.lines.find_location(*address).ok()?);
        let path = found.and_then(|location| location.file.map(plain_path));
        let prefix = path.and_then(|path| path.strip_suffix(file).map(str::to_owned));
        prefix.unwrap_or_default()
    }

    /// Returns where a frame is; nothing when that is not known for sure.
    fn places(&self, frame: &Frame) -> Vec<String> {
        let Some(address) = self.address(frame) else {
            return Vec::new();
        };
        let Ok(mut found) = self.lines.find_frames(address) else {
            return Vec::new();
        };
        let mut places = Vec::new();
        while let (Ok(Some(inner)), true) = (found.next(), places.len() < INLINED_MAX) {
            let location = inner.location.as_ref();
            let (Some(file), Some(line)) = (
                location.and_then(|location| location.file),
                location.and_then(|location| location.line),
            ) else {
                continue;
            };
            let file = plain_path(file);
            let file = file.strip_prefix(&self.prefix).unwrap_or(&file);
            let name = inner
                .function
                .as_ref()
                .and_then(|name| name.raw_name().ok());
            places.push(match name {
                Some(name) if *name != *frame.function => format!("{file}:{line} in {name}"),
                _ => format!("{file}:{line}"),
            });
        }
        places
    }

    /// Returns the address of a frame, if one function alone can be meant.
    fn address(&self, frame: &Frame) -> Option<u64> {
        let is_meant = |size: u64| size <= frame.size && frame.size - size < PADDING_BYTES_MAX;
        let mut meant = self
            .functions
            .get(&frame.function)?
            .iter()
            .filter(|(_, size)| is_meant(*size));
        let (start, _) = meant.next()?;
        let is_alone = meant.next().is_none() && frame.offset <= frame.size;
        // The call is before the place to which it returns, and that may be the next line.
        let back = u64::from(frame.is_return && frame.offset > 0);
        is_alone
            .then(|| start.checked_add(frame.offset)?.checked_sub(back))
            .flatten()
    }
}

/// Reads the functions of a kernel.
fn functions(path: &Utf8Path) -> Option<BTreeMap<String, Vec<(u64, u64)>>> {
    let file = fs_err::File::open(path).ok()?;
    let cache = object::ReadCache::new(file);
    let object = object::File::parse(&cache).ok()?;
    let mut functions: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for symbol in object.symbols() {
        if let (SymbolKind::Text, Ok(name)) = (symbol.kind(), symbol.name()) {
            let place = (symbol.address(), symbol.size());
            functions.entry(name.to_owned()).or_default().push(place);
        }
    }
    Some(functions)
}

/// Returns a path without its `.` and `..`: the build folder lies beside the source.
fn plain_path(path: &str) -> String {
    let mut plain = Utf8PathBuf::new();
    for part in Utf8Path::new(path).components() {
        match part.as_str() {
            "." => {}
            ".." => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain.into_string()
}

#[cfg(test)]
mod tests;
