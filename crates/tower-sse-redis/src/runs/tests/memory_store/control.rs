use std::sync::{Arc, MutexGuard};

use tokio::time::{Instant, sleep};

use super::{faults::Faults, server::Server, store::MemoryStore};
use crate::runs::seam::{Connection, Incoming, Receive};
use tower_sse_broker::tasks::lock;

/// What tests do to the store.
impl MemoryStore {
    /// Returns the faults of this process' connection, to change them.
    ///
    /// Do not hold them while an operation on the store is awaited.
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// Cuts this process off from the store.
    pub(crate) fn go_away(&self) {
        let mut faults = self.faults();
        faults.is_away = true;
        if let Some(connection) = &faults.connection {
            connection.send_replace(Connection::Down);
        }
    }

    /// Connects this process again, over a new connection.
    pub(crate) fn come_back(&self) {
        let inbox = self.inbox();
        {
            let mut faults = self.faults();
            faults.is_away = false;
            faults.number += 1;
            if let Some(connection) = &faults.connection {
                connection.send_replace(Connection::Up(faults.number));
            }
        }
        inbox.into_iter().for_each(|receive| receive(Incoming::LostPushes));
    }

    fn inbox(&self) -> Option<Receive> {
        let server = self.server();
        let own = server.inboxes.iter().find(|(_, _, faults)| Arc::ptr_eq(faults, &self.faults));
        own.map(|(_, inbox, _)| inbox.clone())
    }

    /// Returns whether a process is connected over this connection.
    pub(crate) fn is_used(&self) -> bool {
        self.faults().connection.is_some()
    }

    pub(super) async fn delay_reply(&self) {
        let delay = self.faults().reply_delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    pub(super) async fn delay(&self) {
        let delay = self.faults().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    /// Loses all data, as a flush does.
    pub(crate) fn lose_data(&self) {
        self.restore(&Server::default());
    }

    /// Replaces the state of the server by an older one.
    pub(crate) fn restore(&self, older: &Server) {
        let mut server = self.server();
        server.claims = older.claims.clone();
        server.streams = older.streams.clone();
        server.restoring_until = Some(Instant::now() + server.lease);
    }
}
