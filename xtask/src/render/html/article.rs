// SPDX-License-Identifier: GPL-2.0-only
//! What the page tells of a scenario under a profile: each of its cells, and their
//! timelines side by side.

use std::collections::{BTreeMap, BTreeSet};

use super::pair::{self, Pair};
use super::sentence;
use crate::evidence::{CellEvidence, Evidence, Excerpt, SplatEvidence};
use crate::render::again;
use crate::result::{Blame, CellResult, RunResult, Verdict};

/// All cells' splats together, in bytes; findings come first.
const SPLATS_BYTES_MAX: usize = 2_000_000;
/// Of a splat that is beyond that, so many lines are shown.
const LINES_OF_LATER: usize = 12;
/// Of a difference from what is recorded, so many bytes are shown.
const DIFFERENCE_BYTES_MAX: usize = 8 * 1024;
/// Of a cell's repetitions, so many are told apart.
const REPETITIONS_MAX: usize = 60;

/// A scenario under a profile.
pub(super) struct Article {
    pub(super) id: String,
    pub(super) scenario: String,
    pub(super) profile: String,
    pub(super) title: String,
    pub(super) why: String,
    pub(super) is_finding: bool,
    pub(super) cells: Vec<CellView>,
    pub(super) timelines: Vec<Pair>,
}

/// A cell with all its repetitions.
pub(super) struct CellView {
    pub(super) id: String,
    pub(super) stack: String,
    /// How it is coloured.
    pub(super) class: &'static str,
    /// Its outcomes, each once.
    pub(super) outcomes: Vec<String>,
    /// The outcome, or how often there was which.
    pub(super) word: String,
    /// Whether that is as it should be.
    pub(super) mark: &'static str,
    pub(super) is_finding: bool,
    pub(super) reason: String,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) splats: Vec<SplatEvidence>,
    pub(super) splats_left_out: usize,
    pub(super) difference: Option<Excerpt>,
    pub(super) again: String,
    /// The link from the page to the cell's folder.
    pub(super) folder: String,
    pub(super) repetitions: Vec<Repetition>,
    pub(super) repetitions_left_out: usize,
}

/// One of several runs of a cell.
pub(super) struct Repetition {
    pub(super) number: u32,
    pub(super) outcome: String,
    pub(super) is_finding: bool,
    pub(super) took: String,
    pub(super) reason: String,
}

/// Returns the articles of a run: profiles in the order of the plan, scenarios by name.
pub(super) fn articles(result: &RunResult, evidence: &Evidence) -> Vec<Article> {
    let whole = shown_whole(result, evidence);
    let mut articles = Vec::new();
    for profile in distinct(result.cells.iter().map(|cell| cell.profile.as_str())) {
        let mut by_name: BTreeMap<&str, Vec<&CellResult>> = BTreeMap::new();
        for cell in result.cells.iter().filter(|cell| cell.profile == profile) {
            by_name.entry(&cell.scenario).or_default().push(cell);
        }
        for (scenario, cells) in by_name {
            articles.push(article(scenario, profile, &cells, evidence, &whole));
        }
    }
    articles
}

/// Returns each value once, in the order of its first appearance.
pub(super) fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    values.filter(|value| seen.insert(*value)).collect()
}

/// Returns the cells whose splats are shown as far as they were read.
fn shown_whole<'a>(result: &'a RunResult, evidence: &Evidence) -> BTreeSet<&'a str> {
    let mut cells: Vec<&CellResult> = result.cells.iter().collect();
    cells.sort_by_key(|cell| !cell.is_finding());
    let mut bytes = 0;
    let fits = |cell: &&CellResult| {
        let left = evidence.cells.get(&cell.artifacts);
        bytes += left.map_or(0, |left| left.splats.iter().map(size).sum());
        bytes <= SPLATS_BYTES_MAX
    };
    let whole = cells.into_iter().take_while(fits);
    whole.map(|cell| cell.artifacts.as_str()).collect()
}

