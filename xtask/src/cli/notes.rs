// SPDX-License-Identifier: GPL-2.0-only
//! What help says last: notes on commands, and what their exit codes mean.

pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 every verdict as expected; 1 a finding (unexpected status, splat or snapshot); \
2 wrong input; 3 infrastructure, or a series that no kernel contains; 130 interrupted.";

pub(super) const INJECT_NOTES: &str = "\
A kernel module of ours does the harm, and only of the kinds that this kernel is \
built to notice. For each guest a line says what the tool made of it. `hang` takes \
as long as the tool waits for a guest that is silent; other kinds take up to a \
minute.

Exit codes: 0 every fault was pulled; 1 one could not be, or is not in this kernel; \
2 wrong input; 3 infrastructure; 130 interrupted.";

pub(super) const WATCH_NOTES: &str = "\
Watched are the series and its prerequisites, the scenarios and their recorded results, \
machine, configs, and a kernel tree that is a directory. A job runs anew when what it \
rests on has changed by content; the others keep their result, marked `=` in the table and \
`cached` in result.json. A mistake is shown, and the next save waited for. A save while jobs \
run ends them and begins anew. Every turn has a run folder; `--out` is refused.

No kernel is made to show that its reports are seen: what `test` had one of the same \
configuration show is told, and where that is nothing, a note says so. `--no-self-check` is \
refused.

Ctrl-C ends it, with exit code 130; 2 wrong input; 3 infrastructure.";

pub(super) const BENCH_NOTES: &str = "\
The sides of a case run in turns, after a run of each to warm up. How long a job takes \
never decides the exit code: 0 measured; 1 a job went wrong, so there is no figure; \
2 wrong input; 3 infrastructure; 130 interrupted.";

pub(super) const B4_NOTES: &str = "\
Nothing runs: judge the series first, best with the mbox that `b4 am` wrote. In the \
configuration of the kernel's repository:
  git config b4.review-perpatch-check-cmd 'patchbed b4-check'
  git config b4.review-series-check-cmd 'patchbed b4-check --whole'
For runs of `cargo xtask`, name CHECKOUT/target/debug/patchbed instead.

Exit codes: 0 answered, whatever the answer; 2 wrong input; 3 infrastructure.";
