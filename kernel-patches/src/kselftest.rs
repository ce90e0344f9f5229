// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree's kselftests: builds a TARGET with the tree's Makefiles for a guest without
//! a shell and shared libraries, and caches it by content.
//!
//! A test that cannot run in the guest is listed with the reason. Running tests and
//! parsing their output is outside of this crate.

mod build;
mod collect;
mod source;
mod suite;

use std::io::ErrorKind;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::cache::{partial_folder, publish_folder};
use patchbed_host::content::ContentId;
use patchbed_host::context::Context;
use patchbed_host::files::{read_plain, walk};

use self::suite::FILES;
use crate::error::{Doing, Error};

pub use source::{Request, Wanted, has_target, no_such_target};
pub use suite::{Facts, Form, Suite, SuiteFile, Test};

/// Increase when a change of the build steps changes their output.
const BUILD_FORMAT: &str = "2";
/// Files that change with the installed libraries; some may not exist.
const LIBRARY_RECORDS: [&str; 3] = [
    "/var/lib/dpkg/status",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/etc/ld.so.cache",
];
/// Size limit of a record, in bytes.
const RECORD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Returns the selftests of a TARGET from the cache, or builds them. Checkouts with the
/// same test sources share them.
///
/// # Errors
/// [`Error::Input`] when the checkout has no such TARGET or make cannot read its
/// Makefile, [`Error::Infrastructure`] when the host fails. A test that does not build
/// is [`Form::Unfit`].
pub fn make(request: &Request<'_>, context: &Context) -> Result<Suite, Error> {
    let Request { tree, checkout, .. } = request;
    if !has_target(tree, checkout, request.target) {
        return Err(no_such_target(tree, &[checkout], request.target));
    }
    let id = suite_id(request)?;
    let dir = context.cache.dir(&["kselftests"])?.join(&id);
    if let Some(suite) = Suite::load(&dir, request.target, &id, false) {
        return Ok(suite);
    }
    let doing = "storing kselftests in the cache";
    let (_folder, work) = partial_folder(&dir).doing(doing)?;
    let built = build::build(request, &work, context)?;
    let parts = work.join("suite");
    let facts = collect::collect(&built, request.target, &parts.join(FILES))?;
    Suite::store(&parts, facts).doing(doing)?;
    let is_complete = || Suite::load(&dir, request.target, "", false).is_some();
    publish_folder(&parts, &dir, is_complete).doing(doing)?;
    Suite::load(&dir, request.target, &id, true)
        .ok_or_else(|| Error::unexpected(format!("reading `{dir}`"), "the kselftests are missing"))
}

/// Returns the hash of all inputs: source, headers, compiler and the libraries of the
/// host, since a test that does not link is stored as [`Form::Unfit`].
fn suite_id(request: &Request<'_>) -> Result<String, Error> {
    let headers = request.kernel.headers();
    let mut id = ContentId::new("kselftest")
        .part(BUILD_FORMAT)
        .part(request.target)
        .part(&request.toolchain.identity)
        .part(libraries(&LIBRARY_RECORDS)?)
        .part(source::content(request));
    for entry in walk(&headers) {
        let (path, kind) = entry.doing(format!("reading `{headers}`"))?;
        if kind.is_file() {
            let bytes = fs::read(headers.join(&path)).doing("reading a kernel's headers")?;
            id = id.part(path.as_str()).part(&bytes);
        }
    }
    Ok(id.finish())
}

