// SPDX-License-Identifier: MIT OR Apache-2.0
//! A header that the testbed includes in front of a program. It prints the steps of a test and
//! their results, which are no part of the program itself.

use std::collections::BTreeMap;

use super::c::{Lines, string};
use crate::catalogue::Catalogue;
use crate::scenario::{Operation, Outcome, ScenarioFile};

/// Seconds by which the time limit of the harness exceeds that of the guest's PID 1, so that
/// PID 1 detects a hang first.
const HARNESS_GRACE_SECS: u64 = 60;

/// Functions of the core that a step can call, beside those of its verb, with their macros.
const CORE: [(&str, &str); 9] = [
    ("kt_hold", "KT_NUMBER"),
    ("kt_wait", "KT_NUMBER"),
    ("kt_release", "KT_NUMBER"),
    ("kt_end_wait", "KT_NUMBER"),
    ("kt_fail_each", "KT_NUMBER"),
    ("kt_both_orders", "KT_NUMBER"),
    ("kt_calls_in_order", "KT_CHECK"),
    ("kt_cannot_count", "KT_CHECK"),
    ("kt_cannot_read_log", "KT_CHECK"),
];

/// Returns the header of a program whose steps have these lines.
pub(super) fn header(
    catalogue: &Catalogue,
    scenario_files: &[&ScenarioFile],
    lines: &[Lines],
) -> String {
    let variants = || scenario_files.iter().flat_map(|file| &file.variants);
    let limit = variants().map(|variant| variant.timeout_secs).max();
    let limit = limit.unwrap_or_default() + HARNESS_GRACE_SECS;
    let mut macros = BTreeMap::from(CORE);
    for operation in variants().flat_map(|variant| variant.operations()) {
        macros.insert(&operation.call().function, wrapper(operation));
    }
    let entries = lines.iter().map(|lines| {
        let mark = &lines.mark;
        let label = mark
            .label
            .as_deref()
            .map_or_else(|| "NULL".to_owned(), string);
        let (first, last, step, times) = (lines.first, lines.last, mark.step, mark.times);
        format!("\t{{ {first}, {last}, {step}, {times}, {label}, 0 }},\n")
    });
    let mut text = include_str!("trace.h").to_owned();
    // A macro must not replace the name in a declaration.
    let own = catalogue.header().into_iter();
    text.extend(own.map(|own| format!("\n#include {}\n", string(&own))));
    text += &format!("\n#define KT_TIMEOUT\t{limit}\n");
    text += "\nstatic struct kt_lines kt_all_lines[] = {\n";
    text.extend(entries);
    text += "};\n\n";
    text += FIND;
    for (function, wrapper) in macros {
        text += &format!("#define {function}(...)\t{wrapper}({function}(__VA_ARGS__))\n");
    }
    text
}

/// Returns the macro for the call of an operation.
fn wrapper(operation: &Operation) -> &'static str {
    match operation.result() {
        Outcome::Text(_) => "KT_TEXT",
        Outcome::Nothing => "KT_NOTHING",
        Outcome::Leaks => "KT_LEAKS",
        Outcome::Status | Outcome::Descriptor(_) | Outcome::Number(_) => "KT_NUMBER",
    }
}

const FIND: &str = "\
/* Returns the step of a line in the program; of nested steps, the innermost. */
static inline struct kt_lines *kt_find(const char *file, int line)
{
	int i;

	for (i = (int)ARRAY_SIZE(kt_all_lines) - 1; i >= 0 && !strcmp(file, __BASE_FILE__); i--) {
		if (line >= kt_all_lines[i].first && line <= kt_all_lines[i].last)
			return &kt_all_lines[i];
	}
	return NULL;
}

";
