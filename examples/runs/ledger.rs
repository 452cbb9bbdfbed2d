use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event,
    hub::{Hub, Messages},
    runs::RunKey,
};

/// The maximum number of answers that have a bill.
const MAX_BILLS: usize = 1000;
/// The topic on which processes tell each other what they count.
const TOPIC: &str = "ledger";

/// The cost of each answer, and the connections of its pages.
#[derive(Clone)]
pub(crate) struct Ledger {
    hub: Hub,
    /// A random number that distinguishes this process from the others with the same hub.
    process: u64,
    entries: Arc<Mutex<HashMap<RunKey, Entry>>>,
}

#[derive(Default)]
struct Entry {
    calls: u32,
    connections: u32,
    tokens: u32,
    /// Cancelled to cut the connections that are open.
    cut: CancellationToken,
}

impl Entry {
    fn apply(&mut self, what: &str) {
        match what {
            "call" => self.calls += 1,
            "connection" => self.connections += 1,
            "token" => self.tokens += 1,
            "cut" => std::mem::take(&mut self.cut).cancel(),
            _ => {}
        }
    }
}

impl Ledger {
    /// Creates a ledger that all processes with this hub share.
    pub(crate) fn new(hub: Hub) -> Self {
        let messages = hub.subscribe_to(TOPIC).resume(None).messages();
        let ledger = Self { hub, process: fastrand::u64(..), entries: Arc::default() };
        tokio::spawn(ledger.clone().follow(messages));
        ledger
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, key: &RunKey, change: impl FnOnce(&mut Entry) -> R) -> R {
        let mut entries = self.lock();
        if entries.len() >= MAX_BILLS && !entries.contains_key(key) {
            entries.clear();
        }
        change(entries.entry(key.clone()).or_default())
    }

    /// Applies what the other processes count.
    async fn follow(self, mut messages: Messages) {
        while let Some(message) = messages.next().await {
            // After a gap, the bills lack what this process has missed.
            let Ok(message) = message else { continue };
            let told = serde_json::from_str::<(u64, String, String)>(&message.data);
            let Ok((process, owner, name)) = told else {
                continue;
            };
            if let Ok(key) = RunKey::new(owner, name)
                && process != self.process
            {
                self.change(&key, |entry| entry.apply(&message.event));
            }
        }
    }

    /// Counts or cuts in this process, and tells the other processes.
    async fn tell(&self, key: &RunKey, what: &'static str) {
        self.change(key, |entry| entry.apply(what));
        let told = json!([self.process, key.owner(), key.name()]).to_string();
        let event = Event::new().event(what).data(told);
        if let Err(error) = self.hub.publish(TOPIC, event).await {
            eprintln!("the ledgers of the other processes differ: {error}");
        }
    }

    /// Counts a call of the handler.
    pub(crate) async fn count_call(&self, key: &RunKey) {
        self.tell(key, "call").await;
    }

    /// Counts a token that the model has generated.
    pub(crate) async fn count_token(&self, key: &RunKey) {
        self.tell(key, "token").await;
    }

    /// Counts a connection and returns the token that cuts it.
    pub(crate) async fn connect(&self, key: &RunKey) -> CancellationToken {
        let cut = self.change(key, |entry| entry.cut.clone());
        self.tell(key, "connection").await;
        cut
    }

    /// Cuts all open connections of the answer's pages.
    pub(crate) async fn cut(&self, key: &RunKey) {
        self.tell(key, "cut").await;
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
