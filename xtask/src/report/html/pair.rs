// SPDX-License-Identifier: MIT OR Apache-2.0
//! Timelines of a test on several checkouts: equal timelines are shown once, different
//! timelines side by side with aligned lines.

use patchbed_host::diff::blocks;

use crate::report::evidence::Excerpt;

/// Two timelines side by side, or a timeline of all checkouts.
pub(super) struct Pair {
    /// The checkouts of each side; `right` is empty for a single timeline.
    pub(super) left: String,
    pub(super) right: String,
    pub(super) rows: Vec<Row>,
    /// The number of different rows.
    pub(super) differing: usize,
    /// The number of bytes that are left out.
    pub(super) left_out_bytes: usize,
}

/// A line of each side; empty if the side has no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) is_same: bool,
    pub(super) left: String,
    pub(super) right: String,
}

/// Returns the timelines of the checkouts, in order. Each is compared with the timeline of the
/// last checkout, the whole series.
pub(super) fn pairs(timelines: &[(&str, &Excerpt)]) -> Vec<Pair> {
    let mut groups: Vec<(Vec<&str>, &Excerpt)> = Vec::new();
    for (checkout, timeline) in timelines {
        match groups.iter_mut().find(|(_, one)| one == timeline) {
            Some((checkouts, _)) => checkouts.push(checkout),
            None => groups.push((vec![checkout], timeline)),
        }
    }
    let Some((last_checkout, _)) = timelines.last() else {
        return Vec::new();
    };
    let reference = groups
        .iter()
        .position(|(checkouts, _)| checkouts.contains(last_checkout));
    let (right_checkouts, right) = groups.remove(reference.unwrap_or(0));
    if groups.is_empty() {
        return vec![alone(&right_checkouts, right)];
    }
    groups
        .iter()
        .map(|(checkouts, left)| side_by_side((checkouts, left), (&right_checkouts, right)))
        .collect()
}

fn alone(checkouts: &[&str], timeline: &Excerpt) -> Pair {
    let row = |line: &str| Row {
        is_same: true,
        left: line.to_owned(),
        right: String::new(),
    };
    Pair {
        left: checkouts.join(", "),
        right: String::new(),
        rows: timeline.text.lines().map(row).collect(),
        differing: 0,
        left_out_bytes: timeline.left_out_bytes,
    }
}

fn side_by_side(left: (&[&str], &Excerpt), right: (&[&str], &Excerpt)) -> Pair {
    let rows = rows(&left.1.text, &right.1.text);
    Pair {
        left: left.0.join(", "),
        right: right.0.join(", "),
        differing: rows.iter().filter(|row| !row.is_same).count(),
        rows,
        left_out_bytes: left.1.left_out_bytes + right.1.left_out_bytes,
    }
}

fn rows(left: &str, right: &str) -> Vec<Row> {
    let left: Vec<&str> = left.lines().collect();
    let right: Vec<&str> = right.lines().collect();
    let text = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let mut rows = Vec::new();
    let mut push = |is_same: bool, old: &[&str], new: &[&str]| {
        for index in 0..old.len().max(new.len()) {
            let line = |side: &[&str]| (*side.get(index).unwrap_or(&"")).to_owned();
            rows.push(Row {
                is_same,
                left: line(old),
                right: line(new),
            });
        }
    };
    let (mut old, mut new) = (0, 0);
    for block in blocks(text(&left).as_bytes(), text(&right).as_bytes()) {
        push(
            true,
            &left[old..block.before.start],
            &right[new..block.after.start],
        );
        (old, new) = (block.before.end, block.after.end);
        push(false, &left[block.before], &right[block.after]);
    }
    push(true, &left[old..], &right[new..]);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str) -> Excerpt {
        Excerpt::of(text, 1000)
    }

    #[test]
    fn pairs_of_equal_timelines_is_a_single_timeline() {
        let one = excerpt("a\nb\n");
        let pairs = pairs(&[("base", &one), ("series", &one)]);
        assert_eq!(pairs.len(), 1);
        assert_eq!(
            (pairs[0].left.as_str(), pairs[0].right.as_str()),
            ("base, series", "")
        );
        assert_eq!((pairs[0].rows.len(), pairs[0].differing), (2, 0));
    }

    #[test]
    fn pairs_aligns_the_lines_of_different_timelines() {
        let (base, series) = (excerpt("a\nx\nb\n"), excerpt("a\ny\nz\nb\n"));
        let pairs = pairs(&[("base", &base), ("patch-1", &base), ("series", &series)]);
        let [pair] = &pairs[..] else {
            panic!("{} pairs", pairs.len())
        };
        assert_eq!(
            (pair.left.as_str(), pair.right.as_str()),
            ("base, patch-1", "series")
        );
        let rows: Vec<_> = pair
            .rows
            .iter()
            .map(|row| {
                format!(
                    "{}{}|{}",
                    if row.is_same { ' ' } else { '!' },
                    row.left,
                    row.right
                )
            })
            .collect();
        assert_eq!(rows, [" a|a", "!x|y", "!|z", " b|b"]);
        assert_eq!(pair.differing, 2);
    }

    #[test]
    fn pairs_without_timelines_is_empty() {
        assert!(pairs(&[]).is_empty());
    }
}
