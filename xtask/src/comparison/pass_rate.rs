// SPDX-License-Identifier: GPL-2.0-only
//! Whether something happens more often than before, or only by pass_rate.

/// What happens by pass_rate less often than this is taken for no pass_rate.
const LEVEL: f64 = 0.05;

/// Returns whether the rate now is higher than before by more than pass_rate explains, by
/// Fisher's exact test, one side. Each is how often it happened, and how often it was tried.
pub(super) fn is_more_often(before: (usize, usize), now: (usize, usize)) -> bool {
    probability(before, now) < LEVEL
}

/// Returns how probable it is that at least so many of all that happened are among those
/// now, when before and now are alike.
fn probability(before: (usize, usize), now: (usize, usize)) -> f64 {
    let logs = log_factorials(before.1 + now.1);
    let choose = |of: usize, some: usize| match some <= of {
        true => logs[of] - logs[some] - logs[of - some],
        false => f64::NEG_INFINITY,
    };
    let happened = before.0 + now.0;
    let all = choose(before.1 + now.1, happened);
    (now.0..=happened.min(now.1))
        .map(|among| (choose(now.1, among) + choose(before.1, happened - among) - all).exp())
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
    fn the_test_agrees_with_figures_worked_out_by_hand() {
        // Of 8 that happened, 7 of 10 now and 1 of 10 before: (C(10,7) C(10,1) + C(10,8)) / C(20,8).
        let by_hand = (120.0 * 10.0 + 45.0) / 125_970.0;
        assert!((probability((1, 10), (7, 10)) - by_hand).abs() < 1e-9);
        assert!((probability((1, 1), (1, 1)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_few_tries_prove_nothing() {
        assert!(!is_more_often((1, 1), (1, 1)));
        assert!(!is_more_often((3, 10), (5, 10)));
        assert!(is_more_often((1, 10), (9, 10)));
        assert!(!is_more_often((9, 10), (1, 10)));
        assert!(is_more_often((10, 10_000), (100, 10_000)));
    }
}
