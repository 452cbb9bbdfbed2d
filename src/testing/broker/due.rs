use std::collections::{HashSet, VecDeque};

use super::{
    Problem,
    client::{Client, is_gap},
    problem::ensure,
    process::Acknowledged,
};

/// The events that a client is due to receive, in this order and without a gap.
#[derive(Default)]
pub(super) struct Due {
    events: VecDeque<String>,
    /// The events that can be in the log twice.
    repeated: HashSet<String>,
    received: HashSet<String>,
}

impl Due {
    /// Adds an event that was acknowledged after all events before it.
    pub(super) fn push(&mut self, data: String, acknowledged: &Acknowledged) {
        if acknowledged.is_repeated {
            self.repeated.insert(data.clone());
        }
        self.events.push_back(data);
    }

    /// Returns the number of events that are not received yet.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Reads the next `count` events.
    pub(super) async fn read(&mut self, client: &mut Client, count: usize) -> Result<(), Problem> {
        let rest = self.events.len().saturating_sub(count);
        while self.events.len() > rest
            && let Some(expected) = self.events.front()
        {
            let message = client.message(&format!("{expected:?}")).await?;
            ensure!(!is_gap(&message), "received a gap before {expected:?}, which was not lost");
            let data = message.data;
            if data == *expected {
                self.events.pop_front();
                self.received.insert(data);
                continue;
            }
            // A copy of an event whose first attempt had no result.
            let is_copy = self.repeated.contains(&data) && self.received.contains(&data);
            ensure!(is_copy, "received {data:?} instead of {expected:?}");
        }
        Ok(())
    }
}
