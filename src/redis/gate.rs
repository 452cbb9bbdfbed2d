use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{stream::Stream, stream_id::StreamId};

/// The gate between publishers and Redis. It is open while the reader follows the stream.
///
/// After a break it stays shut until the reader has checked that the newest known event is still
/// there. Otherwise a publisher could add a newer event first. The check would then find that one,
/// and miss the loss of the events before it.
#[derive(Debug)]
pub(super) struct Gate {
    session: watch::Sender<Option<Session>>,
    known: Mutex<Known>,
}

/// The publishers' connection, from the opening of the gate to a break.
#[derive(Clone)]
pub(super) struct Session {
    number: u64,
    pub(super) stream: Stream,
    /// Cancelled when either connection breaks.
    pub(super) ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Known {
    /// The number of the session whose acknowledgements count.
    session: u64,
    /// The newest entry that was read, or acknowledged to a publisher.
    newest: StreamId,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { session: watch::Sender::new(None), known: Mutex::default() }
    }

    /// Opens the gate to publishers, over a new connection.
    pub(super) fn open(&self, stream: Stream) -> Session {
        let number = {
            let mut known = self.lock();
            known.session += 1;
            known.session
        };
        let session = Session { number, stream, ended: CancellationToken::new() };
        self.session.send_replace(Some(session.clone()));
        session
    }

    /// Ends the session, and returns the newest entry that is known to have been in the stream.
    pub(super) fn shut(&self) -> StreamId {
        if let Some(session) = self.session.send_replace(None) {
            session.ended.cancel();
        }
        let mut known = self.lock();
        // From now on, acknowledgements come too late for the reader's check.
        known.session += 1;
        known.newest
    }

    /// Shuts the gate because the hub is closed or dropped. Events that were sent before are still
    /// acknowledged.
    pub(super) fn retire(&self) {
        self.session.send_replace(None);
    }

    /// Waits until the gate is open.
    pub(super) async fn session(&self) -> Option<Session> {
        // A publisher that finds its connection broken ends the session before the reader shuts the
        // gate.
        let is_usable = |session: &Option<Session>| {
            session.as_ref().is_some_and(|session| !session.ended.is_cancelled())
        };
        {
            let session = self.session.borrow();
            if is_usable(&session) {
                return session.clone();
            }
        }
        let mut session = self.session.subscribe();
        let usable = session.wait_for(is_usable).await.ok()?;
        usable.clone()
    }

    /// Records an acknowledgement. Returns `false` if the session has ended, because the reader's
    /// check may miss the loss of this event.
    pub(super) fn acknowledge(&self, session: &Session, id: StreamId) -> bool {
        let mut known = self.lock();
        let counts = known.session == session.number;
        if counts {
            known.newest = known.newest.max(id);
        }
        counts
    }

    /// Records the newest entry that was read.
    pub(super) fn set_read(&self, id: StreamId) {
        let mut known = self.lock();
        known.newest = known.newest.max(id);
    }

    /// Returns the newest entry that is known to have been in the stream.
    pub(super) fn newest_known(&self) -> StreamId {
        self.lock().newest
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("number", &self.number).finish_non_exhaustive()
    }
}
