// SPDX-License-Identifier: MIT OR Apache-2.0
//! For tests: checks that the time of a parser grows with the length of its input and
//! not with the square of the length.

use std::time::Duration;

/// Bytes of the short input; the long one has `FACTOR` times as many.
const SHORT_BYTES: usize = 100_000;
const FACTOR: usize = 8;
/// A linear parser takes `FACTOR` times as long for the long input, a quadratic one
/// `FACTOR * FACTOR` times.
const TIMES_MAX: u32 = 3 * FACTOR as u32;
/// The kernel updates the time that a thread has used once a tick, 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

/// Parses a short and a long input of each shape.
///
/// # Panics
/// When the long one takes much more CPU time per byte.
pub(crate) fn assert_linear<I>(
    shapes: impl Fn(usize) -> Vec<(&'static str, I)>,
    parse: impl Fn(&I),
) {
    let short = shapes(SHORT_BYTES);
    let long = shapes(FACTOR * SHORT_BYTES);
    for ((name, short), (_, long)) in short.iter().zip(&long) {
        let short = cpu_time(|| parse(short));
        let long = cpu_time(|| parse(long));
        assert!(
            is_linear(short, long),
            "{name}: {short:?} for {SHORT_BYTES} bytes, {long:?} for {FACTOR} times as many"
        );
    }
}

/// Decides by the times for the short and the long input.
fn is_linear(short: Duration, long: Duration) -> bool {
    long <= TIMES_MAX * (short + TICK)
}

/// Returns the CPU time that this thread needs for `work`; load of the host does not count.
fn cpu_time(work: impl Fn()) -> Duration {
    let begin = used();
    work();
    used() - begin
}

fn used() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = text.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

#[test]
fn is_linear_accepts_eight_times_as_long_and_refuses_its_square() {
    for short in [50, 100, 1000].map(Duration::from_millis) {
        assert!(is_linear(short, 8 * short));
        assert!(!is_linear(short, 64 * short));
    }
    assert!(is_linear(Duration::ZERO, TICK));
}
