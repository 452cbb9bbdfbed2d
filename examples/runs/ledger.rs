use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_sse::runs::RunKey;

/// The maximum number of answers that have a bill.
const MAX_BILLS: usize = 1000;

/// The cost of each answer, and the connections of its pages.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<HashMap<RunKey, Entry>>>);

#[derive(Default)]
struct Entry {
    calls: u32,
    connections: u32,
    tokens: u32,
    /// Cancelled to cut the connections that are open.
    cut: CancellationToken,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, key: &RunKey, change: impl FnOnce(&mut Entry) -> R) -> R {
        let mut entries = self.lock();
        if entries.len() >= MAX_BILLS && !entries.contains_key(key) {
            entries.clear();
        }
        change(entries.entry(key.clone()).or_default())
    }

    /// Counts a call of the handler.
    pub(crate) fn count_call(&self, key: &RunKey) {
        self.change(key, |entry| entry.calls += 1);
    }

    /// Counts a token that the model has generated.
    pub(crate) fn count_token(&self, key: &RunKey) {
        self.change(key, |entry| entry.tokens += 1);
    }

    /// Counts a connection, and returns the token that cuts it.
    pub(crate) fn connect(&self, key: &RunKey) -> CancellationToken {
        self.change(key, |entry| {
            entry.connections += 1;
            entry.cut.clone()
        })
    }

    /// Cuts all connections that are open.
    pub(crate) fn cut(&self, key: &RunKey) {
        self.change(key, |entry| std::mem::take(&mut entry.cut).cancel());
    }

    pub(crate) fn bill(&self, key: &RunKey, outcome: &str) -> Value {
        let entries = self.lock();
        let (calls, connections, tokens) = entries
            .get(key)
            .map_or((0, 0, 0), |entry| (entry.calls, entry.connections, entry.tokens));
        json!({
            "calls": calls, "connections": connections, "tokens": tokens, "outcome": outcome,
        })
    }
}
