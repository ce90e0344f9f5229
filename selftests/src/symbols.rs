// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions of a kernel image: from an address in a running guest to a name, and from
//! a printed frame to an address. Source lines are found by the caller.

use camino::Utf8Path;
use fs_err as fs;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

use crate::frame::Frame;

/// Larger images are not read, in bytes.
const IMAGE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// The handler of the first entry in the interrupt descriptor table of every kernel.
const DIVIDE_ERROR: &str = "asm_exc_divide_error";
/// The KASLR offset on x86-64 is a multiple of `ALIGNMENT` and smaller than
/// `OFFSET_MAX`.
const ALIGNMENT: u64 = 2 * 1024 * 1024;
const OFFSET_MAX: u64 = 1024 * 1024 * 1024;
/// The kernel adds the padding behind a function to its size, at most this many bytes.
const PADDING_BYTES_MAX: u64 = 64;

/// The functions of a kernel.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    /// Sorted by linked address.
    functions: Vec<Function>,
    /// The indices of the functions, sorted by name.
    by_name: Vec<usize>,
    /// Upper bound of the addresses of the functions.
    end: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    address: u64,
    name: String,
    /// In bytes; assembly code may have no size.
    size: Option<u64>,
}

/// The functions of a kernel at their addresses in a running guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relocated<'a> {
    symbols: &'a Symbols,
    offset: u64,
}

impl Symbols {
    /// Reads the functions of a `vmlinux`. Returns `None` if it is missing, too large or not
    /// an object file.
    #[must_use]
    pub fn open(image: &Utf8Path) -> Option<Self> {
        let meta = fs::metadata(image).ok()?;
        if !meta.is_file() || meta.len() > IMAGE_BYTES_MAX {
            return None;
        }
        let cache = object::ReadCache::new(fs::File::open(image).ok()?);
        let file = object::File::parse(&cache).ok()?;
        let code: Vec<_> = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .map(|section| section.index())
            .collect();
        let functions = file.symbols().filter_map(|symbol| {
            // Symbols of assembly code may have neither the function type nor a size.
            let is_function = !matches!(symbol.kind(), SymbolKind::Section | SymbolKind::File)
                && code.contains(&symbol.section_index()?);
            let size = (symbol.kind() == SymbolKind::Text).then(|| symbol.size());
            let name = symbol.name().ok().filter(|_| is_function)?.to_owned();
            Some(Function {
                address: symbol.address(),
                name,
                size,
            })
        });
        Some(Self::new(functions.collect()))
    }

    fn new(mut functions: Vec<Function>) -> Self {
        functions.sort();
        let mut by_name: Vec<usize> = (0..functions.len()).collect();
        by_name.sort_by_key(|index| &functions[*index].name);
        let ends = functions.iter().map(|function| {
            let size = function.size.unwrap_or_default();
            function.address.saturating_add(size)
        });
        Self {
            end: ends.max().unwrap_or_default(),
            functions,
            by_name,
        }
    }

    /// Returns the symbols of functions with these addresses and names, for tests.
    #[cfg(test)]
    pub(crate) fn of(functions: &[(u64, &str)], end: u64) -> Self {
        let functions = functions.iter().map(|(address, name)| Function {
            address: *address,
            name: (*name).to_owned(),
            size: None,
        });
        Self {
            end,
            ..Self::new(functions.collect())
        }
    }

    /// Returns the linked address of the function with this name, if it is the only one.
    #[must_use]
    pub fn address_of(&self, name: &str) -> Option<u64> {
        let mut functions = self.named(name);
        let function = functions.next()?;
        functions.next().is_none().then_some(function.address)
    }

