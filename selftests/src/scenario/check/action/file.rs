// SPDX-License-Identifier: MIT OR Apache-2.0
//! Actions on files, memfds, and files in sysfs, debugfs and tracefs.

use super::super::objects::{FILES, Kind};
use super::super::{Checked, Checker};
use super::Verb;
use crate::input::Place;
use crate::scenario::raw::RawStep;
use crate::scenario::{Access, Action, KernelPath, Seal};
use crate::yaml::At;

/// Maximal length of `contents` in bytes.
const CONTENTS_MAX: usize = 1024;
/// Maximal size of a file in bytes.
const SIZE_MAX: u64 = 64 * 1024 * 1024;
const PATH_MAX: usize = 200;
/// The prefix of a path of a device in sysfs.
const DEVICES: &str = "/sys/bus/pci/devices/{";

impl Checker<'_> {
    pub(super) fn file_action(
        &mut self,
        verb: &Verb<'_>,
        raw: &mut RawStep,
    ) -> Checked<Option<Action>> {
        if let Some(action) = self.opening(verb, raw)? {
            return Ok(Some(action));
        }
        if let Some(action) = self.contents_action(verb, raw)? {
            return Ok(Some(action));
        }
        let (subject, place) = (&verb.subject, verb.place());
        Ok(Some(match verb.key {
            "file_size" => Action::FileSize {
                file: self.object(subject, FILES)?,
                size: self.size(&self.need(raw.size.take(), place, "size")?)?,
            },
            "truncate" => Action::Truncate {
                file: self.object(subject, FILES)?,
                size: self.size(&self.need(raw.size.take(), place, "size")?)?,
            },
            "seal" => Action::Seal {
                file: self.object(subject, &[Kind::Memfd])?,
                seals: self.seals(raw, place)?,
            },
            "read_seals" => Action::ReadSeals {
                file: self.object(subject, &[Kind::Memfd])?,
                seals: self.seals(raw, place)?,
            },
            _ => return Ok(None),
        }))
    }

    /// An action that creates a file descriptor.
    fn opening(&mut self, verb: &Verb<'_>, raw: &mut RawStep) -> Checked<Option<Action>> {
        let (subject, place) = (&verb.subject, verb.place());
        Ok(Some(match verb.key {
            "open_file" => Action::OpenFile {
                path: self.plain_path(subject)?,
                file: self.make(raw.name.take(), place, Kind::File, verb.returns)?,
            },
            "open_again" => {
                let of = self.object(subject, FILES)?;
                let kind = self.objects.get(&of).copied().unwrap_or(Kind::File);
                Action::OpenAgain {
                    access: self.access(raw.mode.take().as_ref())?,
                    file: self.make(raw.name.take(), place, kind, verb.returns)?,
                    of,
                }
            }
            "create_memfd" => Action::CreateMemfd {
                contents: self.contents(subject)?,
                executable: raw.executable.take().is_none_or(|given| given.value),
                file: self.make(raw.name.take(), place, Kind::Memfd, verb.returns)?,
            },
            _ => return Ok(None),
        }))
    }

    /// An action on the contents of an existing file.
    fn contents_action(&self, verb: &Verb<'_>, raw: &mut RawStep) -> Checked<Option<Action>> {
        let (subject, place) = (&verb.subject, verb.place());
        Ok(Some(match verb.key {
            "write_file" => Action::WriteFile {
                file: self.object(subject, FILES)?,
                at: self.offset(raw.at.take().as_ref())?,
                contents: self.given_contents(raw, place)?,
            },
            "read_file" => Action::ReadFile {
                file: self.object(subject, FILES)?,
                contents: self.given_contents(raw, place)?,
            },
            "check_mapping" => Action::CheckMapping {
                file: self.object(subject, FILES)?,
                contents: self.given_contents(raw, place)?,
            },
            "write_path" => Action::WritePath {
                path: self.kernel_path(subject)?,
                contents: self.given_contents(raw, place)?,
            },
            "read_path" => Action::ReadPath {
                path: self.kernel_path(subject)?,
                contents: self.given_contents(raw, place)?,
            },
            _ => return Ok(None),
        }))
    }

    fn access(&self, word: Option<&At<String>>) -> Checked<Access> {
        let Some(word) = word else {
            return Ok(Access::ReadWrite);
        };
        Access::from_word(&word.value).ok_or_else(|| {
            let known = Access::ALL.iter().map(|access| access.word());
            self.unknown("access mode", word, known)
        })
    }

    fn given_contents(&self, raw: &mut RawStep, place: Place) -> Checked<String> {
        self.contents(&self.need(raw.contents.take(), place, "contents")?)
    }

    fn contents(&self, contents: &At<String>) -> Checked<String> {
        let text = &contents.value;
        if text.is_empty() || text.len() > CONTENTS_MAX || text.contains('\0') {
            let message = format!("invalid contents: use 1 to {CONTENTS_MAX} bytes without NUL");
            return Err(self.wrong(contents.place, message, None));
        }
        Ok(text.clone())
    }

    fn offset(&self, at: Option<&At<u64>>) -> Checked<u64> {
        at.map_or(Ok(0), |at| self.size(at))
    }

    fn size(&self, size: &At<u64>) -> Checked<u64> {
        if size.value > SIZE_MAX {
            let message = format!("out of range: use at most {SIZE_MAX} bytes");
            return Err(self.wrong(size.place, message, None));
        }
        Ok(size.value)
    }

    fn seals(&self, raw: &mut RawStep, place: Place) -> Checked<Vec<Seal>> {
        let given = self.need(raw.seals.take(), place, "seals")?;
        let seal = |word: &At<String>| {
            Seal::from_word(&word.value).ok_or_else(|| {
                let known = Seal::ALL.iter().map(|seal| seal.word());
                self.unknown("seal", word, known)
            })
        };
        let mut seals = given.value.iter().map(seal).collect::<Checked<Vec<_>>>()?;
        seals.sort_unstable();
        seals.dedup();
        Ok(seals)
    }

    fn plain_path(&self, path: &At<String>) -> Checked<String> {
        let text = &path.value;
        let is_fit = text.starts_with('/')
            && text.len() <= PATH_MAX
            && !text.contains("/../")
            && text
                .chars()
                .all(|c| c.is_ascii_graphic() && !"{}%\"\\".contains(c));
        if !is_fit {
            let message = format!("`{text}` is not a valid absolute path");
            let hint = Some("the folder of a device is `/sys/bus/pci/devices/{SLOT}/`".to_owned());
            return Err(self.wrong(path.place, message, hint));
        }
        Ok(text.clone())
    }

    fn kernel_path(&self, path: &At<String>) -> Checked<KernelPath> {
        let Some(rest) = path.value.strip_prefix(DEVICES) else {
            return Ok(KernelPath::Plain(self.plain_path(path)?));
        };
        let Some((device, attribute)) = rest.split_once("}/") else {
            let message = format!("invalid path of a device: use `{DEVICES}SLOT}}/ATTRIBUTE`");
            return Err(self.wrong(path.place, message, None));
        };
        let word = |value: &str| At {
            value: value.to_owned(),
            place: path.place,
        };
        // The attribute must be valid as a path too.
        let attribute = self.plain_path(&word(&format!("/{attribute}")))?;
        Ok(KernelPath::OfDevice {
            device: self.device(&word(device))?,
            attribute: attribute.trim_start_matches('/').to_owned(),
        })
    }
}
