// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facts about guests that depend on the processor architecture and its machine: QEMU's
//! program and processors, kernel arguments, the PCI configuration space, and registers.

use crate::accel::Accelerator;

/// A processor architecture of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arch {
    /// 64-bit x86, on QEMU's machine `q35`; its kernel image is a bzImage.
    #[default]
    X86_64,
}

impl Arch {
    /// Returns QEMU's program.
    pub(crate) const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
        }
    }

    /// Returns options of `-machine`. Without `i8042=off`, the probe for keyboard and mouse
    /// takes a fifth of a boot.
    pub(crate) const fn machine_options(self) -> &'static str {
        match self {
            Self::X86_64 => "i8042=off",
        }
    }

    /// Returns the value of `-global`. Slots use native PCIe hotplug, whose events come from
    /// the port. ACPI hotplug would involve the firmware's tables.
    pub(crate) const fn native_hotplug(self) -> &'static str {
        match self {
            Self::X86_64 => "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        }
    }

    /// Returns QEMU's processor model: all features of the accelerator, except five-level
    /// page tables under TCG. There, an interrupt that arrives while the boot processor's
    /// features are read again sees the feature as absent, and KASAN reports a wild access
    /// in unrelated code.
    pub(crate) const fn cpu(self, accelerator: Accelerator) -> &'static str {
        match (self, accelerator) {
            (Self::X86_64, Accelerator::Kvm) => "host",
            (Self::X86_64, Accelerator::Tcg) => "max,la57=off",
        }
    }

    /// Returns kernel arguments. They select the console, and disable the timer check, which
    /// can fail when a busy host loses timer ticks. TCG has one time for all processors, but
    /// on a busy host the kernel's comparison of the TSC with other clocks fails, with a
    /// warning in the log.
    pub(crate) const fn cmdline(self, accelerator: Accelerator) -> &'static str {
        match (self, accelerator) {
            (Self::X86_64, Accelerator::Kvm) => "console=ttyS0 no_timer_check",
            (Self::X86_64, Accelerator::Tcg) => "console=ttyS0 no_timer_check tsc=reliable",
        }
    }

    /// Returns the address at which the firmware maps the PCI configuration space, 4 KiB for
    /// each function, and the id of the host bridge there, to check the mapping.
    pub(crate) const fn config_space(self) -> (u64, u32) {
        match self {
            Self::X86_64 => (0xb000_0000, 0x29c0_8086),
        }
    }

    /// Parses the output of QEMU's `info registers -a`. The values come from the guest and
    /// may be arbitrary.
    pub(crate) fn registers(self, text: &str) -> Vec<Registers> {
        let processors = text.split("CPU#").skip(1);
        match self {
            Self::X86_64 => processors.filter_map(parse_processor).collect(),
        }
    }
}

/// The registers of a processor that locate its execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) number: u32,
    pub(crate) instruction: u64,
    pub(crate) frame: u64,
    pub(crate) flags: u64,
    pub(crate) privilege: u64,
    pub(crate) is_halted: bool,
    /// Address of the interrupt descriptor table.
    pub(crate) exceptions: Option<u64>,
}

/// The interrupt flag.
const INTERRUPTS: u64 = 1 << 9;

impl Registers {
    /// Returns whether interrupts are enabled.
    pub(crate) const fn takes_interrupts(&self) -> bool {
        self.flags & INTERRUPTS != 0
    }

    /// Returns whether the processor executes a program, not the kernel.
    pub(crate) const fn in_program(&self) -> bool {
        self.privilege == 3
    }
}

/// Maximum number of frames of a call trace.
const FRAMES_MAX: usize = 24;

/// Lowest address of the kernel's half of the address space.
const KERNEL: u64 = 1 << 63;

/// Number of words of `struct pt_regs` that are read, and the indices of the registers in
/// it.
const SAVED: usize = 18;
const SAVED_FRAME: usize = 4;
const SAVED_INSTRUCTION: usize = 16;
const SAVED_SEGMENT: usize = 17;

/// Returns the instruction address and the return addresses, innermost first, by the chain
/// of frame pointers. `read` returns the given number of words at an address, or fewer.
pub(crate) fn call_trace(at: &Registers, mut read: impl FnMut(u64, usize) -> Vec<u64>) -> Vec<u64> {
    let mut frames = vec![at.instruction];
    let mut frame = if at.in_program() { 0 } else { at.frame };
    while frames.len() < FRAMES_MAX && frame >= KERNEL {
        // An odd frame pointer marks saved registers (`ENCODE_FRAME_POINTER`).
        let (from, next) = if frame & 1 == 1 {
            let saved = read(frame - 1, SAVED);
            if saved.len() < SAVED {
                break;
            }
            let in_program = saved[SAVED_SEGMENT] & 3 == 3;
            let next = if in_program { 0 } else { saved[SAVED_FRAME] };
            (saved[SAVED_INSTRUCTION], next)
        } else {
            let [next, from] = read(frame, 2)[..] else {
                break;
            };
            if from < KERNEL {
                break;
            }
            (from, next)
        };
        frames.push(from);
        if next == frame {
            break;
        }
        frame = next;
    }
    frames
}

