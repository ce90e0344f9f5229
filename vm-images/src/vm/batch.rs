// SPDX-License-Identifier: MIT OR Apache-2.0
//! Batches: several programs run one after another in one guest. A batch has a result only
//! if all its programs succeed. Otherwise the cause cannot be attributed to a program, and
//! the caller runs every program in a guest of its own.

use std::io;
use std::time::Instant;

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::context::Context;
use patchbed_host::files::read_plain;
use patchbed_protocol::{boot_begins_marker, boot_ends_marker};

use super::run::Run;
use crate::spec::{BootRun, VmRun, VmSpec, write_commands};
use crate::transcript::{BootRecord, End, Transcript, millis};

/// Maximum console log of a batch without failures, in bytes.
const CONSOLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A program of a batch.
#[derive(Debug, Clone)]
pub struct BatchProgram {
    /// The program.
    pub boot: BootRun,
    /// Folder for the files of this program.
    pub artifacts: Utf8PathBuf,
}

/// Runs programs one after another in one guest. If all programs exit with code 0 and the
/// guest powers off, returns a transcript for each, as of a run of its own. Otherwise
/// returns `None`, and the files of the run must be discarded.
pub fn run_batch(
    spec: &VmSpec,
    programs: &[BatchProgram],
    context: &Context,
) -> Option<Vec<Transcript>> {
    let begin = Instant::now();
    let steps = u64::try_from(programs.len() + 2).ok();
    let activity = context.activity(format!("run {}", spec.name), steps);
    let mut run = Run::new(spec, &context.cancel, activity);
    let records = run_programs(&mut run, programs).ok()??;
    if run.checkpoint_was_modified() {
        return None;
    }
    let console = read_plain(&spec.artifacts.join("serial.log"), CONSOLE_BYTES_MAX).ok()?;
    let parts = parts(&console, programs.len())?;
    let programs_ms: u64 = records.iter().map(|record| record.duration_ms).sum();
    let share = millis(begin.elapsed()).saturating_sub(programs_ms) / programs.len().max(1) as u64;
    let mut transcripts = Vec::new();
    for ((program, record), part) in programs.iter().zip(records).zip(parts) {
        let transcript = Transcript {
            wall_ms: record.duration_ms + share,
            boots: vec![record],
            shared: programs.len() > 1,
            ..run.transcript.clone()
        };
        write_artifacts(spec, program, &transcript, &part).ok()?;
        transcripts.push(transcript);
    }
    Some(transcripts)
}

/// Returns the record of each program; `None` if a program failed.
fn run_programs(
    run: &mut Run<'_>,
    programs: &[BatchProgram],
) -> Result<Option<Vec<BootRecord>>, End> {
    let mut session = run.start(&VmRun::default())?;
    run.begin_first_boot(&mut session)?;
    let first_boot = run.transcript.boots.clone();
    let mut records = Vec::new();
    for BatchProgram { boot, .. } in programs {
        run.transcript.boots.clone_from(&first_boot);
        let exit = run.run_boot(&mut session, 1, boot)?;
        if !exit.is_success() {
            return Ok(None);
        }
        records.append(&mut run.transcript.boots);
    }
    run.power_off(&mut session)?;
    (run.transcript.host_time, _) = session.into_records();
    Ok(Some(records))
}

/// Splits the console log of a guest into a log for each program: the part before the first
/// program, the part of the program itself, and the part after the last. `None` if markers
/// are missing.
fn parts(console: &[u8], count: usize) -> Option<Vec<Vec<u8>>> {
    let begins = line_starts(console, &boot_begins_marker(1));
    let ends = line_starts(console, &boot_ends_marker(1));
    if begins.len() != count || ends.len() != count {
        return None;
    }
    let head = &console[..*begins.first()?];
    let last_end = *ends.last()?;
    let after_last = last_end + line_length(&console[last_end..]);
    let tail = &console[after_last..];
    let until = begins[1..].iter().copied().chain([after_last]);
    let parts = begins
        .iter()
        .zip(until)
        .map(|(from, until)| [head, &console[*from..until], tail].concat());
    Some(parts.collect())
}

/// Returns the offsets of the lines that contain a text.
fn line_starts(console: &[u8], text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut start = 0;
    for line in console.split_inclusive(|byte| *byte == b'\n') {
        if line.windows(text.len()).any(|part| part == text.as_bytes()) {
            starts.push(start);
        }
        start += line.len();
    }
    starts
}

fn line_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |newline| newline + 1)
}

/// Writes the files that a run of the program alone would have written.
fn write_artifacts(
    spec: &VmSpec,
    program: &BatchProgram,
    transcript: &Transcript,
    part: &[u8],
) -> io::Result<()> {
    let alone = VmSpec {
        artifacts: program.artifacts.clone(),
        ..spec.clone()
    };
    let job = VmRun {
        boots: vec![program.boot.clone()],
    };
    fs::create_dir_all(&program.artifacts)?;
    fs::write(program.artifacts.join("serial.log"), part)?;
    for name in ["channel.jsonl", "qemu.stderr"] {
        fs::copy(spec.artifacts.join(name), program.artifacts.join(name))?;
    }
    write_commands(&alone, &job)?;
    transcript.save(&program.artifacts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "<6>[ 0.1][ T1] boot\n";
    const ONE: &str = "<5>[ 1.0][ T1] patchbed: boot 1 begins\n<6>[ 1.1][ T2] one\n<5>[ 1.2][ T1] patchbed: boot 1 ends\n";
    const BETWEEN: &str = "<4>[ 1.3][ T9] late\n";
    const TWO: &str = "<5>[ 2.0][ T1] patchbed: boot 1 begins\n<6>[ 2.1][ T2] two\n<5>[ 2.2][ T1] patchbed: boot 1 ends\n";
    const OFF: &str = "<0>[ 3.0][ T1] reboot: Power down\n";

    #[test]
    fn parts_returns_boot_own_part_and_shutdown_of_each_program() {
        let console = [BOOT, ONE, BETWEEN, TWO, OFF].concat();
        let parts = parts(console.as_bytes(), 2).unwrap();
        let texts: Vec<String> = parts
            .into_iter()
            .map(|part| String::from_utf8(part).unwrap())
            .collect();
        // Messages between two programs belong to the program before.
        assert_eq!(texts[0], [BOOT, ONE, BETWEEN, OFF].concat());
        assert_eq!(texts[1], [BOOT, TWO, OFF].concat());
    }

    #[test]
    fn parts_rejects_a_console_without_all_markers() {
        let console = [BOOT, ONE, TWO, OFF].concat();
        assert!(parts(console.as_bytes(), 3).is_none());
        assert!(parts([BOOT, OFF].concat().as_bytes(), 1).is_none());
        assert!(parts(&console.as_bytes()[..console.len() - OFF.len() - 30], 2).is_none());
    }
}
