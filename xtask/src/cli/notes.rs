// SPDX-License-Identifier: MIT OR Apache-2.0
//! Notes and exit codes at the end of help texts.

pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 every result as expected; 1 a finding (unexpected result, splat or snapshot); \
2 wrong input; 3 inconclusive, or the series or a part of it was not tested; 130 interrupted.";

pub(super) const INJECT_NOTES: &str = "\
The kernel module fault.ko injects the faults. It has only the faults that the kernel's \
config can detect. For each guest, the result is printed in one line. `hang` takes as long \
as the timeout for a silent guest; other faults take up to a minute.

Exit codes: 0 every fault was injected; 1 a fault was not injected, or is not in this \
kernel; 2 wrong input; 3 infrastructure; 130 interrupted.";

pub(super) const WATCH_NOTES: &str = "\
Watched files: the series and its prerequisites, scenarios and their snapshots, machines, \
configs, and the kernel tree if it is a directory. A job is rerun when the hash of its \
build, test, machine or snapshot changes. Other results are reused; they are marked `=` in the table and `cached` in result.json. Errors are printed; the command then \
waits for the next save. A save while jobs run cancels them and starts the next iteration. \
Every iteration has its own run folder; `--out` is refused.

`watch` does not run the self-check. It reuses the last self-check result of `test` for the \
same kernel configuration, and prints a note if there is none. `--no-self-check` is refused.

Ctrl-C ends the command. Exit codes: 2 wrong input; 3 infrastructure; 130 interrupted.";

pub(super) const BENCH_NOTES: &str = "\
The sides of a case run alternately, after a warm-up run of each. The exit code does not \
depend on the measured times: 0 measured; 1 a run failed, so there are no figures; \
2 wrong input; 3 infrastructure; 130 interrupted.";

pub(super) const B4_NOTES: &str = "\
`b4-check` runs no tests: run `test` on the series first, best with the mbox that `b4 am` \
writes. Add to the git configuration of the kernel's repository:
  git config b4.review-perpatch-check-cmd 'patchbed b4-check'
  git config b4.review-series-check-cmd 'patchbed b4-check --whole'
To read the runs of `cargo xtask`, use CHECKOUT/target/debug/patchbed instead.

Exit codes: 0 a result was printed, also if no run matches; 2 wrong input; \
3 infrastructure.";
