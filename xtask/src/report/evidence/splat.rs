// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses a job's `splats.txt`: for each kernel report a heading, then the indented lines of
//! the log. A line without indentation is a heading, even if it has no class.

/// At most this many splats of a job are read.
const SPLATS_MAX: usize = 12;
/// At most this many lines of a splat are read: a report of lockdep may have hundreds.
const LINES_MAX: usize = 160;
/// At most this many bytes of a line are read.
const LINE_BYTES_MAX: usize = 400;

/// One report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplatEvidence {
    /// `WARN`, `KASAN` and so on.
    pub class: String,
    /// The number of the boot in the job, from 1; 0 if the heading does not have it.
    pub kernel: usize,
    pub(crate) title: String,
    pub(crate) lines: Vec<SplatLine>,
    /// The number of lines that are left out.
    pub lines_left_out: usize,
}

/// One line of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplatLine {
    pub(crate) text: String,
    /// Source lines of its frame, `FILE:LINE`, with the functions that were inlined:
    /// innermost first. Empty if it has no frame or the lines are not known.
    pub places: Vec<String>,
}

/// Beginnings of lines that hold registers or memory.
const STATE: [&str; 18] = [
    "Code: ", "RSP: ", "RAX: ", "RBX: ", "RCX: ", "RDX: ", "RSI: ", "RDI: ", "RBP: ", "R08: ",
    "R10: ", "R13: ", "FS: ", "CS: ", "CR2: ", "DR0: ", "DR3: ", "PKRU: ",
];

impl SplatLine {
    /// Returns whether the line holds registers; reports show it dimmed.
    pub(crate) fn is_state(&self) -> bool {
        let text = self.text.trim_start();
        STATE.iter().any(|begin| text.starts_with(begin))
    }
}

/// Returns the splats of a file, and the number of splats that are left out.
pub(crate) fn parse(text: &str) -> (Vec<SplatEvidence>, usize) {
    let mut splats: Vec<SplatEvidence> = Vec::new();
    let mut left_out = 0;
    for line in text.lines() {
        match line.strip_prefix("  ") {
            Some(line) if left_out == 0 && !splats.is_empty() => {
                let last = splats.len() - 1;
                add_line(&mut splats[last], line);
            }
            Some(_) if left_out > 0 => {}
            _ if splats.len() == SPLATS_MAX => left_out += 1,
            _ => splats.push(heading(line)),
        }
    }
    (splats, left_out)
}

fn add_line(splat: &mut SplatEvidence, line: &str) {
    if splat.lines.len() == LINES_MAX {
        splat.lines_left_out += 1;
        return;
    }
    let end = line.floor_char_boundary(LINE_BYTES_MAX);
    let rest = if end < line.len() { " ..." } else { "" };
    splat.lines.push(SplatLine {
        text: format!("{}{rest}", &line[..end]),
        places: Vec::new(),
    });
}

/// Reads `CLASS (kernel N): TITLE`.
fn heading(line: &str) -> SplatEvidence {
    let parts = line.split_once(" (kernel ").and_then(|(class, rest)| {
        let (kernel, title) = rest.split_once("): ")?;
        Some((class, kernel.parse().ok()?, title))
    });
    let (class, kernel, title) = parts.unwrap_or(("", 0, line));
    SplatEvidence {
        class: class.to_owned(),
        kernel,
        title: title.to_owned(),
        ..SplatEvidence::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_splits_headings_and_lines() {
        let (splats, more) = parse("WARN (kernel 2): WARNING in f\n  one\n   two\nodd\n");
        assert_eq!(more, 0);
        let [first, second] = &splats[..] else {
            panic!("{splats:?}")
        };
        assert_eq!((first.class.as_str(), first.kernel), ("WARN", 2));
        assert_eq!(first.title, "WARNING in f");
        let lines: Vec<&str> = first.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(lines, ["one", " two"]);
        assert_eq!((second.title.as_str(), second.kernel), ("odd", 0));
    }

    #[test]
    fn is_state_accepts_registers_but_not_frames() {
        let is_state = |text: &str| {
            let text = text.to_owned();
            SplatLine {
                text,
                places: Vec::new(),
            }
            .is_state()
        };
        assert!(is_state("RAX: ffffffff8e103f2c RBX: ffff9286c123e1c0"));
        assert!(is_state("CS:  0010 DS: 0000") && is_state("Code: 4d 8b"));
        assert!(!is_state("RIP: 0010:f+0xee/0x140") && !is_state(" f+0x1/0x2"));
    }

    #[test]
    fn parse_limits_splats_lines_and_bytes_and_counts_the_rest() {
        let long = format!(
            "{}{}\n",
            "  x\n".repeat(LINES_MAX + 3),
            "  ".to_owned() + &"y".repeat(999)
        );
        let (splats, more) = parse(&format!("W (kernel 1): t\n{long}").repeat(SPLATS_MAX + 2));
        assert_eq!((splats.len(), more), (SPLATS_MAX, 2));
        assert_eq!(splats[0].lines_left_out, 4);
        let (splats, _) = parse(&format!("W (kernel 1): t\n  {}", "ä".repeat(999)));
        assert!(splats[0].lines[0].text.len() <= LINE_BYTES_MAX + 4);
    }
}