/// Returns the content id of the `records`. A library that is in no record is not detected.
fn libraries(records: &[&str]) -> Result<String, Error> {
    let mut id = ContentId::new("libraries");
    for record in records {
        let bytes = match read_plain(Utf8Path::new(record), RECORD_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.doing("reading the list of installed libraries")?,
        };
        id = id.part(&bytes);
    }
    Ok(id.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use camino::Utf8PathBuf;
    use patchbed_host::cache::Cache;
    use patchbed_host::cancel::Cancel;
    use patchbed_host::events::Silent;

    use super::suite::missing_options;
    use super::*;
    use crate::checkout::Checkout;
    use crate::kernel::{self, Kernel, Toolchain};
    use crate::overlay::{FileState, Overlay};
    use crate::tree::Tree;

    #[test]
    fn missing_options_accepts_built_in_for_module() {
        let required = "CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=m\n# a remark\n";
        let actual = "CONFIG_B=y\n# CONFIG_A is not set\n";
        assert_eq!(
            missing_options(required, actual),
            ["CONFIG_A=y (got: n)", "CONFIG_C=m (got: n)"]
        );
    }

    const ALL: &str = "all:\n\tmkdir -p $(O)/kselftest/$(TARGETS)\n\
        \t$(MAKE) -C $(TARGETS) OUTPUT=$(O)/kselftest/$(TARGETS) all\n";
    const DEMO: &str = "TEST_GEN_PROGS := $(OUTPUT)/good $(OUTPUT)/bad $(OUTPUT)/stray\n\
        TEST_PROGS := script.sh\nTEST_GEN_PROGS_EXTENDED := $(OUTPUT)/helper\nTEST_FILES := data ../none\n\
        all: $(TEST_GEN_PROGS) $(TEST_GEN_PROGS_EXTENDED)\n\
        $(OUTPUT)/stray:\n\tln -s /etc/passwd $@\n\
        $(OUTPUT)/%: %.c\n\techo made > beside\n\t$(CC) $(USERCFLAGS) $(USERLDFLAGS) $< -o $@\n";
    const FILES: [(&str, &str); 9] = [
        ("Makefile", ALL),
        ("demo/Makefile", DEMO),
        ("demo/settings", "timeout=7\n"),
        ("demo/config", "CONFIG_A=y\n"),
        ("demo/data", "data\n"),
        ("demo/script.sh", "#!/bin/sh\n"),
        (
            "demo/good.c",
            "#include <stdio.h>\nint main(void) { return puts(\"./helper\") < 0; }\n",
        ),
        ("demo/bad.c", "int main(void) { return no_such_thing; }\n"),
        ("demo/helper.c", "int main(void) { return 0; }\n"),
    ];

    struct Fixture {
        _dir: tempfile::TempDir,
        root: Utf8PathBuf,
        tree: Tree,
        cache: Cache,
        kernel: Kernel,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
        for (name, text) in FILES {
            let path = root.join("tree/tools/testing/selftests").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(root.join("kernel/headers/include")).unwrap();
        fs::write(root.join("kernel/config"), "# CONFIG_A is not set\n").unwrap();
        let facts = kernel::Facts {
            release: String::new(),
            checkout: String::new(),
            config: String::new(),
            tree: String::new(),
            build_secs: 0,
            image_bytes: 0,
            sources_bytes: 0,
            code: None,
        };
        Fixture {
            tree: Tree::fixed("t1", &root.join("tree"), "the tree"),
            cache: Cache::at(root.join("cache")).unwrap(),
            kernel: Kernel {
                id: "k".to_owned(),
                dir: root.join("kernel"),
                facts,
                is_fresh: false,
            },
            root,
            _dir: dir,
        }
    }

    fn checkout(files: &[(&str, &str)]) -> Checkout {
        let states = files.iter().map(|(path, text)| {
            let state = FileState {
                bytes: text.as_bytes().to_vec(),
                executable: false,
            };
            (Utf8PathBuf::from(*path), Some(state))
        });
        Checkout {
            name: "series".to_owned(),
            overlay: Overlay::from_files(states.collect::<BTreeMap<_, _>>()),
            contains: BTreeSet::new(),
            partly: BTreeSet::new(),
            patches: 0,
            configs: Vec::new(),
            optional_configs: Vec::new(),
            id: "s".to_owned(),
        }
    }

    impl Fixture {
        fn make(&self, checkout: &Checkout, target: &str) -> Result<Suite, Error> {
            let cancel = Cancel::new();
            let request = Request {
                tree: &self.tree,
                checkout,
                kernel: &self.kernel,
                toolchain: &Toolchain::detect(&cancel)?,
                target,
            };
            let context = Context {
                cache: self.cache.clone(),
                cancel,
                observer: Arc::new(Silent),
            };
            make(&request, &context)
        }
    }

    fn reason(suite: &Suite, name: &str) -> String {
        match &suite.find(name).unwrap().form {
            Form::Unfit { reason } => reason.clone(),
            Form::Program { .. } => "can run".to_owned(),
        }
    }

    #[test]
    fn make_records_the_reason_of_tests_that_cannot_run() {
        let fixture = fixture();
        let suite = fixture.make(&checkout(&[]), "demo").unwrap();
        assert!(suite.is_fresh);
        assert_eq!(suite.facts.timeout_secs, Some(7));
        assert_eq!(
            suite.missing_options(&fixture.kernel).unwrap(),
            ["CONFIG_A=y (got: n)"]
        );
        let good = suite.find("good").unwrap();
        assert!(good.by_default);
        let files = suite.files(good);
        let names: Vec<_> = files
            .iter()
            .map(|file| (file.name.as_str(), file.executable))
            .collect();
        assert_eq!(names, [("good", true), ("data", false), ("helper", true)]);
        assert!(!suite.find("helper").unwrap().by_default);
        assert!(
            reason(&suite, "bad").starts_with("does not build: bad.c:1:"),
            "{}",
            reason(&suite, "bad")
        );
        assert!(reason(&suite, "script.sh").contains("`/bin/sh`"));
        assert_eq!(reason(&suite, "stray"), "is outside of the tree");
        assert_eq!(suite.facts.notes, ["skipped `../none`: it does not exist"]);
        let left: Vec<_> = fixture
            .cache
            .dir(&["kselftests"])
            .unwrap()
            .read_dir_utf8()
            .unwrap()
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(
            !fixture
                .root
                .join("tree/tools/testing/selftests/demo/beside")
                .exists()
        );
    }

    #[test]
    fn make_rebuilds_only_if_a_test_source_changed() {
        let fixture = fixture();
        let first = fixture.make(&checkout(&[]), "demo").unwrap();
        let elsewhere = fixture
            .make(&checkout(&[("kernel/a.c", "int a;\n")]), "demo")
            .unwrap();
        assert_eq!(
            (first.id.as_str(), elsewhere.is_fresh),
            (elsewhere.id.as_str(), false)
        );
        let fixed = "tools/testing/selftests/demo/bad.c";
        let fixed = fixture
            .make(
                &checkout(&[(fixed, "int main(void) { return 0; }\n")]),
                "demo",
            )
            .unwrap();
        assert_ne!(first.id, fixed.id);
        assert_eq!(reason(&fixed, "bad"), "can run");
    }

    #[test]
    fn make_rebuilds_a_suite_with_a_truncated_or_changed_file() {
        let fixture = fixture();
        let whole = fixture.make(&checkout(&[]), "demo").unwrap();
        assert!(!fixture.make(&checkout(&[]), "demo").unwrap().is_fresh);
        let data = whole.dir.join("files/data");
        for other in ["dat", "atad\n"] {
            fs::write(&data, other).unwrap();
            assert!(fixture.make(&checkout(&[]), "demo").unwrap().is_fresh);
            assert_eq!(fs::read_to_string(&data).unwrap(), "data\n");
        }
        fs::remove_file(&data).unwrap();
        assert!(fixture.make(&checkout(&[]), "demo").unwrap().is_fresh);
    }

    #[test]
    fn make_rejects_an_unknown_target_and_test() {
        let fixture = fixture();
        let error = fixture.make(&checkout(&[]), "dmeo").unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "unknown kselftest TARGET `dmeo` in the tree\nhint: use one of: demo"
        );
        let added = checkout(&[("tools/testing/selftests/more/Makefile", "")]);
        assert!(has_target(&fixture.tree, &added, "more"));
        assert!(!has_target(&fixture.tree, &checkout(&[]), "more"));
        let suite = fixture.make(&checkout(&[]), "demo").unwrap();
        let error = suite.no_such_test("god").to_string();
        assert!(error.contains("hint: use one of: good, "), "{error}");
    }

    #[test]
    fn libraries_changes_when_a_library_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let record = Utf8Path::from_path(dir.path()).unwrap().join("status");
        let id = || libraries(&[record.as_str(), "/nonexistent/record"]).unwrap();
        let without_record = id();
        fs::write(&record, "Package: libc6-dev\n").unwrap();
        let one_package = id();
        fs::write(&record, "Package: libc6-dev\nPackage: libcap-dev\n").unwrap();
        let two_packages = id();
        assert!(without_record != one_package && one_package != two_packages);
        fs::write(&record, "Package: libc6-dev\n").unwrap();
        assert_eq!(id(), one_package);
    }
}
