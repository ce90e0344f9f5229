// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses mails and mboxes into ordered patches.

use mail_parser::MessageParser;
use mail_parser::mailbox::mbox::MessageIterator;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Length limit of a message-id in bytes; RFC 5322 2.1.1 allows 998 characters per line.
const MESSAGE_ID_BYTES_MAX: usize = 250;

/// One patch of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// File name or mail subject, for messages.
    pub origin: String,
    /// Subject without the bracketed prefix.
    pub subject: String,
    /// Text of the mail: message and diff.
    pub text: Vec<u8>,
    /// The mail or file that contains it.
    pub mail: Mail,
}

impl Patch {
    /// Returns SHA-256 of its changes in hexadecimal. Line numbers, the commit message and
    /// mail headers are not hashed.
    pub fn diff_sha256(&self) -> String {
        let mut hash = Sha256::new();
        let mut lines = self.text.split(|&byte| byte == b'\n');
        let begins = |line: &&[u8]| line.starts_with(b"diff --git ") || line.starts_with(b"--- ");
        let _ = lines.find(begins);
        for line in lines {
            // The signature separator `-- ` looks like a removed line.
            let is_change = matches!(line.first(), Some(b' ' | b'+' | b'-')) && line != b"-- ";
            if is_change {
                hash.update(line);
                hash.update(b"\n");
            }
        }
        format!("{:x}", hash.finalize())
    }

    pub(crate) fn changes_content(&self) -> bool {
        const BEGIN: [&[u8]; 6] = [
            b"@@ -",
            b"GIT binary patch",
            b"rename from ",
            b"copy from ",
            b"new file mode ",
            b"deleted file mode ",
        ];
        let mut lines = self.text.split(|&byte| byte == b'\n');
        lines.any(|line| BEGIN.iter().any(|begin| line.starts_with(begin)))
    }
}

/// The mail or file of a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
    /// Message-id without brackets.
    pub message_id: Option<String>,
    /// Message-id in `In-Reply-To`, often of the cover letter.
    pub in_reply_to: Option<String>,
}

impl Mail {
    /// Reads the headers of a mail; a file without headers has no ids.
    pub fn of(bytes: &[u8]) -> Self {
        let mail = MessageParser::default().parse_headers(bytes);
        let header = |read: &dyn Fn(&mail_parser::Message<'_>) -> Option<String>| {
            mail.as_ref().and_then(read).filter(|id| is_message_id(id))
        };
        Self {
            sha256: format!("{:x}", Sha256::digest(bytes)),
            message_id: header(&|mail| mail.message_id().map(str::to_owned)),
            in_reply_to: header(&|mail| mail.in_reply_to().as_text().map(str::to_owned)),
        }
    }
}

/// Returns whether a text is safe in a mail header and in a URL.
fn is_message_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>()\"\\,;".contains(&byte);
    id.len() <= MESSAGE_ID_BYTES_MAX
        && id.bytes().all(plain)
        && id.split('@').filter(|part| !part.is_empty()).count() == 2
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    version: u32,
    number: u32,
    total: u32,
}

impl Tag {
    /// The tag of a patch that is no part of a series.
    const SINGLE: Self = Self {
        version: 1,
        number: 1,
        total: 0,
    };
}

/// Returns the patch in a mail or plain diff named `origin`, or `None` if it has no diff
/// (a cover letter, a reply).
pub fn parse_one(origin: &str, bytes: &[u8]) -> Option<Patch> {
    let (subject, text) = decode(bytes);
    has_diff(&text).then(|| patch(origin, &subject, text, bytes))
}

fn patch(origin: &str, subject: &str, text: Vec<u8>, mail: &[u8]) -> Patch {
    Patch {
        origin: origin.to_owned(),
        subject: strip_prefix(subject).to_owned(),
        text,
        mail: Mail::of(mail),
    }
}

