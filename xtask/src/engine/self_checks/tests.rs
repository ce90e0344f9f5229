// SPDX-License-Identifier: MIT OR Apache-2.0
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

/// Returns a build whose kernel has the given id and folder.
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
        needs: needs("", 1),
        contains: BTreeSet::new(),
        partly: BTreeSet::new(),
        modules: None,
        initramfs: dir.join("initramfs"),
        programs: BTreeMap::new(),
    }
}

/// Returns the folder of a cache, which is deleted with the guard.
fn cache_folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::try_from(guard.path().to_owned()).unwrap();
    (guard, path)
}

/// Returns a detection of each self-check that [`CONFIG`] enables.
fn all_detected() -> Detections {
    let configured = SELF_CHECKS.iter().filter(|one| one.lacks(CONFIG).is_none());
    let detected = |one: &SelfCheck| {
        (
            one.name.to_owned(),
            (Detection::Detected, one.word.to_owned()),
        )
    };
    configured.map(detected).collect()
}

#[test]
fn configuration_differs_by_dot_config_and_guest_needs() {
    let (_guard, dir) = cache_folder();
    let cache = SelfCheckCache::at(dir);
    let same = Configuration::of(CONFIG, &needs("", 1));
    let others = [
        Configuration::of(CONFIG, &needs("nowatchdog", 1)),
        Configuration::of(CONFIG, &needs("", 4)),
        Configuration::of("CONFIG_BUG=y\n", &needs("", 1)),
    ];
    cache.store_configuration(&same, &all_detected()).unwrap();
    assert_eq!(cache.of_configuration(&same), Some(all_detected()));
    for other in &others {
        assert_eq!(cache.of_configuration(other), None, "{other:?}");
    }
}

#[test]
fn missed_and_inconclusive_results_are_not_cached() {
    let (_guard, dir) = cache_folder();
    let build = build("k", &dir);
    let cache = SelfCheckCache::at(dir);
    let configuration = Configuration::of(CONFIG, &needs("", 1));
    for detection in [Detection::Missed, Detection::Inconclusive] {
        let mut detections = all_detected();
        detections.insert("WARN".to_owned(), (detection, String::new()));
        let all = results(&build, CONFIG, &detections, None).unwrap();
        cache.store_build(&build, &all).unwrap();
        cache
            .store_configuration(&configuration, &detections)
            .unwrap();
        assert_eq!(cache.of_build(&build), None, "{detection:?}");
        assert_eq!(cache.of_configuration(&configuration), None);
    }
}

#[test]
fn results_fails_if_configured_self_check_has_no_result() {
    let (_guard, dir) = cache_folder();
    let build = build("k", &dir);
    let mut own = all_detected();
    let of_configuration = own.clone();
    own.remove("hung task");
    let results_of =
        |own: &Detections, other: Option<&Detections>| results(&build, CONFIG, own, other);
    let all = results_of(&own, Some(&of_configuration)).unwrap();
    assert_eq!(all.len(), SELF_CHECKS.len());
    let hung = all.iter().find(|one| one.name == "hung task").unwrap();
    assert_eq!(
        hung.detail,
        "hung-task; result of a kernel with the same configuration"
    );
    let error = results_of(&own, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "self-check: no result for hung task on series (fast)"
    );
    // A self-check that a series could break is not taken from another kernel.
    own = of_configuration.clone();
    own.remove("WARN");
    let error = results_of(&own, Some(&of_configuration))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no result for WARN"), "{error}");
}

#[test]
fn results_of_configuration_name_their_origin() {
    let (_guard, dir) = cache_folder();
    let results = results_of_configuration(&build("k", &dir), CONFIG, &all_detected());
    assert_eq!(results.len(), SELF_CHECKS.len());
    for one in results {
        let names_origin = one
            .detail
            .ends_with("; result of a kernel with the same configuration");
        assert_eq!(
            one.detection == Detection::Detected,
            names_origin,
            "{one:?}"
        );
    }
}
