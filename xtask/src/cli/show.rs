// SPDX-License-Identifier: GPL-2.0-only
//! Arguments that say how to show what a run came to.

use clap::{Args, ValueEnum};

/// How to show what a run came to.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArgs {
    /// Formats, separated by commas. One is printed on standard output; of several, the
    /// table is. All but table and json are also files in the run folder
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "table"
    )]
    pub(crate) format: Vec<Format>,

    /// In the table, show every row and every finding
    #[arg(long)]
    pub(crate) all_rows: bool,

    /// Name of the CI system that reports to KCIDB
    #[arg(long, value_name = "NAME", default_value = "patchbed", value_parser = origin)]
    pub(crate) origin: String,
}

/// Refuses what is no name to KCIDB.
fn origin(text: &str) -> Result<String, String> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("use small letters, digits and `_`".to_owned())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Scenarios against checkouts, and what a person should look at
    Table,
    /// result.json, which is always written; its schema is xtask/result.schema.json
    Json,
    /// junit.xml, for CI systems; a failure that is as expected is a passing case
    Junit,
    /// kcidb.json, for dashboards of the kernel; failures are told as they are
    Kcidb,
    /// lore.txt, a reply to the mailing list that a person reads and sends
    Lore,
    /// github.md, the summary of a step; in a workflow also annotations
    Github,
    /// report.html, the whole run as one page for a browser; the table is printed
    Html,
    /// b4.json, what a check command tells `b4 review`; see `b4-check`
    B4,
}

impl Format {
    /// Returns the name of its file in the run folder, if it is written there when asked for.
    pub(crate) const fn file_name(self) -> Option<&'static str> {
        match self {
            Self::Table | Self::Json => None,
            Self::Junit => Some("junit.xml"),
            Self::Kcidb => Some("kcidb.json"),
            Self::Lore => Some("lore.txt"),
            Self::Github => Some("github.md"),
            Self::Html => Some(crate::render::html::FILE_NAME),
            Self::B4 => Some("b4.json"),
        }
    }
}
