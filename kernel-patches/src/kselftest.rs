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
mod wanted;

use std::io::ErrorKind;

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::cache::{partial_folder, publish_folder};
use patchbed_host::content::ContentId;
use patchbed_host::context::Context;
use patchbed_host::files::{read_plain, walk};

use self::suite::FILES;
use crate::error::{Doing, Error};

pub use source::Request;
pub use suite::{Facts, Form, Suite, SuiteFile, Test};
pub use wanted::{Wanted, has_target, no_such_target};

/// Increase when a change of the build steps changes their output.
const BUILD_FORMAT: &str = "2";
/// Files that change when packages or shared libraries are installed or removed; some may
/// not exist.
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

/// Returns the content id of the existing `records` of installed libraries. A library that is
/// in no record is not detected.
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
mod tests;
