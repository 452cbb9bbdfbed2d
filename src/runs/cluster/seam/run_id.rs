use std::process;

use crate::{
    history::Epoch,
    runs::{RunKey, random::random},
};

/// The name of one run of one key. Two runs with the same epoch differ in their keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    pub(crate) key: RunKey,
    pub(crate) epoch: Epoch,
}

impl RunId {
    pub(crate) const fn new(key: RunKey, epoch: Epoch) -> Self {
        Self { key, epoch }
    }
}

/// The name of one process, or more exactly of one connected [`Runs`](crate::runs::Runs). No two
/// have the same one, and a restarted process has another.
///
/// It consists of letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId(Box<str>);

impl ProcessId {
    /// Returns the name with this text, as the store has read it from a claim.
    pub(crate) fn from_claim(text: &str) -> Self {
        Self(text.into())
    }

    /// Draws a new name.
    pub(crate) fn draw() -> Self {
        Self(format!("{}-{:016x}", process::id(), random()).into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
