// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators that replace constants, comparisons and return values.

use super::{Site, quote};
use crate::mutant::change::{Change, Edit};
use crate::mutant::lexer::Kind as TokenKind;
use crate::mutant::syntax::Kind;

/// Replacements of comparison and logical operators.
const REPLACEMENTS: [(&[u8], &str); 8] = [
    (b"==", "!="),
    (b"!=", "=="),
    (b"<", "<="),
    (b"<=", "<"),
    (b">", ">="),
    (b">=", ">"),
    (b"&&", "||"),
    (b"||", "&&"),
];

/// Returns the changes of values and comparisons in a statement's own part.
pub(super) fn changes(site: &Site<'_>) -> Vec<Change> {
    match site.statement.kind {
        Kind::Return => return_values(site),
        Kind::If | Kind::Expression => within(site, site.statement.own.clone()),
        _ => Vec::new(),
    }
}

/// Returns the changes of a return value.
fn return_values(site: &Site<'_>) -> Vec<Change> {
    let own = &site.statement.own;
    let value = own.start + 1..own.end - 1;
    if value.is_empty() {
        return Vec::new();
    }
    let source = site.source;
    let text = source.text_of(&value);
    let is_errno = value.len() == 2
        && source.text(value.start) == b"-"
        && source.text(value.start + 1).first() == Some(&b'E');
    let others: &[&str] = match text {
        b"0" => &["-EINVAL"],
        b"true" => &["false"],
        b"false" => &["true"],
        b"NULL" => &[],
        b"-EINVAL" => &["0", "-EIO"],
        _ if is_errno => &["0", "-EINVAL"],
        _ => &["0"],
    };
    let mut changes: Vec<Change> = others
        .iter()
        .map(|other| Change {
            operator: format!("return-{}", other.trim_start_matches('-').to_lowercase()),
            title: format!("return {other} instead of {}", quote(text)),
            line: site.line(own.start),
            edits: vec![Edit::new(source.place(&value), *other)],
        })
        .collect();
    if value.len() > 2 {
        changes.extend(within(site, value));
    }
    changes
}

/// Returns the changes of single tokens.
fn within(site: &Site<'_>, tokens: std::ops::Range<usize>) -> Vec<Change> {
    let source = site.source;
    let mut changes = Vec::new();
    for at in tokens {
        let text = source.text(at);
        let replacement = REPLACEMENTS.iter().find(|(old, _)| *old == text);
        let (operator, other) = match (replacement, source.tokens[at].kind, text) {
            (Some((_, other)), ..) => ("compare", (*other).to_owned()),
            (_, TokenKind::Number, b"0") => ("constant", "1".to_owned()),
            (_, TokenKind::Number, b"1") => ("constant", "0".to_owned()),
            (_, TokenKind::Number, _) => (
                "constant",
                format!("({} + 1)", String::from_utf8_lossy(text)),
            ),
            (_, TokenKind::Word, b"true") => ("constant", "false".to_owned()),
            (_, TokenKind::Word, b"false") => ("constant", "true".to_owned()),
            _ => continue,
        };
        changes.push(Change {
            operator: operator.to_owned(),
            title: format!(
                "replace `{}` by `{other}` in {}",
                String::from_utf8_lossy(text),
                quote(source.text_of(&site.statement.own))
            ),
            line: site.line(at),
            edits: vec![Edit::new(source.place(&(at..at + 1)), other)],
        });
    }
    changes
}
