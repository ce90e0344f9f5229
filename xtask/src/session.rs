// SPDX-License-Identifier: GPL-2.0-only
//! What every command needs: data, the cache, progress and Ctrl-C.

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::events::{Event, Observer};

use crate::layout::Layout;
use crate::render::progress::Progress;

/// One invocation of the program.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) layout: Layout,
    pub(crate) cache: Cache,
    pub(crate) cancel: Cancel,
    pub(crate) progress: Progress,
}

impl Session {
    /// Finds the data, which may be in the folder `data`, and the cache, and begins to
    /// listen to Ctrl-C.
    ///
    /// # Errors
    /// When there is no data, no place for the cache, or signals cannot be caught.
    pub(crate) fn start(data: Option<&Utf8Path>) -> anyhow::Result<Self> {
        let cache = Cache::from_env()?;
        let layout = Layout::find(data, &cache)?;
        let cancel = Cancel::new();
        let asked = cancel.clone();
        ctrlc::set_handler(move || {
            if asked.is_cancelled() {
                // The second time the user does not want to wait; children are
                // in groups that the kernel kills with us.
                std::process::exit(130);
            }
            asked.cancel();
        })?;
        let progress = Progress::start();
        let folder = std::env::current_dir().ok();
        let folder = folder.and_then(|folder| Utf8PathBuf::try_from(folder).ok());
        if let Some(text) = folder.and_then(|folder| layout.note(&folder)) {
            progress.event(Event::Note { text });
        }
        Ok(Self {
            layout,
            cache,
            cancel,
            progress,
        })
    }

    /// Returns a session in a folder of its own that hears no signals.
    #[cfg(test)]
    pub(crate) fn at(root: camino::Utf8PathBuf) -> Self {
        Self {
            cache: Cache::at(root.join("cache")).expect("a folder that can be written"),
            layout: Layout::at(root),
            cancel: Cancel::new(),
            progress: Progress::start(),
        }
    }

    /// Returns the same session for a part of the work that can be ended by itself.
    pub(crate) fn with_cancel(&self, cancel: Cancel) -> Self {
        Self {
            layout: self.layout.clone(),
            cache: self.cache.clone(),
            cancel,
            progress: self.progress.clone(),
        }
    }
}
