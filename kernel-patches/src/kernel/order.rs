// SPDX-License-Identifier: MIT OR Apache-2.0
//! The order in which to build checkouts that share a build folder: each file that differs
//! from the previous checkout rebuilds its dependents.

use crate::worktree::Contents;

/// Returns the indexes of `checkouts` in a greedy order: starting with the folder's content
/// `now`, the next checkout is the nearest; ties keep the given order.
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

/// Returns the number of files that differ. A header counts for the files that include it.
fn distance(from: &Contents, to: &Contents) -> usize {
    const INCLUDERS: usize = 20;
    from.keys()
        .chain(to.keys().filter(|path| !from.contains_key(*path)))
        .filter(|path| from.get(*path) != to.get(*path))
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
    fn nearest_first_starts_at_the_current_content() {
        let base = contents(&[]);
        let series = contents(&[("f.c", "new"), ("f.h", "new")]);
        let mutant = contents(&[("f.c", "broken"), ("f.h", "new")]);
        let checkouts = [base.clone(), series.clone(), mutant];
        assert_eq!(nearest_first(&base, &checkouts), [0, 1, 2]);
        assert_eq!(nearest_first(&series, &checkouts), [1, 2, 0]);
        assert_eq!(nearest_first(&base, &[]), Vec::<usize>::new());
    }

    #[test]
    fn nearest_first_counts_a_header_as_many_files() {
        let now = contents(&[]);
        let header = contents(&[("f.h", "new")]);
        let files = contents(&[("a.c", "new"), ("b.c", "new"), ("c.c", "new")]);
        assert_eq!(nearest_first(&now, &[header, files]), [1, 0]);
    }
}
