// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the result of a run and writes the requested formats to files.

use std::collections::BTreeMap;
use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::hex;
use selftests::scenario::{Boot, Scenario, Step};

use selftests::status::Status;
use xtask::engine::judge::Analyses;
use xtask::engine::plan::Plan;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::scenarios;
use xtask::engine::session::Session;
use xtask::exit::{Exit, exit_for};
use xtask::report;
use xtask::report::comparison::Comparison;
use xtask::report::evidence::Evidence;
use xtask::report::format::{Format, ShowArgs};
use xtask::report::input::{Place, Report};
use xtask::result::{JobResult, RunResult};

/// Size limit of the splats of a job to be included in reports, in bytes.
const SPLATS_BYTES_MAX: usize = 1024 * 1024;

/// The outputs that a list of formats selects.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outputs {
    /// The format on standard output.
    printed: Format,
    /// The formats of files in the run folder.
    written: Vec<Format>,
}

impl Outputs {
    /// A single format is printed, as it may be piped. With several formats the table is printed.
    fn of(formats: &[Format]) -> Self {
        let mut distinct: Vec<Format> = Vec::new();
        for format in formats {
            if !distinct.contains(format) {
                distinct.push(*format);
            }
        }
        let printed = match distinct.as_slice() {
            // HTML is only written to a file.
            [single] if *single != Format::Html => *single,
            _ => Format::Table,
        };
        distinct.retain(|format| format.file_name().is_some());
        Self {
            printed,
            written: distinct,
        }
    }
}

/// Prints the result of a run, or its differences from the earlier run in `against`, and the path
/// of the run folder. Writes the requested files to the run folder.
///
/// # Errors
/// When an output cannot be printed or written.
pub(crate) fn run(
    result: &RunResult,
    against: Option<(&Comparison, &str)>,
    plan: &Plan,
    show: &ShowArgs,
    (folder, analyses): (&RunFolder, &Analyses<'_>),
    session: &Session,
) -> anyhow::Result<()> {
    let path = folder.path();
    let shown = session.layout.shown(path);
    let outputs = Outputs::of(&show.format);
    let workflow = Workflow::from_env();
    let for_github = outputs.written.contains(&Format::Github);
    let again = plan.options();
    let mut report = Report::new(result, shown.as_str(), &again);
    report.against = against;
    if !outputs.written.is_empty() {
        report.splats = splats(&result.jobs, analyses);
    }
    // Annotations refer to files of the repository that is checked out.
    if for_github && session.layout.is_of_checkout() {
        let folder = session.layout.catalogue().join("scenarios");
        let folder = session.layout.shown(&folder);
        report.places = places(&scenarios::scenarios(session)?, folder);
    }
    if outputs.written.contains(&Format::Html) {
        let scenarios = scenarios::scenarios(session)?;
        report.evidence =
            Evidence::gather(result, folder, analyses, report.run, &again, &scenarios);
    }
    for format in &outputs.written {
        let Some(name) = format.file_name() else {
            continue;
        };
        let text = format.render(&report, show)?;
        match folder.write(name, &text) {
            Ok(()) => report::line_to_stderr(&format!("written: {shown}/{name}")),
            // The format is printed too, so a failed write is only a warning: the run folder may
            // belong to another user. A folder in place of the file is an error.
            Err(error) if outputs.printed == *format && exit_for(&error) != Exit::Input => {
                report::line_to_stderr(&format!("not written: {error:#}"));
            }
            Err(error) => return Err(error),
        }
    }
    let compared = match against {
        Some((comparison, before)) => outputs.printed.compare(comparison, before)?,
        None => None,
    };
    let text = match compared {
        Some(text) => text,
        None => outputs.printed.render(&report, show)?,
    };
    let text = workflow.disable_commands(text)?;
    match outputs.printed {
        Format::Table => report::to_stdout(&text)?,
        _ => report::data_to_stdout(&text)?,
    }
    if for_github {
        workflow.report(&report)?;
    }
    report::line_to_stderr(&format!("run folder: {shown}"));
    Ok(())
}

/// The GitHub workflow that the program runs in, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Workflow {
    /// Whether a runner interprets workflow commands on standard output.
    is_read: bool,
    /// The file of the step summary, which is appended to.
    summary: Option<Utf8PathBuf>,
}

