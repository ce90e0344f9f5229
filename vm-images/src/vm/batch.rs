// SPDX-License-Identifier: GPL-2.0-only
//! Several programs one after another in one guest. Such a run can only tell that
//! all is well: as soon as anything is not, it tells nothing, for nobody could
//! say whose doing it was, and every program wants a guest of its own.

use std::io;
use std::time::Instant;

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Activity, Observer};
use patchbed_host::files::read_plain;
use patchbed_protocol::{boot_begins_marker, boot_ends_marker};

use super::run::Run;
use super::{BootRun, VmRun, VmSpec, recipe};
use crate::transcript::{BootRecord, End, Transcript, millis};

/// Longest console of a guest in which all is well, in bytes.
const CONSOLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A program that shares its guest.
#[derive(Debug, Clone)]
pub struct Sharer {
    /// What it is.
    pub boot: BootRun,
    /// Folder for what belongs to it alone.
    pub artifacts: Utf8PathBuf,
}

/// Runs programs one after another in one guest. Returns a transcript for each,
/// as if it had been alone, if every one ended with code 0 and the guest powered
/// off in order; else none, and what was left is to be thrown away.
pub fn run_shared(
    spec: &VmSpec,
    sharers: &[Sharer],
    cancel: &Cancel,
    observer: &dyn Observer,
) -> Option<Vec<Transcript>> {
    let begin = Instant::now();
    let steps = u64::try_from(sharers.len() + 2).ok();
    let activity = Activity::start(observer, format!("run {}", spec.name), steps);
    let mut run = Run::new(spec, cancel, activity);
    let records = drive(&mut run, sharers).ok()??;
    if super::touched(spec, &run.start) {
        return None;
    }
    let console = read_plain(&spec.artifacts.join("serial.log"), CONSOLE_BYTES_MAX).ok()?;
    let parts = parts(&console, sharers.len())?;
    let programs: u64 = records.iter().map(|record| record.duration_ms).sum();
    let share = millis(begin.elapsed()).saturating_sub(programs) / sharers.len().max(1) as u64;
    let mut transcripts = Vec::new();
    for ((sharer, record), part) in sharers.iter().zip(records).zip(parts) {
        let transcript = Transcript {
            wall_ms: record.duration_ms + share,
            boots: vec![record],
            end: End::PoweredOff,
            start: run.start.clone(),
            shared: sharers.len() > 1,
            host_time: run.host_time,
            hang: None,
            accelerator: spec.accelerator,
            qemu_version: spec.qemu.full_version.clone(),
        };
        leave(spec, sharer, &transcript, &part).ok()?;
        transcripts.push(transcript);
    }
    Some(transcripts)
}

/// Returns what became of each program; none if one did not end well.
fn drive(run: &mut Run<'_>, sharers: &[Sharer]) -> Result<Option<Vec<BootRecord>>, End> {
    let mut session = run.start(&VmRun::default())?;
    run.greet(&mut session)?;
    let fresh = run.boots.clone();
    let mut records = Vec::new();
    for Sharer { boot, .. } in sharers {
        run.boots.clone_from(&fresh);
        let exit = run.run_boot(&mut session, 1, boot)?;
        if !exit.is_success() {
            return Ok(None);
        }
        records.append(&mut run.boots);
    }
    run.power_off(&mut session)?;
    (run.host_time, _) = session.into_account();
    Ok(Some(records))
}

/// Cuts the console of a guest into one for each program: what was before the
/// first, what the program's time saw, and what was after the last. None if the
/// console does not have them all.
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

/// Returns where the lines begin that have a text in them.
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

/// Leaves what a run of the program alone would have left.
fn leave(spec: &VmSpec, sharer: &Sharer, transcript: &Transcript, part: &[u8]) -> io::Result<()> {
    let alone = VmSpec {
        artifacts: sharer.artifacts.clone(),
        ..spec.clone()
    };
    let job = VmRun {
        boots: vec![sharer.boot.clone()],
    };
    fs::create_dir_all(&sharer.artifacts)?;
    fs::write(sharer.artifacts.join("serial.log"), part)?;
    for name in ["channel.jsonl", "qemu.stderr"] {
        fs::copy(spec.artifacts.join(name), sharer.artifacts.join(name))?;
    }
    recipe::write(&alone, &job)?;
    transcript.save(&sharer.artifacts)
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
    fn each_program_has_its_own_time_and_all_have_boot_and_end() {
        let console = [BOOT, ONE, BETWEEN, TWO, OFF].concat();
        let parts = parts(console.as_bytes(), 2).unwrap();
        let texts: Vec<String> = parts
            .into_iter()
            .map(|part| String::from_utf8(part).unwrap())
            .collect();
        // What came late belongs to whoever had the guest before.
        assert_eq!(texts[0], [BOOT, ONE, BETWEEN, OFF].concat());
        assert_eq!(texts[1], [BOOT, TWO, OFF].concat());
    }

    #[test]
    fn a_console_that_lacks_a_marker_is_not_cut() {
        let console = [BOOT, ONE, TWO, OFF].concat();
        assert!(parts(console.as_bytes(), 3).is_none());
        assert!(parts([BOOT, OFF].concat().as_bytes(), 1).is_none());
        assert!(parts(&console.as_bytes()[..console.len() - OFF.len() - 30], 2).is_none());
    }
}
