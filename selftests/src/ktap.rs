// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses KTAP as kselftest prints it into a tree of tests and a list of problems.
//!
//! The output is hostile: it can be cut anywhere, contain lines of another level, or
//! contain forged results. The parser never fails and never panics. A test is crashed
//! until a valid result line is read, and plan, numbers and totals are compared with the
//! results.

mod line;

use line::{Content, DEPTH_MAX, Directive, ResultLine, Totals};
use serde::{Deserialize, Serialize};

/// Largest number of tests in one output.
const TESTS_MAX: usize = 20_000;
/// Largest number of problems that are recorded.
const PROBLEMS_MAX: usize = 200;
/// Largest number of diagnostic lines that are recorded for one test.
const DIAGNOSTICS_MAX: usize = 500;

/// The status of one test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    /// `ok`
    Passed,
    /// `not ok`
    Failed,
    /// `ok` or `not ok` with SKIP, and the reason if the output has a reason.
    Skipped(String),
    /// XFAIL or TODO, with the reason.
    ExpectedFailure(String),
    /// XPASS
    UnexpectedPass,
    /// TIMEOUT: the runner killed the test.
    TimedOut,
    /// Started or planned, without a result line.
    Crashed,
}

/// A test, or a group of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Its number on its level, from 1.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: TestStatus,
    /// Diagnostics printed before its result.
    pub diagnostics: Vec<String>,
    /// The tests inside.
    pub children: Vec<Test>,
}

/// Parsed output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The tests of the outermost level.
    pub tests: Vec<Test>,
    /// The number of tests in the plan of the outermost level.
    pub plan: Option<u64>,
    /// The reason in `1..0 # SKIP`: the whole program was skipped.
    pub skip_all: Option<String>,
    /// Whether the outermost level has a totals line. kselftest's C helpers and harness
    /// always print it; its runner and shell scripts may omit it.
    pub has_totals: bool,
    /// Whether the output has a version line.
    pub is_tap: bool,
    /// Contradictions and syntax errors in the output.
    pub problems: Vec<String>,
}

impl Report {
    /// Parses the output of a test program.
    #[must_use]
    pub fn parse(output: &[u8]) -> Self {
        let mut parser = Parser::default();
        for bytes in output.split_inclusive(|byte| *byte == b'\n') {
            parser.line(bytes);
        }
        parser.finish()
    }

    /// Returns the tests of all levels, each before the tests inside it.
    #[must_use]
    pub fn all(&self) -> Vec<&Test> {
        let mut found = Vec::new();
        let mut waiting: Vec<&Test> = self.tests.iter().rev().collect();
        while let Some(test) = waiting.pop() {
            found.push(test);
            waiting.extend(test.children.iter().rev());
        }
        found
    }

    /// Returns the tests of all levels that have no children.
    #[must_use]
    pub fn leaves(&self) -> Vec<&Test> {
        let mut found = self.all();
        found.retain(|test| test.children.is_empty());
        found
    }
}

/// One level of nesting that is being read.
#[derive(Debug, Default)]
struct Level {
    tests: Vec<Test>,
    /// Number of results by status. Counted while reading, because an output may repeat
    /// its totals line after every result.
    counted: Totals,
    plan: Option<u64>,
    skip_all: Option<String>,
    diagnostics: Vec<String>,
    running: Option<String>,
    has_totals: bool,
}

impl Level {
    fn next_number(&self) -> u64 {
        self.tests.last().map_or(0, |test| test.number) + 1
    }

    fn add_diagnostic(&mut self, text: String) {
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(text);
        }
    }

    fn is_started(&self) -> bool {
        self.plan.is_some() || !self.tests.is_empty() || self.running.is_some()
    }
}

#[derive(Debug, Default)]
struct Parser {
    /// From the outermost inwards.
    levels: Vec<Level>,
    problems: Vec<String>,
    tests: usize,
    /// Whether a version line was read.
    has_version: bool,
}

impl Parser {
    fn line(&mut self, bytes: &[u8]) {
        let ended = bytes.ends_with(b"\n");
        let parsed = line::parse(bytes);
        // A result of the runner after output without a newline.
        if let Some((front, hidden)) = line::hidden_result(&parsed.raw)
            && self.levels.len() > 1
            && hidden.number == self.levels[0].next_number()
        {
            self.problem(format!(
                "the result of `{}` starts in the middle of a line",
                hidden.name
            ));
            self.content(line::parse(front.as_bytes()), true);
            return self.result(0, hidden, &parsed.raw);
        }
        self.content(parsed, ended);
    }

