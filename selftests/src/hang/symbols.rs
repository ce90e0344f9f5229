// SPDX-License-Identifier: MIT OR Apache-2.0
//! Function names of a kernel, and its KASLR offset.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

/// The handler of the first entry in the interrupt descriptor table of every kernel.
const DIVIDE_ERROR: &str = "asm_exc_divide_error";

/// The KASLR offset on x86-64 is a multiple of `ALIGNMENT` and smaller than
/// `OFFSET_MAX`.
const ALIGNMENT: u64 = 2 * 1024 * 1024;
const OFFSET_MAX: u64 = 1024 * 1024 * 1024;

/// The functions of a kernel, sorted by linked address.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    functions: Vec<(u64, String)>,
    /// Upper bound of the addresses of the functions.
    end: u64,
}

/// The functions of a kernel at their addresses in a running guest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relocated<'a> {
    symbols: &'a Symbols,
    offset: u64,
}

impl Symbols {
    /// Reads the functions of a `vmlinux`. Returns `None` if it is not an object file.
    #[must_use]
    pub fn read(vmlinux: &[u8]) -> Option<Self> {
        let file = object::File::parse(vmlinux).ok()?;
        let code = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text);
        let code: Vec<_> = code.map(|section| section.index()).collect();
        // Symbols of assembly code may have neither the function type nor a size.
        let is_function = |symbol: &object::Symbol<'_, '_>| {
            !matches!(symbol.kind(), SymbolKind::Section | SymbolKind::File)
                && symbol
                    .section_index()
                    .is_some_and(|index| code.contains(&index))
        };
        let mut end = 0;
        let mut functions = Vec::new();
        for symbol in file.symbols() {
            let (Ok(name), true) = (symbol.name(), is_function(&symbol)) else {
                continue;
            };
            end = end.max(symbol.address().saturating_add(symbol.size()));
            functions.push((symbol.address(), name.to_owned()));
        }
        Some(Self::new(functions, end))
    }

    pub(super) fn new(mut functions: Vec<(u64, String)>, end: u64) -> Self {
        functions.sort();
        functions.dedup_by_key(|(address, _)| *address);
        Self { functions, end }
    }

    /// Returns the functions of a running kernel, given the address of its divide error
    /// handler. Returns `None` if the resulting KASLR offset is invalid.
    pub(super) fn relocated(&self, divide_error: u64) -> Option<Relocated<'_>> {
        let mut functions = self.functions.iter();
        let (linked, _) = functions.find(|(_, name)| name == DIVIDE_ERROR)?;
        let offset = divide_error.checked_sub(*linked)?;
        let fits = offset.is_multiple_of(ALIGNMENT) && offset < OFFSET_MAX;
        fits.then_some(Relocated {
            symbols: self,
            offset,
        })
    }
}

impl<'a> Relocated<'a> {
    /// Returns the KASLR offset.
    pub(super) const fn offset(self) -> u64 {
        self.offset
    }

    /// Returns the function at an address, and the offset in that function.
    pub(super) fn name(self, address: u64) -> Option<(&'a str, u64)> {
        let linked = address.checked_sub(self.offset)?;
        if linked >= self.symbols.end {
            return None;
        }
        let functions = &self.symbols.functions;
        let after = functions.partition_point(|(start, _)| *start <= linked);
        let (start, name) = functions.get(after.checked_sub(1)?)?;
        Some((name, linked - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocated_computes_the_offset_from_the_divide_error_handler() {
        let base = 0xffff_ffff_8100_0000;
        let functions = [(0x100, "b"), (0, "a"), (0x200, DIVIDE_ERROR), (0x100, "b2")];
        let functions = functions.map(|(at, name)| (base + at, name.to_owned()));
        let symbols = Symbols::new(functions.to_vec(), base + 0x300);
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
    fn read_rejects_files_that_are_not_objects() {
        assert!(Symbols::read(b"").is_none());
        assert!(Symbols::read(b"\x7fELF\x02\x01\x01").is_none());
    }
}
