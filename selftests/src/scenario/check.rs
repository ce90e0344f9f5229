// SPDX-License-Identifier: GPL-2.0-only
//! From a scenario as written to a checked one: every name is known where it is
//! used, every step does one thing, every number can be met.

use std::collections::BTreeMap;

use super::names::{ERRNOS, bad_identifier, bad_scenario_name, is_kernel_function, slot_index};
use super::raw::{RawLog, RawScenario, RawSplat, RawStage, RawStep};
use super::{
    Action, ExpectedLog, ExpectedSplat, Returns, STAGE_TIMEOUT_SECS, Scenario, Slot, Stage, Step,
    UserAct,
};
use crate::input::{InputError, Place, closest};
use crate::klog::SplatClass;
use crate::yaml::At;

/// Kernel functions whose calls one program can count.
const PROBES_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    DeviceFile,
    Memfd,
    Session,
    User,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::DeviceFile => "device file",
            Self::Memfd => "memfd",
            Self::Session => "session",
            Self::User => "user",
        }
    }
}

/// What is known while the steps are read in order.
struct Checker<'a> {
    text: &'a str,
    file: &'a str,
    slots: Vec<Slot>,
    /// Every object of the scenario, over all stages, and what it is.
    objects: BTreeMap<String, Kind>,
    /// The objects that this stage can use.
    in_stage: Vec<String>,
    tokens: Vec<String>,
}

type Checked<T> = Result<T, InputError>;

pub(super) fn scenario(raw: RawScenario, text: &str, file: &str) -> Checked<Scenario> {
    let mut checker = Checker {
        text,
        file,
        slots: Vec::new(),
        objects: BTreeMap::new(),
        in_stage: Vec::new(),
        tokens: Vec::new(),
    };
    checker.name(&raw.name)?;
    checker.one_line(&raw.title)?;
    for slot in &raw.devices {
        let slot = checker.declare_slot(slot)?;
        checker.slots.push(slot);
    }
    if raw.stages.is_empty() {
        return Err(checker.wrong(raw.name.place, "a scenario has at least one stage", None));
    }
    let stages = raw
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| checker.stage(index + 1, stage))
        .collect::<Checked<Vec<_>>>()?;
    let splats = raw
        .splats
        .iter()
        .map(|splat| checker.splat(splat, stages.len()))
        .collect::<Checked<Vec<_>>>()?;
    let scenario = Scenario {
        why: raw.why.value.trim().to_owned(),
        title: raw.title.value,
        fails_without: raw
            .fails_without
            .into_iter()
            .map(|series| series.value)
            .collect(),
        devices: checker.slots.clone(),
        timeout_secs: checker.timeout(raw.timeout_secs.as_ref())?,
        name: raw.name.value,
        splats,
        stages,
    };
    if scenario.probed_functions().len() > PROBES_MAX {
        let message = format!("calls of more than {PROBES_MAX} functions are counted");
        return Err(checker.wrong(raw.name.place, message, None));
    }
    Ok(scenario)
}