fn size(splat: &SplatEvidence) -> usize {
    let shown = |place: &String| place.len() + "<i></i>".len();
    let lines = splat.lines.iter();
    lines
        .map(|line| line.text.len() + line.places.iter().map(shown).sum::<usize>())
        .sum()
}

fn article(
    scenario: &str,
    profile: &str,
    cells: &[&CellResult],
    evidence: &Evidence,
    whole: &BTreeSet<&str>,
) -> Article {
    let story = evidence.stories.get(scenario).cloned().unwrap_or_default();
    let stacks = distinct(cells.iter().map(|cell| cell.stack.as_str()));
    let of_stack = |stack: &str| -> Vec<&CellResult> {
        let cells = cells.iter().filter(|cell| cell.stack == stack);
        cells.copied().collect()
    };
    let told: Vec<(&str, &CellResult)> = stacks
        .iter()
        .filter_map(|stack| Some((*stack, telling(&of_stack(stack))?)))
        .collect();
    let timelines: Vec<(&str, &Excerpt)> = told
        .iter()
        .filter_map(|(stack, cell)| Some((*stack, &evidence.cells.get(&cell.artifacts)?.timeline)))
        .filter(|(_, timeline)| !timeline.text.is_empty())
        .collect();
    let views = told
        .iter()
        .map(|(stack, cell)| view(cell, &of_stack(stack), evidence, whole));
    Article {
        id: id(&[profile, scenario]),
        scenario: scenario.to_owned(),
        profile: profile.to_owned(),
        title: sentence(&story.title),
        why: sentence(&story.why),
        is_finding: cells.iter().any(|cell| cell.is_finding()),
        timelines: pair::pairs(&timelines),
        cells: views.collect(),
    }
}

/// Returns the repetition that tells most: the first that a person should look at, else
/// the first that did not pass, else the first.
fn telling<'a>(cells: &[&'a CellResult]) -> Option<&'a CellResult> {
    let tells_less = |cell: &&&CellResult| (!cell.is_finding(), cell.outcome == "pass");
    cells.iter().min_by_key(tells_less).copied()
}

fn view(
    cell: &CellResult,
    all: &[&CellResult],
    evidence: &Evidence,
    whole: &BTreeSet<&str>,
) -> CellView {
    let nothing = CellEvidence::default();
    let left = evidence.cells.get(&cell.artifacts).unwrap_or(&nothing);
    let mut splats = left.splats.clone();
    if !whole.contains(cell.artifacts.as_str()) {
        splats.iter_mut().for_each(shorten);
    }
    let (class, mark) = mark(all);
    let repetitions = if all.len() > 1 { all } else { &[] };
    CellView {
        id: cell_id(&cell.profile, &cell.scenario, &cell.stack),
        stack: cell.stack.clone(),
        class,
        outcomes: distinct(all.iter().map(|cell| cell.outcome.as_str()))
            .into_iter()
            .map(str::to_owned)
            .collect(),
        word: word(all),
        mark,
        is_finding: all.iter().any(|cell| cell.is_finding()),
        reason: sentence(&cell.reason),
        facts: facts(cell),
        splats,
        splats_left_out: left.splats_left_out,
        difference: cell
            .snapshot_difference
            .as_ref()
            .map(|difference| Excerpt::of(difference, DIFFERENCE_BYTES_MAX)),
        again: again::of_cell(cell, &evidence.again),
        folder: beside(&cell.artifacts),
        repetitions: repetitions
            .iter()
            .take(REPETITIONS_MAX)
            .map(|cell| repetition(cell))
            .collect(),
        repetitions_left_out: repetitions.len().saturating_sub(REPETITIONS_MAX),
    }
}

fn shorten(splat: &mut SplatEvidence) {
    let more = splat.lines.len().saturating_sub(LINES_OF_LATER);
    splat.lines.truncate(LINES_OF_LATER);
    splat.lines_left_out += more;
}

