// SPDX-License-Identifier: MIT OR Apache-2.0
//! The session of a command: data, cache, progress and Ctrl-C.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::context::Context;
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
    /// Finds the data (in the folder `data`, if given) and the cache, and installs the handler
    /// of Ctrl-C.
    ///
    /// # Errors
    /// When data or cache cannot be used, or the handler cannot be installed.
    pub(crate) fn start(data: Option<&Utf8Path>) -> anyhow::Result<Self> {
        let cache = Cache::from_env()?;
        let layout = Layout::find(data, &cache)?;
        let cancel = Cancel::new();
        let on_signal = cancel.clone();
        ctrlc::set_handler(move || {
            if on_signal.is_cancelled() {
                // The second Ctrl-C ends the program at once; the kernel kills the process
                // groups of its children with it.
                std::process::exit(130);
            }
            on_signal.cancel();
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

    /// Returns the services that functions of the other crates take.
    pub(crate) fn context(&self) -> Context {
        Context {
            cancel: self.cancel.clone(),
            observer: Arc::new(self.progress.clone()),
            cache: self.cache.clone(),
        }
    }

    /// Returns a session in its own folder, without a signal handler.
    #[cfg(test)]
    pub(crate) fn at(root: camino::Utf8PathBuf) -> Self {
        Self {
            cache: Cache::at(root.join("cache")).expect("a folder that can be written"),
            layout: Layout::at(root),
            cancel: Cancel::new(),
            progress: Progress::start(),
        }
    }

    /// Returns the same session with its own cancellation.
    pub(crate) fn with_cancel(&self, cancel: Cancel) -> Self {
        Self {
            layout: self.layout.clone(),
            cache: self.cache.clone(),
            cancel,
            progress: self.progress.clone(),
        }
    }
}