impl Checker<'_> {
    fn wrong(&self, place: Place, message: impl Into<String>, hint: Option<String>) -> InputError {
        InputError::new(self.file, self.text, place, message, hint)
    }

    fn unknown<'k>(
        &self,
        what: &str,
        name: &At<String>,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) -> InputError {
        let hint = closest(&name.value, known.clone())
            .map(|near| format!("did you mean `{near}`?"))
            .or_else(|| {
                let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
                (!known.is_empty()).then(|| format!("known here: {}", known.join(", ")))
            });
        self.wrong(name.place, format!("unknown {what} `{}`", name.value), hint)
    }

    fn name(&self, name: &At<String>) -> Checked<()> {
        if let Some(reason) = bad_scenario_name(&name.value) {
            return Err(self.wrong(name.place, reason, None));
        }
        let stem = self
            .file
            .rsplit('/')
            .next()
            .unwrap_or(self.file)
            .trim_end_matches(".yaml");
        if stem != name.value {
            let message = format!(
                "the scenario `{}` is in a file named `{stem}.yaml`",
                name.value
            );
            return Err(self.wrong(
                name.place,
                message,
                Some("name the file after the scenario".to_owned()),
            ));
        }
        Ok(())
    }

    fn one_line(&self, text: &At<String>) -> Checked<()> {
        if text.value.trim().is_empty() || text.value.contains('\n') || text.value.len() > 90 {
            return Err(self.wrong(
                text.place,
                "the title is one line of at most 90 characters",
                None,
            ));
        }
        Ok(())
    }

    fn timeout(&self, timeout: Option<&At<u64>>) -> Checked<u64> {
        match timeout {
            None => Ok(STAGE_TIMEOUT_SECS),
            Some(secs) if (1..=3600).contains(&secs.value) => Ok(secs.value),
            Some(secs) => {
                Err(self.wrong(secs.place, "a stage takes between 1 and 3600 seconds", None))
            }
        }
    }

    fn declare_slot(&self, name: &At<String>) -> Checked<Slot> {
        let Some(index) = slot_index(&name.value) else {
            let hint =
                "slots are named `endpoint0` to `endpoint7`, in the order of their addresses";
            return Err(self.wrong(
                name.place,
                format!("unknown device `{}`", name.value),
                Some(hint.to_owned()),
            ));
        };
        Ok(Slot {
            name: name.value.clone(),
            index,
        })
    }

    fn slot(&self, name: &At<String>) -> Checked<Slot> {
        let known = self.slots.iter().map(|slot| slot.name.as_str());
        self.slots
            .iter()
            .find(|slot| slot.name == name.value)
            .cloned()
            .ok_or_else(|| self.unknown("device", name, known))
    }

    fn splat(&self, raw: &RawSplat, stages: usize) -> Checked<ExpectedSplat> {
        let class = SplatClass::from_word(&raw.class.value).ok_or_else(|| {
            self.unknown(
                "class of splats",
                &raw.class,
                SplatClass::ALL.iter().map(|c| c.word()),
            )
        })?;
        let stage = raw.stage.as_ref().map_or(1, |stage| stage.value);
        if let Some(at) = raw
            .stage
            .as_ref()
            .filter(|stage| stage.value == 0 || stage.value > stages)
        {
            let message = format!("unknown stage {}: there are {stages}", at.value);
            return Err(self.wrong(at.place, message, None));
        }
        if raw.text.value.is_empty() {
            return Err(self.wrong(raw.text.place, "an empty text would match any splat", None));
        }
        Ok(ExpectedSplat {
            class,
            text: raw.text.value.clone(),
            count: raw.count,
            stage,
        })
    }

    fn stage(&mut self, number: usize, raw: &RawStage) -> Checked<Stage> {
        self.in_stage.clear();
        let steps = raw
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| self.step(index + 1, number, step))
            .collect::<Checked<Vec<_>>>()?;
        if steps.is_empty() {
            let message = format!("stage {number} has no step");
            return Err(self.wrong(Place { line: 1, column: 1 }, message, None));
        }
        Ok(Stage { number, steps })
    }

    fn step(&mut self, number: usize, stage: usize, raw: &At<RawStep>) -> Checked<Step> {
        let mut rest = raw.value.clone();
        let action = self.action(&mut rest, raw.place, stage)?;
        let calls = std::mem::take(&mut rest.calls)
            .into_iter()
            .map(|(function, count)| {
                if !is_kernel_function(&function) {
                    let message = format!("`{function}` is no name of a kernel function");
                    return Err(self.wrong(count.place, message, None));
                }
                Ok((function, count.value))
            })
            .collect::<Checked<Vec<_>>>()?;
        let log = rest
            .log
            .iter()
            .map(|log| self.log(log))
            .collect::<Checked<Vec<_>>>()?;
        let returns = self.returns(rest.returns.as_ref())?;
        self.nothing_left(&rest, &action)?;
        if matches!(action, Action::Observe { .. }) && calls.is_empty() && log.is_empty() {
            let hint = Some("give `calls` or `log`".to_owned());
            return Err(self.wrong(raw.place, "an observation that expects nothing", hint));
        }
        Ok(Step {
            number,
            action,
            returns,
            calls,
            log,
            because: rest.because,
            place: raw.place,
        })
    }

    fn returns(&self, returns: Option<&At<String>>) -> Checked<Returns> {
        match returns {
            None => Ok(Returns::Ok),
            Some(word) if word.value == "ok" || word.value == "0" => Ok(Returns::Ok),
            Some(word) if ERRNOS.contains(&word.value.as_str()) => {
                Ok(Returns::Errno(word.value.clone()))
            }
            Some(word) => Err(self.unknown(
                "result",
                word,
                ["ok"].into_iter().chain(ERRNOS.iter().copied()),
            )),
        }
    }

    fn log(&self, raw: &RawLog) -> Checked<ExpectedLog> {
        let text = raw.text.value.clone();
        let (min, max) = match (raw.count, raw.min, raw.max) {
            (Some(count), None, None) => (count, Some(count)),
            (None, None, None) => {
                let hint = Some("give `count`, or `min` and `max`".to_owned());
                return Err(self.wrong(raw.text.place, "how many lines are expected?", hint));
            }
            (None, min, max) => (min.unwrap_or(0), max),
            _ => {
                return Err(self.wrong(
                    raw.text.place,
                    "`count` stands alone, without `min` or `max`",
                    None,
                ));
            }
        };
        if text.is_empty() || max.is_some_and(|max| max < min) {
            return Err(self.wrong(raw.text.place, "no kernel log can meet this", None));
        }
        Ok(ExpectedLog { text, min, max })
    }

    /// Every key that the action does not use must be absent.
    fn nothing_left(&self, rest: &RawStep, action: &Action) -> Checked<()> {
        let texts = [
            ("as", &rest.name),
            ("into", &rest.into),
            ("from", &rest.from),
            ("contents", &rest.contents),
        ];
        let numbers = [("at", &rest.at), ("value", &rest.value)];
        let stray = texts
            .iter()
            .find_map(|(key, value)| value.as_ref().map(|value| (*key, value.place)))
            .or_else(|| {
                numbers
                    .iter()
                    .find_map(|(key, value)| value.as_ref().map(|value| (*key, value.place)))
            });
        match stray {
            None => Ok(()),
            Some((key, place)) => Err(self.wrong(
                place,
                format!("`{key}` means nothing for the step \"{action}\""),
                None,
            )),
        }
    }

    /// Takes the one action out of a step, with the keys that belong to it.
    fn action(&mut self, raw: &mut RawStep, place: Place, stage: usize) -> Checked<Action> {
        let mut taken = [
            ("open_device", raw.open_device.take()),
            ("create_memfd", raw.create_memfd.take()),
            ("create_session", raw.create_session.take()),
            ("preserve", raw.preserve.take()),
            ("retrieve_session", raw.retrieve_session.take()),
            ("retrieve", raw.retrieve.take()),
            ("finish", raw.finish.take()),
            ("close", raw.close.take()),
            ("remove_device", raw.remove_device.take()),
            ("rescan", raw.rescan.take()),
            ("get_outgoing", raw.get_outgoing.take()),
            ("use_outgoing", raw.use_outgoing.take()),
            ("put_outgoing", raw.put_outgoing.take()),
            ("write_register", raw.write_register.take()),
            ("read_register", raw.read_register.take()),
            ("read_file", raw.read_file.take()),
            ("observe", raw.observe.take()),
        ]
        .into_iter()
        .filter_map(|(verb, value)| value.map(|value| (verb, value)));
        let Some((verb, subject)) = taken.next() else {
            let hint = Some("name an action, such as `preserve: dev`, or `observe:`".to_owned());
            return Err(self.wrong(place, "a step that does nothing", hint));
        };
        if let Some((second, value)) = taken.next() {
            let hint = Some("make two steps of it".to_owned());
            return Err(self.wrong(
                value.place,
                format!("a step that does both `{verb}` and `{second}`"),
                hint,
            ));
        }
        self.one_action(verb, &subject, raw, stage)
    }

    fn one_action(
        &mut self,
        verb: &str,
        subject: &At<String>,
        raw: &mut RawStep,
        stage: usize,
    ) -> Checked<Action> {
        let name = subject.value.clone();
        Ok(match verb {
            "open_device" => {
                let slot = self.slot(subject)?;
                let file = self.make(raw.name.take(), subject.place, Kind::DeviceFile)?;
                Action::OpenDevice { slot, file }
            }
            "create_memfd" => {
                self.memfd_contents(subject)?;
                let file = self.make(raw.name.take(), subject.place, Kind::Memfd)?;
                Action::CreateMemfd {
                    file,
                    contents: name,
                }
            }
            "create_session" => Action::CreateSession {
                session: self.make(Some(subject.clone()), subject.place, Kind::Session)?,
            },
            "preserve" => {
                let file = self.file(subject)?;
                let session = self.session(raw.into.take(), subject.place, "into")?;
                Action::Preserve {
                    token: self.token(&file),
                    file,
                    session,
                }
            }
            "retrieve_session" => {
                self.handed_over(subject, stage, &[Kind::Session])?;
                Action::RetrieveSession { session: name }
            }
            "retrieve" => {
                self.handed_over(subject, stage, &[Kind::DeviceFile, Kind::Memfd])?;
                let session = self.session(raw.from.take(), subject.place, "from")?;
                Action::Retrieve {
                    token: self.token(&name),
                    file: name,
                    session,
                }
            }
            "finish" => Action::Finish {
                session: self.object(subject, &[Kind::Session])?,
            },
            "close" => {
                let kinds = [Kind::DeviceFile, Kind::Memfd, Kind::Session, Kind::User];
                Action::Close {
                    object: self.object(subject, &kinds)?,
                }
            }
            "remove_device" => Action::RemoveDevice {
                slot: self.slot(subject)?,
            },
            "rescan" if name == "pci" => Action::Rescan,
            "rescan" => return Err(self.unknown("bus", subject, ["pci"])),
            "get_outgoing" => self.user(subject, UserAct::Get)?,
            "use_outgoing" => self.user(subject, UserAct::Use)?,
            "put_outgoing" => self.user(subject, UserAct::Put)?,
            "write_register" => {
                let (file, at) = self.register(subject, raw)?;
                let value = self.need(raw.value.take(), subject.place, "value")?.value;
                Action::WriteRegister { file, at, value }
            }
            "read_register" => {
                let (file, at) = self.register(subject, raw)?;
                Action::ReadRegister {
                    file,
                    at,
                    value: raw.value.take().map(|value| value.value),
                }
            }
            "read_file" => {
                let file = self.object(subject, &[Kind::Memfd])?;
                let contents = self
                    .need(raw.contents.take(), subject.place, "contents")?
                    .value;
                Action::ReadFile { file, contents }
            }
            _ => {
                if name.trim().is_empty() || name.contains('\n') || name.len() > 60 {
                    let message = "an observation is one line of at most 60 characters";
                    return Err(self.wrong(subject.place, message, None));
                }
                Action::Observe { what: name }
            }
        })
    }

    fn need<T>(&self, value: Option<T>, place: Place, key: &str) -> Checked<T> {
        value.ok_or_else(|| self.wrong(place, format!("the step needs `{key}`"), None))
    }

    fn make(&mut self, name: Option<At<String>>, place: Place, kind: Kind) -> Checked<String> {
        let name = self.need(name, place, "as")?;
        if let Some(reason) = bad_identifier(&name.value) {
            return Err(self.wrong(name.place, reason, None));
        }
        if self.objects.contains_key(&name.value) {
            let hint = Some("give each object of the scenario a name of its own".to_owned());
            return Err(self.wrong(
                name.place,
                format!("`{}` is already the name of something", name.value),
                hint,
            ));
        }
        self.objects.insert(name.value.clone(), kind);
        self.in_stage.push(name.value.clone());
        Ok(name.value)
    }

    /// An object that exists in this stage and is of one of `kinds`.
    fn object(&self, name: &At<String>, kinds: &[Kind]) -> Checked<String> {
        let fits = |known: &&String| {
            self.objects
                .get(*known)
                .is_some_and(|kind| kinds.contains(kind))
        };
        if self
            .in_stage
            .iter()
            .filter(fits)
            .any(|known| *known == name.value)
        {
            return Ok(name.value.clone());
        }
        let what: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
        let known: Vec<&str> = self
            .in_stage
            .iter()
            .filter(fits)
            .map(String::as_str)
            .collect();
        Err(self.unknown(&what.join(" or "), name, known))
    }

    fn file(&self, name: &At<String>) -> Checked<String> {
        self.object(name, &[Kind::DeviceFile, Kind::Memfd])
    }

    fn session(&self, name: Option<At<String>>, place: Place, key: &str) -> Checked<String> {
        let name = self.need(name, place, key)?;
        self.object(&name, &[Kind::Session])
    }

    /// An object that an earlier stage made and this one takes over.
    fn handed_over(&mut self, name: &At<String>, stage: usize, kinds: &[Kind]) -> Checked<()> {
        if stage == 1 {
            return Err(self.wrong(
                name.place,
                "nothing was handed over to the first stage",
                None,
            ));
        }
        if self
            .objects
            .get(&name.value)
            .is_none_or(|kind| !kinds.contains(kind))
        {
            let known: Vec<&str> = self
                .objects
                .iter()
                .filter(|(_, kind)| kinds.contains(kind))
                .map(|(name, _)| name.as_str())
                .collect();
            return Err(self.unknown("object of an earlier stage", name, known));
        }
        self.in_stage.push(name.value.clone());
        Ok(())
    }

    fn user(&mut self, name: &At<String>, act: UserAct) -> Checked<Action> {
        if !self.objects.contains_key(&name.value) && act == UserAct::Get {
            self.make(Some(name.clone()), name.place, Kind::User)?;
        }
        let user = self.object(name, &[Kind::User])?;
        Ok(Action::User { user, act })
    }

    fn register(&self, file: &At<String>, raw: &mut RawStep) -> Checked<(String, u64)> {
        let file_name = self.object(file, &[Kind::DeviceFile])?;
        let at = self.need(raw.at.take(), file.place, "at")?;
        let size = if at.value < 0x80 { 4 } else { 8 };
        if at.value % size != 0 || at.value >= 0x10_0000 {
            return Err(self.wrong(
                at.place,
                format!("no register of {size} bytes can be at {:#x}", at.value),
                None,
            ));
        }
        Ok((file_name, at.value))
    }

    fn memfd_contents(&self, contents: &At<String>) -> Checked<()> {
        if contents.value.is_empty() || contents.value.len() > 1024 || contents.value.contains('\0')
        {
            return Err(self.wrong(
                contents.place,
                "a memfd has 1 to 1024 bytes, none of them zero",
                None,
            ));
        }
        Ok(())
    }

    /// The token under which a file is preserved and retrieved: its name's rank.
    fn token(&mut self, file: &str) -> u64 {
        let rank = self
            .tokens
            .iter()
            .position(|known| known == file)
            .unwrap_or_else(|| {
                self.tokens.push(file.to_owned());
                self.tokens.len() - 1
            });
        rank as u64 + 1
    }
}
