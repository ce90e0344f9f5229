// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cancellation flag: set by Ctrl-C, polled by every wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A shared request to stop; clones see the same request.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Returns a flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag for all clones.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether the flag was set.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
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
}
