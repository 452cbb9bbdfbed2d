use std::{
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::select;
use tower_sse::hub::{
    PublishError,
    broker::{
        Acknowledged,
        support::{Identity, InFlight, Unproven},
    },
};

use super::{
    Gate, Queue, Session,
    append::{Appended, Situation},
    entry::{Entry, Outcome},
};
use crate::{
    Error,
    clock::since_epoch,
    connection::{Connection, Settings},
};

/// One batch in this many looks at the whole inbox, in case `covered` has passed rows that are not
/// numbered.
const FULL_PASS: u32 = 50;

/// The task that sends one batch after another. It ends after the batch during which the hub closes.
pub(crate) struct Batcher {
    pub(crate) queue: Arc<Queue>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) settings: Arc<Settings>,
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Batcher {
    /// Sends batches until `closed` is ready.
    pub(crate) async fn run(self, closed: impl Future<Output = ()>) {
        let mut closed = pin!(closed);
        let gate = Arc::clone(&self.gate);
        while let Some(session) = select! {
            biased;
            () = &mut closed => None,
            session = gate.session() => session,
        } {
            self.serve(&session, closed.as_mut()).await;
            if !session.ended.is_cancelled() {
                return;
            }
        }
    }

    /// Sends batches until the session ends or `closed` is ready.
    async fn serve(&self, session: &Session, mut closed: Pin<&mut impl Future<Output = ()>>) {
        let (mut passes, mut more) = (0_u32, false);
        loop {
            select! {
                biased;
                () = closed.as_mut() => return,
                () = session.ended.cancelled() => return,
                () = self.queue.filled(), if !more => {}
                () = async {}, if more => {}
            }
            passes = passes.wrapping_add(1);
            if passes.is_multiple_of(FULL_PASS) {
                self.settings.covered.store(0, Relaxed);
            }
            more = self.send(session, self.queue.take_batch()).await;
        }
    }

    /// Sends a batch, and answers its publishers. Returns whether rows are left in the inbox.
    async fn send(&self, session: &Session, batch: Vec<Entry>) -> bool {
        let in_flight = self.gate.begin(session);
        let known = self.gate.ledger().newest_known;
        let situation = Situation { known, lost: None, is_new: false };
        let covered = self.settings.covered.load(Relaxed);
        let appended = select! {
            biased;
            appended = session.connection.append(covered, situation, &batch) => appended,
            // Its acknowledgement would count no more, and the next session must not wait for it.
            () = session.ended.cancelled() => Err(session.connection.abandon().await),
        };
        match &appended {
            Ok(appended) => {
                self.settings.covered.store(appended.covered, Relaxed);
                // Otherwise, the notification of the server does.
                if !self.settings.health.listens() {
                    self.settings.wakes.log.notify_one();
                }
            }
            Err(error) => {
                if !session.ended.is_cancelled() {
                    self.settings.health.set_error(error);
                }
                if error.ends_session() {
                    session.ended.cancel();
                }
            }
        }
        let more = appended.as_ref().is_ok_and(|appended| appended.more);
        for (place, entry) in (1..).zip(batch) {
            let outcome = match &appended {
                Ok(appended) => self.acknowledge(&in_flight, session, appended, place, entry.nonce),
                Err(error) => Err(failed(error)),
            };
            entry.answer(outcome);
        }
        more
    }

    /// Returns the acknowledgement of the event in this place of a batch, unless it may be lost.
    fn acknowledge(
        &self,
        in_flight: &InFlight<'_, Arc<Connection>>,
        session: &Session,
        appended: &Appended,
        place: u64,
        nonce: u64,
    ) -> Outcome {
        let number = appended.before + place;
        let event = Identity { number, fingerprint: nonce };
        match self.gate.ledger().acknowledge(in_flight.sent, event) {
            Ok(()) => Ok(Acknowledged::new(number, since_epoch(appended.at))),
            Err(unproven) => {
                if unproven == Unproven::RolledBack {
                    session.ended.cancel();
                }
                Err(PublishError::Unknown(unproven.reason().into()))
            }
        }
    }
}

fn failed(error: &Error) -> PublishError {
    let reason = error.clone().into();
    if error.is_rolled_back() {
        PublishError::Refused(reason)
    } else {
        PublishError::Unknown(reason)
    }
}
