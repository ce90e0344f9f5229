// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens the HTML report of a run in a browser. Its script must run and count the rows of the
//! table, and no script from the output of a guest may run.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::process::Tool;

use xtask::engine::session::Session;
use xtask::exit::Exit;
use xtask::report::evidence::Evidence;
use xtask::report::html;

use super::Ci;
use super::account::Outcome;

/// The names of the browser's program.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const LIMIT: Duration = Duration::from_secs(180);
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

/// Opens the report of the run of the matrix, with injected scripts.
pub(super) fn check(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let Some(browser) = BROWSERS.iter().find(|name| which::which(name).is_ok()) else {
        return Ok(Outcome::Skipped("chromium is not installed".to_owned()));
    };
    let Some(folder) = ci.run_folder() else {
        return Ok(Outcome::Skipped("there is no run of the matrix".to_owned()));
    };
    let mut result = folder.result()?;
    for job in result.jobs.iter_mut().take(2) {
        INJECTED.clone_into(&mut job.reason);
    }
    let evidence = Evidence::gather(&result, &folder, folder.path().as_str(), INJECTED, &[]);
    let place = tempfile::tempdir()?;
    let root = Utf8Path::from_path(place.path())
        .ok_or_else(|| anyhow::anyhow!("the folder for temporary files is not UTF-8"))?;
    let report = root.join(html::FILE_NAME);
    fs::write(&report, html::text(&result, None, &evidence))?;
    let dom = open(browser, &report, root, ci.session)?;
    let names: BTreeSet<&str> = result.jobs.iter().map(|job| job.test.as_str()).collect();
    Ok(outcome(&dom, names.len()))
}

/// Returns the document after its script has run.
fn open(
    browser: &str,
    report: &Utf8Path,
    root: &Utf8Path,
    session: &Session,
) -> anyhow::Result<String> {
    let mut tool = Tool::new(browser)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", root.join("browser")));
    if rustix::process::geteuid().is_root() {
        // Chromium does not run as root otherwise.
        tool = tool.arg("--no-sandbox");
    }
    let output = tool
        .arg(format!("file://{report}"))
        .deadline("browser", LIMIT)
        .run(&session.cancel)?;
    Ok(output.stdout_text())
}

fn outcome(dom: &str, scenarios: usize) -> Outcome {
    let body = dom.split("<body").nth(1).unwrap_or_default();
    let body = body.split('>').next().unwrap_or_default();
    let failed = |why: String| Outcome::Failed(why, Exit::Finding);
    if body.contains("data-injected") {
        return failed("a script from the output of a job ran".to_owned());
    }
    if !body.contains(&format!("data-rows=\"{scenarios}\"")) {
        return failed(format!(
            "the report's script did not count {scenarios} scenarios: `{body}`"
        ));
    }
    Outcome::Passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_fails_without_the_row_count_and_with_an_injected_attribute() {
        let dom = |body: &str| format!("<html><body{body}>text</body>");
        assert_eq!(outcome(&dom(" data-rows=\"2\""), 2), Outcome::Passed);
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
