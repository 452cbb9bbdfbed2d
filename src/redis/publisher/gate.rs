use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, Sent};
use crate::{lock::lock, redis::stream::RedisStream};

/// The gate between publishers and Redis. It is open while the reader follows the stream.
///
/// After a break it stays shut until the reader has caught up and has marked the losses that it
/// found.
#[derive(Default)]
pub(crate) struct Gate {
    session: watch::Sender<Option<Session>>,
    ledger: Mutex<Ledger>,
}

/// The publishers' connection, from the opening of the gate to a break.
#[derive(Clone)]
pub(crate) struct Session {
    number: u64,
    pub(crate) stream: RedisStream,
    /// Cancelled when either connection breaks.
    pub(crate) ended: CancellationToken,
}

/// An event whose acknowledgement is awaited. While it exists, the gate records the entries that
/// the reader reads.
pub(crate) struct InFlight<'a> {
    gate: &'a Gate,
    pub(super) sent: Sent,
}

impl Gate {
    /// Opens the gate to publishers, over a new connection.
    pub(crate) fn open(&self, stream: RedisStream) -> Session {
        let number = self.ledger().begin_session();
        let session = Session { number, stream, ended: CancellationToken::new() };
        self.session.send_replace(Some(session.clone()));
        session
    }

    /// Ends the session.
    pub(crate) fn shut(&self) {
        if let Some(session) = self.session.send_replace(None) {
            session.ended.cancel();
        }
        // Acknowledgements that arrive later belong to an ended session, and are rejected.
        self.ledger().begin_session();
    }

    /// Shuts the gate because the hub is closed or dropped. Events that were sent before are still
    /// acknowledged.
    pub(crate) fn retire(&self) {
        self.session.send_replace(None);
    }

    /// Waits until the gate is open, and returns its session.
    pub(crate) async fn session(&self) -> Option<Session> {
        // A publisher that finds its connection broken ends the session before the reader shuts the
        // gate.
        let is_usable = |session: &Option<Session>| {
            session.as_ref().is_some_and(|session| !session.ended.is_cancelled())
        };
        let mut session = self.session.subscribe();
        let usable = session.wait_for(is_usable).await.ok()?;
        usable.clone()
    }

    /// Starts to record what is read, before an event is sent.
    pub(crate) fn begin(&self, session: &Session) -> InFlight<'_> {
        InFlight { gate: self, sent: self.ledger().begin(session.number) }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.gate.ledger().end(self.sent);
    }
}
