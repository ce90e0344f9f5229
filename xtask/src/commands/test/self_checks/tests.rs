// SPDX-License-Identifier: GPL-2.0-only
use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use kernel_patches::kernel::{Facts, Kernel};
use vm_images::needs::GuestNeeds;

use super::*;

const CONFIG: &str = "CONFIG_BUG=y\nCONFIG_DETECT_HUNG_TASK=y\n";

fn needs(kernel_arguments: &str, slowness: u32) -> GuestNeeds {
    GuestNeeds {
        memory_mib: 1024,
        kernel_arguments: kernel_arguments.to_owned(),
        slowness,
    }
}

/// A kernel in `dir`, as its id says.
fn build(id: &str, dir: &Utf8PathBuf) -> Build {
    Build {
        checkout: "series".to_owned(),
        config: "fast".to_owned(),
        kernel: Kernel {
            id: id.to_owned(),
            dir: dir.clone(),
            facts: Facts {
                release: String::new(),
                checkout: String::new(),
                config: String::new(),
                tree: String::new(),
                build_secs: 1,
                image_bytes: 1,
                sources_bytes: 1,
                code: None,
            },
            is_fresh: false,
        },
        guest: needs("", 1),
        contains: BTreeSet::new(),
        partly: BTreeSet::new(),
        modules: None,
        initramfs: dir.join("initramfs"),
        vm_runs: BTreeMap::new(),
        kselftest: BTreeMap::new(),
    }
}

/// A folder for a cache, which goes with the guard.
fn place() -> (tempfile::TempDir, Utf8PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::try_from(guard.path().to_owned()).unwrap();
    (guard, path)
}

/// All that a kernel has, shown by itself.
fn all_seen() -> Shown {
    let there = SELF_CHECKS.iter().filter(|one| one.lacks(CONFIG).is_none());
    let seen = |one: &SelfCheck| (one.name.to_owned(), (Detection::Seen, one.word.to_owned()));
    there.map(seen).collect()
}

#[test]
fn what_one_kernel_showed_for_others_is_of_their_guests_as_well() {
    let (_guard, dir) = place();
    let cache = SelfCheckCache::at(dir);
    let same = Configuration::of(CONFIG, &needs("", 1));
    let others = [
        Configuration::of(CONFIG, &needs("nowatchdog", 1)),
        Configuration::of(CONFIG, &needs("", 4)),
        Configuration::of("CONFIG_BUG=y\n", &needs("", 1)),
    ];
    cache.keep_configuration(&same, &all_seen()).unwrap();
    assert_eq!(cache.of_configuration(&same), Some(all_seen()));
    for other in &others {
        assert_eq!(cache.of_configuration(other), None, "{other:?}");
    }
    // Of each of which nothing is remembered, the first kernel leads.
    let kernels = [&same, &others[0], &others[1], &others[0]];
    let (known, leaders) = choose_leaders(&kernels, &cache);
    assert!(known.len() == 1 && known.contains_key(&same), "{known:?}");
    assert_eq!(leaders, [false, true, true, false]);
}

#[test]
fn what_was_not_seen_is_not_remembered() {
    let (_guard, dir) = place();
    let cache = SelfCheckCache::at(dir);
    let configuration = Configuration::of(CONFIG, &needs("", 1));
    let mut shown = all_seen();
    shown.insert("WARN".to_owned(), (Detection::Missed, String::new()));
    cache.keep_configuration(&configuration, &shown).unwrap();
    assert_eq!(cache.of_configuration(&configuration), None);
}

#[test]
fn a_detector_of_which_nothing_is_known_does_not_vanish() {
    let (_guard, dir) = place();
    let build = build("k", &dir);
    let mut own = all_seen();
    let of_configuration = own.clone();
    own.remove("hung task");
    let of = |own: &Shown, other: Option<&Shown>| results(&build, CONFIG, own, other);
    let all = of(&own, Some(&of_configuration)).unwrap();
    assert_eq!(all.len(), SELF_CHECKS.len());
    let hung = all.iter().find(|one| one.name == "hung task").unwrap();
    assert_eq!(
        hung.detail,
        "hung-task; on a kernel of the same configuration"
    );
    let error = of(&own, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "nobody knows whether hung task is seen on series (fast)"
    );
    // What a series could break, each kernel shows itself.
    own = of_configuration.clone();
    own.remove("WARN");
    let error = of(&own, Some(&of_configuration)).unwrap_err().to_string();
    assert!(error.contains("whether WARN is seen"), "{error}");
}

#[test]
fn what_another_kernel_showed_is_said_to_be_its() {
    let (_guard, dir) = place();
    let told = of_another(&build("k", &dir), CONFIG, &all_seen());
    assert_eq!(told.len(), SELF_CHECKS.len());
    for one in told {
        let is_elsewhere = one
            .detail
            .ends_with("; on a kernel of the same configuration");
        assert_eq!(one.detection == Detection::Seen, is_elsewhere, "{one:?}");
    }
}
