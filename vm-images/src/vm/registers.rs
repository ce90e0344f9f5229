// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the output of QEMU's monitor about processors and memory. The values come from
//! the guest and may be arbitrary.

/// The registers of a processor that locate its execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) number: u32,
    pub(super) instruction: u64,
    pub(super) frame: u64,
    pub(super) flags: u64,
    pub(super) privilege: u64,
    pub(super) is_halted: bool,
    /// Address of the interrupt descriptor table.
    pub(super) exceptions: Option<u64>,
}

/// The interrupt flag.
const INTERRUPTS: u64 = 1 << 9;

impl Registers {
    /// Returns whether interrupts are enabled.
    pub(super) const fn takes_interrupts(&self) -> bool {
        self.flags & INTERRUPTS != 0
    }

    /// Returns whether the processor executes a program, not the kernel.
    pub(super) const fn in_program(&self) -> bool {
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
pub(super) fn call_trace(at: &Registers, mut read: impl FnMut(u64, usize) -> Vec<u64>) -> Vec<u64> {
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

/// Parses the output of `info registers -a`.
pub(super) fn parse(text: &str) -> Vec<Registers> {
    text.split("CPU#")
        .skip(1)
        .filter_map(parse_processor)
        .collect()
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
pub(super) fn words(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| Some(line.split_once(':')?.1))
        .flat_map(str::split_ascii_whitespace)
        .map_while(|word| hex(word.strip_prefix("0x")?))
        .collect()
}

/// Returns the handler address of an interrupt gate.
pub(super) const fn handler(gate: [u64; 2]) -> u64 {
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
        let all = parse(TEXT);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].instruction, 0xffff_ffff_899d_55d3);
        assert_eq!(all[0].frame, 0xffff_ffff_89c0_3df0);
        assert_eq!(all[0].exceptions, Some(0xffff_fe00_0000_0000));
        assert!(all[0].is_halted && all[0].takes_interrupts() && !all[0].in_program());
        assert!(!all[1].is_halted && !all[1].takes_interrupts() && all[1].in_program());
        assert_eq!((all[1].number, all[1].exceptions), (1, None));
        assert_eq!(parse("RIP=0"), []);
        assert_eq!(parse("CPU#\u{e9}CPU#7 RIP=zz"), []);
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
        let read = words(text);
        assert_eq!(read, [0x8960_8e00_0010_0850, 0xffff_ffff, 1]);
        assert_eq!(handler([read[0], read[1]]), 0xffff_ffff_8960_0850);
        assert!(words("5000: Cannot access memory\n").is_empty());
    }
}