/// Returns the patches of an mbox named `origin`, sorted by number. Fails when it has no patch,
/// numbers are missing, or it has several versions of a series.
pub fn parse_mbox(origin: &str, bytes: &[u8]) -> Result<Vec<Patch>, Error> {
    let mut found: Vec<(Tag, Patch)> = Vec::new();
    for (index, mail) in MessageIterator::new(bytes).enumerate() {
        let number = index + 1;
        let Ok(mail) = mail else {
            return Err(Error::input(
                format!("reading mbox `{origin}`: mail {number} cannot be parsed"),
                "pass an mbox (it starts with `From ...`) or a folder of `.patch` files",
            ));
        };
        let (subject, text) = decode(mail.contents());
        let reply = subject.trim_start().to_ascii_lowercase().starts_with("re:");
        if reply || !has_diff(&text) {
            continue;
        }
        let number = u32::try_from(found.len() + 1).unwrap_or(u32::MAX);
        let tag = tag(&subject).unwrap_or(Tag {
            number,
            ..Tag::SINGLE
        });
        found.push((tag, patch(&subject, &subject, text, mail.contents())));
    }
    in_order(origin, found)
}

fn in_order(origin: &str, mut found: Vec<(Tag, Patch)>) -> Result<Vec<Patch>, Error> {
    let Some(first) = found.first().map(|(tag, _)| *tag) else {
        return Err(Error::input(
            format!("reading mbox `{origin}`: it has no patch"),
            "pass an mbox of patches, a folder of `.patch` files, or a known series",
        ));
    };
    if let Some((other, _)) = found.iter().find(|(tag, _)| tag.version != first.version) {
        return Err(Error::input(
            format!(
                "reading mbox `{origin}`: it has versions {} and {} of a series",
                first.version, other.version
            ),
            "remove the mails of the other version",
        ));
    }
    found.sort_by_key(|(tag, _)| tag.number);
    let total = found.iter().map(|(tag, _)| tag.total).max().unwrap_or(0);
    // A single patch may be any patch of a series.
    if total > 0 && found.len() > 1 {
        for number in 1..=total {
            let problem = match found.iter().filter(|(tag, _)| tag.number == number).count() {
                1 => continue,
                0 => "is missing".to_owned(),
                count => format!("occurs {count} times"),
            };
            return Err(Error::input(
                format!("reading mbox `{origin}`: patch {number} of {total} {problem}"),
                "pass an mbox that has each patch of the series once",
            ));
        }
    }
    Ok(found.into_iter().map(|(_, patch)| patch).collect())
}

/// Returns subject and decoded text; the bytes without a subject if they are no mail.
fn decode(bytes: &[u8]) -> (String, Vec<u8>) {
    let parsed = MessageParser::default().parse(bytes);
    let Some(mail) = parsed.filter(|mail| mail.subject().is_some()) else {
        return (String::new(), without_carriage_returns(bytes));
    };
    let words = mail.subject().unwrap_or_default().split_whitespace();
    let text = mail.text_part(0).map_or(&b""[..], |part| part.contents());
    let subject = words.collect::<Vec<_>>().join(" ");
    (subject, without_carriage_returns(text))
}

/// Replaces CR LF by LF if all lines end with CR LF, as in raw mails.
fn without_carriage_returns(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let all = lines
        .clone()
        .all(|line| line.ends_with(b"\r\n") || !line.ends_with(b"\n"));
    if !all {
        return text.to_vec();
    }
    let mut plain = Vec::with_capacity(text.len());
    for line in lines {
        plain.extend_from_slice(line.strip_suffix(b"\r\n").unwrap_or(line));
        plain.extend(line.ends_with(b"\n").then_some(b'\n'));
    }
    plain
}

fn has_diff(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n')
        .any(|line| line.starts_with(b"diff --git ") || line.starts_with(b"+++ "))
}

fn strip_prefix(subject: &str) -> &str {
    let mut rest = subject.trim();
    while let Some(end) = rest.starts_with('[').then(|| rest.find(']')).flatten() {
        rest = rest[end + 1..].trim_start();
    }
    rest
}

