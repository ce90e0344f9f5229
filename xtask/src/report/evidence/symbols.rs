// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps a frame of a stack trace to source lines, with the debug information of the kernel
//! image in the cache. A frame is mapped only if exactly one
//! function has its name and size.

use std::collections::BTreeMap;

use addr2line::Loader;
use camino::{Utf8Path, Utf8PathBuf};
use object::{Object, ObjectSymbol, SymbolKind};

use selftests::frame::Frame;

/// Larger kernel images are not read, in bytes.
const KERNEL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// At most this many different frames are mapped for a report.
const LOOK_UPS_MAX: usize = 20_000;
/// The kernel adds the padding behind a function to its size, at most this many bytes.
const PADDING_BYTES_MAX: u64 = 64;
/// At most this many nested inlined functions are listed.
const INLINED_MAX: usize = 6;
/// A function of every kernel, and its file: its path gives the prefix of all source paths.
const LANDMARK: (&str, &str) = ("start_kernel", "init/main.c");

/// The kernel images of a report, and the frames mapped so far.
#[derive(Default)]
pub(crate) struct Symbols {
    kernels: BTreeMap<Utf8PathBuf, Option<Kernel>>,
    known: BTreeMap<(Utf8PathBuf, Frame), Vec<String>>,
}

impl Symbols {
    /// Returns the source lines of a frame, innermost first; `image` is the image of the
    /// kernel that logged it, with debug information.
    pub(crate) fn places(&mut self, frame: &Frame, image: &Utf8Path) -> Vec<String> {
        let key = (image.to_owned(), frame.clone());
        if let Some(places) = self.known.get(&key) {
            return places.clone();
        }
        if self.known.len() == LOOK_UPS_MAX {
            return Vec::new();
        }
        let kernel = self
            .kernels
            .entry(image.to_owned())
            .or_insert_with(|| Kernel::open(image));
        let places = kernel.as_ref().map(|kernel| kernel.places(frame));
        let places = places.unwrap_or_default();
        self.known.insert(key, places.clone());
        places
    }
}

/// A kernel image with debug information.
struct Kernel {
    /// Each function's address and size, by name.
    functions: BTreeMap<String, Vec<(u64, u64)>>,
    lines: Loader,
    /// The common prefix of all source paths.
    prefix: String,
}

impl Kernel {
    /// Opens an image; `None` if it is missing, too large or not readable.
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
        let at = self
            .functions
            .get(function)
            .and_then(|places| places.first());
        let found = at.and_then(|(address, _)| self.lines.find_location(*address).ok()?);
        let path = found.and_then(|location| location.file.map(plain_path));
        let prefix = path.and_then(|path| path.strip_suffix(file).map(str::to_owned));
        prefix.unwrap_or_default()
    }

    /// Returns the source lines of a frame; empty if the function is ambiguous.
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

    /// Returns the address of a frame, if exactly one function of the image matches.
    fn address(&self, frame: &Frame) -> Option<u64> {
        let printed = frame.size.filter(|_| frame.module.is_none())?;
        let matches = |size: u64| size <= printed && printed - size < PADDING_BYTES_MAX;
        let mut functions = self
            .functions
            .get(&frame.function)?
            .iter()
            .filter(|(_, size)| matches(*size));
        let (start, _) = functions.next()?;
        let is_only = functions.next().is_none() && frame.offset <= printed;
        // The call precedes the return address, which may belong to the next line.
        let back = u64::from(frame.is_return && frame.offset > 0);
        is_only
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

/// Returns a path without `.` and `..`: the build folder is beside the source.
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
