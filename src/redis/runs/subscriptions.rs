#[cfg(not(tower_sse_simulation))]
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::redis::{PushInfo, PushKind, Value};

use super::{keys::Keys, messages::parse_push};
#[cfg(tower_sse_simulation)]
use crate::simulation::HashMap;
use crate::{
    history::Epoch,
    runs::cluster::{
        inbox::{Inbox, Incoming},
        run_id::{ProcessId, RunId},
    },
};

/// The channels to which this process is subscribed, and the receiver of their messages.
pub(super) struct Subscriptions {
    /// The channel of hints to this process.
    control: String,
    /// The channel of hints to all processes.
    everyone: String,
    inbox: Inbox,
    runs: Mutex<HashMap<String, RunId>>,
    /// Held while the server's subscriptions change, so that they follow these.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Subscriptions {
    pub(super) fn new(keys: &Keys, process: &ProcessId, inbox: Inbox) -> Self {
        Self {
            control: keys.control(process),
            everyone: keys.everyone(),
            inbox,
            runs: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Returns all channels.
    pub(super) fn channels(&self) -> Vec<String> {
        let mut channels = vec![self.control.clone(), self.everyone.clone()];
        channels.extend(self.runs().keys().cloned());
        channels
    }

    pub(super) fn add(&self, channel: String, run: &RunId) {
        self.runs().insert(channel, run.clone());
    }

    pub(super) fn remove(&self, channel: &str) {
        self.runs().remove(channel);
    }

    pub(super) fn has(&self, channel: &str) -> bool {
        self.runs().contains_key(channel)
    }

    /// Passes on a message of the server. Returns `false` if the connection is broken.
    ///
    /// The task that reads from the connection calls this, so nothing is queued here: a process
    /// that is stalled does not read, and Redis breaks the connection when its own buffer is full.
    pub(super) fn receive(&self, PushInfo { kind, data }: PushInfo) -> bool {
        match kind {
            PushKind::Disconnection => return false,
            PushKind::Message => {
                let mut data = data.into_iter();
                if let (Some(Value::BulkString(channel)), Some(Value::BulkString(message))) =
                    (data.next(), data.next())
                {
                    self.pass(&channel, message);
                }
            }
            _ => {}
        }
        true
    }

    fn pass(&self, channel: &[u8], message: Vec<u8>) {
        if channel == self.control.as_bytes() {
            let epoch = std::str::from_utf8(&message).ok().and_then(Epoch::parse);
            if let Some(epoch) = epoch {
                self.inbox.receive(Incoming::Hint(epoch));
            }
            return;
        }
        if channel == self.everyone.as_bytes() {
            self.inbox.receive(Incoming::HintToAll);
            return;
        }
        let Ok(channel) = std::str::from_utf8(channel) else { return };
        let run = self.runs().get(channel).cloned();
        if let (Some(run), Some(push)) = (run, parse_push(message)) {
            self.inbox.receive(Incoming::Push(run, push));
        }
    }

    pub(super) fn lose_pushes(&self) {
        self.inbox.receive(Incoming::LostPushes);
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, RunId>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
