// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests with documented KTAP, KTAP of kselftest, and hostile output.

use proptest::prelude::*;

use super::*;

fn show(output: &str) -> String {
    fn add(test: &Test, indent: usize, out: &mut Vec<String>) {
        out.push(format!(
            "{}{} {:?} {}",
            "  ".repeat(indent),
            test.number,
            test.status,
            test.name
        ));
        for child in &test.children {
            add(child, indent + 1, out);
        }
    }
    let report = Report::parse(output.as_bytes());
    let mut out = Vec::new();
    for test in &report.tests {
        add(test, 0, &mut out);
    }
    out.extend(report.problems.iter().map(|problem| format!("! {problem}")));
    out.join("\n")
}

#[test]
fn parse_reads_the_output_of_a_harness_program() {
    let output = "TAP version 13\n1..3\n# Starting 3 tests from 1 test cases.\n\
        #  RUN           fx.one ...\n#            OK  fx.one\nok 1 fx.one\n\
        #  RUN           fx.two ...\n# a.c:3:two:Expected 0 (0) == ret (-5)\n#          FAIL  fx.two\nnot ok 2 fx.two\n\
        #  RUN           fx.three ...\n#      SKIP      needs root\n#            OK  fx.three\nok 3 fx.three # SKIP needs root\n\
        # FAILED: 2 / 3 tests passed.\n# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0\n";
    insta::assert_snapshot!(show(output), @r#"
    1 Passed fx.one
    2 Failed fx.two
    3 Skipped("needs root") fx.three
    "#);
}

#[test]
fn parse_reports_a_test_without_a_result_as_crashed() {
    let output = "TAP version 13\n1..2\n#  RUN           fx.one ...\nok 1 fx.one\n#  RUN           fx.two ...\n# st";
    insta::assert_snapshot!(show(output), @r"
    1 Passed fx.one
    2 Crashed fx.two
    ! 2 tests are planned, 1 have a result
    ");
}

#[test]
fn parse_nests_tests_behind_the_hashes_of_the_runner() {
    let output = "TAP version 13\n1..2\n# timeout set to 45\n# selftests: foo: bar\n\
        # TAP version 13\n# 1..1\n# #  RUN           global.x ...\n# ok 1 global.x\n\
        # # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\nok 1 selftests: foo: bar\n\
        # selftests: foo: none\n# TAP version 13\n# 1..0 # SKIP no device\nok 2 selftests: foo: none # SKIP\n";
    insta::assert_snapshot!(show(output), @r#"
    1 Passed selftests: foo: bar
      1 Passed global.x
    2 Skipped("no device") selftests: foo: none
    "#);
}

#[test]
fn parse_finds_a_result_of_the_runner_in_the_middle_of_a_line() {
    let output = "TAP version 13\n1..1\n# selftests: foo: nonl.sh\n# TAP version 13\n# 1..1\n\
        # ok 1 partialnot ok 1 selftests: foo: nonl.sh # exit=1\n";
    insta::assert_snapshot!(show(output), @r"
    1 Failed selftests: foo: nonl.sh
      1 Passed partial
    ! the result of `selftests: foo: nonl.sh` starts in the middle of a line
    ");
}

#[test]
fn parse_rejects_a_result_with_a_wrong_number() {
    let output = "TAP version 13\n1..1\nnot ok 77 I made this up\nok 1 real\n\
        # Totals: pass:2 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
    insta::assert_snapshot!(show(output), @r"
    1 Passed real
    ! result number is 77, expected 1: `not ok 77 I made this up`
    ! the totals line has pass:2 fail:0 xfail:0 xpass:0 skip:0, the results are pass:1 fail:0 xfail:0 xpass:0 skip:0
    ");
}

#[test]
fn parse_reads_the_directives_of_kselftest() {
    let output = "TAP version 13\n1..5\nok 1 # SKIP name and reason\nok 2 x # XFAIL unknown\n\
        not ok 3 selftests: a: b # TIMEOUT 2 seconds\nnot ok 4 # error msg\r\nok 5 y # XPASS unknown\n";
    insta::assert_snapshot!(show(output), @r#"
    1 Skipped("name and reason") name and reason
    2 ExpectedFailure("unknown") x
    3 TimedOut selftests: a: b
    4 Failed msg
    5 UnexpectedPass y
    "#);
}

#[test]
fn parse_reports_a_group_that_passes_with_a_failed_test() {
    for inside in [
        "not ok 1 a",
        "not ok 1 a # TIMEOUT 2 seconds",
        "ok 1 a # XPASS unknown",
    ] {
        let output =
            format!("TAP version 13\n1..1\n# TAP version 13\n# 1..1\n# {inside}\nok 1 b\n");
        let problems = Report::parse(output.as_bytes()).problems;
        assert_eq!(
            problems,
            ["`b` passed, but a test inside it did not"],
            "{inside}"
        );
    }
}

#[test]
fn has_totals_ignores_totals_of_inner_levels() {
    let totals = "# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
    let program = format!("TAP version 13\n1..1\nok 1 a\n{totals}");
    assert!(Report::parse(program.as_bytes()).has_totals);
    let runner =
        format!("TAP version 13\n1..1\n# TAP version 13\n# 1..1\n# ok 1 a\n# {totals}ok 1 b\n");
    assert!(!Report::parse(runner.as_bytes()).has_totals);
}

#[test]
fn parse_reports_empty_output_and_reads_skip_all() {
    assert_eq!(Report::parse(b"").problems, ["no TAP version line"]);
    assert!(
        Report::parse(b"TAP version 13\n1..0 # SKIP no root\n")
            .skip_all
            .is_some()
    );
}

/// Returns outputs of about `bytes` bytes that would be slow in a parser with quadratic
/// cost.
fn hostile_shapes(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let repeated = |unit: &str| unit.repeat(bytes / unit.len()).into_bytes();
    let numbered = |text: &dyn Fn(usize) -> String| {
        let mut all = "TAP version 13\n".to_owned();
        let mut number = 0;
        while all.len() < bytes {
            number += 1;
            all += &text(number);
        }
        all.into_bytes()
    };
    vec![
        ("newlines", repeated("\n")),
        ("one line", repeated("x")),
        ("spaces", repeated("  ")),
        ("hashes", repeated("# ")),
        ("versions", repeated("TAP version 13\n")),
        (
            "deeper versions",
            repeated("# # # # # # # # # # # # # # # # TAP version 13\n"),
        ),
        ("plans", repeated("1..20000\n")),
        ("wrong numbers", repeated("ok 7 a\n")),
        ("hidden results", repeated("xok 7 selftests: a\n")),
        ("diagnostics", repeated("# a\n")),
        ("running tests", repeated("#  RUN           a.b ...\n")),
        ("bytes", vec![0xff; bytes]),
        ("results", numbered(&|number| format!("ok {number} a\n"))),
        (
            "totals after each result",
            numbered(&|number| format!("ok {number} a\n# Totals: pass:{number}\n")),
        ),
        (
            "results of many levels",
            numbered(&|number| format!("# TAP version 13\n# 1..9\n# ok 1 a\nok {number} a\n")),
        ),
        (
            "many totals after all results",
            numbered(&|number| match number {
                0..20_000 => format!("ok {number} a\n"),
                _ => format!("# Totals: pass:{number}\n"),
            }),
        ),
    ]
}

#[test]
fn parse_takes_linear_time_for_hostile_output() {
    crate::testing::assert_linear(hostile_shapes, |output| {
        let _ = Report::parse(output);
    });
}

#[test]
fn parse_limits_problems_and_tests_of_hostile_output() {
    for (name, output) in hostile_shapes(400_000) {
        let report = Report::parse(&output);
        assert!(report.problems.len() <= PROBLEMS_MAX, "{name}");
        assert!(report.all().len() <= 2 * TESTS_MAX, "{name}");
    }
}

#[test]
fn parse_reports_numbers_that_overflow() {
    let max = u64::MAX;
    for line in [
        format!("# Totals: fail:{max} error:{max} pass:{max}"),
        format!("1..{max}"),
        format!("ok {max} a"),
    ] {
        let output = format!("TAP version 13\n1..1\nok 1 a\n{line}\n");
        let report = Report::parse(output.as_bytes());
        assert!(!report.problems.is_empty(), "{line}");
    }
}

proptest! {
    #[test]
    fn parse_accepts_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Report::parse(&bytes);
    }

    #[test]
    fn parse_accepts_any_mixture_of_lines(pieces in proptest::collection::vec(0usize..14, 0..60), cut in 0usize..900) {
        let words = ["TAP version 13\n", "# TAP version 13\n", "# # TAP version 13\n", "1..2\n", "# 1..3\n", "ok 1 a\n",
            "# not ok 1 b\n", "not ok 2 c # SKIP é\n", "# # ok 1 d\n", "#  RUN           f.g ...\n", "Bail out! x\n",
            "# Totals: pass:1 fail:0\n", "# xnot ok 1 selftests: a\n", "1..99999999999\n"];
        let text: String = pieces.iter().map(|piece| words[*piece]).collect();
        let _ = Report::parse(&text.as_bytes()[..cut.min(text.len())]);
    }
}
