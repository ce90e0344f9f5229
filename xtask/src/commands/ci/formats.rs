// SPDX-License-Identifier: GPL-2.0-only
//! Has what a run is shown as validated by the tools of those who read it: a
//! schema of JUnit's, KCIDB's package, a validator of JSON schemas, and b4 itself.
//!
//! They come from PyPI, each with its version pinned, into an environment below `target`.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::series::Series;
use patchbed_host::events::Activity;
use patchbed_host::process::{Tool, quote};

use super::Ci;
use super::account::{Came, verdict};
use crate::cli::{Format, ShowArgs};
use crate::render;
use crate::render::report::Report;
use crate::result::RunResult;
use crate::run_folder::RunFolder;
use crate::session::Session;

const PACKAGES: [&str; 4] = [
    "b4==0.16.0",
    "check-jsonschema==0.39.0",
    "kcidb-io==141",
    "xmlschema==4.3.2",
];
/// Its sources, not its wheel, have the schema that Jenkins holds JUnit's files against.
const WITH_SCHEMA: &str = "pytest==9.2.0";
const SCHEMA: &str = "testing/example_scripts/junit-10.xsd";
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_secs(120);

/// KCIDB's package has no command of its own.
const KCIDB: &str = "\
import json, sys
from kcidb_io.schema import LATEST
LATEST.validate(json.load(open(sys.argv[1])))
";

/// Asks through b4's own functions, as `b4 review` does, for a patch and for its series,
/// and holds what b4 understood against what was said.
const B4: &str = "\
import email, email.policy, json, shlex, subprocess, sys
from b4.review import checks
command, path, known = sys.argv[1:]
raw = open(path, 'rb').read()
mail = email.message_from_bytes(raw, policy=email.policy.default)
for asked in (command, command + ' --whole'):
    if asked == command:
        understood = checks.run_perpatch_checks([('p', mail)], [asked], '.')['p']
    else:
        understood = checks.run_series_checks(('p', mail), [asked], '.')
    said = subprocess.run(shlex.split(asked), input=raw, stdout=subprocess.PIPE, check=True)
    said = [{'url': '', **one} for one in json.loads(said.stdout)]
    if understood != said or [one['tool'] for one in said] != ['patchbed']:
        sys.exit(f'b4 understood {understood}, and not {said}')
    if (said[0]['summary'] == 'not judged yet') == (known == 'known'):
        sys.exit(f'a patch that is {known} was answered {said}')
";

/// A patch that nobody judged.
const STRANGER: &str = "\
From: A <a@example.org>
Message-ID: <stranger@example.org>
Subject: [PATCH] a

why
---
diff --git a/f b/f
--- a/f
+++ b/f
@@ -1 +1 @@
-a
+b
";

/// Validates the run that the matrix left; without Python, PyPI or a run, says so.
pub(super) fn validate(ci: &Ci<'_>) -> anyhow::Result<Came> {
    let session = ci.session;
    let Some(run) = ci.run_folder() else {
        return Ok(Came::Skipped("no run: the matrix left none".to_owned()));
    };
    let tools = match Tools::get(session) {
        Ok(tools) => tools,
        Err(why) => return Ok(Came::Skipped(format!("no tools: {why:#}"))),
    };
    let result = run.result()?;
    let place = tempfile::tempdir()?;
    let place = Utf8PathBuf::try_from(place.path().to_owned())?;
    let shown = Shown::leave(&result, &run, &place)?;
    let reports = tools
        .checks(&shown, &run, &result, session)?
        .into_iter()
        .filter_map(|(what, tool)| {
            let tool = tool.deadline(what, LIMIT).env("PYTHONUTF8", "1");
            let why = tool.run(&session.cancel).err()?;
            Some(format!("{what}: {why}"))
        });
    Ok(verdict(reports.collect()))
}

/// A run as others read it, in files.
struct Shown {
    junit: Utf8PathBuf,
    kcidb: Utf8PathBuf,
    json: Utf8PathBuf,
    stranger: Utf8PathBuf,
}

