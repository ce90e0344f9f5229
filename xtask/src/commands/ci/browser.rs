// SPDX-License-Identifier: GPL-2.0-only
//! The page of a run in a real browser: that its script runs there and sees the table, and
//! that nothing runs which a guest smuggled in.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::process::Tool;

use crate::evidence::Evidence;
use crate::exit::Exit;
use crate::render::html;
use crate::session::Session;

use super::Ci;
use super::account::Came;

/// By what names the browser may be called that is asked.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const LIMIT: Duration = Duration::from_secs(180);
/// Nothing of it may reach the network, or another browser of the same user.
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
/// What would leave a mark on the page if any of it ran.
const SMUGGLED: &str = "</pre></script><script>document.body.dataset.smuggled = 1</script>\
    <img src=x onerror=\"document.body.dataset.smuggled = 1\">";

/// Opens the page of the run that the matrix left.
pub(super) fn check(ci: &Ci<'_>) -> anyhow::Result<Came> {
    let Some(browser) = BROWSERS.iter().find(|name| which::which(name).is_ok()) else {
        return Ok(Came::Skipped(
            "no chromium here to open the page in".to_owned(),
        ));
    };
    let Some(folder) = ci.run_folder() else {
        return Ok(Came::Skipped("no page: the matrix left no run".to_owned()));
    };
    let mut result = folder.result()?;
    for job in result.jobs.iter_mut().take(2) {
        SMUGGLED.clone_into(&mut job.reason);
    }
    let evidence = Evidence::gather(&result, &folder, folder.path().as_str(), SMUGGLED, &[]);
    let place = tempfile::tempdir()?;
    let root = Utf8Path::from_path(place.path())
        .ok_or_else(|| anyhow::anyhow!("the folder for temporary files is not UTF-8"))?;
    let page = root.join(html::FILE_NAME);
    fs::write(&page, html::page(&result, None, &evidence))?;
    let shown = open(browser, &page, root, ci.session)?;
    let names: BTreeSet<&str> = result.jobs.iter().map(|job| job.test.as_str()).collect();
    Ok(verdict(&shown, names.len()))
}

/// Returns the page as it is when its script has run.
fn open(
    browser: &str,
    page: &Utf8Path,
    root: &Utf8Path,
    session: &Session,
) -> anyhow::Result<String> {
    let mut tool = Tool::new(browser)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", root.join("config")));
    if rustix::process::geteuid().is_root() {
        // It refuses to be root's otherwise; what it opens here is ours.
        tool = tool.arg("--no-sandbox");
    }
    let output = tool
        .arg(format!("file://{page}"))
        .deadline("browser", LIMIT)
        .run(&session.cancel)?;
    Ok(output.stdout_text())
}

fn verdict(shown: &str, scenarios: usize) -> Came {
    let body = shown.split("<body").nth(1).unwrap_or_default();
    let body = body.split('>').next().unwrap_or_default();
    let failed = |why: String| Came::Failed(why, Exit::Finding);
    if body.contains("data-smuggled") {
        return failed("a script ran that came from a job".to_owned());
    }
    if !body.contains(&format!("data-rows=\"{scenarios}\"")) {
        return failed(format!(
            "the page's script should have counted {scenarios} scenarios, and left `{body}`"
        ));
    }
    Came::Passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_whose_own_script_ran_passes() {
        let page = |body: &str| format!("<html><body{body}>text</body>");
        assert_eq!(verdict(&page(" data-rows=\"2\""), 2), Came::Passed);
        for bad in [
            "",
            " data-rows=\"1\"",
            " data-rows=\"2\" data-smuggled=\"1\"",
        ] {
            let came = verdict(&page(bad), 2);
            assert!(matches!(came, Came::Failed(..)), "{bad}: {came:?}");
        }
        assert!(matches!(verdict("", 2), Came::Failed(..)));
    }
}
