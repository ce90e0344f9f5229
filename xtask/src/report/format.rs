// SPDX-License-Identifier: MIT OR Apache-2.0
//! The output formats and their options.

use clap::{Args, ValueEnum};

/// The name of the CI system that is reported by default.
const DEFAULT_ORIGIN: &str = "patchbed";

/// How to print the results of a run.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// Output formats, separated by commas. A single format is printed to standard output;
    /// with several, the table is printed. Formats other than table and json are also
    /// written to the run folder
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "table"
    )]
    pub format: Vec<Format>,

    /// Print all rows and all findings of the table
    #[arg(long)]
    pub all_rows: bool,

    /// Name of the CI system in reports to KCIDB
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ORIGIN, value_parser = origin)]
    pub origin: String,
}

impl Default for ShowArgs {
    fn default() -> Self {
        Self {
            format: vec![Format::Table],
            all_rows: false,
            origin: DEFAULT_ORIGIN.to_owned(),
        }
    }
}

/// Checks a name by the schema of KCIDB.
fn origin(text: &str) -> Result<String, String> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("use lower-case letters, digits and `_`".to_owned())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
/// An output format.
pub enum Format {
    /// The result of each scenario on each checkout, and the findings
    Table,
    /// result.json, which is always written; its schema is xtask/result.schema.json
    Json,
    /// junit.xml for CI systems; an expected failure is a passed test case
    Junit,
    /// kcidb.json for KCIDB; an expected failure is reported as a failure
    Kcidb,
    /// lore.txt, a reply to the mailing list, to be checked and sent by a person
    Lore,
    /// github.md, the summary of a GitHub Actions step; in a workflow also annotations
    Github,
    /// report.html, the HTML report; the table is printed
    Html,
    /// b4.json, the result of a check command for `b4 review`; see `b4-check`
    B4,
}

impl Format {
    /// Returns the name of the format's file in the run folder, if it has one.
    pub const fn file_name(self) -> Option<&'static str> {
        match self {
            Self::Table | Self::Json => None,
            Self::Junit => Some("junit.xml"),
            Self::Kcidb => Some("kcidb.json"),
            Self::Lore => Some("lore.txt"),
            Self::Github => Some("github.md"),
            Self::Html => Some(crate::report::html::FILE_NAME),
            Self::B4 => Some("b4.json"),
        }
    }
}
