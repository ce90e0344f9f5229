// SPDX-License-Identifier: GPL-2.0-only
//! What `git apply` says of a patch that does not fit, as places.
//!
//! Text in, places out; the messages read are those of `git apply --reject
//! --verbose` (see git-apply(1)).

use std::fmt;

/// A place where a patch does not fit its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A hunk whose surroundings are not there.
    Hunk {
        /// The file.
        file: String,
        /// The hunk's number within that file's part of the patch, from 1.
        hunk: u32,
    },
    /// A file that cannot be patched at all, and why.
    File {
        /// The file.
        file: String,
        /// Git's words.
        why: String,
    },
    /// The patch itself is damaged or refused.
    Patch {
        /// Git's words.
        why: String,
    },
}

impl Place {
    /// Returns what to try if the patch fits no tree at all, which no rebasing fixes.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let Self::Patch { why } = self else {
            return None;
        };
        let says = |words: &[&str]| words.iter().any(|words| why.contains(words));
        if says(&["without full index line", "corrupt binary patch"]) {
            return Some(
                "make a patch of binary files with `git format-patch --binary --full-index`",
            );
        }
        let damaged = [
            "corrupt patch",
            "patch fragment without header",
            "No valid patches",
        ];
        says(&damaged).then_some("the patch is damaged: make it anew with `git format-patch`")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hunk { file, hunk } => write!(f, "`{file}`, hunk {hunk}"),
            Self::File { file, why } => write!(f, "`{file}`: {why}"),
            Self::Patch { why } => f.write_str(why),
        }
    }
}

/// Returns the places that the output of `git apply --reject --verbose` names.
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

/// Returns the files of which git warns that they have another mode than a patch says:
/// `warning: FILE has type 100644, expected 100755`.
pub(crate) fn other_modes(output: &str) -> Vec<Place> {
    let place = |line: &str| {
        let (file, why) = line.strip_prefix("warning: ")?.rsplit_once(" has type ")?;
        Some(Place::File {
            file: file.to_owned(),
            why: format!("it has the mode {why}"),
        })
    };
    output.lines().filter_map(place).collect()
}

fn from_error(rest: &str) -> Option<Place> {
    // The hunks themselves are named by the "Rejected hunk" lines.
    let quiet = ["patch failed: ", "while searching for:"];
    if quiet.iter().any(|prefix| rest.starts_with(prefix)) || rest.ends_with("patch does not apply")
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
    fn rejected_hunks_are_named_by_file_and_number() {
        let said = "Checking patch f.c...\nerror: while searching for:\nxyz\n\
            error: patch failed: f.c:12\nChecking patch g.c...\n\
            Applying patch f.c with 1 reject...\nHunk #1 applied cleanly.\nRejected hunk #2.\n\
            Applied patch g.c cleanly.\n";
        assert_eq!(
            places(said),
            [Place::Hunk {
                file: "f.c".into(),
                hunk: 2
            }]
        );
    }

    #[test]
    fn missing_files_and_bad_paths_are_named() {
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