fn repetition(cell: &CellResult) -> Repetition {
    Repetition {
        number: cell.repetition,
        outcome: cell.outcome.clone(),
        is_finding: cell.is_finding(),
        took: time(cell.duration_ms),
        reason: sentence(&cell.reason),
    }
}

/// Returns how a place is coloured, and the words that say the same.
fn mark(cells: &[&CellResult]) -> (&'static str, &'static str) {
    let any = |test: &dyn Fn(&CellResult) -> bool| cells.iter().any(|cell| test(cell));
    if any(&|cell| cell.verdict == Verdict::Unexpected && cell.outcome != "error") {
        ("bad", "UNEXPECTED")
    } else if any(&|cell| cell.outcome == "error") {
        ("open", "NO VERDICT")
    } else if any(&|cell| cell.snapshot_difference.is_some()) {
        ("changed", "CHANGED")
    } else if any(&|cell| cell.expected == "fail") {
        ("due", "as expected")
    } else if any(&|cell| cell.expected == "either" && cell.outcome != "pass") {
        ("due", "mid-series")
    } else if any(&|cell| cell.outcome == "skip") {
        ("skip", "")
    } else {
        ("good", "")
    }
}

/// Returns the outcome, or of repetitions that differ how often there was which.
fn word(cells: &[&CellResult]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in cells {
        *counts.entry(&cell.outcome).or_default() += 1;
    }
    let total = cells.len();
    let rates = counts.iter().map(|(outcome, count)| match total {
        1 => (*outcome).to_owned(),
        _ => format!("{outcome} {count}/{total}"),
    });
    rates.collect::<Vec<_>>().join(", ")
}

fn facts(cell: &CellResult) -> Vec<(&'static str, String)> {
    let mut facts = vec![("expected", cell.expected.clone())];
    if let Some(blame) = cell.blame {
        let whose = match blame {
            Blame::Kernel => "the kernel's",
            Blame::Test => "the test's",
            Blame::Tool => "this tool's",
            Blame::Host => "the host's",
        };
        facts.push(("fault", whose.to_owned()));
    }
    facts.push(("took", time(cell.duration_ms)));
    if !cell.start.is_empty() {
        let how = match cell.start.as_str() {
            "template" => "from a saved boot",
            "boot" => "booted",
            _ => "booted, since the saved boot failed",
        };
        facts.push((
            "began",
            format!("{how}, ready after {}", time(cell.boot_ms)),
        ));
    }
    let by = match cell.accel.as_str() {
        "" => "",
        "kvm" => " under KVM",
        _ => " under emulation",
    };
    let shared = if cell.shared {
        ", guest shared with other cells"
    } else {
        ""
    };
    facts.push(("machine", format!("{}{by}{shared}", cell.machine)));
    if let Some(kept) = &cell.kept {
        facts.push(("kept from", format!("{} at {}", kept.run, kept.at)));
    }
    facts
}

/// Returns a time for people.
pub(super) fn time(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        _ => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
    }
}

/// Returns the id of a cell on the page.
pub(super) fn cell_id(profile: &str, scenario: &str, stack: &str) -> String {
    id(&[profile, scenario, stack])
}

/// Returns the link to a folder beside the page. It begins with a dot, so that it is never
/// taken for the address of something else.
fn beside(path: &str) -> String {
    let mut link = "./".to_owned();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                link.push(char::from(byte));
            }
            other => link += &format!("%{other:02X}"),
        }
    }
    link.push('/');
    link
}

/// Returns an id that stands for these names and no others, and has no letter that means
/// something in a link.
fn id(names: &[&str]) -> String {
    let mut id = "c".to_owned();
    for name in names {
        id.push('/');
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' => {
                    id.push(char::from(byte));
                }
                other => id += &format!("~{other:02x}"),
            }
        }
    }
    id
}
