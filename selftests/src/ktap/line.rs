// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses one line of KTAP, independent of other lines.

use std::fmt;

use crate::text::clean;

/// Largest number of nested levels.
pub(super) const DEPTH_MAX: usize = 16;
/// Longer lines are cut, in bytes.
const LINE_BYTES_MAX: usize = 8192;

/// A parsed line.
#[derive(Debug)]
pub(super) struct KtapLine {
    /// The number of `# ` or two-space prefixes before the content.
    pub(super) depth: usize,
    /// The parsed content.
    pub(super) content: Content,
    /// The line as text.
    pub(super) raw: String,
}

#[derive(Debug)]
pub(super) enum Content {
    Empty,
    Version,
    Plan { count: u64, skip: Option<String> },
    Result(ResultLine),
    BailOut(String),
    Totals(Totals),
    Diagnostic(String),
}

#[derive(Debug)]
pub(super) struct ResultLine {
    pub(super) ok: bool,
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) directive: Option<Directive>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Directive {
    Skip(String),
    Xfail(String),
    Xpass,
    Timeout,
    Error,
}

/// The counters of a totals line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) pass: u64,
    pub(super) fail: u64,
    pub(super) xfail: u64,
    pub(super) xpass: u64,
    pub(super) skip: u64,
    pub(super) error: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pass,
            fail,
            xfail,
            xpass,
            skip,
            ..
        } = self;
        write!(
            f,
            "pass:{pass} fail:{fail} xfail:{xfail} xpass:{xpass} skip:{skip}"
        )
    }
}

/// Parses a line.
pub(super) fn parse(bytes: &[u8]) -> KtapLine {
    let raw = clean(bytes, LINE_BYTES_MAX);
    let mut depth = 0;
    let mut rest = raw.as_str();
    loop {
        if let Some(content) = structure(rest) {
            return KtapLine {
                depth,
                content,
                raw,
            };
        }
        match rest.strip_prefix("# ").or_else(|| rest.strip_prefix("  ")) {
            Some(inner) if depth < DEPTH_MAX => {
                rest = inner;
                depth += 1;
            }
            _ => break,
        }
    }
    let content = if raw.is_empty() {
        Content::Empty
    } else {
        Content::Diagnostic(raw.clone())
    };
    // Diagnostics of a level have one more `# ` than its results.
    let depth = match raw.starts_with('#') {
        true => depth.saturating_sub(1).min(1),
        false => 0,
    };
    KtapLine {
        depth,
        content,
        raw,
    }
}

/// Parses a line that is not a diagnostic.
fn structure(text: &str) -> Option<Content> {
    if text.starts_with("TAP version ") || text.starts_with("KTAP version ") {
        return Some(Content::Version);
    }
    if let Some(reason) = text.strip_prefix("Bail out!") {
        return Some(Content::BailOut(reason.trim().to_owned()));
    }
    if let Some(totals) = text.strip_prefix("# Totals: ") {
        return self::totals(totals).map(Content::Totals);
    }
    plan(text).or_else(|| result(text).map(Content::Result))
}

fn plan(text: &str) -> Option<Content> {
    let rest = text.strip_prefix("1..")?;
    let (count, rest) = number(rest)?;
    let skip = rest
        .trim()
        .strip_prefix("# SKIP")
        .map(|reason| reason.trim().to_owned());
    (rest.trim().is_empty() || skip.is_some()).then_some(Content::Plan { count, skip })
}

fn result(text: &str) -> Option<ResultLine> {
    let (ok, rest) = match text.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok")?),
    };
    let rest = if rest.is_empty() {
        rest
    } else {
        rest.strip_prefix(' ')?
    };
    let (number, rest) = number(rest)?;
    let rest = rest.trim_start().trim_start_matches("- ");
    let (name, directive) = match rest.strip_prefix("# ") {
        Some(data) => ("", directive(data)),
        None => rest
            .split_once(" # ")
            .map_or((rest, None), |(name, data)| (name, directive(data))),
    };
    // kselftest's skip helper prints the name after the directive.
    let name = match (&directive, name.trim()) {
        (Some(Directive::Skip(reason) | Directive::Xfail(reason)), "") => reason.clone(),
        (Some(Directive::Error), "") => rest.trim_start_matches("# error").trim().to_owned(),
        (_, name) => name.to_owned(),
    };
    Some(ResultLine {
        ok,
        number,
        name,
        directive,
    })
}

fn directive(data: &str) -> Option<Directive> {
    let (word, rest) = data.split_once(' ').unwrap_or((data, ""));
    let reason = rest.trim().to_owned();
    match word.to_ascii_uppercase().as_str() {
        "SKIP" => Some(Directive::Skip(reason)),
        "XFAIL" | "TODO" => Some(Directive::Xfail(reason)),
        "XPASS" => Some(Directive::Xpass),
        "TIMEOUT" => Some(Directive::Timeout),
        "ERROR" => Some(Directive::Error),
        _ => None,
    }
}

fn totals(text: &str) -> Option<Totals> {
    let mut totals = Totals::default();
    for pair in text.split_whitespace() {
        let (key, value) = pair.split_once(':')?;
        let value = value.parse().ok()?;
        match key {
            "pass" => totals.pass = value,
            "fail" => totals.fail = value,
            "xfail" => totals.xfail = value,
            "xpass" => totals.xpass = value,
            "skip" => totals.skip = value,
            "error" => totals.error = value,
            _ => return None,
        }
    }
    Some(totals)
}

/// Finds a result of kselftest's runner in the middle of a line, as after output without
/// a newline. Returns the text before it and the result.
pub(super) fn hidden_result(text: &str) -> Option<(&str, ResultLine)> {
    let name = text.find(" selftests: ")?;
    let at = text[..name]
        .rfind("not ok ")
        .or_else(|| text[..name].rfind("ok "))
        .filter(|at| *at > 0)?;
    Some((&text[..at], result(&text[at..])?))
}

/// Returns the name in the harness' `#  RUN           fixture.test ...`.
pub(super) fn running_test(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(['#', ' ']).strip_prefix("RUN ")?;
    rest.trim().strip_suffix(" ...")
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, &text[end..]))
}
