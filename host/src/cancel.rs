// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cancellation flag: set by Ctrl-C, polled by every wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A shared request to stop; clones see the same request.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    parent: Option<Arc<Cancel>>,
}

impl Cancel {
    /// Returns a flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a flag that is also set when this one is.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            own: Arc::default(),
            parent: Some(Arc::new(self.clone())),
        }
    }

    /// Sets the flag for all clones, and for their children.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::SeqCst);
    }

    /// Returns whether the flag was set.
    pub fn is_cancelled(&self) -> bool {
        let parent = || self.parent.as_ref().is_some_and(|one| one.is_cancelled());
        self.own.load(Ordering::SeqCst) || parent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancel_is_visible_to_all_clones() {
        let one = Cancel::new();
        let other = one.clone();
        assert!(!other.is_cancelled());
        one.cancel();
        assert!(other.is_cancelled());
    }

    #[test]
    fn cancel_reaches_children_but_not_the_parent() {
        let parent = Cancel::new();
        let [one, other] = [(); 2].map(|()| parent.child());
        one.cancel();
        assert!(one.is_cancelled() && !parent.is_cancelled() && !other.is_cancelled());
        parent.cancel();
        assert!(other.is_cancelled());
    }
}
