// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of output formats, and their options. A new format is a module with a function
//! that renders a report, and an entry of [`Format`].

use clap::{Args, ValueEnum};

use super::comparison::Comparison;
use super::input::Report;
use super::table::{self, Look};
use super::{b4, changes, github, html, junit, kcidb, lore};

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

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

/// Renders a report.
type Render = fn(&Report<'_>, &ShowArgs) -> anyhow::Result<String>;

impl Format {
    /// Returns the name of the format's file in the run folder, if it has one, and the
    /// function that renders it.
    fn entry(self) -> (Option<&'static str>, Render) {
        match self {
            Self::Table => (None, |report, show| {
                Ok(table::text(report, Look::of_terminal(show.all_rows)))
            }),
            Self::Json => (None, |report, _| {
                Ok(serde_json::to_string_pretty(report.result)? + "\n")
            }),
            Self::Junit => (Some("junit.xml"), |report, _| Ok(junit::text(report)?)),
            Self::Kcidb => (Some("kcidb.json"), |report, show| {
                Ok(kcidb::text(report, &show.origin))
            }),
            Self::Lore => (Some("lore.txt"), |report, _| Ok(lore::text(report))),
            Self::Github => (Some("github.md"), |report, _| Ok(github::summary(report))),
            Self::Html => (Some(html::FILE_NAME), |report, _| {
                Ok(html::text(report.result, report.against, &report.evidence))
            }),
            Self::B4 => (Some("b4.json"), |report, _| Ok(b4::series(report))),
        }
    }

    /// Returns the name of the format's file in the run folder, if it has one.
    pub fn file_name(self) -> Option<&'static str> {
        self.entry().0
    }

    /// Returns a run in this format.
    ///
    /// # Errors
    /// When it cannot be converted to the format.
    pub fn render(self, report: &Report<'_>, show: &ShowArgs) -> anyhow::Result<String> {
        (self.entry().1)(report, show)
    }

    /// Returns the changes since an earlier run, whose name is `before`; `None` if the format
    /// cannot express them.
    ///
    /// # Errors
    /// When they cannot be converted to the format.
    pub fn compare(self, comparison: &Comparison, before: &str) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Json => Some(serde_json::to_string_pretty(comparison)? + "\n"),
            Self::Table => Some(changes::text(comparison, before)),
            _ => None,
        })
    }
}
