// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares two rates of unexpected results.

/// Significance level: a higher rate with a smaller probability is not attributed to chance.
const LEVEL: f64 = 0.05;

/// Returns whether the rate now is significantly higher than before, by Fisher's exact test,
/// one-sided. Each pair is the number of events and the number of repetitions.
pub(super) fn is_more_often(before: (usize, usize), now: (usize, usize)) -> bool {
    probability(before, now) < LEVEL
}

/// Returns the probability of at least `now.0` events among the repetitions now, if both rates are
/// equal.
fn probability(before: (usize, usize), now: (usize, usize)) -> f64 {
    let logs = log_factorials(before.1 + now.1);
    let choose = |of: usize, some: usize| match some <= of {
        true => logs[of] - logs[some] - logs[of - some],
        false => f64::NEG_INFINITY,
    };
    let events = before.0 + now.0;
    let all = choose(before.1 + now.1, events);
    (now.0..=events.min(now.1))
        .map(|among| (choose(now.1, among) + choose(before.1, events - among) - all).exp())
        .sum()
}

fn log_factorials(last: usize) -> Vec<f64> {
    let mut logs = vec![0.0];
    for number in 1..=last {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        logs.push(logs[logs.len() - 1] + f64::from(number).ln());
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probability_equals_values_computed_by_hand() {
        // 8 events, 7 in 10 repetitions now and 1 in 10 before: (C(10,7) C(10,1) + C(10,8)) / C(20,8).
        let by_hand = (120.0 * 10.0 + 45.0) / 125_970.0;
        assert!((probability((1, 10), (7, 10)) - by_hand).abs() < 1e-9);
        assert!((probability((1, 1), (1, 1)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn is_more_often_needs_a_significant_difference() {
        assert!(!is_more_often((1, 1), (1, 1)));
        assert!(!is_more_often((3, 10), (5, 10)));
        assert!(is_more_often((1, 10), (9, 10)));
        assert!(!is_more_often((9, 10), (1, 10)));
        assert!(is_more_often((10, 10_000), (100, 10_000)));
    }
}
