// SPDX-License-Identifier: MIT OR Apache-2.0
//! `generate`: writes kselftests, JSON schemas and documents from scenarios and Rust types.

mod into;

use camino::Utf8PathBuf;
use fs_err as fs;
use patchbed_host::diff::{Side, unified};
use selftests::generate::{self, Difference};
use selftests::scenario::{self, Machines, ScenarioFile};
use vm_images::machine_file;

use crate::cli::GenerateArgs;
use xtask::engine::scenarios::scenario_files;
use xtask::engine::session::Session;
use xtask::exit::Exit;
use xtask::report;
use xtask::report::comparison;
use xtask::result;

/// Limit of the lines that are printed of each diff.
const LINES_SHOWN_MAX: usize = 60;

/// Writes the files, or prints how they differ.
pub(crate) fn run(args: &GenerateArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.into.is_none() {
        session.layout.checkout("generate")?;
    }
    if args.check {
        let differences = differences(session)?;
        if differences.is_empty() {
            report::to_stdout("generated files are up to date")?;
            return Ok(Exit::Ok);
        }
        report::to_stdout(&differences.join("\n"))?;
        return Ok(Exit::Finding);
    }
    let scenario_files = scenario_files(session)?;
    if let Some(tree) = &args.into {
        return into::run(tree, &scenario_files, session);
    }
    let folder = session.layout.generated().join(generate::FOLDER);
    for change in generate::write(&scenario_files, &folder)? {
        report::to_stdout(&format!("updated {folder}/{}", change.name))?;
    }
    for (path, text) in schemas_and_documents(session, &scenario_files)? {
        fs::write(path, text)?;
    }
    let variants: usize = scenario_files.iter().map(|file| file.variants.len()).sum();
    report::to_stdout(&format!(
        "{variants} scenarios from {} scenario files generated into {folder}",
        scenario_files.len()
    ))?;
    Ok(Exit::Ok)
}

/// Returns how the checked-in files differ from the generated text.
pub(crate) fn differences(session: &Session) -> anyhow::Result<Vec<String>> {
    let folder = session.layout.generated().join(generate::FOLDER);
    let scenario_files = scenario_files(session)?;
    let mut differences: Vec<String> = generate::check(&scenario_files, &folder)?
        .iter()
        .map(describe)
        .collect();
    for (path, text) in schemas_and_documents(session, &scenario_files)? {
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            differences.push(format!("`{path}` is not up to date"));
        }
    }
    if !differences.is_empty() {
        differences.push("hint: run `cargo xtask generate` and commit the result".to_owned());
    }
    Ok(differences)
}

fn describe(difference: &Difference) -> String {
    let name = &difference.name;
    match (&difference.found, &difference.expected) {
        (Some(found), Some(expected)) => {
            let side = |name, text| Side { name, text };
            let shown = unified(side("checked in", found), side("generated", expected), 2);
            let lines: Vec<&str> = shown.lines().take(LINES_SHOWN_MAX).collect();
            format!("`{name}` is not up to date:\n{}", lines.join("\n"))
        }
        (Some(_), None) => format!("`{name}` has no scenario"),
        (None, _) => format!("`{name}` is missing"),
    }
}

/// Returns the schemas and documents: their paths and their text.
fn schemas_and_documents(
    session: &Session,
    scenario_files: &[ScenarioFile],
) -> anyhow::Result<[(Utf8PathBuf, String); 6]> {
    let root = session.layout.checkout("generate")?;
    let machines = Machines::load(&session.layout.machines())?;
    let files = [
        ("selftests/scenario.schema.json", scenario::json_schema()),
        ("selftests/SCENARIOS.md", scenario::reference(&machines)),
        (
            "selftests/CATALOGUE.md",
            scenario::catalogue(scenario_files),
        ),
        ("vm-images/machine.schema.json", machine_file::json_schema()),
        ("xtask/result.schema.json", result::json_schema()),
        ("xtask/comparison.schema.json", comparison::json_schema()),
    ];
    Ok(files.map(|(path, text)| (root.join(path), text)))
}
