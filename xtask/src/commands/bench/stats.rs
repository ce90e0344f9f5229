// SPDX-License-Identifier: GPL-2.0-only
//! What a row of measurements comes to. Pure functions on numbers.

use serde::Serialize;

/// With fewer rounds a ratio says more about the host than about the sides.
pub(crate) const ROUNDS_FOR_A_RATIO: usize = 3;

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Returns median and spread of the figures; of none there is neither.
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

/// How many times one side's figure goes into the other's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// The ratio of the medians.
    pub(crate) of_medians: f64,
    /// The smallest ratio within one round.
    pub(crate) min: f64,
    /// The largest ratio within one round.
    pub(crate) max: f64,
}

/// Returns how many times `first` goes into `other`, round by round. There is no
/// ratio of too few rounds, of sides that did not run as often, or to nothing.
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
    fn the_median_is_the_middle_one_or_between_the_two() {
        let odd = spread(&[9.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 9.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn one_outlier_moves_the_spread_and_not_the_ratio() {
        let ratio = ratio(&[1.0, 1.0, 1.0], &[4.0, 40.0, 3.0]).unwrap();
        assert_eq!((ratio.of_medians, ratio.min, ratio.max), (4.0, 3.0, 40.0));
    }

    #[test]
    fn too_few_rounds_make_no_ratio() {
        assert_eq!(ratio(&[1.0, 1.0], &[2.0, 2.0]), None);
        assert_eq!(ratio(&[1.0; 3], &[2.0; 4]), None, "rounds without a pair");
        assert_eq!(ratio(&[0.0; 3], &[2.0; 3]), None, "no time at all");
    }
}