impl Workflow {
    fn from_env() -> Self {
        let summary = std::env::var("GITHUB_STEP_SUMMARY").ok();
        Self {
            is_read: report::is_github_actions(),
            summary: summary
                .filter(|path| !path.is_empty())
                .map(Utf8PathBuf::from),
        }
    }

    /// Encloses a text in `::stop-commands::` if a runner reads it, because every format contains
    /// output of guests.
    fn disable_commands(&self, text: String) -> anyhow::Result<String> {
        if !self.is_read {
            return Ok(text);
        }
        let mut token = [0; 16];
        rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())?;
        Ok(report::with_commands_disabled(&text, &hex(&token)))
    }

    /// Writes the step summary and prints annotations at the lines of scenarios.
    fn report(&self, report: &Report<'_>) -> anyhow::Result<()> {
        if let Some(path) = &self.summary {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)?;
            file.write_all(report::summary(report).as_bytes())?;
        }
        let annotations = report::annotations(report);
        if self.is_read && !annotations.is_empty() {
            report::to_stdout(&annotations)?;
        }
        Ok(())
    }
}

/// Returns the position of each scenario: its first step with `fails_first`, else its
/// first step.
fn places(scenarios: &[Scenario], folder: &Utf8Path) -> BTreeMap<String, Place> {
    let place = |scenario: &Scenario| {
        let steps: Vec<&Step> = scenario.boots.iter().flat_map(Boot::all_steps).collect();
        let step = steps
            .iter()
            .find(|step| step.fails_first)
            .or(steps.first())?;
        let place = Place {
            file: format!("{folder}/{}.yaml", scenario.scenario_file),
            line: step.place.line,
        };
        Some((scenario.name.clone(), place))
    };
    scenarios.iter().filter_map(place).collect()
}

/// Reads the splats of jobs that did not pass. Without an analysis, reports contain only the
/// titles of splats.
fn splats(jobs: &[JobResult], analyses: &Analyses<'_>) -> BTreeMap<String, String> {
    let read = |job: &JobResult| {
        let text = analyses.of(job)?.splats_text();
        (text.len() <= SPLATS_BYTES_MAX).then(|| (job.artifacts.clone(), text))
    };
    let has_splats_shown = |job: &&JobResult| job.status != Status::Pass || job.needs_attention();
    jobs.iter()
        .filter(has_splats_shown)
        .filter_map(read)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_print_single_format_and_table_for_several() {
        let outputs = |formats: &[Format]| {
            let outputs = Outputs::of(formats);
            (outputs.printed, outputs.written)
        };
        use Format::{Json, Junit, Kcidb, Table};
        assert_eq!(outputs(&[Table]), (Table, vec![]));
        assert_eq!(outputs(&[Json]), (Json, vec![]));
        assert_eq!(outputs(&[Junit]), (Junit, vec![Junit]));
        assert_eq!(outputs(&[Junit, Junit]), (Junit, vec![Junit]));
        assert_eq!(outputs(&[Junit, Kcidb]), (Table, vec![Junit, Kcidb]));
        assert_eq!(outputs(&[Table, Junit, Json]), (Table, vec![Junit]));
    }

    #[test]
    fn disable_commands_encloses_text_only_in_workflow() {
        let workflow = |is_read| Workflow {
            is_read,
            summary: None,
        };
        let disable = |is_read| workflow(is_read).disable_commands("::x::\n".to_owned());
        assert_eq!(disable(false).unwrap(), "::x::\n");
        let enclosed = disable(true).unwrap();
        let lines: Vec<&str> = enclosed.lines().collect();
        let token = lines[0].strip_prefix("::stop-commands::").unwrap();
        assert_eq!(lines[1..], ["::x::", &format!("::{token}::")]);
        assert_ne!(disable(true).unwrap(), enclosed);
    }
}
