// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the expectations of a step.

use super::checker::{Checked, Checker};
use crate::input::Place;
use crate::scenario::model::{Bounds, ExpectedLog, Returns};
use crate::scenario::names::is_kernel_function;
use crate::scenario::raw::{RawCount, RawLog, RawStep};
use crate::scenario::verb::Language;
use crate::yaml::At;

impl Checker<'_> {
    pub(super) fn returns(&self, returns: Option<&At<String>>) -> Checked<Returns> {
        let Some(written) = returns else {
            return Ok(Returns::Ok);
        };
        let words: Vec<&str> = written.value.split('|').map(str::trim).collect();
        match words.as_slice() {
            [word] => self.one_result(word, written.place),
            words => {
                let results = words
                    .iter()
                    .map(|word| self.one_result(word, written.place));
                Ok(Returns::AnyOf(results.collect::<Checked<_>>()?))
            }
        }
    }

    fn one_result(&self, word: &str, place: Place) -> Checked<Returns> {
        let errors = &Language::get().words("error").words;
        match word {
            "ok" | "0" => Ok(Returns::Ok),
            word if errors.iter().any(|error| error == word) => Ok(Returns::Errno(word.to_owned())),
            _ => {
                let known = ["ok"].into_iter().chain(errors.iter().map(String::as_str));
                let value = word.to_owned();
                Err(self.unknown("result", &At { value, place }, known))
            }
        }
    }

    pub(super) fn calls(&self, step: &RawStep) -> Checked<Vec<(String, Bounds)>> {
        let call = |(function, count): (&String, &At<RawCount>)| {
            self.kernel_function(function, count.place)?;
            let (exactly, min, max) = match count.value {
                RawCount::Exactly(count) => (Some(count), None, None),
                RawCount::Between { min, max } => (None, min, max),
            };
            let bounds = self.bounds(exactly, min, max, count.place)?;
            Ok((function.clone(), bounds))
        };
        step.calls.iter().map(call).collect()
    }

    pub(super) fn order(&self, step: &RawStep) -> Checked<Vec<String>> {
        if let [only] = step.order.as_slice() {
            return Err(self.wrong(only.place, "`order` needs at least two functions", None));
        }
        let name = |function: &At<String>| {
            self.kernel_function(&function.value, function.place)?;
            let is_same = |other: &&At<String>| other.value == function.value;
            if step.order.iter().filter(is_same).count() > 1 {
                let message = format!("duplicate function `{}` in `order`", function.value);
                return Err(self.wrong(function.place, message, None));
            }
            Ok(function.value.clone())
        };
        step.order.iter().map(name).collect()
    }

    pub(super) fn kernel_function(&self, name: &str, place: Place) -> Checked<()> {
        if is_kernel_function(name) {
            return Ok(());
        }
        let message = format!("`{name}` is not a valid function name");
        Err(self.wrong(place, message, None))
    }

    pub(super) fn log(&self, step: &RawStep) -> Checked<Vec<ExpectedLog>> {
        let line = |raw: &RawLog| {
            let text = raw.text.value.clone();
            if text.is_empty() {
                let message = "empty `text`: it would match every line";
                return Err(self.wrong(raw.text.place, message, None));
            }
            let count = self.bounds(raw.count, raw.min, raw.max, raw.text.place)?;
            Ok(ExpectedLog { text, count })
        };
        step.log.iter().map(line).collect()
    }

    pub(super) fn bounds(
        &self,
        count: Option<u64>,
        min: Option<u64>,
        max: Option<u64>,
        place: Place,
    ) -> Checked<Bounds> {
        let bounds = match (count, min, max) {
            (Some(count), None, None) => Bounds {
                min: count,
                max: Some(count),
            },
            (None, None, None) => {
                let message = "missing `count`, or `min` and `max`";
                return Err(self.wrong(place, message, None));
            }
            (None, min, max) => Bounds {
                min: min.unwrap_or(0),
                max,
            },
            _ => {
                let message = "`count` excludes `min` and `max`";
                return Err(self.wrong(place, message, None));
            }
        };
        if bounds.max.is_some_and(|max| max < bounds.min) {
            return Err(self.wrong(place, "`min` is greater than `max`", None));
        }
        Ok(bounds)
    }
}
