// SPDX-License-Identifier: MIT OR Apache-2.0
//! `new`: writes the skeleton of a catalogue, a scenario or a verb, which works as it is.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::process::quote;
use selftests::catalogue::MANIFEST;

use crate::cli::NewArgs;
use xtask::engine::program;
use xtask::engine::session::Session;
use xtask::exit::{Exit, bad_input};
use xtask::report;

const CATALOGUE: &str = "\
# SPDX-License-Identifier: MIT OR Apache-2.0
about: The subject of the tests, in a sentence.
# The known series that is tested without --series.
series: flb-refcount
machine: edu-pair
# The name of the folder in tools/testing/selftests.
kselftest: NAME
";
const SCENARIO: &str = "\
# SPDX-License-Identifier: MIT OR Apache-2.0
# yaml-language-server: $schema=../scenario.schema.json
name: NAME
title: The property under test, in one line
why: |
  The use case of the property, in a few sentences.
boots:
  - steps:
      - create_memfd: contents
        as: memory
      - read_file: memory
        contents: contents
        because: The reason for the expectation.
";
const VERB: &str = "
  - title: NAME
    about: The verbs of this group.
    verbs:
      - key: NAME
        about: reads the file at this path, and discards the contents.
        kind: path
        sentence: NAME {NAME}
        call: PREFIX_NAME(\"{NAME}\")
        examples:
          - |
            - NAME: /proc/version
";
const PROTOTYPE: &str = "int PREFIX_NAME(const char *path);";
const SOURCE: &str = "\
// SPDX-License-Identifier: GPL-2.0-only
#include \"kt_state.h\"
#include \"PREFIX.h\"
";
const FUNCTION: &str = "
/* Returns 0, or a negative errno. */
int PREFIX_NAME(const char *path)
{
	char text[4096];

	return kt_read_line(path, text, sizeof(text));
}
";

/// Writes the files and prints the next command.
pub(crate) fn run(args: &NewArgs, session: &Session) -> anyhow::Result<Exit> {
    let (written, next) = match args {
        NewArgs::Catalogue { folder } => catalogue(folder, session)?,
        NewArgs::Scenario { name } => scenario(name, session)?,
        NewArgs::Verb { name } => verb(name, session)?,
    };
    for path in written {
        report::to_stdout(&format!("written: {path}"))?;
    }
    report::to_stdout(&format!("next: {} {next}", program::name()))?;
    Ok(Exit::Ok)
}

/// Refuses a name that could not become a part of a path or of C code.
fn check_name(name: &str, joint: char) -> anyhow::Result<()> {
    let is_word = |word: &str| {
        let mut chars = word.chars();
        !word.is_empty() && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if name.split(joint).all(is_word) && name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(bad_input(
        format!("invalid name `{name}`"),
        format!("use lower-case words and digits with `{joint}` between them"),
    ))
}

/// The written files, and the words of the next command.
type Written = (Vec<Utf8PathBuf>, String);

fn catalogue(folder: &Utf8Path, session: &Session) -> anyhow::Result<Written> {
    if folder.exists() {
        return Err(bad_input(format!("`{folder}` exists"), "give a new folder"));
    }
    let name = folder.file_name().unwrap_or_default().replace('-', "_");
    check_name(&name, '_')?;
    let manifest = folder.join(MANIFEST);
    let first = folder.join("scenarios/first.yaml");
    fs::create_dir_all(folder.join("scenarios"))?;
    fs::write(&manifest, CATALOGUE.replace("NAME", &name))?;
    fs::write(&first, SCENARIO.replace("NAME", "first"))?;
    let written = [manifest, first];
    checked(&folder.canonicalize_utf8()?, &written, session)?;
    let next = format!("--catalogue {} test first", quote(folder.as_str()));
    Ok((written.into(), next))
}

fn scenario(name: &str, session: &Session) -> anyhow::Result<Written> {
    check_name(name, '-')?;
    let folder = own_catalogue(session)?;
    let path = folder.join("scenarios").join(format!("{name}.yaml"));
    if path.exists() {
        return Err(bad_input(format!("`{path}` exists"), "give a new name"));
    }
    fs::write(&path, SCENARIO.replace("NAME", name))?;
    let written = [path];
    checked(&folder, &written, session)?;
    Ok((written.into(), format!("{}test {name}", option(session))))
}

fn verb(name: &str, session: &Session) -> anyhow::Result<Written> {
    check_name(name, '_')?;
    let folder = own_catalogue(session)?;
    let manifest = session.manifest()?;
    let prefix = manifest.kselftest();
    let lib = folder.join("lib");
    let written = [
        folder.join("verbs.yaml"),
        lib.join(format!("{prefix}.h")),
        lib.join(format!("{prefix}.c")),
    ];
    let fill = |text: &str| text.replace("NAME", name).replace("PREFIX", prefix);
    let before = written.each_ref().map(|path| fs::read_to_string(path).ok());
    let guard = prefix.to_uppercase() + "_H";
    let end = format!("#endif /* {guard} */");
    let new = [
        "# SPDX-License-Identifier: MIT OR Apache-2.0\ngroups:\n".to_owned(),
        format!(
            "/* SPDX-License-Identifier: GPL-2.0-only */\n#ifndef {guard}\n#define {guard}\n\n\
             #include \"kt_lib.h\"\n\n{end}\n"
        ),
        fill(SOURCE),
    ];
    let or_new = |(text, new): (&Option<String>, String)| text.clone().unwrap_or(new);
    let texts: Vec<String> = before.iter().zip(new).map(or_new).collect();
    let Some((header, _)) = texts[1].rsplit_once(&end) else {
        return Err(bad_input(
            format!("`{}` does not end with `{end}`", written[1]),
            "add the line",
        ));
    };
    fs::create_dir_all(&lib)?;
    fs::write(
        &written[0],
        format!("{}{}", texts[0], fill(VERB).trim_start_matches('\n')),
    )?;
    fs::write(
        &written[1],
        format!("{header}{}\n\n{end}\n", fill(PROTOTYPE)),
    )?;
    fs::write(&written[2], format!("{}{}", texts[2], fill(FUNCTION)))?;
    checked(&folder, &written, session).inspect_err(|_| {
        for (path, before) in written.iter().zip(&before) {
            let _ = before.as_ref().map(|text| fs::write(path, text));
        }
    })?;
    Ok((written.into(), format!("{}generate", option(session))))
}

/// Loads the catalogue with the new files, and deletes them if it is invalid.
fn checked(folder: &Utf8Path, files: &[Utf8PathBuf], session: &Session) -> anyhow::Result<()> {
    let session = Session {
        layout: session.layout.clone().with_catalogue(folder)?,
        ..session.clone()
    };
    let loaded = session
        .catalogue()
        .and_then(|one| Ok(one.scenario_files()?));
    loaded.map(|_| ()).inspect_err(|_| {
        for file in files {
            let _ = fs::remove_file(file);
        }
    })
}

/// Returns the folder of the catalogue, if the user may edit it.
fn own_catalogue(session: &Session) -> anyhow::Result<Utf8PathBuf> {
    match session.layout.owns_catalogue() {
        true => Ok(session.layout.catalogue()),
        false => Err(bad_input(
            "the built-in catalogue cannot be edited",
            "name a catalogue of yours with `--catalogue DIR`; `new catalogue DIR` writes one",
        )),
    }
}

/// Returns the option that selects the same catalogue, with a trailing blank.
fn option(session: &Session) -> String {
    let words = session.layout.data_options();
    words
        .iter()
        .map(|word| format!("{} ", quote(word)))
        .collect()
}