    /// Returns the linked address of a frame, if exactly one function of the image has its
    /// name and size. A return address is moved into the call before it, because it may
    /// belong to the next source line.
    #[must_use]
    pub fn address_in(&self, frame: &Frame) -> Option<u64> {
        let printed = frame.size.filter(|_| frame.module.is_none())?;
        let matches = |function: &&Function| {
            let size = function.size.unwrap_or(u64::MAX);
            size <= printed && printed - size < PADDING_BYTES_MAX
        };
        let mut functions = self.named(&frame.function).filter(matches);
        let function = functions.next()?;
        if functions.next().is_some() || frame.offset > printed {
            return None;
        }
        let back = u64::from(frame.is_return && frame.offset > 0);
        let address = function.address.checked_add(frame.offset)?;
        address.checked_sub(back)
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Function> {
        let of = |index: &usize| &self.functions[*index];
        let first = self
            .by_name
            .partition_point(|index| of(index).name.as_str() < name);
        let rest = self.by_name[first..].iter().map(of);
        rest.take_while(move |function| function.name == name)
    }

    /// Returns the functions of a running kernel, given the address of its divide error
    /// handler. Returns `None` if the resulting KASLR offset is invalid.
    pub(crate) fn relocated(&self, divide_error: u64) -> Option<Relocated<'_>> {
        let linked = self.named(DIVIDE_ERROR).next()?.address;
        let offset = divide_error.checked_sub(linked)?;
        let fits = offset.is_multiple_of(ALIGNMENT) && offset < OFFSET_MAX;
        fits.then_some(Relocated {
            symbols: self,
            offset,
        })
    }
}

impl<'a> Relocated<'a> {
    /// Returns the KASLR offset.
    pub(crate) const fn offset(self) -> u64 {
        self.offset
    }

    /// Returns the function at an address, and the offset in that function.
    pub(crate) fn name(self, address: u64) -> Option<(&'a str, u64)> {
        let linked = address.checked_sub(self.offset)?;
        if linked >= self.symbols.end {
            return None;
        }
        let functions = &self.symbols.functions;
        let after = functions.partition_point(|function| function.address <= linked);
        let start = functions.get(after.checked_sub(1)?)?.address;
        // Of several names of an address, the first one is taken.
        let first = functions.partition_point(|function| function.address < start);
        Some((&functions[first].name, linked - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocated_computes_the_offset_from_the_divide_error_handler() {
        let base = 0xffff_ffff_8100_0000;
        let functions = [(0x100, "b"), (0, "a"), (0x200, DIVIDE_ERROR), (0x100, "b2")];
        let functions = functions.map(|(at, name)| (base + at, name));
        let symbols = Symbols::of(&functions, base + 0x300);
        let moved = 0x0860_0000;
        let relocated = symbols.relocated(base + 0x200 + moved).unwrap();
        assert_eq!(relocated.name(base + moved + 0xff), Some(("a", 0xff)));
        assert_eq!(relocated.name(base + moved + 0x101), Some(("b", 1)));
        assert_eq!(relocated.name(base + moved - 1), None);
        assert_eq!(relocated.name(base + moved + 0x300), None);
        assert_eq!(relocated.name(0x40_0000), None);
        assert!(symbols.relocated(base + 0x201).is_none());
        assert!(symbols.relocated(base).is_none());
        assert!(Symbols::default().relocated(base).is_none());
    }

    #[test]
    fn address_in_accepts_only_one_function_of_the_same_size() {
        let function = |address, name: &str, size| Function {
            address,
            name: name.to_owned(),
            size,
        };
        let symbols = Symbols::new(vec![
            function(0x100, "f", Some(0x20)),
            function(0x200, "twice", Some(0x20)),
            function(0x300, "twice", Some(0x20)),
            function(0x400, "assembly", None),
        ]);
        let address = |line: &str| symbols.address_in(&Frame::in_line(line).unwrap());
        assert_eq!(address("RIP: 0010:f+0x8/0x20"), Some(0x108));
        assert_eq!(address(" f+0x8/0x30"), Some(0x107));
        for other in [
            " f+0x8/0x60",
            " f+0x8/0x1f",
            " f+0x21/0x20",
            " f+0x8/0x20 [module]",
            " f+0x8",
            " twice+0x8/0x20",
            " assembly+0x8/0x20",
            " unknown+0x8/0x20",
        ] {
            assert_eq!(address(other), None, "{other}");
        }
        assert_eq!(symbols.address_of("f"), Some(0x100));
        assert_eq!(symbols.address_of("twice"), None);
    }

    #[test]
    fn open_rejects_files_that_are_not_objects() {
        let place = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(place.path()).unwrap().join("vmlinux");
        assert!(Symbols::open(&path).is_none());
        for content in [&b""[..], b"\x7fELF\x02\x01\x01"] {
            fs::write(&path, content).unwrap();
            assert!(Symbols::open(&path).is_none());
        }
    }
}
