// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the messages of `git apply --reject --verbose` (git-apply(1)) into the places
//! where a patch does not apply.

use std::fmt;

/// A place where a patch does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A hunk whose context lines are not in the file.
    Hunk {
        /// The file.
        file: String,
        /// The hunk's number within that file's part of the patch, from 1.
        hunk: u32,
    },
    /// A file that cannot be patched.
    File {
        /// The file.
        file: String,
        /// Git's message.
        why: String,
    },
    /// The patch is damaged or git rejects it.
    Patch {
        /// Git's message.
        why: String,
    },
}

impl Place {
    /// Returns a hint if the patch cannot apply to any tree, so that a rebase is no fix.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let Self::Patch { why } = self else {
            return None;
        };
        let has = |messages: &[&str]| messages.iter().any(|message| why.contains(message));
        if has(&["without full index line", "corrupt binary patch"]) {
            return Some(
                "create patches of binary files with `git format-patch --binary --full-index`",
            );
        }
        let damaged = [
            "corrupt patch",
            "patch fragment without header",
            "No valid patches",
        ];
        has(&damaged).then_some("create the patch again with `git format-patch`")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hunk { file, hunk } => write!(f, "`{file}`: hunk {hunk} does not match"),
            Self::File { file, why } => write!(f, "`{file}`: {why}"),
            Self::Patch { why } => f.write_str(why),
        }
    }
}

/// Returns the places in the output of `git apply --reject --verbose`.
pub fn places(output: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut current = "";
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("Applying patch ") {
            current = rest.split(" with ").next().unwrap_or(rest);
        } else if let Some(number) = line.strip_prefix("Rejected hunk #") {
            let hunk = number.trim_end_matches('.').parse().unwrap_or(0);
            places.push(Place::Hunk {
                file: current.to_owned(),
                hunk,
            });
        } else if let Some(rest) = line.strip_prefix("error: ") {
            places.extend(from_error(rest));
        }
    }
    places
}

/// Returns the files whose mode differs from the patch, from git's warnings
/// `warning: FILE has type 100644, expected 100755`.
pub(crate) fn other_modes(output: &str) -> Vec<Place> {
    let place = |line: &str| {
        let (file, why) = line.strip_prefix("warning: ")?.rsplit_once(" has type ")?;
        Some(Place::File {
            file: file.to_owned(),
            why: format!("its mode is {why}"),
        })
    };
    output.lines().filter_map(place).collect()
}

fn from_error(rest: &str) -> Option<Place> {
    // The "Rejected hunk" lines have the hunk numbers.
    let redundant = ["patch failed: ", "while searching for:"];
    if redundant.iter().any(|prefix| rest.starts_with(prefix))
        || rest.ends_with("patch does not apply")
    {
        return None;
    }
    match rest.rsplit_once(": ") {
        Some((file, why)) if !file.contains(' ') => Some(Place::File {
            file: file.to_owned(),
            why: why.to_owned(),
        }),
        _ => Some(Place::Patch {
            why: rest.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_returns_file_and_number_of_rejected_hunks() {
        let output = "Checking patch f.c...\nerror: while searching for:\nxyz\n\
            error: patch failed: f.c:12\nChecking patch g.c...\n\
            Applying patch f.c with 1 reject...\nHunk #1 applied cleanly.\nRejected hunk #2.\n\
            Applied patch g.c cleanly.\n";
        assert_eq!(
            places(output),
            [Place::Hunk {
                file: "f.c".into(),
                hunk: 2
            }]
        );
    }

    #[test]
    fn places_returns_missing_files_and_invalid_paths() {
        assert_eq!(
            places("error: drivers/x.c: No such file or directory\n"),
            [Place::File {
                file: "drivers/x.c".into(),
                why: "No such file or directory".into()
            }]
        );
        assert_eq!(
            places("error: invalid path '../x'\n"),
            [Place::Patch {
                why: "invalid path '../x'".into()
            }]
        );
    }
}