/// Parses `[PATCH v3 2/7]`, `[RFC PATCH 1/2]` and similar prefixes.
fn tag(subject: &str) -> Option<Tag> {
    let inner = subject.split_once('[')?.1.split_once(']')?.0;
    let mut tag = Tag::SINGLE;
    for word in inner.split_whitespace() {
        if let Some((number, total)) = word.split_once('/') {
            tag.number = number.parse().ok()?;
            tag.total = total.parse().ok()?;
        } else if let Some(version) = word.strip_prefix(['v', 'V']).and_then(|v| v.parse().ok()) {
            tag.version = version;
        }
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail_text(subject: &str, body: &str) -> String {
        format!("From x Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: {subject}\n\n{body}\n")
    }

    const DIFF: &str = "why\n---\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n";

    fn subjects(mbox: &str) -> Result<Vec<String>, String> {
        parse_mbox("x.mbox", mbox.as_bytes())
            .map(|patches| patches.into_iter().map(|patch| patch.subject).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn parse_mbox_sorts_patches_and_skips_cover_letters_and_replies() {
        let mbox = [
            mail_text("[PATCH v2 0/2] cover", "words"),
            mail_text("[PATCH v2 2/2] two", DIFF),
            mail_text("Re: [PATCH v2 2/2] two", DIFF),
            mail_text("[PATCH v2 1/2] one", DIFF),
        ]
        .concat();
        assert_eq!(subjects(&mbox).unwrap(), ["one", "two"]);
    }

    #[test]
    fn parse_mbox_rejects_a_missing_patch() {
        let mbox = mail_text("[PATCH 2/3] two", DIFF) + &mail_text("[PATCH 3/3] three", DIFF);
        let error = subjects(&mbox).unwrap_err();
        assert!(error.contains("patch 1 of 3 is missing"), "{error}");
        assert_eq!(
            subjects(&mail_text("[PATCH 2/2] two", DIFF)).unwrap(),
            ["two"]
        );
    }

    #[test]
    fn parse_mbox_rejects_two_versions() {
        let mbox = mail_text("[PATCH 1/1] a", DIFF) + &mail_text("[PATCH v2 1/1] a", DIFF);
        assert!(subjects(&mbox).unwrap_err().contains("versions 1 and 2"));
    }

    #[test]
    fn parse_mbox_rejects_input_without_patches() {
        assert!(subjects("").unwrap_err().contains("it has no patch"));
        assert!(subjects("\0\0not a mail").is_err());
    }

    #[test]
    fn parse_mbox_decodes_quoted_printable() {
        let mbox = "From x Mon Sep 17 00:00:00 2001\nSubject: [PATCH] q\nMIME-Version: 1.0\n\
            Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
            diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a=3D1\n+a=3D2\n";
        let patches = parse_mbox("x", mbox.as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&patches[0].text).contains("+a=2\n"));
    }

    #[test]
    fn mail_of_reads_valid_message_ids_only() {
        let headers = "From x Mon Sep 17 00:00:00 2001\nSubject: [PATCH 1/1] a\n\
            Message-ID: <p1@example.org>\nIn-Reply-To: <cover@example.org>\n\n";
        let found = &parse_mbox("x", format!("{headers}{DIFF}").as_bytes()).unwrap()[0].mail;
        assert_eq!(found.message_id.as_deref(), Some("p1@example.org"));
        assert_eq!(found.in_reply_to.as_deref(), Some("cover@example.org"));
        assert_eq!(found.sha256.len(), 64);
        let plain = parse_one("f.patch", DIFF.as_bytes()).unwrap().mail;
        assert_eq!((plain.message_id, plain.in_reply_to), (None, None));
        let hostile = "Subject: a\nMessage-ID: <a@b\tX>\nIn-Reply-To: <\u{e9}@b>\n\n";
        let found = parse_one("f", format!("{hostile}{DIFF}").as_bytes());
        let found = found.unwrap().mail;
        assert_eq!((found.message_id, found.in_reply_to), (None, None));
    }

    #[test]
    fn diff_sha256_ignores_positions_and_messages() {
        let of = |text: &str| parse_one("f", text.as_bytes()).unwrap().diff_sha256();
        let moved = DIFF.replace("@@ -1 +1 @@", "@@ -7 +8 @@ int f(void)");
        let mailed = mail_text(
            "[PATCH 1/2] a",
            &format!("other words\n---\n{moved}-- \n2.47"),
        );
        assert_eq!(of(DIFF), of(&mailed));
        assert_ne!(of(DIFF), of(&DIFF.replace("+b", "+c")));
    }

    #[test]
    fn parse_one_accepts_a_plain_diff_and_removes_carriage_returns() {
        let patch = parse_one("f.patch", DIFF.replace('\n', "\r\n").as_bytes()).unwrap();
        assert_eq!(patch.text, DIFF.as_bytes());
        assert!(parse_one("f.patch", b"no diff here").is_none());
    }
}
