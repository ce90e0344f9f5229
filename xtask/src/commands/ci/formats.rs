// SPDX-License-Identifier: MIT OR Apache-2.0
//! Validates the output formats of a run with independent tools: a browser, a JUnit schema,
//! KCIDB's package, a validator of JSON schemas, and b4.
//!
//! The tools but the browser are installed from PyPI with pinned versions, into an environment
//! below `target`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use camino::Utf8PathBuf;
use fs_err as fs;
use kernel_patches::series::Series;
use patchbed_host::events::Activity;
use patchbed_host::files::missing_is_removed;
use patchbed_host::process::{Tool, quote};
use xtask::engine::judge::Analyses;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::exit::Exit;
use xtask::report;
use xtask::report::evidence::Evidence;
use xtask::report::format::{Format, ShowArgs};
use xtask::report::html;
use xtask::report::input::Report;
use xtask::result::RunResult;

use super::runner::{Ci, Outcome};

const NO_RUN: &str = "there is no run of the matrix";

/// Installs the tools but the browser.
const INSTALL: &str = include_str!("install.sh");
const INSTALL_LIMIT: Duration = Duration::from_secs(900);
const LIMIT: Duration = Duration::from_secs(600);

/// The names of the browser's program.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const BROWSER_LIMIT: Duration = Duration::from_secs(180);
/// Keep the browser off the network and separate from the user's browser.
const FLAGS: [&str; 9] = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
    "--dump-dom",
];
/// Sets an attribute of the body if a script in it runs.
const INJECTED: &str = "</pre></script><script>document.body.dataset.injected = 1</script>\
    <img src=x onerror=\"document.body.dataset.injected = 1\">";

/// Validates the formats of the run of the matrix. Skipped without Python, PyPI or a run.
pub(super) fn validate(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let session = ci.session;
    let Some(run) = ci.run_folder() else {
        return Outcome::skipped(NO_RUN);
    };
    let tools = match install(session) {
        Ok(tools) => tools,
        Err(why) => return Outcome::skipped(&format!("the tools cannot be installed: {why:#}")),
    };
    let result = run.result()?;
    let files = tempfile::tempdir()?;
    write_formats(&result, &run, files.path())?;
    let library = session.layout.series();
    let tested = Series::find(&result.series, &library).ok();
    let tested = tested.iter().find_map(|series| series.patches.first());
    let mail = tested.map(|first| library.join(&result.series).join(&first.origin));
    // Not by path, because an earlier step may have built another program there.
    let own = format!("/proc/{}/exe", std::process::id());
    let command = format!("{own} b4-check --run {}", quote(run.path().as_str()));
    let findings = Tool::new("sh")
        .arg("xtask/src/commands/ci/validate.sh")
        .args([tools.as_std_path(), files.path()])
        .args([command, report::b4::unknown()])
        .args(mail)
        .cwd(session.layout.checkout("ci")?)
        .env("PYTHONUTF8", "1")
        .deadline("validators", LIMIT)
        .run(&session.cancel)?
        .stdout_text();
    let findings: Vec<String> = findings.lines().map(str::to_owned).collect();
    Ok(Outcome::of(&findings))
}

/// Writes the files to validate.
fn write_formats(result: &RunResult, run: &RunFolder, place: &Path) -> anyhow::Result<()> {
    let again = run.plan()?.options();
    let report = Report::new(result, run.path().as_str(), &again);
    let show = ShowArgs {
        format: Vec::new(),
        all_rows: false,
        origin: "patchbed".to_owned(),
    };
    for (name, format) in [
        ("junit.xml", Format::Junit),
        ("kcidb.json", Format::Kcidb),
        ("result.json", Format::Json),
    ] {
        fs::write(place.join(name), format.render(&report, &show)?)?;
    }
    Ok(())
}

/// Installs the tools, unless these versions are installed, and returns their folder.
fn install(session: &Session) -> anyhow::Result<Utf8PathBuf> {
    let home = session.layout.state("formats")?;
    let ready = home.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|installed| installed == INSTALL) {
        return Ok(home);
    }
    missing_is_removed(fs::remove_dir_all(&home))?;
    fs::create_dir_all(&home)?;
    let label = "installing validators";
    let _activity = Activity::start(&*session.observer, label, None);
    let shell = Tool::new("sh").args(["-c", INSTALL]).cwd(home.clone());
    shell.deadline(label, INSTALL_LIMIT).run(&session.cancel)?;
    fs::write(ready, INSTALL)?;
    Ok(home)
}

/// Opens the HTML report of the run of the matrix in a browser. Its script must run and count
/// the rows of the table, and no script from the output of a guest may run.
pub(super) fn open_in_browser(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let Some(browser) = BROWSERS.iter().find(|name| which::which(name).is_ok()) else {
        return Outcome::skipped("chromium is not installed");
    };
    let Some(folder) = ci.run_folder() else {
        return Outcome::skipped(NO_RUN);
    };
    let mut result = folder.result()?;
    for job in result.jobs.iter_mut().take(2) {
        INJECTED.clone_into(&mut job.reason);
    }
    let analyses = Analyses::new(&folder, BTreeMap::new());
    let run = folder.path().as_str();
    let evidence = Evidence::gather(&result, &folder, &analyses, run, INJECTED, &[]);
    let place = tempfile::tempdir()?;
    let report = place.path().join(html::FILE_NAME);
    fs::write(&report, html::text(&result, None, &evidence))?;
    // Chromium does not run as root otherwise.
    let as_root = rustix::process::geteuid()
        .is_root()
        .then_some("--no-sandbox");
    // The document after its script has run.
    let dom = Tool::new(browser)
        .args(FLAGS)
        .args(as_root)
        .arg(format!(
            "--user-data-dir={}",
            place.path().join("browser").display()
        ))
        .arg(format!("file://{}", report.display()))
        .deadline("browser", BROWSER_LIMIT)
        .run(&ci.session.cancel)?
        .stdout_text();
    let names: BTreeSet<&str> = result.jobs.iter().map(|job| job.test.as_str()).collect();
    Ok(outcome(&dom, names.len()))
}

fn outcome(dom: &str, scenarios: usize) -> Outcome {
    let body = dom.split("<body").nth(1).unwrap_or_default();
    let body = body.split('>').next().unwrap_or_default();
    let failed = |why: String| Outcome::Failed(why, Exit::Finding);
    if body.contains("data-injected") {
        failed("a script from the output of a job ran".to_owned())
    } else if !body.contains(&format!("data-rows=\"{scenarios}\"")) {
        let why = format!("the report's script did not count {scenarios} scenarios: `{body}`");
        failed(why)
    } else {
        Outcome::Passed(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_fails_without_the_row_count_and_with_an_injected_attribute() {
        let dom = |body: &str| format!("<html><body{body}>text</body>");
        assert_eq!(
            outcome(&dom(" data-rows=\"2\""), 2),
            Outcome::Passed(String::new())
        );
        for bad in [
            "",
            " data-rows=\"1\"",
            " data-rows=\"2\" data-injected=\"1\"",
        ] {
            let outcome = outcome(&dom(bad), 2);
            assert!(matches!(outcome, Outcome::Failed(..)), "{bad}: {outcome:?}");
        }
        assert!(matches!(outcome("", 2), Outcome::Failed(..)));
    }
}
