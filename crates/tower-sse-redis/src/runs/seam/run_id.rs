use std::process;

use tower_sse::runs::{
    RunKey,
    support::{Epoch, Record, random},
};

/// The name of one run of one key. Two runs with the same epoch differ in their keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunId {
    pub(crate) key: RunKey,
    pub(crate) epoch: Epoch,
}

impl RunId {
    pub(crate) const fn new(key: RunKey, epoch: Epoch) -> Self {
        Self { key, epoch }
    }

    pub(crate) fn of(record: &Record) -> Self {
        Self::new(record.key.clone(), record.epoch)
    }
}

/// The name of one process, or more exactly of one connected [`Runs`](tower_sse::runs::Runs). No two of
/// them have the same name, and a restarted process has a new name.
///
/// It consists of letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId(Box<str>);

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
