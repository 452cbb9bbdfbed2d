use std::{
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::{select, sync::mpsc::UnboundedReceiver};
use tower_sse::hub::{
    PublishError,
    broker::{
        Acknowledged,
        support::{Identity, InFlight, Unproven},
    },
};

use super::{
    Gate, Session,
    append::{Appended, Situation},
    entry::{Entry, Outcome},
};
use crate::{
    Error,
    clock::since_epoch,
    connection::{Connection, Settings},
};

/// The maximum number of events in a batch.
const MAX_EVENTS: usize = 1000;
/// The size of the events at which a batch is full, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// One batch in this many looks at the whole inbox, in case `covered` has passed rows that are not
/// numbered.
const FULL_PASS: u32 = 50;

/// The task that sends one batch after another. It ends after the batch during which the hub closes.
pub(crate) struct Batcher {
    pub(crate) queue: UnboundedReceiver<Option<Entry>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) settings: Arc<Settings>,
}

impl Batcher {
    /// Sends batches until `closed` is ready.
    pub(crate) async fn run(mut self, closed: impl Future<Output = ()>) {
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
    async fn serve(&mut self, session: &Session, mut closed: Pin<&mut impl Future<Output = ()>>) {
        let (mut passes, mut more) = (0_u32, false);
        loop {
            let first = select! {
                biased;
                () = closed.as_mut() => return,
                () = session.ended.cancelled() => return,
                first = self.queue.recv(), if !more => first.flatten(),
                () = async {}, if more => None,
            };
            passes = passes.wrapping_add(1);
            if passes.is_multiple_of(FULL_PASS) {
                self.settings.covered.store(0, Relaxed);
            }
            let batch = self.complete(first);
            more = self.send(session, batch).await;
        }
    }

    /// Returns the batch that begins with `first`, without events whose publishers have given up.
    fn complete(&mut self, first: Option<Entry>) -> Vec<Entry> {
        let (mut batch, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(entry) = next {
            bytes += entry.as_ref().map_or(0, Entry::size);
            batch.extend(entry);
            let is_full = batch.len() >= MAX_EVENTS || bytes >= MAX_BYTES;
            next = if is_full { None } else { self.queue.try_recv().ok() };
        }
        batch.retain_mut(Entry::take_turn);
        batch
    }

    /// Sends a batch, and answers its publishers. Returns whether rows are left in the inbox.
    async fn send(&self, session: &Session, batch: Vec<Entry>) -> bool {
        let in_flight = self.gate.begin(session);
        let known = self.gate.ledger().newest_known;
        let situation = Situation { known, lost: None, is_new: false };
        let covered = self.settings.covered.load(Relaxed);
        let appended = session.connection.append(covered, situation, &batch).await;
        match &appended {
            Ok(appended) => {
                self.settings.covered.store(appended.covered, Relaxed);
                // Otherwise, the notification of the server does.
                if !self.settings.health.listens() {
                    self.settings.wakes.log.notify_one();
                }
            }
            Err(error) => {
                if error.ends_session() {
                    session.ended.cancel();
                }
                self.settings.health.set_error(error);
            }
        }
        let more = appended.as_ref().is_ok_and(|appended| appended.more);
        for (place, entry) in (1..).zip(batch) {
            let outcome = match &appended {
                Ok(appended) => self.acknowledge(&in_flight, session, appended, place, entry.nonce),
                Err(error) => Err(failed(error)),
            };
            // The publisher may have stopped waiting.
            _ = entry.reply.send(outcome);
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
