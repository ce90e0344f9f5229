// SPDX-License-Identifier: MIT OR Apache-2.0
//! Median, spread and ratio of measurements.

use serde::Serialize;

/// The minimum number of rounds for a ratio. With fewer, other load on the host has too much
/// influence.
pub(crate) const ROUNDS_FOR_A_RATIO: usize = 3;

/// The median of some figures, and their range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Returns the median and range of the figures; `None` if there are no figures.
pub(crate) fn spread(figures: &[f64]) -> Option<Spread> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Some(Spread { median, min, max })
}

/// The ratio of another side's figures to those of the first side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// The ratio of the medians.
    pub(crate) of_medians: f64,
    /// The smallest ratio within one round.
    pub(crate) min: f64,
    /// The largest ratio within one round.
    pub(crate) max: f64,
}

/// Returns the ratio of `other` to `first`, by round. There is no ratio for too few rounds,
/// sides with different numbers of rounds, or figures that are 0.
pub(crate) fn ratio(first: &[f64], other: &[f64]) -> Option<Ratio> {
    let is_sound = first.len() >= ROUNDS_FOR_A_RATIO
        && first.len() == other.len()
        && first.iter().chain(other).all(|figure| *figure > 0.0);
    if !is_sound {
        return None;
    }
    let pairs: Vec<f64> = first.iter().zip(other).map(|(a, b)| b / a).collect();
    let pairs = spread(&pairs)?;
    Some(Ratio {
        of_medians: spread(other)?.median / spread(first)?.median,
        min: pairs.min,
        max: pairs.max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_returns_the_median_of_odd_and_even_numbers_of_figures() {
        let odd = spread(&[9.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 9.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratio_of_medians_ignores_an_outlier() {
        let ratio = ratio(&[1.0, 1.0, 1.0], &[4.0, 40.0, 3.0]).unwrap();
        assert_eq!((ratio.of_medians, ratio.min, ratio.max), (4.0, 3.0, 40.0));
    }

    #[test]
    fn ratio_is_none_for_too_few_or_unequal_rounds_and_for_zero() {
        assert_eq!(ratio(&[1.0, 1.0], &[2.0, 2.0]), None);
        assert_eq!(
            ratio(&[1.0; 3], &[2.0; 4]),
            None,
            "different numbers of rounds"
        );
        assert_eq!(ratio(&[0.0; 3], &[2.0; 3]), None, "figures that are 0");
    }
}
