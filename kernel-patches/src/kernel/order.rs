// SPDX-License-Identifier: GPL-2.0-only
//! In which order to build checkouts that share a build folder: every file that
//! differs from the checkout before costs compiling what depends on it.

use crate::worktree::Contents;

/// Returns the numbers of `checkouts` in an order that touches few files: from what
/// the folder holds `now` always on to the nearest, the first named of equals.
pub(super) fn nearest_first(now: &Contents, checkouts: &[Contents]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..checkouts.len()).collect();
    let mut order = Vec::new();
    let mut here = now;
    while let Some(at) = (0..left.len()).min_by_key(|&at| distance(here, &checkouts[left[at]])) {
        let nearest = left.remove(at);
        here = &checkouts[nearest];
        order.push(nearest);
    }
    order
}

/// Returns how many files must be touched to turn one into the other. A header
/// counts for the many that include it.
fn distance(one: &Contents, other: &Contents) -> usize {
    const INCLUDERS: usize = 20;
    one.keys()
        .chain(other.keys().filter(|path| !one.contains_key(*path)))
        .filter(|path| one.get(*path) != other.get(*path))
        .map(|path| {
            if path.extension() == Some("h") {
                INCLUDERS
            } else {
                1
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(files: &[(&str, &str)]) -> Contents {
        files
            .iter()
            .map(|(path, content)| ((*path).into(), (*content).to_owned()))
            .collect()
    }

    #[test]
    fn the_way_starts_here_and_goes_to_the_nearest() {
        let base = contents(&[]);
        let series = contents(&[("f.c", "new"), ("f.h", "new")]);
        let mutant = contents(&[("f.c", "broken"), ("f.h", "new")]);
        let checkouts = [base.clone(), series.clone(), mutant];
        assert_eq!(nearest_first(&base, &checkouts), [0, 1, 2]);
        assert_eq!(nearest_first(&series, &checkouts), [1, 2, 0]);
        assert_eq!(nearest_first(&base, &[]), Vec::<usize>::new());
    }

    #[test]
    fn a_header_is_further_than_a_few_files() {
        let now = contents(&[]);
        let header = contents(&[("f.h", "new")]);
        let files = contents(&[("a.c", "new"), ("b.c", "new"), ("c.c", "new")]);
        assert_eq!(nearest_first(&now, &[header, files]), [1, 0]);
    }
}
