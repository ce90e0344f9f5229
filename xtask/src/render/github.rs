// SPDX-License-Identifier: GPL-2.0-only
//! GitHub: the summary of a step in Markdown, and annotations at the scenarios' lines.
//!
//! Its runner takes commands from whatever a step prints, so that what a guest said
//! must not reach it as a line of its own.

use super::escape::{command_data, command_property, markdown, markdown_block};
use super::report::{Report, head, name, what_came};
use super::rows::{Entry, Grid, Mark, Row};
use crate::result::{CellResult, RunResult, Verdict};

/// A summary has a limit of one MiB, in bytes.
const SUMMARY_BYTES_MAX: usize = 900 * 1024;
/// Details of one finding, in bytes.
const DETAILS_BYTES_MAX: usize = 16 * 1024;
/// More annotations of a step are not shown.
const ANNOTATIONS_MAX: usize = 10;

/// Returns the summary.
pub(crate) fn summary(report: &Report<'_>) -> String {
    let result = report.result;
    let mut text = format!(
        "## patchbed: {}\n\n{} on {}",
        report.verdict(),
        markdown(&result.series),
        markdown(&result.tree)
    );
    if !result.prerequisites.is_empty() {
        text += &format!(
            ", every stack with {}",
            markdown(&result.prerequisites.join(", "))
        );
    }
    text += &format!(". {}\n", counts(result));
    for grid in Grid::all(&result.cells, false) {
        text += &table(&grid);
    }
    for patch in &result.patches {
        text += &format!("\n- {}", markdown(&patch.sentence));
    }
    text.push('\n');
    let mut left = 0;
    for cell in report.findings() {
        let finding = finding(report, cell);
        if text.len() + finding.len() > SUMMARY_BYTES_MAX {
            left += 1;
            continue;
        }
        text += &finding;
    }
    if left > 0 {
        text += &format!("\nand {left} more findings, for which there is no room here\n");
    }
    text
}

fn counts(result: &RunResult) -> String {
    let count =
        |test: &dyn Fn(&CellResult) -> bool| result.cells.iter().filter(|cell| test(cell)).count();
    let good = count(&|cell| !cell.is_finding() && !cell.is_skipped());
    let mut text = format!("{good} of {} verdicts as expected", result.cells.len());
    for (number, what) in [
        (count(&CellResult::is_skipped), "skipped"),
        (count(&CellResult::is_finding), "to look at"),
    ] {
        if number > 0 {
            text += &format!(", {number} {what}");
        }
    }
    text + "."
}

fn table(grid: &Grid<'_>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut heads = vec![format!("profile {}", markdown(grid.profile))];
    heads.extend(grid.stacks.iter().map(|stack| markdown(stack)));
    let mut text = format!(
        "\n{}|{}\n",
        line(heads.clone()),
        " --- |".repeat(heads.len())
    );
    for row in &grid.rows {
        let mut cells = vec![label(row)];
        cells.extend(row.entries.iter().map(place));
        text += &line(cells);
    }
    text
}

fn label(row: &Row) -> String {
    match (row.name.as_str(), row.count) {
        ("", count) => format!("*{count} more scenarios*"),
        (name, 1) => markdown(name),
        (name, count) => format!("{} ({count})", markdown(name)),
    }
}

fn place(entry: &Option<Entry>) -> String {
    let Some(entry) = entry else {
        return String::new();
    };
    match entry.mark {
        Mark::None => markdown(&entry.outcome),
        Mark::Between => format!("{} mid-series", markdown(&entry.outcome)),
        Mark::Due => format!("{} as expected", markdown(&entry.outcome)),
        Mark::Changed => format!("**{} CHANGED**", markdown(&entry.outcome)),
        Mark::Unexpected => format!("**{} UNEXPECTED**", markdown(&entry.outcome)),
    }
}

fn finding(report: &Report<'_>, cell: &CellResult) -> String {
    let difference = cell.snapshot_difference.as_deref().unwrap_or_default();
    let details = format!("{difference}\n{}", report.splats_of(cell));
    let mut text = format!(
        "\n### {}: {}\n\n{}\n\n",
        markdown(&name(cell)),
        markdown(&what_came(cell)),
        markdown(&cell.reason)
    );
    if !details.trim().is_empty() {
        text += &markdown_block(&head(details.trim(), DETAILS_BYTES_MAX));
        text.push('\n');
    }
    text + &markdown_block(&report.command(cell))
}

