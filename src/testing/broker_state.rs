use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::connection::{Connection, Item, Published};
use crate::hub::{
    Hub,
    broker::{Feed, Publication},
};

/// The events of a [`MemoryBroker`](super::MemoryBroker), its connections, and its faults to come.
#[derive(Default)]
pub(super) struct BrokerState {
    pub(super) newest: u64,
    /// Events up to this sequence number are lost.
    lost: u64,
    history: Vec<Arc<Published>>,
    /// The times at which topics have ended.
    ended: HashMap<String, Instant>,
    connections: Vec<Arc<Connection>>,
    pub(super) events_to_refuse: usize,
    pub(super) acknowledgements_to_lose: usize,
}

impl BrokerState {
    /// Appends an event to the history. Returns it, and the connections to deliver it through once
    /// the state is unlocked.
    pub(super) fn append(
        &mut self,
        publication: Publication,
        created: Instant,
    ) -> (Arc<Published>, Vec<Arc<Connection>>) {
        self.newest += 1;
        let now = Instant::now();
        if publication.ends_topic {
            self.ended.insert(publication.topic.clone(), now);
        }
        let (sequence, at) = (self.newest, now.duration_since(created));
        let published = Arc::new(Published { publication, sequence, at, instant: now });
        self.history.push(Arc::clone(&published));
        let connections = self.open_connections();
        for connection in &connections {
            connection.push(Item::Event(Arc::clone(&published)));
        }
        (published, connections)
    }

    /// Returns whether a topic has ended, and its last event is not older than `retained`.
    pub(super) fn has_ended(&self, topic: &str, retained: Duration) -> bool {
        self.ended.get(topic).is_some_and(|at| at.elapsed() < retained)
    }

    /// Loses all events. Returns the connections to deliver the loss through once the state is
    /// unlocked.
    pub(super) fn lose_history(&mut self) -> Vec<Arc<Connection>> {
        self.newest += 1;
        self.lost = self.newest;
        self.history.clear();
        self.ended.clear();
        let connections = self.open_connections();
        for connection in &connections {
            connection.clear();
            connection.push(Item::Loss(self.lost));
        }
        connections
    }

    fn open_connections(&mut self) -> Vec<Arc<Connection>> {
        self.connections.retain(|connection| !connection.is_closed());
        self.connections.clone()
    }

    #[track_caller]
    pub(super) fn connection_of(&mut self, hub: &Hub) -> Arc<Connection> {
        match self.open_connections().into_iter().find(|connection| connection.feeds(hub)) {
            Some(connection) => connection,
            // A test that pauses another hub would prove nothing.
            None => panic!("hub is not connected to this broker, or is closed"),
        }
    }

    /// Connects a hub, whose first items are the history up to this age.
    pub(super) fn connect(&mut self, feed: Feed) -> Arc<Connection> {
        let max_age = feed.max_age();
        let is_old = |published: &Arc<Published>| published.instant.elapsed() > max_age;
        let (old, recent) = self.history.split_at(self.history.partition_point(is_old));
        // A client that resumes before the history of the hub receives a gap.
        let lost = old.last().map_or(self.lost, |published| published.sequence);
        let loss = (lost > 0).then_some(Item::Loss(lost));
        let items = loss.into_iter().chain(recent.iter().cloned().map(Item::Event));
        let connection = Arc::new(Connection::new(feed, items.collect()));
        self.connections.push(Arc::clone(&connection));
        connection
    }
}
