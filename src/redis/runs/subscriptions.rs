use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ::redis::{PushInfo, PushKind, Value};

use super::messages::parse_push;
use crate::{
    history::Epoch,
    runs::cluster::{command::RunEpoch, inbox::Inbox, run_id::RunId},
};

/// The channels to which this process is subscribed, and the receiver of their messages.
pub(super) struct Subscriptions {
    /// The channel of hints to this process.
    control: String,
    inbox: Inbox,
    runs: Mutex<HashMap<String, Subscription>>,
    /// Held while the server's subscriptions change, so that they do in the order of these.
    pub(super) changing: tokio::sync::Mutex<()>,
}

struct Subscription {
    run: RunId,
    count: usize,
}

impl Subscriptions {
    pub(super) fn new(control: String, inbox: Inbox) -> Self {
        Self { control, inbox, runs: Mutex::default(), changing: tokio::sync::Mutex::default() }
    }

    /// Returns all channels.
    pub(super) fn channels(&self) -> Vec<String> {
        let mut channels = vec![self.control.clone()];
        channels.extend(self.runs().keys().cloned());
        channels
    }

    pub(super) fn add(&self, channel: String, run: &RunId) {
        let mut runs = self.runs();
        let new = || Subscription { run: run.clone(), count: 0 };
        runs.entry(channel).or_insert_with(new).count += 1;
    }

    /// Removes a subscription. Returns whether it was the last one of the channel.
    pub(super) fn remove(&self, channel: &str) -> bool {
        let mut runs = self.runs();
        let Some(subscription) = runs.get_mut(channel) else { return false };
        subscription.count -= 1;
        let is_last = subscription.count == 0;
        if is_last {
            runs.remove(channel);
        }
        is_last
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
                self.inbox.hint(RunEpoch(epoch));
            }
            return;
        }
        let Ok(channel) = std::str::from_utf8(channel) else { return };
        let run = self.runs().get(channel).map(|subscription| subscription.run.clone());
        if let (Some(run), Some(push)) = (run, parse_push(message)) {
            self.inbox.push(&run, push);
        }
    }

    pub(super) fn lose_pushes(&self) {
        self.inbox.lose_pushes();
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Subscription>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