/// Returns the annotations, a line for each finding; those that are not shown are
/// counted in the last.
pub(crate) fn annotations(report: &Report<'_>) -> String {
    let count = report.findings().count();
    let room = if count > ANNOTATIONS_MAX {
        ANNOTATIONS_MAX - 1
    } else {
        count
    };
    let mut text: String = report
        .findings()
        .take(room)
        .map(|cell| annotation(report, cell))
        .collect();
    if count > room {
        let rest = format!("and {} more findings, see the summary", count - room);
        text += &format!("::error title=patchbed::{}\n", command_data(&rest));
    }
    text
}

fn annotation(report: &Report<'_>, cell: &CellResult) -> String {
    // What is not as recorded may be right; somebody has to look.
    let level = match cell.verdict {
        Verdict::Unexpected => "error",
        Verdict::Ok => "warning",
    };
    let title = command_property(&format!("{}: {}", name(cell), what_came(cell)));
    let place = report.places.get(&cell.scenario);
    let place = place.map_or_else(String::new, |place| {
        format!(
            "file={},line={},",
            command_property(&place.file),
            place.line
        )
    });
    let message = format!("{}\n{}", cell.reason, report.command(cell));
    format!(
        "::{level} {place}title={title}::{}\n",
        command_data(&message)
    )
}

/// Returns whether the runner takes commands from what is printed.
pub(crate) fn is_reading() -> bool {
    std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
}

/// Returns a text of which the runner takes no line for a command; to people it says the
/// same.
pub(super) fn without_commands(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace("##[", "# #[");
        let text = line.trim_start();
        match text.strip_prefix("::") {
            Some(rest) => format!("{}: :{rest}", &line[..line.len() - text.len()]),
            None => line,
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Returns a text between two commands that keep the runner from reading it; `token` is
/// what nobody who wrote the text could know.
pub(crate) fn unread(text: &str, token: &str) -> String {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("::stop-commands::{token}\n{text}{end}::{token}::\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::report::Place;
    use crate::render::tests::{hostile, result};

    #[test]
    fn no_line_of_a_text_is_a_command() {
        assert_eq!(without_commands("a::b::c\n\td\n"), "a::b::c\n\td\n");
        assert_eq!(
            without_commands("::error::x\n \t::stop-commands::y\nat ##[error]z"),
            ": :error::x\n \t: :stop-commands::y\nat # #[error]z"
        );
    }

    #[test]
    fn the_summary_of_a_step() {
        let result = result();
        insta::assert_snapshot!(summary(&Report::new(&result, "RUN", "")));
    }

    #[test]
    fn annotations_point_at_the_scenario() {
        let result = result();
        let mut report = Report::new(&result, "RUN", "");
        let file = "selftests/scenarios/kexec.yaml".to_owned();
        report
            .places
            .insert("kexec".to_owned(), Place { file, line: 4 });
        insta::assert_snapshot!(annotations(&report));
    }

    #[test]
    fn of_many_findings_the_last_line_counts_the_rest() {
        let mut result = hostile();
        result.cells = vec![result.cells[0].clone(); 12];
        let text = annotations(&Report::new(&result, "RUN", ""));
        assert_eq!(text.lines().count(), 10);
        assert!(
            text.ends_with("::and 3 more findings, see the summary\n"),
            "{text}"
        );
    }

    #[test]
    fn hostile_text_gives_no_command_and_no_markup() {
        let result = hostile();
        let report = Report::new(&result, "RUN", "");
        let commands = annotations(&report);
        assert_eq!(commands.lines().count(), 1, "{commands}");
        let summary = summary(&report);
        let plain: Vec<&str> = summary.split("```").step_by(2).collect();
        assert!(!plain.concat().contains("<b>"), "{summary}");
        let heads = plain.concat();
        let heads = heads.lines().filter(|line| line.starts_with("## "));
        assert_eq!(heads.count(), 1, "{summary}");
    }
}
