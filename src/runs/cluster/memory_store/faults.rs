use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{server::Server, store::MemoryStore};
use crate::runs::cluster::{
    inbox::{Inbox, Incoming},
    reply::StoreError,
    run_id::RunId,
    store::Connection,
};

/// The state of a process' connection, and its faults.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) subscribed: HashSet<RunId>,
    pub(super) is_away: bool,
    pub(super) lost_replies: usize,
    pub(super) loses_pushes: bool,
    /// The result of every command that names this run, instead of a reply.
    pub(super) refused: Option<(RunId, StoreError)>,
    pub(super) panics: usize,
    pub(super) delay: Duration,
    pub(super) reply_delay: Duration,
    pub(super) connection: Option<watch::Sender<Connection>>,
    pub(super) number: u64,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tests do to the store.
impl MemoryStore {
    /// Cuts this process off from the store.
    pub(crate) fn go_away(&self) {
        let mut faults = locked(&self.faults);
        faults.is_away = true;
        if let Some(connection) = &faults.connection {
            connection.send_replace(Connection::Down);
        }
    }

    /// Connects this process again, over a new connection.
    pub(crate) fn come_back(&self) {
        let inbox = self.inbox();
        {
            let mut faults = locked(&self.faults);
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

    /// Executes the next commands of this process, but loses their replies.
    pub(crate) fn lose_replies(&self, calls: usize) {
        locked(&self.faults).lost_replies = calls;
    }

    pub(crate) fn lose_pushes(&self, loses: bool) {
        locked(&self.faults).loses_pushes = loses;
    }

    /// Returns whether a process is connected over this connection.
    pub(crate) fn is_used(&self) -> bool {
        locked(&self.faults).connection.is_some()
    }

    /// Refuses every command of this process that names a run.
    pub(crate) fn refuse(&self, run: RunId, error: StoreError) {
        locked(&self.faults).refused = Some((run, error));
    }

    /// Panics instead of executing the next commands.
    pub(crate) fn panic(&self, calls: usize) {
        locked(&self.faults).panics = calls;
    }

    /// Delays everything that this process asks of the store.
    pub(crate) fn set_delay(&self, delay: Duration) {
        locked(&self.faults).delay = delay;
    }

    /// Delays the replies to what this process asks of the store, which executes it at once.
    pub(crate) fn delay_replies(&self, delay: Duration) {
        locked(&self.faults).reply_delay = delay;
    }

    pub(super) async fn delay_reply(&self) {
        let delay = locked(&self.faults).reply_delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    pub(super) async fn delay(&self) {
        let delay = locked(&self.faults).delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    /// Loses all data, as a flush does.
    pub(crate) fn lose_data(&self) {
        let mut server = self.server();
        server.claims.clear();
        server.streams.clear();
        server.restoring_until = Some(Instant::now() + self.lease);
    }

    /// Replaces the state of the server by an older one.
    pub(crate) fn restore(&self, older: &Server) {
        let mut server = self.server();
        server.claims = older.claims.clone();
        server.streams = older.streams.clone();
        server.restoring_until = Some(Instant::now() + self.lease);
    }
}
