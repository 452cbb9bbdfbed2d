use std::{
    collections::HashSet,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{server::Server, store::MemoryStore};
use crate::{
    lock::lock,
    runs::cluster::seam::{
        inbox::{Inbox, Incoming},
        reply::StoreError,
        run_id::RunId,
        store::Connection,
    },
};

/// The state of a process' connection, and its faults.
#[derive(Default)]
pub(crate) struct Faults {
    pub(super) subscribed: HashSet<RunId>,
    pub(super) is_away: bool,
    /// The number of calls whose commands are executed, but whose replies are lost.
    pub(crate) lost_replies: usize,
    pub(crate) loses_pushes: bool,
    /// The result of every command that names this run, instead of a reply.
    pub(crate) refused: Option<(RunId, StoreError)>,
    /// Whether another process is faster at every claim.
    pub(crate) is_overtaken: bool,
    /// The number of calls that panic instead of executing their commands.
    pub(crate) panics: usize,
    /// Whether the next load does.
    pub(crate) load_panics: bool,
    /// The delay of everything that the process asks of the store.
    pub(crate) delay: Duration,
    /// The delay of replies to commands, which are executed at once.
    pub(crate) reply_delay: Duration,
    pub(super) connection: Option<watch::Sender<Connection>>,
    pub(super) number: u64,
}

/// What tests do to the store.
impl MemoryStore {
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
        inbox.into_iter().for_each(|inbox| inbox.receive(Incoming::LostPushes));
    }

    fn inbox(&self) -> Option<Inbox> {
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
