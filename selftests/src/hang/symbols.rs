// SPDX-License-Identifier: GPL-2.0-only
//! The names of a kernel's functions, and where the kernel was put when it started.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

/// What every kernel's table of exceptions leads to first.
const DIVIDE_ERROR: &str = "asm_exc_divide_error";

/// A kernel is only ever put at a distance that is a multiple of this, and smaller than
/// that, from where it was linked for.
const ALIGNMENT: u64 = 2 * 1024 * 1024;
const DISTANCE_MAX: u64 = 1024 * 1024 * 1024;

/// The functions of a kernel, by address as linked.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    functions: Vec<(u64, String)>,
    /// Where the last one ends at the latest.
    end: u64,
}

/// A kernel's functions where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    symbols: &'a Symbols,
    distance: u64,
}

impl Symbols {
    /// Reads the functions out of a `vmlinux`; none if it is no such file.
    #[must_use]
    pub fn read(vmlinux: &[u8]) -> Option<Self> {
        let file = object::File::parse(vmlinux).ok()?;
        let code = file
            .sections()
            .filter(|one| one.kind() == SectionKind::Text);
        let code: Vec<_> = code.map(|section| section.index()).collect();
        // What is written in assembly says of itself neither that it is a function nor
        // how long.
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

    /// Returns the functions where they are in a kernel that handles a division by zero
    /// at this address; none if it cannot be this kernel.
    pub(super) fn placed(&self, divide_error: u64) -> Option<Placed<'_>> {
        let mut functions = self.functions.iter();
        let (linked, _) = functions.find(|(_, name)| name == DIVIDE_ERROR)?;
        let distance = divide_error.checked_sub(*linked)?;
        let fits = distance.is_multiple_of(ALIGNMENT) && distance < DISTANCE_MAX;
        fits.then_some(Placed {
            symbols: self,
            distance,
        })
    }
}

impl<'a> Placed<'a> {
    /// Returns how far from where it was linked for.
    pub(super) const fn distance(self) -> u64 {
        self.distance
    }

    /// Returns the function that an address is in, and how far.
    pub(super) fn name(self, address: u64) -> Option<(&'a str, u64)> {
        let linked = address.checked_sub(self.distance)?;
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
    fn a_kernel_is_found_by_its_first_exception() {
        let base = 0xffff_ffff_8100_0000;
        let functions = [(0x100, "b"), (0, "a"), (0x200, DIVIDE_ERROR), (0x100, "b2")];
        let functions = functions.map(|(at, name)| (base + at, name.to_owned()));
        let symbols = Symbols::new(functions.to_vec(), base + 0x300);
        let moved = 0x0860_0000;
        let placed = symbols.placed(base + 0x200 + moved).unwrap();
        assert_eq!(placed.name(base + moved + 0xff), Some(("a", 0xff)));
        assert_eq!(placed.name(base + moved + 0x101), Some(("b", 1)));
        assert_eq!(placed.name(base + moved - 1), None);
        assert_eq!(placed.name(base + moved + 0x300), None);
        assert_eq!(placed.name(0x40_0000), None);
        assert!(symbols.placed(base + 0x201).is_none());
        assert!(symbols.placed(base).is_none());
        assert!(Symbols::default().placed(base).is_none());
    }

    #[test]
    fn what_is_no_kernel_has_no_symbols() {
        assert!(Symbols::read(b"").is_none());
        assert!(Symbols::read(b"\x7fELF\x02\x01\x01").is_none());
    }
}
