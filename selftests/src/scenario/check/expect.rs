// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the expectations of a step.

use super::checker::{Checked, Checker};
use crate::input::Place;
use crate::scenario::model::{Bounds, ExpectedLog, Returns};
use crate::scenario::names::is_kernel_function;
use crate::scenario::raw::{RawCount, RawLog, RawStep};
use crate::yaml::At;

impl Checker<'_> {
    pub(super) fn returns(&self, returns: Option<&At<String>>) -> Checked<Returns> {
        let Some(written) = returns else {
            return Ok(Returns::Ok);
        };
        let words = written.value.split('|').map(str::trim);
        let results = words.map(|word| self.one_result(word, written.place));
        let mut results = results.collect::<Checked<Vec<_>>>()?;
        match results.len() {
            1 => Ok(results.remove(0)),
            _ => Ok(Returns::AnyOf(results)),
        }
    }

    fn one_result(&self, word: &str, place: Place) -> Checked<Returns> {
        let errors = &self.language.words("error").words;
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
            let bounds = self.real_bounds(exactly, min, max, count.place)?;
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
            let count = step.order.iter().filter(is_same).count();
            let message = format!("duplicate function `{}` in `order`", function.value);
            self.require(count == 1, function.place, message)?;
            Ok(function.value.clone())
        };
        step.order.iter().map(name).collect()
    }

    pub(super) fn kernel_function(&self, name: &str, place: Place) -> Checked<()> {
        let message = format!("`{name}` is not a valid function name");
        self.require(is_kernel_function(name), place, message)
    }

    pub(super) fn log(&self, step: &RawStep) -> Checked<Vec<ExpectedLog>> {
        let line = |raw: &RawLog| {
            let text = raw.text.value.clone();
            let message = "empty `text`: it would match every line";
            self.require(!text.is_empty(), raw.text.place, message)?;
            let message = "`text` has a control character, which no line of the log has";
            self.require(!text.contains(char::is_control), raw.text.place, message)?;
            let count = self.real_bounds(raw.count, raw.min, raw.max, raw.text.place)?;
            Ok(ExpectedLog { text, count })
        };
        step.log.iter().map(line).collect()
    }

    /// The bounds of a count that can be wrong.
    fn real_bounds(
        &self,
        count: Option<u64>,
        min: Option<u64>,
        max: Option<u64>,
        place: Place,
    ) -> Checked<Bounds> {
        let bounds = self.bounds(count, min, max, place)?;
        let can_fail = bounds.min > 0 || bounds.max.is_some();
        self.require(can_fail, place, "`min: 0` without `max` cannot fail")?;
        Ok(bounds)
    }

    pub(super) fn bounds(
        &self,
        count: Option<u64>,
        min: Option<u64>,
        max: Option<u64>,
        place: Place,
    ) -> Checked<Bounds> {
        let has_bounds = min.or(max).is_some();
        let is_given = count.is_some() || has_bounds;
        self.require(is_given, place, "missing `count`, or `min` and `max`")?;
        let is_clear = count.is_none() || !has_bounds;
        self.require(is_clear, place, "`count` excludes `min` and `max`")?;
        let (min, max) = (count.or(min).unwrap_or(0), count.or(max));
        let is_ordered = max.is_none_or(|max| max >= min);
        self.require(is_ordered, place, "`min` is greater than `max`")?;
        Ok(Bounds { min, max })
    }
}
