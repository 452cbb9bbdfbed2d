use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, Sent};
use crate::lock::lock;

/// The gate between publishers and the server. It is open while the reader follows the log.
///
/// After a break it stays shut until the reader has caught up and has marked the losses that it
/// found.
#[derive(Debug)]
pub struct Gate<C> {
    session: watch::Sender<Option<Session<C>>>,
    ledger: Mutex<Ledger>,
}

/// The publishers' connection, from the opening of the gate to a break.
#[derive(Clone, Debug)]
pub struct Session<C> {
    number: u64,
    /// The connection of the publishers.
    pub connection: C,
    /// Cancelled when either connection breaks.
    pub ended: CancellationToken,
}

/// An event whose acknowledgement is awaited. While it exists, the gate records the entries that
/// the reader reads.
#[derive(Debug)]
pub struct InFlight<'a, C> {
    gate: &'a Gate<C>,
    /// What was known when it was sent.
    pub sent: Sent,
}

impl<C> Default for Gate<C> {
    fn default() -> Self {
        Self { session: watch::Sender::new(None), ledger: Mutex::default() }
    }
}

impl<C: Clone> Gate<C> {
    /// Opens the gate to publishers, over a new connection.
    pub fn open(&self, connection: C) -> Session<C> {
        let number = self.ledger().begin_session();
        let session = Session { number, connection, ended: CancellationToken::new() };
        self.session.send_replace(Some(session.clone()));
        session
    }

    /// Ends the session.
    pub fn shut(&self) {
        if let Some(session) = self.session.send_replace(None) {
            session.ended.cancel();
        }
        // Acknowledgements that arrive later belong to an ended session, and are rejected.
        self.ledger().begin_session();
    }

    /// Shuts the gate because the hub is closed or dropped. Events that were sent before are still
    /// acknowledged.
    pub fn retire(&self) {
        self.session.send_replace(None);
    }

    /// Waits until the gate is open, and returns its session.
    pub async fn session(&self) -> Option<Session<C>> {
        // A publisher that finds its connection broken ends the session before the reader shuts the
        // gate.
        let is_usable = |session: &Option<Session<C>>| {
            session.as_ref().is_some_and(|session| !session.ended.is_cancelled())
        };
        let mut session = self.session.subscribe();
        let usable = session.wait_for(is_usable).await.ok()?;
        usable.clone()
    }

    /// Starts to record what is read, before an event is sent.
    pub fn begin(&self, session: &Session<C>) -> InFlight<'_, C> {
        InFlight { gate: self, sent: self.ledger().begin(session.number) }
    }
}

impl<C> Gate<C> {
    /// Returns the ledger, locked.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }
}

impl<C> Drop for InFlight<'_, C> {
    fn drop(&mut self) {
        self.gate.ledger().end(self.sent);
    }
}