fn parse_processor(text: &str) -> Option<Registers> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = |name: &str| hex(text.split_once(name)?.1.trim_start());
    Some(Registers {
        number: text[..digits].parse().ok()?,
        instruction: number("RIP=")?,
        frame: number("RBP=")?,
        flags: number("RFL=")?,
        privilege: number("CPL=")?,
        is_halted: number("HLT=") == Some(1),
        exceptions: number("IDT="),
    })
}

/// Parses the output of `x /Ngx ADDRESS`: lines of `ADDRESS: 0x1 0x2`.
pub(crate) fn memory_words(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| Some(line.split_once(':')?.1))
        .flat_map(str::split_ascii_whitespace)
        .map_while(|word| hex(word.strip_prefix("0x")?))
        .collect()
}

/// Returns the handler address of an interrupt gate.
pub(crate) const fn gate_handler(gate: [u64; 2]) -> u64 {
    let [low, high] = gate;
    (low & 0xffff) | (low >> 48 << 16) | (high << 32)
}

fn hex(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    u64::from_str_radix(&text[..digits], 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\nCPU#0\nRAX=0000000000000000 RBX=0000000000000000\n\
        RSI=0000000000000001 RDI=0000000000012c44 RBP=ffffffff89c03df0 RSP=ffffffff89c03de8\n\
        RIP=ffffffff899d55d3 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\n\
        GDT=     fffffe1a0104a000 0000007f\nIDT=     fffffe0000000000 00000fff\n\n\
        CPU#1\nRBP=0 RIP=00007f63bff8b5fa RFL=00000002 CPL=3 HLT=0\n";

    #[test]
    fn parse_reads_the_registers_of_each_processor() {
        let all = Arch::X86_64.registers(TEXT);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].instruction, 0xffff_ffff_899d_55d3);
        assert_eq!(all[0].frame, 0xffff_ffff_89c0_3df0);
        assert_eq!(all[0].exceptions, Some(0xffff_fe00_0000_0000));
        assert!(all[0].is_halted && all[0].takes_interrupts() && !all[0].in_program());
        assert!(!all[1].is_halted && !all[1].takes_interrupts() && all[1].in_program());
        assert_eq!((all[1].number, all[1].exceptions), (1, None));
        assert_eq!(Arch::X86_64.registers("RIP=0"), []);
        assert_eq!(Arch::X86_64.registers("CPU#\u{e9}CPU#7 RIP=zz"), []);
    }

    #[test]
    fn call_trace_follows_an_interrupt_into_the_program() {
        let kernel = |low: u64| 0xffff_ffff_8000_0000 + low;
        let stack = |low: u64| 0xffff_8880_0000_0000 + low;
        let at = Registers {
            number: 0,
            instruction: kernel(1),
            frame: stack(0x100),
            flags: 0,
            privilege: 0,
            is_halted: false,
            exceptions: None,
        };
        let memory = |address: u64, count: usize| -> Vec<u64> {
            let mut saved = vec![0; SAVED];
            if address == stack(0x100) {
                return vec![stack(0x201), kernel(2)];
            } else if address == stack(0x200) {
                saved[SAVED_INSTRUCTION] = kernel(3);
                saved[SAVED_SEGMENT] = 0x10;
                saved[SAVED_FRAME] = stack(0x301);
            } else if address == stack(0x300) {
                saved[SAVED_INSTRUCTION] = 0x40_0000;
                saved[SAVED_SEGMENT] = 0x33;
            }
            saved.truncate(count);
            saved
        };
        let kernels = [kernel(1), kernel(2), kernel(3), 0x40_0000];
        assert_eq!(call_trace(&at, memory), kernels);
        assert_eq!(call_trace(&at, |_, _| Vec::new()), [kernel(1)]);
        // A circular chain of frames.
        let ring = |address: u64, _| vec![address ^ 0x10, kernel(9)];
        assert_eq!(call_trace(&at, ring).len(), FRAMES_MAX);
        let program = Registers { privilege: 3, ..at };
        assert_eq!(call_trace(&program, memory), [kernel(1)]);
    }

    #[test]
    fn words_reads_the_accessible_memory() {
        let text = "fffffe0000000000: 0x89608e0000100850 0x00000000ffffffff\n\
                    fffffe0000000010: 0x1\n";
        let read = memory_words(text);
        assert_eq!(read, [0x8960_8e00_0010_0850, 0xffff_ffff, 1]);
        assert_eq!(gate_handler([read[0], read[1]]), 0xffff_ffff_8960_0850);
        assert!(memory_words("5000: Cannot access memory\n").is_empty());
    }
}
