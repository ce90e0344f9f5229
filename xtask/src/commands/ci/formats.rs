// SPDX-License-Identifier: MIT OR Apache-2.0
//! Validates the output formats of a run with independent tools: a JUnit schema, KCIDB's
//! package, a validator of JSON schemas, and b4.
//!
//! The tools are installed from PyPI with pinned versions, into an environment below `target`.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use kernel_patches::series::Series;
use patchbed_host::events::Activity;
use patchbed_host::process::{Tool, quote};

use super::Ci;
use super::account::Outcome;
use xtask::engine::run_folder::RunFolder;
use xtask::engine::session::Session;
use xtask::report;
use xtask::report::format::{Format, ShowArgs};
use xtask::report::input::Report;
use xtask::result::RunResult;

const PACKAGES: [&str; 4] = [
    "b4==0.16.0",
    "check-jsonschema==0.39.0",
    "kcidb-io==141",
    "xmlschema==4.3.2",
];
/// Its source archive has the JUnit schema of Jenkins; its wheel does not.
const WITH_SCHEMA: &str = "pytest==9.2.0";
const SCHEMA: &str = "testing/example_scripts/junit-10.xsd";
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_secs(120);

/// KCIDB's package has no command that validates a file.
const KCIDB: &str = "\
import json, sys
from kcidb_io.schema import LATEST
LATEST.validate(json.load(open(sys.argv[1])))
";

/// Calls the check command through b4's own functions, as `b4 review` does, for a patch and
/// for its series, and compares the result of b4 with the output of the command.
const B4: &str = "\
import email, email.policy, json, shlex, subprocess, sys
from b4.review import checks
command, path, known, unknown = sys.argv[1:]
unknown = [{'url': '', **entry} for entry in json.loads(unknown)]
raw = open(path, 'rb').read()
mail = email.message_from_bytes(raw, policy=email.policy.default)
for check in (command, command + ' --whole'):
    if check == command:
        parsed = checks.run_perpatch_checks([('p', mail)], [check], '.')['p']
    else:
        parsed = checks.run_series_checks(('p', mail), [check], '.')
    output = subprocess.run(shlex.split(check), input=raw, stdout=subprocess.PIPE, check=True)
    output = [{'url': '', **entry} for entry in json.loads(output.stdout)]
    if parsed != output or [entry['tool'] for entry in output] != ['patchbed']:
        sys.exit(f'b4 parsed {parsed}, the command printed {output}')
    if (output == unknown) == (known == 'known'):
        sys.exit(f'wrong result for a patch that is {known}: {output}')
";

/// A patch of which there is no run.
const UNKNOWN_PATCH: &str = "\
From: A <a@example.org>
Message-ID: <unknown@example.org>
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

/// Validates the formats of the run of the matrix. Skipped without Python, PyPI or a run.
pub(super) fn validate(ci: &Ci<'_>) -> anyhow::Result<Outcome> {
    let session = ci.session;
    let Some(run) = ci.run_folder() else {
        return Ok(Outcome::Skipped("there is no run of the matrix".to_owned()));
    };
    let tools = match Tools::get(session) {
        Ok(tools) => tools,
        Err(why) => {
            let why = format!("the tools cannot be installed: {why:#}");
            return Ok(Outcome::Skipped(why));
        }
    };
    let result = run.result()?;
    let place = tempfile::tempdir()?;
    let place = Utf8PathBuf::try_from(place.path().to_owned())?;
    let files = Files::write(&result, &run, &place)?;
    let findings = tools
        .checks(&files, &run, &result, session)?
        .into_iter()
        .filter_map(|(name, tool)| {
            let tool = tool.deadline(name, LIMIT).env("PYTHONUTF8", "1");
            let why = tool.run(&session.cancel).err()?;
            Some(format!("{name}: {why}"))
        });
    Ok(Outcome::of(findings.collect()))
}

/// The files to validate.
struct Files {
    junit: Utf8PathBuf,
    kcidb: Utf8PathBuf,
    json: Utf8PathBuf,
    unknown_patch: Utf8PathBuf,
}

impl Files {
    fn write(result: &RunResult, run: &RunFolder, place: &Utf8Path) -> anyhow::Result<Self> {
        let plan = run.plan()?;
        let again = plan.options();
        let report = Report::new(result, run.path().as_str(), &again);
        let show = ShowArgs {
            format: Vec::new(),
            all_rows: false,
            origin: "patchbed".to_owned(),
        };
        let write = |name: &str, format: Format| {
            let path = place.join(name);
            fs::write(&path, report::text(&report, &show, format)?)?;
            anyhow::Ok(path)
        };
        let unknown_patch = place.join("unknown.eml");
        fs::write(&unknown_patch, UNKNOWN_PATCH)?;
        Ok(Self {
            junit: write("junit.xml", Format::Junit)?,
            kcidb: write("kcidb.json", Format::Kcidb)?,
            json: write("result.json", Format::Json)?,
            unknown_patch,
        })
    }
}

/// The installed tools.
struct Tools {
    /// The folder of the environment's programs.
    programs: Utf8PathBuf,
    /// The JUnit schema.
    schema: Utf8PathBuf,
}

impl Tools {
    /// Returns the tools, and installs them if these versions are not installed.
    fn get(session: &Session) -> anyhow::Result<Self> {
        let home = session.layout.state("formats")?;
        let tools = Self {
            programs: home.join("venv/bin"),
            schema: home.join("junit.xsd"),
        };
        let wanted = [&PACKAGES[..], &[WITH_SCHEMA]].concat().join("\n");
        let ready = home.join("ready");
        if fs::read_to_string(&ready).is_ok_and(|installed| installed == wanted) {
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
        let label = "installing validators";
        let _activity = Activity::start(&*session.observer, label, None);
        let run = |tool: Tool| tool.deadline(label, INSTALL_LIMIT).run(&session.cancel);
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

    /// Returns the commands to run, with their names.
    fn checks(
        &self,
        files: &Files,
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
            ("junit.xml", xml.arg(&self.schema).arg(&files.junit)),
            ("kcidb.json", python(KCIDB).arg(&files.kcidb)),
            ("result.json", json.arg(schema).arg(&files.json)),
        ];
        // Not by path, because an earlier step may have built another program there.
        let program = format!("/proc/{}/exe", std::process::id());
        let run = quote(run.path().as_str());
        let command = format!("{program} b4-check --run {run}");
        let unknown = report::b4::unknown();
        let b4 = |mail: &Utf8Path, known: &str| {
            python(B4)
                .args([command.as_str(), mail.as_str(), known, &unknown])
                .cwd(checkout)
        };
        checks.push(("b4, unknown patch", b4(&files.unknown_patch, "unknown")));
        let tested = Series::find(&result.series, &session.layout.series());
        let first = tested
            .ok()
            .and_then(|series| Some(series.patches.first()?.origin.clone()));
        if let Some(first) = first {
            let mail = session.layout.series().join(&result.series).join(first);
            checks.push(("b4, tested patch", b4(&mail, "known")));
        }
        Ok(checks)
    }
}
