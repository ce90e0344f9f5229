// SPDX-License-Identifier: MIT OR Apache-2.0
//! Actions on sessions and the files in them.

use super::super::objects::{FILES, Kind};
use super::super::{Checked, Checker};
use super::Verb;
use crate::scenario::raw::RawStep;
use crate::scenario::{Action, Answer, Returns};
use crate::yaml::At;

/// Maximal number of sessions of one step, well below the limit of open files.
const SESSIONS_MAX: u64 = 200;

impl Checker<'_> {
    pub(super) fn session_action(
        &mut self,
        verb: &Verb<'_>,
        raw: &mut RawStep,
    ) -> Checked<Option<Action>> {
        let (subject, place) = (&verb.subject, verb.place());
        Ok(Some(match verb.key {
            "create_session" if raw.times.is_some() => self.create_sessions(verb, raw)?,
            "create_session" => Action::CreateSession {
                session: self.make(Some(subject.clone()), place, Kind::Session, verb.returns)?,
            },
            "retrieve_session" => {
                self.handed_over(subject, verb.boot, &[Kind::Session], verb.returns)?;
                self.take_over(&subject.value);
                Action::RetrieveSession {
                    session: verb.name(),
                    answer: self.answer(raw.answer.take().as_ref())?,
                }
            }
            "session_name" => Action::SessionName {
                session: self.object(subject, &[Kind::Session])?,
                name: self.need(raw.contents.take(), place, "contents")?.value,
            },
            "preserve" => {
                let file = self.object(subject, FILES)?;
                let session = self.session(raw.into.take(), place, "into")?;
                Action::Preserve {
                    token: self.token(&file, raw.token.take()),
                    file,
                    session,
                }
            }
            "retrieve" => self.retrieve(verb, raw)?,
            "finish" => Action::Finish {
                session: self.object(subject, &[Kind::Session])?,
            },
            "close" => {
                let kinds = [
                    Kind::DeviceFile,
                    Kind::Memfd,
                    Kind::File,
                    Kind::Session,
                    Kind::User,
                ];
                let object = self.object(subject, &kinds)?;
                self.close(&object);
                Action::Close { object }
            }
            _ => return Ok(None),
        }))
    }

    /// Creates many sessions. Steps can refer to them only in the next boot.
    fn create_sessions(&mut self, verb: &Verb<'_>, raw: &mut RawStep) -> Checked<Action> {
        let times = self.need(raw.times.take(), verb.place(), "times")?;
        if !(2..=SESSIONS_MAX).contains(&times.value) {
            let message = format!("`times` is out of range: use 2 to {SESSIONS_MAX}");
            return Err(self.wrong(times.place, message, None));
        }
        if *verb.returns != Returns::Ok {
            let hint = Some("create the session that must fail in another step".to_owned());
            let message = "`returns` is invalid with `times`";
            return Err(self.wrong(verb.place(), message, hint));
        }
        for number in 1..=times.value {
            let session = At {
                value: format!("{}_{number}", verb.subject.value),
                place: verb.place(),
            };
            if self.objects.contains_key(&session.value) {
                let message = format!("duplicate name `{}`", session.value);
                return Err(self.wrong(session.place, message, None));
            }
            let made = self.make(Some(session), verb.place(), Kind::Session, verb.returns)?;
            self.give_away(&made);
        }
        Ok(Action::CreateSessions {
            name: verb.name(),
            times: times.value,
        })
    }

    fn answer(&self, word: Option<&At<String>>) -> Checked<Answer> {
        let Some(word) = word else {
            return Ok(Answer::Taken);
        };
        Answer::from_word(&word.value).ok_or_else(|| {
            let known = Answer::ALL.iter().map(|answer| answer.word());
            self.unknown("answer", word, known)
        })
    }

    fn retrieve(&mut self, verb: &Verb<'_>, raw: &mut RawStep) -> Checked<Action> {
        self.handed_over(&verb.subject, verb.boot, FILES, verb.returns)?;
        let session = self.session(raw.from.take(), verb.place(), "from")?;
        let token = self.token(&verb.subject.value, raw.token.take());
        let file = match raw.name.take() {
            // A second file of the same kind.
            Some(name) => {
                let kind = self.objects.get(&verb.subject.value).copied();
                let kind = kind.unwrap_or(Kind::File);
                self.make(Some(name), verb.place(), kind, verb.returns)?
            }
            None => {
                self.take_over(&verb.subject.value);
                verb.name()
            }
        };
        Ok(Action::Retrieve {
            file,
            session,
            token,
        })
    }
}
