use std::{collections::BTreeMap, str, sync::Mutex};

use redis::{PushInfo, PushKind, Value};
use tower_sse::{hub::broker::support::lock, runs::support::Epoch};

use super::{keys::Keys, messages::parse_push};
use crate::runs::seam::{
    inbox::{Incoming, Receive},
    run_id::{ProcessId, RunId},
};

/// The channels to which this process is subscribed, and the receiver of their messages.
pub(super) struct Subscriptions {
    /// The channel of hints to this process.
    control: String,
    /// The channel of hints to all processes.
    everyone: String,
    receive: Receive,
    runs: Mutex<BTreeMap<String, RunId>>,
    /// Held while the subscriptions at the server change, so that they change in the same order as
    /// `runs`.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Subscriptions {
    pub(super) fn new(keys: &Keys, process: &ProcessId, receive: Receive) -> Self {
        Self {
            control: keys.control(process),
            everyone: keys.everyone(),
            receive,
            runs: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Returns all channels.
    pub(super) fn channels(&self) -> Vec<String> {
        let mut channels = vec![self.control.clone(), self.everyone.clone()];
        channels.extend(lock(&self.runs).keys().cloned());
        channels
    }

    pub(super) fn add(&self, channel: String, run: &RunId) {
        lock(&self.runs).insert(channel, run.clone());
    }

    pub(super) fn remove(&self, channel: &str) {
        lock(&self.runs).remove(channel);
    }

    pub(super) fn has(&self, channel: &str) -> bool {
        lock(&self.runs).contains_key(channel)
    }

    /// Passes on a message of the server. Returns `false` if the connection is broken.
    ///
    /// The task that reads from the connection calls this, so nothing is queued here: a process
    /// that is stalled does not read, and Redis breaks the connection when its own buffer is full.
    pub(super) fn receive(&self, PushInfo { kind, data }: PushInfo) -> bool {
        let mut data = data.into_iter();
        if kind == PushKind::Message
            && let (Some(Value::BulkString(channel)), Some(Value::BulkString(message))) =
                (data.next(), data.next())
            && let Some(incoming) = self.parse(&channel, message)
        {
            (self.receive)(incoming);
        }
        kind != PushKind::Disconnection
    }

    fn parse(&self, channel: &[u8], message: Vec<u8>) -> Option<Incoming> {
        if channel == self.control.as_bytes() {
            let text = str::from_utf8(&message).ok()?;
            return match text.strip_prefix('-') {
                Some(replaced) => Epoch::parse(replaced).map(Incoming::Replaced),
                None => Epoch::parse(text).map(Incoming::Hint),
            };
        }
        if channel == self.everyone.as_bytes() {
            return Some(Incoming::HintToAll);
        }
        let run = lock(&self.runs).get(str::from_utf8(channel).ok()?)?.clone();
        Some(Incoming::Push(run, parse_push(message)?))
    }

    pub(super) fn lose_pushes(&self) {
        (self.receive)(Incoming::LostPushes);
    }
}
