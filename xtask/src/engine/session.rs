// SPDX-License-Identifier: MIT OR Apache-2.0
//! The session of a command: data, cache, progress and cancellation.

use std::fmt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use patchbed_host::cache::Cache;
use patchbed_host::cancel::Cancel;
use patchbed_host::context::Context;
use patchbed_host::events::{Event, Observer};
use selftests::catalogue::{Catalogue, LoadError, Manifest};
use selftests::scenario::Machines;

use crate::engine::layout::{DataArgs, Layout};

/// The message of a step that ended because of an interruption.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// The services that the steps of a command share.
#[derive(Clone)]
pub struct Session {
    /// The folders of data and of runs.
    pub layout: Layout,
    /// The cache.
    pub cache: Cache,
    /// Ends every wait when it is set.
    pub cancel: Cancel,
    /// Receives progress events.
    pub observer: Arc<dyn Observer>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("layout", &self.layout)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Finds the data and the cache.
    ///
    /// # Errors
    /// When data or cache cannot be used.
    pub fn start(
        data: &DataArgs,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> anyhow::Result<Self> {
        let cache = Cache::from_env()?;
        let layout = Layout::find(data, &cache)?;
        let folder = std::env::current_dir().ok();
        let folder = folder.and_then(|folder| Utf8PathBuf::try_from(folder).ok());
        if let Some(text) = folder.and_then(|folder| layout.note(&folder)) {
            observer.event(Event::Note { text });
        }
        Ok(Self {
            layout,
            cache,
            cancel,
            observer,
        })
    }

    /// Returns a session in its own folder.
    pub fn at(root: Utf8PathBuf) -> Self {
        Self {
            cache: Cache::at(root.join("cache")).expect("a folder that can be written"),
            layout: Layout::at(root),
            cancel: Cancel::new(),
            observer: Arc::new(patchbed_host::events::Silent),
        }
    }

    /// Returns the sessions of the chosen catalogue, or of all catalogues of the data.
    ///
    /// # Errors
    /// When the folder of the catalogues cannot be read.
    pub fn each_catalogue(&self) -> anyhow::Result<Vec<Self>> {
        let layouts = self.layout.each_catalogue()?.into_iter();
        let sessions = layouts.map(|layout| Self {
            layout,
            ..self.clone()
        });
        Ok(sessions.collect())
    }

    /// Returns a session for the catalogue of a finished run, unless the user names another.
    ///
    /// # Errors
    /// When there is no such catalogue.
    pub fn for_run(&self, catalogue: &Utf8Path) -> anyhow::Result<Self> {
        Ok(Self {
            layout: self.layout.clone().for_run(catalogue)?,
            ..self.clone()
        })
    }

    /// Reads the catalogue.
    ///
    /// # Errors
    /// When one of its files, or a machine, is invalid or cannot be read.
    pub fn catalogue(&self) -> anyhow::Result<Catalogue> {
        let machines = Machines::load(&self.layout.machines())?;
        Ok(Catalogue::load(
            &self.layout.catalogue(),
            &self.layout.core(),
            machines,
        )?)
    }

    /// Reads only the manifest of the catalogue.
    ///
    /// # Errors
    /// When it is invalid or cannot be read.
    pub fn manifest(&self) -> Result<Manifest, LoadError> {
        Manifest::load(&self.layout.catalogue())
    }

    /// Returns the services of the lower crates.
    pub fn context(&self) -> Context {
        Context {
            cancel: self.cancel.clone(),
            observer: Arc::clone(&self.observer),
            cache: self.cache.clone(),
        }
    }

    /// Returns the same session with its own cancellation.
    #[must_use]
    pub fn with_cancel(&self, cancel: Cancel) -> Self {
        Self {
            cancel,
            ..self.clone()
        }
    }

    /// Checks that the user did not interrupt the command.
    ///
    /// # Errors
    /// When the command was interrupted.
    pub fn check_interrupted(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.cancel.is_cancelled(), INTERRUPTED);
        Ok(())
    }

    /// Prints a message once.
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        self.observer.event(Event::Note { text });
    }
}
