use std::sync::{Mutex, MutexGuard};
use std::{future::pending, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_sse::{hub::PublishError, hub::broker::Acknowledged};

use crate::ledger::{Ledger, Sent, Unproven};
use crate::log::Identity;
use crate::tasks::{catching_wakes, lock, without_panic};

/// A gate that holds publishers back until their process has caught up with the log.
///
/// It opens once the follower (the task of [`follow`](crate::__private::follow)) has caught up and
/// [marked](crate::__private::Log::mark) the losses that it found. It shuts when the connection
/// breaks or a loss must be marked, and shuts for good when the hub is closed or dropped. `C` is
/// what publishers need, such as a connection.
#[derive(Debug)]
pub struct Gate<C> {
    session: watch::Sender<Option<Session<C>>>,
    /// Cancelled once the hub is closed or dropped.
    retired: CancellationToken,
    ledger: Mutex<Ledger>,
}

/// A period in which a [`Gate`] is open.
#[derive(Clone, Debug)]
pub struct Session<C> {
    number: u64,
    /// The connection that publishers use.
    pub connection: C,
    /// A token that's cancelled when the connection breaks, or when a loss must be
    /// [marked](crate::__private::Log::mark). Closing or dropping the hub doesn't cancel it.
    pub ended: CancellationToken,
}

/// Events that await their acknowledgement. While this value exists, the gate records the entries
/// that the follower reads.
#[derive(Debug)]
pub struct InFlight<'a, C> {
    gate: &'a Gate<C>,
    /// The session in which the events are sent.
    pub session: Session<C>,
    sent: Sent,
}

impl<C> Default for Gate<C> {
    fn default() -> Self {
        let retired = CancellationToken::new();
        Self { session: watch::Sender::new(None), retired, ledger: Mutex::default() }
    }
}

impl<C> Session<C> {
    /// Ends the session because its connection is unusable: the follower then reconnects. Publishers
    /// wait for the end with wakers that are the program's code, whose panics are caught.
    pub fn end(&self) {
        without_panic(|| self.ended.cancel());
    }
}

impl<C: Clone> Gate<C> {
    pub(crate) fn open(&self, connection: C) -> Session<C> {
        let number = self.ledger().begin_session();
        let session = Session { number, connection, ended: CancellationToken::new() };
        self.session.send_replace(Some(session.clone()));
        session
    }

    /// Waits until the gate is open, and returns its session. Once the hub is closed or dropped,
    /// this method waits forever: wait for [`retired`](Self::retired) too.
    pub async fn session(&self) -> Session<C> {
        // A publisher can find the connection broken and end the session before the follower shuts
        // the gate.
        let is_usable = |session: &Option<Session<C>>| {
            session.as_ref().is_some_and(|session| !session.ended.is_cancelled())
        };
        let mut session = self.session.subscribe();
        let usable = catching_wakes(session.wait_for(is_usable))
            .await
            .ok()
            .and_then(|usable| usable.clone());
        match usable {
            Some(usable) => usable,
            // Waiting fails only once the sender is dropped, and `self` holds the sender.
            None => pending().await,
        }
    }

    pub(crate) fn shut(&self) {
        let session = self.session.borrow().clone();
        self.session.send_replace(None);
        session.iter().for_each(Session::end);
        // Later acknowledgements belong to an ended session and are rejected.
        self.ledger().begin_session();
    }

    /// Shuts the gate because the hub is closed or dropped. Events that were sent earlier are still
    /// acknowledged.
    pub(crate) fn retire(&self) {
        self.session.send_replace(None);
        self.retired.cancel();
    }
}

impl<C> Gate<C> {
    /// Waits until the hub is closed or dropped.
    pub async fn retired(&self) {
        catching_wakes(self.retired.cancelled()).await;
    }

    /// Starts recording what the follower reads. Call this before you send events.
    pub fn begin(&self, session: Session<C>) -> InFlight<'_, C> {
        let sent = self.ledger().begin(session.number);
        InFlight { gate: self, session, sent }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }
}

impl<C> InFlight<'_, C> {
    /// Returns the highest number that this process has seen in the log or in an acknowledgement.
    #[must_use]
    pub fn newest_known(&self) -> u64 {
        self.gate.ledger().newest_known
    }

    /// Records that the server has acknowledged an event. If the follower hasn't read the event
    /// yet, it then looks for the event in the log. `at` is the time of publication, as in
    /// [`Acknowledged::new`].
    ///
    /// # Errors
    ///
    /// Returns [`PublishError::Unknown`] if the event may be lost:
    ///
    /// - The session has ended.
    /// - The follower has read past the event's number without finding it.
    /// - This process had already seen the event's number or a higher one before
    ///   [`begin`](Gate::begin) was called: the log has returned to an older state.
    pub fn acknowledge(&self, event: Identity, at: Duration) -> Result<Acknowledged, PublishError> {
        let acknowledged = self.gate.ledger().acknowledge(self.sent, event);
        acknowledged.map(|()| Acknowledged::new(event.number, at)).map_err(|unproven| {
            if unproven == Unproven::RolledBack {
                self.session.end();
            }
            PublishError::Unknown(unproven.reason().into())
        })
    }
}

impl<C> Drop for InFlight<'_, C> {
    fn drop(&mut self) {
        self.gate.ledger().end(self.sent);
    }
}