    fn content(&mut self, parsed: line::KtapLine, ended: bool) {
        // A version line one level deeper opens that level; other lines of that depth are
        // diagnostics.
        let open = self.levels.len();
        let depth = match parsed.content {
            Content::Version => parsed.depth.min(open),
            _ => parsed.depth.min(open.saturating_sub(1)),
        };
        if !ended && !matches!(parsed.content, Content::Diagnostic(_) | Content::Empty) {
            self.problem("the output ends in the middle of a line".to_owned());
        }
        if depth < parsed.depth && !matches!(parsed.content, Content::Empty) {
            return self.diagnostic(depth, parsed.raw);
        }
        match parsed.content {
            Content::Empty => {}
            Content::Version => self.version(depth),
            Content::Plan { count, skip } => self.plan(depth, count, skip),
            Content::Result(result) => self.result(depth, result, &parsed.raw),
            Content::BailOut(reason) => {
                self.problem(format!("bailed out: {}", short(&reason)));
            }
            Content::Totals(totals) => self.totals(depth, totals),
            Content::Diagnostic(text) => self.diagnostic(depth, text),
        }
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    fn level(&mut self, depth: usize) -> &mut Level {
        while self.levels.len() <= depth.min(DEPTH_MAX) {
            self.levels.push(Level::default());
        }
        &mut self.levels[depth.min(DEPTH_MAX)]
    }

    fn version(&mut self, depth: usize) {
        self.has_version = true;
        if self.levels.len() > depth && self.levels[depth].is_started() {
            self.problem("duplicate version line".to_owned());
            return;
        }
        self.level(depth);
    }

    fn plan(&mut self, depth: usize, count: u64, skip: Option<String>) {
        let level = self.level(depth);
        if level.plan.is_some() {
            return self.problem("duplicate plan line".to_owned());
        }
        level.plan = Some(count);
        level.skip_all = skip;
    }

    fn diagnostic(&mut self, depth: usize, text: String) {
        let level = self.level(depth);
        if let Some(name) = line::running_test(&text) {
            level.running = Some(name.to_owned());
        }
        level.add_diagnostic(text);
    }

    fn result(&mut self, depth: usize, result: ResultLine, raw: &str) {
        let expected = self.level(depth).next_number();
        if result.number != expected {
            let (number, raw_start) = (result.number, short(raw));
            self.problem(format!(
                "result number is {number}, expected {expected}: `{raw_start}`"
            ));
            self.level(depth).add_diagnostic(raw.to_owned());
            return;
        }
        self.tests += 1;
        if self.tests > TESTS_MAX {
            return self.problem(format!("more than {TESTS_MAX} results"));
        }
        let children = self.close_deeper(depth);
        let level = self.level(depth);
        level.running = None;
        let diagnostics = std::mem::take(&mut level.diagnostics);
        let (children, inner_skip) =
            children.map_or((Vec::new(), None), |inner| (inner.tests, inner.skip_all));
        let status = status(&result, inner_skip);
        let failed_inside = children.iter().any(|child| {
            matches!(
                child.status,
                TestStatus::Failed
                    | TestStatus::Crashed
                    | TestStatus::TimedOut
                    | TestStatus::UnexpectedPass
            )
        });
        if failed_inside && status == TestStatus::Passed {
            self.problem(format!(
                "`{}` passed, but a test inside it did not",
                result.name
            ));
        }
        let test = Test {
            number: expected,
            name: result.name,
            status,
            diagnostics,
            children,
        };
        let level = self.level(depth);
        count(&mut level.counted, &test.status);
        level.tests.push(test);
    }

    fn totals(&mut self, depth: usize, printed: Totals) {
        let level = self.level(depth);
        level.has_totals = true;
        let counted = level.counted;
        let printed = Totals {
            fail: printed.fail.saturating_add(printed.error),
            error: 0,
            ..printed
        };
        if printed != counted {
            self.problem(format!(
                "the totals line has {printed}, the results are {counted}"
            ));
        }
    }

    /// Ends the levels deeper than `depth`, and returns the level at `depth + 1`.
    fn close_deeper(&mut self, depth: usize) -> Option<Level> {
        let mut inner: Option<Level> = None;
        while self.levels.len() > depth + 1 {
            let mut level = self.levels.pop()?;
            // Tests of a deeper level whose parent has no result line.
            if let Some(orphans) = inner.take().filter(|orphans| !orphans.tests.is_empty()) {
                level.tests.push(crashed(
                    "(without a result)".to_owned(),
                    level.next_number(),
                    orphans.tests,
                ));
            }
            self.complete(&mut level);
            inner = Some(level);
        }
        inner
    }

    /// Adds the tests that are planned or started on a level without a result as crashed.
    fn complete(&mut self, level: &mut Level) {
        if let Some(name) = level.running.take() {
            let number = level.next_number();
            let mut test = crashed(name, number, Vec::new());
            test.diagnostics = std::mem::take(&mut level.diagnostics);
            level.tests.push(test);
        }
        let results = level
            .tests
            .iter()
            .filter(|test| test.status != TestStatus::Crashed)
            .count() as u64;
        match level.plan {
            Some(plan) if plan != results => {
                self.problem(format!("{plan} tests are planned, {results} have a result"));
                let missing = plan.saturating_sub(level.tests.len() as u64);
                // One limit for all levels: otherwise many short plan lines with large
                // numbers would cost much more memory than their length.
                let budget = TESTS_MAX.saturating_sub(self.tests) as u64;
                for _ in 0..missing.min(budget) {
                    self.tests += 1;
                    let number = level.next_number();
                    level
                        .tests
                        .push(crashed("(no result)".to_owned(), number, Vec::new()));
                }
            }
            None if !level.tests.is_empty() => {
                self.problem("results without a plan line".to_owned());
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Report {
        let inner = self.close_deeper(0);
        let mut outer = std::mem::take(self.level(0));
        if let Some(inner) = inner.filter(|inner| !inner.tests.is_empty()) {
            let number = outer.next_number();
            outer.tests.push(crashed(
                "(without a result)".to_owned(),
                number,
                inner.tests,
            ));
        }
        self.complete(&mut outer);
        if !self.has_version {
            self.problem("no TAP version line".to_owned());
        } else if outer.plan.is_none() && outer.tests.is_empty() {
            self.problem("the output ends before the plan".to_owned());
        }
        Report {
            tests: outer.tests,
            plan: outer.plan,
            skip_all: outer.skip_all,
            has_totals: outer.has_totals,
            is_tap: self.has_version,
            problems: self.problems,
        }
    }
}

/// Counts one more result.
const fn count(totals: &mut Totals, status: &TestStatus) {
    let counter = match status {
        TestStatus::Passed => &mut totals.pass,
        TestStatus::Failed | TestStatus::Crashed | TestStatus::TimedOut => &mut totals.fail,
        TestStatus::Skipped(_) => &mut totals.skip,
        TestStatus::ExpectedFailure(_) => &mut totals.xfail,
        TestStatus::UnexpectedPass => &mut totals.xpass,
    };
    *counter += 1;
}

const fn crashed(name: String, number: u64, children: Vec<Test>) -> Test {
    Test {
        number,
        name,
        status: TestStatus::Crashed,
        diagnostics: Vec::new(),
        children,
    }
}

fn status(result: &ResultLine, inner_skip: Option<String>) -> TestStatus {
    match &result.directive {
        Some(Directive::Skip(reason)) if reason.is_empty() => {
            TestStatus::Skipped(inner_skip.unwrap_or_default())
        }
        Some(Directive::Skip(reason)) => TestStatus::Skipped(reason.clone()),
        Some(Directive::Xfail(reason)) => TestStatus::ExpectedFailure(reason.clone()),
        Some(Directive::Xpass) => TestStatus::UnexpectedPass,
        Some(Directive::Timeout) => TestStatus::TimedOut,
        Some(Directive::Error) => TestStatus::Failed,
        None if result.ok => TestStatus::Passed,
        None => TestStatus::Failed,
    }
}

fn short(text: &str) -> String {
    text.trim().chars().take(80).collect()
}

#[cfg(test)]
mod tests;
