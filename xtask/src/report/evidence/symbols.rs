// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps a frame of a stack trace to source lines, with the debug information of the kernel
//! image in the cache. A frame is mapped only if exactly one
//! function has its name and size.

use std::collections::BTreeMap;

use addr2line::Loader;
use camino::{Utf8Path, Utf8PathBuf};

use selftests::frame::Frame;
use selftests::symbols::Symbols;

/// At most this many different frames are mapped for a report.
const LOOK_UPS_MAX: usize = 20_000;
/// At most this many nested inlined functions are listed.
const INLINED_MAX: usize = 6;
/// A function of every kernel, and its file: its path gives the prefix of all source paths.
const LANDMARK: (&str, &str) = ("start_kernel", "init/main.c");

/// The kernel images of a report, and the frames mapped so far.
#[derive(Default)]
pub(crate) struct SourceLines {
    kernels: BTreeMap<Utf8PathBuf, Option<Kernel>>,
    known: BTreeMap<(Utf8PathBuf, Frame), Vec<String>>,
}

impl SourceLines {
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
    symbols: Symbols,
    lines: Loader,
    /// The common prefix of all source paths.
    prefix: String,
}

impl Kernel {
    /// Opens an image; `None` if it is missing, too large or not readable.
    fn open(path: &Utf8Path) -> Option<Self> {
        let mut kernel = Self {
            symbols: Symbols::open(path)?,
            lines: Loader::new(path).ok()?,
            prefix: String::new(),
        };
        kernel.prefix = kernel.prefix().unwrap_or_default();
        Some(kernel)
    }

    fn prefix(&self) -> Option<String> {
        let (function, file) = LANDMARK;
        let address = self.symbols.address_of(function)?;
        let location = self.lines.find_location(address).ok()??;
        let path = plain_path(location.file?);
        path.strip_suffix(file).map(str::to_owned)
    }

    /// Returns the source lines of a frame; empty if the function is ambiguous.
    fn places(&self, frame: &Frame) -> Vec<String> {
        let Some(address) = self.symbols.address_in(frame) else {
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
