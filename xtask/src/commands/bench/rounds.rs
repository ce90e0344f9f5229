// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the sides of a case alternately, so that other load on the host affects all of them
//! alike.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use patchbed_host::events::Activity;

use super::case::{Outcome, Sample, Side};
use xtask::engine::session::Session;

/// The samples of all rounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measured {
    /// The samples of each side, by round.
    Complete(Vec<Vec<Sample>>),
    /// A run failed, so there are no figures to compare.
    Failed {
        side: String,
        why: String,
        /// The folder of the failed run.
        place: Utf8PathBuf,
    },
}

/// Runs the first `warm_ups` sides once without measuring, and then all sides in each round.
///
/// # Errors
/// When a command could not be run, or the user interrupts.
pub(crate) fn measure(
    case: &str,
    sides: &[Box<dyn Side>],
    warm_ups: usize,
    rounds: u32,
    home: &Utf8Path,
    session: &Session,
) -> anyhow::Result<Measured> {
    let total = u64::from(rounds) * sides.len() as u64 + warm_ups as u64;
    let activity = Activity::start(&*session.observer, format!("bench {case}"), Some(total));
    let mut samples = vec![Vec::new(); sides.len()];
    let mut done = 0;
    for round in 0..=rounds {
        let count = if round == 0 { warm_ups } else { sides.len() };
        for index in order(count, round) {
            let side = &sides[index];
            activity.advance(done, label(round, rounds, side.name()));
            let place = empty_folder(&home.join(case).join(index.to_string()))?;
            let outcome = side.once(&place, session)?;
            anyhow::ensure!(!session.cancel.is_cancelled(), "interrupted");
            done += 1;
            match outcome {
                Outcome::Passed(_) if round == 0 => {}
                Outcome::Passed(sample) => samples[index].push(sample),
                Outcome::Failed(why) => {
                    return Ok(Measured::Failed {
                        side: side.name().to_owned(),
                        why,
                        place,
                    });
                }
            }
        }
    }
    Ok(Measured::Complete(samples))
}

fn label(round: u32, rounds: u32, side: &str) -> String {
    match round {
        0 => format!("warm-up: {side}"),
        _ => format!("round {round} of {rounds}: {side}"),
    }
}

/// Returns the order of the sides in a round. It is reversed in every second round, so that no
/// side always runs after the same side.
fn order(sides: usize, round: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sides).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Makes an empty folder, and removes the files of an earlier run.
fn empty_folder(place: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
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
    fn order_is_reversed_in_every_second_round() {
        assert_eq!(order(2, 1), [1, 0]);
        assert_eq!(order(2, 2), [0, 1]);
        assert_eq!(order(3, 3), [2, 1, 0]);
        assert_eq!(order(1, 1), [0]);
    }

    #[test]
    fn empty_folder_removes_the_files_of_an_earlier_run() {
        let dir = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(dir.path()).unwrap().join("a/b");
        empty_folder(&place).unwrap();
        fs::write(place.join("left"), "").unwrap();
        empty_folder(&place).unwrap();
        assert_eq!(place.read_dir_utf8().unwrap().count(), 0);
    }
}
