// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts about architectures. The other modules contain none: they take an [`Arch`], which
//! the toolchain selects.

use camino::Utf8Path;

/// The paths of an architecture. Sources are relative to the tree, outputs to the object
/// folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Arch {
    /// The name in `uname -m`.
    pub name: &'static str,
    /// Prefix of the names of compiler and linker.
    pub cross_prefix: &'static str,
    /// Its folder in the tree.
    pub(crate) folder: &'static str,
    pub(crate) image_target: &'static str,
    pub(crate) image: &'static str,
    /// Folder of the setup code and the decompressor.
    pub(crate) boot: &'static str,
    /// The compressed kernel, without the suffix of the compression.
    pub(crate) packed: &'static str,
    /// The object that contains the compressed kernel.
    pub(crate) packed_object: &'static str,
    /// Objects of the boot code with addresses and sizes of the compressed kernel, which
    /// change with its build id.
    pub(crate) with_sizes: &'static [&'static str],
    /// Outputs that are part of every image or whose headers are, besides the common ones.
    pub(crate) parts: &'static [&'static str],
    /// Sources of the installed headers, besides folders named `uapi`.
    pub(crate) header_sources: &'static [&'static str],
    /// Folder with generated headers, left by a build in the tree.
    generated: &'static str,
    /// Files and folders that selftests include.
    pub(crate) selftest_sources: &'static [&'static str],
}

/// 64-bit x86 with `bzImage`.
pub static X86_64: Arch = Arch {
    name: "x86_64",
    cross_prefix: "",
    folder: "arch/x86",
    image_target: "bzImage",
    image: "arch/x86/boot/bzImage",
    boot: "arch/x86/boot",
    packed: "arch/x86/boot/compressed/vmlinux.bin.",
    packed_object: "arch/x86/boot/compressed/piggy.o",
    with_sizes: &["header.o", "misc.o"],
    parts: &[
        "arch/x86/kernel/vmlinux.lds",
        "arch/x86/kernel/asm-offsets.s",
    ],
    header_sources: &["arch/x86/entry/syscalls"],
    generated: "arch/x86/include/generated",
    selftest_sources: &["arch/x86/entry/vdso", "arch/x86/include"],
};

/// Returns whether a path relative to the tree is a generated header of any architecture.
pub(crate) fn is_generated(path: &Utf8Path) -> bool {
    [&X86_64]
        .iter()
        .any(|arch| path.starts_with(arch.generated))
}
