// SPDX-License-Identifier: GPL-2.0-only
//! Where things lie in the checkout.

use camino::{Utf8Path, Utf8PathBuf};

/// The folders of the checkout that commands use.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: Utf8PathBuf,
}

impl Layout {
    /// Returns the layout of the checkout that this program was built in.
    pub(crate) fn of_this_checkout() -> Self {
        let xtask = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: xtask.parent().unwrap_or(xtask).to_owned(),
        }
    }

    /// Returns the layout of a checkout at `root`, whatever is there.
    #[cfg(test)]
    pub(crate) const fn at(root: Utf8PathBuf) -> Self {
        Self { root }
    }

    /// Returns the top folder.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Returns the folder with our series.
    pub(crate) fn series(&self) -> Utf8PathBuf {
        self.root.join("kernel-patches")
    }

    /// Returns the folder with the kernel configurations.
    pub(crate) fn configs(&self) -> Utf8PathBuf {
        self.root.join("vm-images/config")
    }

    /// Returns the folder with the machines.
    pub(crate) fn machines(&self) -> Utf8PathBuf {
        self.root.join("vm-images/machines")
    }

    /// Returns the folder with the sources of the faults.
    pub(crate) fn faults(&self) -> Utf8PathBuf {
        self.root.join("selftests/src/fault")
    }

    /// Returns the folder with the scenarios.
    pub(crate) fn scenarios(&self) -> Utf8PathBuf {
        self.root.join("selftests/scenarios")
    }

    /// Returns the folder with what we know of the tree's own tests.
    pub(crate) fn kselftest(&self) -> Utf8PathBuf {
        self.root.join("selftests/kselftest")
    }

    /// Returns the folder with the generated selftests.
    pub(crate) fn generated(&self) -> Utf8PathBuf {
        self.root.join("selftests/generated")
    }

    /// Returns the folder with the snapshots of results.
    pub(crate) fn snapshots(&self) -> Utf8PathBuf {
        self.root.join("selftests/snapshots")
    }

    /// Returns the folder that runs are cached in.
    pub(crate) fn runs(&self) -> Utf8PathBuf {
        self.root.join("target/patchbed/runs")
    }
}