impl Shown {
    fn leave(result: &RunResult, run: &RunFolder, place: &Utf8Path) -> anyhow::Result<Self> {
        let plan = run.plan()?;
        let again = plan.options();
        let report = Report::new(result, run.path().as_str(), &again);
        let show = ShowArgs {
            format: Vec::new(),
            all_rows: false,
            origin: "patchbed".to_owned(),
        };
        let leave = |name: &str, format: Format| {
            let path = place.join(name);
            fs::write(&path, render::text(&report, &show, format)?)?;
            anyhow::Ok(path)
        };
        let stranger = place.join("stranger.eml");
        fs::write(&stranger, STRANGER)?;
        Ok(Self {
            junit: leave("junit.xml", Format::Junit)?,
            kcidb: leave("kcidb.json", Format::Kcidb)?,
            json: leave("result.json", Format::Json)?,
            stranger,
        })
    }
}

/// The tools of others.
struct Tools {
    /// The programs of the environment.
    programs: Utf8PathBuf,
    /// The schema of JUnit's files.
    schema: Utf8PathBuf,
}

impl Tools {
    /// Returns them, fetched if they are not there in these versions.
    fn get(session: &Session) -> anyhow::Result<Self> {
        let home = session.layout.state("formats")?;
        let tools = Self {
            programs: home.join("venv/bin"),
            schema: home.join("junit.xsd"),
        };
        let wanted = [&PACKAGES[..], &[WITH_SCHEMA]].concat().join("\n");
        let ready = home.join("ready");
        if fs::read_to_string(&ready).is_ok_and(|there| there == wanted) {
            return Ok(tools);
        }
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        fs::create_dir_all(&home)?;
        tools.fetch(&home, session)?;
        fs::write(ready, wanted)?;
        Ok(tools)
    }

    fn fetch(&self, home: &Utf8Path, session: &Session) -> anyhow::Result<()> {
        let what = "fetching other people's validators";
        let _activity = Activity::start(&session.progress, what, None);
        let run = |tool: Tool| tool.deadline(what, INSTALL_LIMIT).run(&session.cancel);
        run(Tool::new("python3")
            .args(["-m", "venv"])
            .arg(home.join("venv")))?;
        let pip = |word: &str| {
            let words = ["-m", "pip", "--quiet", "--disable-pip-version-check", word];
            self.program("python").args(words)
        };
        run(pip("install").args(PACKAGES))?;
        let sources = ["--no-deps", "--no-binary", "pytest", "--dest"];
        run(pip("download").args(sources).arg(home).arg(WITH_SCHEMA))?;
        let name = WITH_SCHEMA.replace("==", "-");
        let tar = Tool::new("tar").arg("--extract").arg("--to-stdout");
        let archive = home.join(format!("{name}.tar.gz"));
        let schema = run(tar
            .arg("--file")
            .arg(&archive)
            .arg(format!("{name}/{SCHEMA}")))?;
        fs::write(&self.schema, schema.stdout)?;
        Ok(())
    }

    fn program(&self, name: &str) -> Tool {
        Tool::new(self.programs.join(name))
    }

    /// Returns what is to be run, each with what it is about.
    fn checks(
        &self,
        shown: &Shown,
        run: &RunFolder,
        result: &RunResult,
        session: &Session,
    ) -> anyhow::Result<Vec<(&'static str, Tool)>> {
        let python = |script: &str| self.program("python").args(["-c", script]);
        let xml = self.program("xmlschema-validate").arg("--schema");
        let json = self.program("check-jsonschema").arg("--schemafile");
        let checkout = session.layout.checkout("ci")?;
        let schema = checkout.join("xtask/result.schema.json");
        let mut checks = vec![
            ("junit.xml", xml.arg(&self.schema).arg(&shown.junit)),
            ("kcidb.json", python(KCIDB).arg(&shown.kcidb)),
            ("result.json", json.arg(schema).arg(&shown.json)),
        ];
        // By number, not by path: the tests before have put another build of us there.
        let ourselves = format!("/proc/{}/exe", std::process::id());
        let run = quote(run.path().as_str());
        let command = format!("{ourselves} b4-check --run {run}");
        let b4 = |mail: &Utf8Path, known: &str| {
            python(B4)
                .args([command.as_str(), mail.as_str(), known])
                .cwd(checkout)
        };
        checks.push(("b4, of a stranger", b4(&shown.stranger, "unknown")));
        let judged = Series::find(&result.series, &session.layout.series());
        let first = judged
            .ok()
            .and_then(|series| Some(series.patches.first()?.origin.clone()));
        if let Some(first) = first {
            let mail = session.layout.series().join(&result.series).join(first);
            checks.push(("b4, of a patch that was judged", b4(&mail, "known")));
        }
        Ok(checks)
    }
}
