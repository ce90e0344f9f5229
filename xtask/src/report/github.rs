// SPDX-License-Identifier: MIT OR Apache-2.0
//! GitHub: the summary of a step in Markdown, and annotations at the lines of scenarios.

use super::grid::{Entry, Grid, Row};
use super::input::Report;
use super::words::{self, Conclusion, name, outcome};
use crate::result::JobResult;
use crate::text::{head, markdown, markdown_block};

/// GitHub's limit for a summary is one MiB; in bytes.
const SUMMARY_BYTES_MAX: usize = 900 * 1024;
/// Limit for the details of one finding, in bytes.
const DETAILS_BYTES_MAX: usize = 16 * 1024;
/// GitHub shows at most this many annotations of a step.
const ANNOTATIONS_MAX: usize = 10;

/// Returns the summary.
pub fn summary(report: &Report<'_>) -> String {
    let result = report.result;
    let mut text = format!(
        "## patchbed: {}\n\n{}. {}.\n",
        Conclusion::of(result).label(),
        markdown(&words::subject(result, "; ")),
        words::summary(result),
    );
    if let Some(not_tested) = result.not_tested() {
        text += &format!("\n**{}**\n", markdown(not_tested));
    }
    for note in words::notes(result) {
        text += &format!("\nnote: {}\n", markdown(note));
    }
    text.extend(Grid::all(&report.matrix, false).iter().map(table));
    for sentence in words::patches(result) {
        text += &format!("\n- {}", markdown(sentence));
    }
    text.push('\n');
    let mut left = 0;
    for job in report.findings() {
        let finding = finding(report, job);
        if text.len() + finding.len() > SUMMARY_BYTES_MAX {
            left += 1;
            continue;
        }
        text += &finding;
    }
    if left > 0 {
        text += &format!("\n{left} more findings are omitted here\n");
    }
    text
}

fn table(grid: &Grid<'_>) -> String {
    let line = |columns: Vec<String>| format!("| {} |\n", columns.join(" | "));
    let mut heads = vec![format!("config {}", markdown(grid.config))];
    heads.extend(grid.checkouts.iter().map(|checkout| markdown(checkout)));
    let rule = " --- |".repeat(heads.len());
    let mut text = format!("\n{}|{rule}\n", line(heads));
    for row in &grid.rows {
        let mut columns = vec![label(row)];
        columns.extend(row.entries.iter().map(|one| entry(one.as_ref())));
        text += &line(columns);
    }
    text
}

fn label(row: &Row) -> String {
    match (row.name.as_str(), row.count) {
        ("", count) => format!("*{count} more tests*"),
        (name, 1) => markdown(name),
        (name, count) => format!("{} ({count})", markdown(name)),
    }
}

fn entry(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else {
        return String::new();
    };
    let text = format!("{} {}", markdown(&entry.status), entry.mark.word());
    match entry.mark.needs_attention() {
        true => format!("**{text}**"),
        false => text.trim_end().to_owned(),
    }
}

fn finding(report: &Report<'_>, job: &JobResult) -> String {
    let difference = job.snapshot_difference.as_deref().unwrap_or_default();
    let details = format!("{difference}\n{}", report.splats_of(job));
    let mut text = format!(
        "\n### {}: {}\n\n{}\n\n",
        markdown(&name(job)),
        markdown(&outcome(job)),
        markdown(&job.reason)
    );
    if !details.trim().is_empty() {
        text += &markdown_block(&head(details.trim(), DETAILS_BYTES_MAX));
        text.push('\n');
    }
    text + &markdown_block(&report.command(job))
}

/// Returns the annotations, a line for each finding; the last line counts findings that are
/// left out.
pub fn annotations(report: &Report<'_>) -> String {
    let not_tested = report.result.not_tested();
    let count = report.findings().count() + usize::from(not_tested.is_some());
    let room = if count > ANNOTATIONS_MAX {
        ANNOTATIONS_MAX - 1
    } else {
        count
    };
    let series = not_tested.map(|why| {
        let why = command_data(why);
        format!("::error title=patchbed: not tested::{why}\n")
    });
    let findings = report.findings().map(|job| annotation(report, job));
    let mut text: String = series.into_iter().chain(findings).take(room).collect();
    if count > room {
        let rest = format!("{} more findings are in the summary", count - room);
        text += &format!("::error title=patchbed::{}\n", command_data(&rest));
    }
    text
}

fn annotation(report: &Report<'_>, job: &JobResult) -> String {
    // A difference from the snapshot may be an intended change.
    let level = match job.expected {
        false => "error",
        true => "warning",
    };
    let title = command_property(&format!("{}: {}", name(job), outcome(job)));
    let place = report.places.get(&job.test);
    let place = place.map_or_else(String::new, |place| {
        format!(
            "file={},line={},",
            command_property(&place.file),
            place.line
        )
    });
    let message = format!("{}\n{}", job.reason, report.command(job));
    format!(
        "::{level} {place}title={title}::{}\n",
        command_data(&message)
    )
}

/// Returns the message of a command of GitHub's runner.
fn command_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Returns the value of a property of a command of GitHub's runner.
fn command_property(text: &str) -> String {
    command_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::input::Place;
    use crate::report::tests::{NOT_TESTED, hostile, not_tested, result};

    #[test]
    fn summary_and_annotations_report_a_series_that_is_not_in_the_kernels() {
        let result = not_tested();
        let report = Report::new(&result, "RUN", "");
        let text = summary(&report);
        assert!(text.starts_with("## patchbed: not tested\n"), "{text}");
        let line = format!("**{}**\n", markdown(NOT_TESTED));
        assert!(text.contains(&line), "{text}");
        assert!(!text.contains("changes no status"), "{text}");
        assert_eq!(
            annotations(&report),
            format!("::error title=patchbed: not tested::{NOT_TESTED}\n")
        );
    }

    #[test]
    fn summary_has_table_and_findings() {
        let result = result();
        insta::assert_snapshot!(summary(&Report::new(&result, "RUN", "")));
    }

    #[test]
    fn annotations_have_file_and_line_of_the_scenario() {
        let result = result();
        let mut report = Report::new(&result, "RUN", "");
        let file = "selftests/scenarios/kexec.yaml".to_owned();
        report
            .places
            .insert("kexec".to_owned(), Place { file, line: 4 });
        insta::assert_snapshot!(annotations(&report));
    }

    #[test]
    fn annotations_of_12_findings_count_the_rest_in_line_10() {
        let mut result = hostile();
        result.jobs = vec![result.jobs[0].clone(); 12];
        let text = annotations(&Report::new(&result, "RUN", ""));
        assert_eq!(text.lines().count(), 10);
        assert!(
            text.ends_with("::3 more findings are in the summary\n"),
            "{text}"
        );
    }

    #[test]
    fn hostile_text_contains_no_command_and_no_markup() {
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

    #[test]
    fn command_data_and_property_escape_separators() {
        assert_eq!(command_data("100%\r\n::x"), "100%25%0D%0A::x");
        assert_eq!(command_property("a:b,c\n"), "a%3Ab%2Cc%0A");
    }
}
