// SPDX-License-Identifier: GPL-2.0-only
//! Shows what a run came to: which format is printed, and which become files.

use std::collections::BTreeMap;
use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::cache::hex;
use patchbed_host::files::read_plain;
use selftests::scenario::{Boot, Scenario, Step};

use crate::cli::{Format, ShowArgs};
use crate::commands::{generate, page};
use crate::comparison::Comparison;
use crate::exit::{Exit, exit_for};
use crate::plan::Plan;
use crate::render;
use crate::render::report::{Place, Report};
use crate::result::{JobResult, RunResult};
use crate::run_folder::RunFolder;
use crate::session::Session;

/// What a job's file of reports may have to be quoted, in bytes.
const SPLATS_BYTES_MAX: u64 = 1024 * 1024;

/// What comes of a list of formats.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outlet {
    /// Goes to standard output.
    printed: Format,
    /// Become files in the run folder.
    written: Vec<Format>,
}

impl Outlet {
    /// One format is what somebody wants to have piped; of several the table is printed.
    fn of(formats: &[Format]) -> Self {
        let mut distinct: Vec<Format> = Vec::new();
        for format in formats {
            if !distinct.contains(format) {
                distinct.push(*format);
            }
        }
        let printed = match distinct.as_slice() {
            // A page is for a browser.
            [one] if *one != Format::Html => *one,
            _ => Format::Table,
        };
        distinct.retain(|format| format.file_name().is_some());
        Self {
            printed,
            written: distinct,
        }
    }
}

/// Prints what a run came to, or what changed `against` an earlier one of that name, writes what is asked for beside it, and says where it is.
///
/// # Errors
/// When something cannot be printed or written.
pub(crate) fn run(
    result: &RunResult,
    against: Option<(&Comparison, &str)>,
    plan: &Plan,
    show: &ShowArgs,
    folder: &RunFolder,
    session: &Session,
) -> anyhow::Result<()> {
    let path = folder.path();
    let shown = session.layout.shown(path);
    let outlet = Outlet::of(&show.format);
    let workflow = Workflow::from_env();
    let for_github = outlet.written.contains(&Format::Github);
    let again = plan.options();
    let mut report = Report::new(result, shown.as_str(), &again);
    if !outlet.written.is_empty() {
        report.splats = splats(&result.jobs, path);
    }
    // An annotation is for a file of the repository that is checked out.
    if for_github && session.layout.is_of_checkout() {
        report.places = places(&generate::scenarios(session)?);
    }
    for format in &outlet.written {
        let Some(name) = format.file_name() else {
            continue;
        };
        let text = match format {
            Format::Html => page::text(&report, against, folder, session)?,
            _ => render::text(&report, show, *format)?,
        };
        match folder.write(name, &text) {
            Ok(()) => render::line_to_stderr(&format!("written: {shown}/{name}")),
            // What is printed is there all the same; somebody else's run is not ours to write.
            Err(why) if outlet.printed == *format && exit_for(&why) != Exit::Input => {
                render::line_to_stderr(&format!("not written: {why:#}"));
            }
            Err(why) => return Err(why),
        }
    }
    let compared = match against {
        Some((comparison, before)) => render::compared(comparison, before, outlet.printed)?,
        None => None,
    };
    let text = match compared {
        Some(text) => text,
        None => render::text(&report, show, outlet.printed)?,
    };
    let text = workflow.shield(text)?;
    match outlet.printed {
        Format::Table | Format::Html => render::to_stdout(&text)?,
        _ => render::data_to_stdout(&text)?,
    }
    if for_github {
        workflow.tell(&report)?;
    }
    render::line_to_stderr(&format!("run folder: {shown}"));
    Ok(())
}

/// The workflow of GitHub's that this runs in, as far as it does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Workflow {
    /// Whether somebody takes commands from what is printed.
    is_read: bool,
    /// The file that the summary of the step is appended to.
    summary: Option<Utf8PathBuf>,
}

impl Workflow {
    fn from_env() -> Self {
        let summary = std::env::var("GITHUB_STEP_SUMMARY").ok();
        Self {
            is_read: render::is_read_by_runner(),
            summary: summary
                .filter(|path| !path.is_empty())
                .map(Utf8PathBuf::from),
        }
    }

    /// Returns what to print so that no line of it is a command, whatever its format: what
    /// a guest said is in each. The files are as they are.
    fn shield(&self, text: String) -> anyhow::Result<String> {
        if !self.is_read {
            return Ok(text);
        }
        let mut token = [0; 16];
        rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())?;
        Ok(render::unread(&text, &hex(&token)))
    }

    /// Leaves the summary, and annotations at the lines of scenarios.
    fn tell(&self, report: &Report<'_>) -> anyhow::Result<()> {
        if let Some(path) = &self.summary {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)?;
            file.write_all(render::summary(report).as_bytes())?;
        }
        let annotations = render::annotations(report);
        if self.is_read && !annotations.is_empty() {
            render::to_stdout(&annotations)?;
        }
        Ok(())
    }
}

/// Returns where each scenario is written: the step that has fails_without_series, or its first.
fn places(scenarios: &[Scenario]) -> BTreeMap<String, Place> {
    let place = |scenario: &Scenario| {
        let steps: Vec<&Step> = scenario.boots.iter().flat_map(Boot::all_steps).collect();
        let step = steps
            .iter()
            .find(|step| step.fails_first)
            .or(steps.first())?;
        let place = Place {
            file: format!("selftests/scenarios/{}.yaml", scenario.scenario_file),
            line: step.place.line,
        };
        Some((scenario.name.clone(), place))
    };
    scenarios.iter().filter_map(place).collect()
}

/// Reads the reports of those jobs that did not pass; where a file is not there any
/// more, their titles have to do.
fn splats(jobs: &[JobResult], folder: &Utf8Path) -> BTreeMap<String, String> {
    let read = |job: &JobResult| {
        let path = folder.join(&job.artifacts).join("splats.txt");
        let bytes = read_plain(&path, SPLATS_BYTES_MAX).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some((job.artifacts.clone(), text))
    };
    let troubled = |job: &&JobResult| job.status != "pass" || job.is_finding();
    jobs.iter().filter(troubled).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_format_is_printed_and_of_several_the_table() {
        let outlet = |formats: &[Format]| {
            let outlet = Outlet::of(formats);
            (outlet.printed, outlet.written)
        };
        use Format::{Json, Junit, Kcidb, Table};
        assert_eq!(outlet(&[Table]), (Table, vec![]));
        assert_eq!(outlet(&[Json]), (Json, vec![]));
        assert_eq!(outlet(&[Junit]), (Junit, vec![Junit]));
        assert_eq!(outlet(&[Junit, Junit]), (Junit, vec![Junit]));
        assert_eq!(outlet(&[Junit, Kcidb]), (Table, vec![Junit, Kcidb]));
        assert_eq!(outlet(&[Table, Junit, Json]), (Table, vec![Junit]));
    }

    #[test]
    fn only_in_a_workflow_what_is_printed_is_shielded() {
        let workflow = |is_read| Workflow {
            is_read,
            summary: None,
        };
        let shield = |is_read| workflow(is_read).shield("::x::\n".to_owned());
        assert_eq!(shield(false).unwrap(), "::x::\n");
        let shielded = shield(true).unwrap();
        let lines: Vec<&str> = shielded.lines().collect();
        let token = lines[0].strip_prefix("::stop-commands::").unwrap();
        assert_eq!(lines[1..], ["::x::", &format!("::{token}::")]);
        assert_ne!(shield(true).unwrap(), shielded);
    }
}
