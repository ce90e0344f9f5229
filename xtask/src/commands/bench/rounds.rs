// SPDX-License-Identifier: GPL-2.0-only
//! Runs the sides of a case in turns, so that what the host does meanwhile falls
//! on all of them alike.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::Activity;

use super::case::{Came, Sample, Side};
use crate::session::Session;

/// What the rounds came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measured {
    /// The samples of each side, round by round.
    Whole(Vec<Vec<Sample>>),
    /// A vm_run went wrong, so that there is nothing to compare.
    Wrong {
        side: String,
        why: String,
        /// The folder that its last run left.
        place: Utf8PathBuf,
    },
}

/// Runs the sides that are `warming` once to warm up, and then all of them in each
/// round.
///
/// # Errors
/// When a vm_run could not be done, or the user asked to stop.
pub(crate) fn measure(
    case: &str,
    sides: &[Box<dyn Side>],
    warming: usize,
    rounds: u32,
    home: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Measured> {
    let total = u64::from(rounds) * sides.len() as u64 + warming as u64;
    let activity = Activity::start(&session.progress, format!("bench {case}"), Some(total));
    let mut samples = vec![Vec::new(); sides.len()];
    let mut done = 0;
    for round in 0..=rounds {
        let taking_part = if round == 0 { warming } else { sides.len() };
        for index in order(taking_part, round) {
            let side = &sides[index];
            activity.advance(done, at(round, rounds, side.name()));
            let place = fresh(&home.join(case).join(index.to_string()))?;
            let came = side.once(&place, session)?;
            anyhow::ensure!(!session.cancel.is_cancelled(), "interrupted");
            done += 1;
            match came {
                // The first run fills caches, the page cache too.
                Came::Right(_) if round == 0 => {}
                Came::Right(sample) => samples[index].push(sample),
                Came::Wrong(why) => {
                    return Ok(Measured::Wrong {
                        side: side.name().to_owned(),
                        why,
                        place,
                    });
                }
            }
        }
    }
    Ok(Measured::Whole(samples))
}

fn at(round: u32, rounds: u32, side: &str) -> String {
    match round {
        0 => format!("warming up: {side}"),
        _ => format!("round {round} of {rounds}: {side}"),
    }
}

/// Returns the order of the sides in a round: turned each time, so that none
/// always has the other's wake.
fn order(sides: usize, round: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sides).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Returns an empty folder; what the last run left there is gone.
fn fresh(place: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(place)?;
    Ok(place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_side_is_always_the_first() {
        assert_eq!(order(2, 1), [1, 0]);
        assert_eq!(order(2, 2), [0, 1]);
        assert_eq!(order(3, 3), [2, 1, 0]);
        assert_eq!(order(1, 1), [0]);
    }

    #[test]
    fn a_run_finds_nothing_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(dir.path()).unwrap().join("a/b");
        fresh(&place).unwrap();
        fs::write(place.join("left"), "").unwrap();
        fresh(&place).unwrap();
        assert_eq!(place.read_dir_utf8().unwrap().count(), 0);
    }
}
