use std::{slice, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tower_sse::LastEventId;
use tower_sse::runs::__private::{
    Claim, Connected, Epoch, Options, Pending, Phase, Producer, Purpose, Record, SharedRuns, seen,
};
use tower_sse::runs::{Outcome, RunKey, RunStore, StartError};

use super::cluster::Cluster;
use super::owner::export;
use super::timing::RETRY_DELAY;
use crate::runs::seam::{EndMode, EndReply, Failure, LookReply, ProcessId, RunId, spawn_on};
use crate::{Error, runs::RedisRuns, runs::store::RedisStore};
use tower_sse_broker::tasks::{catching_wakes, caught};

/// The highest sequence number of an id. Stores represent all numbers up to it exactly.
pub(super) const MAX_SEQUENCE: u64 = 1 << 53;

/// The minimum number of looks before a request runs out of time. After the process was paused, a
/// single look can take longer than a lease.
const MIN_LOOKS: u32 = 4;
/// How long a request to stop a run waits before it first looks whether the owner has stopped it.
const MIN_STOP_PAUSE: Duration = Duration::from_millis(5);
/// The maximum pause between two looks of a request, in milliseconds.
const MAX_PAUSE: u64 = 250;

/// The result of a look, for a request that may claim the key.
enum Found {
    Run(Arc<Record>),
    /// The request may claim the key, in place of this run if there is one.
    Claimable(Option<RunId>),
    /// A run that has changed since the look.
    Changed,
    /// A run to which no client can attach. It may have ended, and another run may have the key.
    Unopened(RunId, StartError),
}

impl RunStore for RedisRuns {
    type Error = Error;

    async fn connect(self, options: Options) -> Result<Connected, Error> {
        let retain_for = options.retain_for;
        let open = move |id, receive| RedisStore::open(self, id, retain_for, receive);
        let cluster = Cluster::connect(options, open).await?;
        Ok((Arc::clone(&cluster.process), cluster))
    }
}

/// The calls of [`Runs`](tower_sse::runs::Runs).
impl SharedRuns for Cluster {
    fn claim<'a>(
        self: Arc<Self>,
        key: &'a RunKey,
        purpose: Purpose,
    ) -> Pending<'a, Result<Claim, StartError>> {
        Box::pin(async move {
            let mut until = Instant::now() + self.timing.lease;
            let (mut looks, mut pause, mut unopened) = (0, 0, None::<RunId>);
            while looks < MIN_LOOKS || Instant::now() < until {
                looks += 1;
                let locked = self.keys.try_lock(key);
                let found = match &locked {
                    // A replacement takes any key over, so it needs no look before it has the lock.
                    Err(_) if purpose == Purpose::Replace => Found::Claimable(None),
                    _ => self.find_claim(key, purpose, locked.is_err()).await?,
                };
                match (found, locked) {
                    (Found::Run(record), _) => return Ok(Claim::Existing(record)),
                    (Found::Claimable(_), Err(unlocked)) => {
                        // Otherwise, all would look again, and only one of them would be refused.
                        if let Some(error) = catching_wakes(unlocked.wait()).await {
                            return Err(*error);
                        }
                        (until, looks) = (Instant::now() + self.timing.lease, 0);
                        continue;
                    }
                    (Found::Claimable(earlier), Ok(mut locked)) => {
                        let started = self.start(key, earlier).await;
                        locked.refused = started.as_ref().err().copied();
                        if let Some(producer) = started? {
                            return Ok(Claim::New(producer));
                        }
                    }
                    (Found::Changed, _) => {}
                    (Found::Unopened(run, error), _) if unopened.as_ref() == Some(&run) => {
                        return Err(error);
                    }
                    (Found::Unopened(run, _), _) => unopened = Some(run),
                }
                // Random, so that processes that compete do not meet again.
                sleep(Duration::from_millis(fastrand::u64(..=pause))).await;
                pause = (2 * pause + 1).min(MAX_PAUSE);
            }
            Err(StartError::Unavailable)
        })
    }

    fn find<'a>(
        &'a self,
        key: &'a RunKey,
        last: Option<&'a LastEventId>,
    ) -> Pending<'a, Result<Option<Arc<Record>>, StartError>> {
        Box::pin(async move {
            let here = match self.store.look(key).await {
                Ok(LookReply::Run { run, is_certain, .. }) => {
                    return match self.open(&run, last).await {
                        // The id may belong to a later run, whose claim its owner may still restore.
                        Err(StartError::NotFound) if !is_certain => Err(StartError::Unavailable),
                        found => found.map(Some),
                    };
                }
                Ok(LookReply::Restoring) => self.lost_by_store(key),
                Ok(LookReply::Free | LookReply::Claimed | LookReply::Changed) => {
                    return Ok(self.lost_by_store(key));
                }
                Err(_) => self.live_here(key),
            };
            // Another process may have replaced this process's run. Only the store knows whether an
            // id of another run is valid.
            let has_id = |here: &Arc<Record>| seen(last, here.epoch, MAX_SEQUENCE).is_some();
            here.filter(has_id).map(Some).ok_or(StartError::Unavailable)
        })
    }

    fn cancel<'a>(
        &'a self,
        key: &'a RunKey,
        last: Option<&'a LastEventId>,
        lines: Option<Bytes>,
    ) -> Pending<'a, bool> {
        Box::pin(async move {
            loop {
                let Ok(LookReply::Run { run, process, outcome, .. }) = self.store.look(key).await
                else {
                    return self.process.peek(key).is_some_and(|here| {
                        seen(last, here.epoch, here.newest()).is_some()
                            && self.process.cancel_record(&here, lines.as_deref())
                    });
                };
                if outcome.is_some() || seen(last, run.epoch, MAX_SEQUENCE).is_none() {
                    return false;
                }
                // The reply to the claim of a request of this process can be under way.
                let is_entered = process != self.id || self.exports.record(&run).is_some();
                let locked = (!is_entered).then(|| self.keys.try_lock(key));
                match locked.and_then(Result::err) {
                    Some(unlocked) => _ = catching_wakes(unlocked.wait()).await,
                    None => return self.cancel_run(&run, lines).await,
                }
            }
        })
    }

    fn cancel_record<'a>(&'a self, record: &'a Arc<Record>) -> Pending<'a, ()> {
        Box::pin(async { _ = self.cancel_run(&RunId::of(record), None).await })
    }

    fn serve<'a>(
        &'a self,
        record: &'a Arc<Record>,
        last: Option<&'a LastEventId>,
        waits: bool,
    ) -> Pending<'a, Result<Arc<Record>, StartError>> {
        Box::pin(async move {
            let patience = if waits { self.timing.patience } else { Duration::ZERO };
            let until = Instant::now() + patience;
            loop {
                if self.mirrors.map.of(record).is_none() && !record.is_lost() {
                    return Ok(Arc::clone(record));
                }
                match self.open(&RunId::of(record), last).await {
                    Err(StartError::Unavailable) if Instant::now() < until => {
                        sleep(RETRY_DELAY).await;
                    }
                    served => return served,
                }
            }
        })
    }

    fn is_loaded<'a>(&'a self, record: &'a Arc<Record>) -> Pending<'a, bool> {
        Box::pin(async {
            match self.mirrors.map.of(record) {
                Some(mirror) => mirror.loaded().await,
                None => true,
            }
        })
    }

    fn exported(&self) -> Pending<'_, ()> {
        Box::pin(async { _ = self.wait_until(|| self.exports.have_ended()).await })
    }

    fn figures(&self) -> (usize, usize) {
        (self.mirrors.map.len(), self.exports.waiting())
    }
}

/// Finding, claiming and cancelling runs of all processes for requests.
impl Cluster {
    /// Looks for the run with this key once. `is_locked` is `true` if another request of this
    /// process may claim the key meanwhile.
    async fn find_claim(
        &self,
        key: &RunKey,
        purpose: Purpose,
        is_locked: bool,
    ) -> Result<Found, StartError> {
        let Ok(look) = self.store.look(key).await else {
            let here = self.live_here(key).filter(|_| purpose == Purpose::Attach);
            return here.map(Found::Run).ok_or(StartError::Unavailable);
        };
        if purpose == Purpose::Attach
            && matches!(look, LookReply::Free | LookReply::Restoring)
            && let Some(record) = self.lost_by_store(key)
        {
            return Ok(Found::Run(record));
        }
        let found = match look {
            LookReply::Restoring => return Err(StartError::Unavailable),
            LookReply::Run { run, .. } if purpose == Purpose::Replace => {
                Found::Claimable(Some(run))
            }
            // The reply to the other request's claim is under way.
            LookReply::Run { run, process, outcome: None, .. }
                if is_locked && process == self.id && self.exports.record(&run).is_none() =>
            {
                Found::Claimable(None)
            }
            // The hint to this process is under way, or was lost.
            LookReply::Run { run, process, outcome: None, is_stopped: true, .. }
                if process == self.id && self.exports.record(&run).is_some() =>
            {
                self.exports.synchronize(run.epoch);
                self.wait_until(|| self.exports.has_ended(run.epoch)).await;
                Found::Changed
            }
            LookReply::Run { run, process, outcome: None, .. } => {
                match self.live(&run, &process).await {
                    Ok(Some(record)) => Found::Run(record),
                    Ok(None) => Found::Changed,
                    Err(error) => Found::Unopened(run, error),
                }
            }
            LookReply::Run { run, outcome: Some(Outcome::Completed), .. } => {
                Found::Run(self.open(&run, None).await?)
            }
            _ => Found::Claimable(None),
        };
        Ok(match found {
            // The run has ended since the look, or its claim is wrong: then each further look would
            // find the same.
            Found::Run(record) if !record.phase().is_usable() => {
                Found::Unopened(RunId::of(&record), StartError::Unavailable)
            }
            found => found,
        })
    }

    /// Returns the record of a live run for a client without an id, or `None` to look again.
    async fn live(
        &self,
        run: &RunId,
        process: &ProcessId,
    ) -> Result<Option<Arc<Record>>, StartError> {
        if *process == self.id {
            let own = self.exports.record(run).filter(|own| own.phase() != Phase::Void);
            match own {
                Some(record) if record.phase().is_live() => {
                    return Ok(Some(record));
                }
                Some(record) if !record.is_forgotten() => {
                    if self.exports.has_ended(run.epoch) {
                        // The store has lost the end of the run.
                        self.exports.synchronize(run.epoch);
                    }
                    let is_stored = self.wait_until(|| self.exports.has_ended(run.epoch)).await;
                    // The store takes no events, but this process has the whole answer.
                    if !is_stored && record.phase().is_usable() {
                        return Ok(Some(record));
                    }
                }
                // The request has left, the call returned no event stream, or the reply to the
                // claim was lost. Or this process has forgotten the run, so nothing can restore it.
                _ => {
                    let released = self.end(run, EndMode::Release).await;
                    released.map_err(|_| StartError::Unavailable)?;
                }
            }
            return Ok(None);
        }
        if self.store.is_dead(process) {
            self.mirrors.bury(process, slice::from_ref(run)).await;
            return Ok(None);
        }
        self.open(run, None).await.map(Some)
    }

    /// Returns the live run of this process whose claim the store has lost, and lets its exporter
    /// restore the claim.
    fn lost_by_store(&self, key: &RunKey) -> Option<Arc<Record>> {
        let record = self.live_here(key)?;
        self.exports.synchronize(record.epoch);
        Some(record)
    }

    /// Returns this process's live run with this key, even if the store cannot be reached.
    pub(super) fn live_here(&self, key: &RunKey) -> Option<Arc<Record>> {
        self.process.peek(key).filter(|record| record.phase().is_live())
    }

    /// Returns the record of a run: the original if this process has it, otherwise that of a
    /// mirror.
    pub(super) async fn open(
        &self,
        run: &RunId,
        last: Option<&LastEventId>,
    ) -> Result<Arc<Record>, StartError> {
        let after = seen(last, run.epoch, MAX_SEQUENCE).ok_or(StartError::NotFound)?;
        if let Some(record) = self.process.peek(&run.key).filter(|record| record.epoch == run.epoch)
        {
            return Ok(record);
        }
        self.mirrors.open(run, after).await
    }

    /// Claims a key for a new run, in place of the run `earlier` if there is one. Returns `None` if
    /// the caller has to look again.
    ///
    /// The claim runs on a task of its own, so that a claim whose request is dropped is released. A
    /// request's own runtime may end earlier.
    pub(super) async fn start(
        self: &Arc<Self>,
        key: &RunKey,
        earlier: Option<RunId>,
    ) -> Result<Option<Producer>, StartError> {
        let replaced = earlier.as_ref().map(|run| run.epoch);
        if !self.is_up() {
            return Err(StartError::Unavailable);
        }
        if let Some(own) = self.live_here(key).filter(|own| replaced != Some(own.epoch)) {
            // The store has ended this process's run, or lost its claim. A `Sync` finds out which
            // before another run starts.
            self.exports.synchronize(own.epoch);
            let is_settled = || !own.phase().is_live() || self.exports.is_in_step(own.epoch);
            let settled = self.wait_until(is_settled).await.then_some(None);
            return settled.ok_or(StartError::Unavailable);
        }
        let reserved = self.process.reserve(key, replaced)?;
        let cluster = Arc::clone(self);
        let (sender, receiver) = oneshot::channel();
        // The request exports the producer below. If the request is gone, the producer is dropped
        // instead, and releases its claim.
        spawn_on(&self.exports.runtime, async move {
            let confirmed = cluster.confirm(reserved, earlier, &sender).await;
            _ = sender.send(confirmed);
        });
        let claimed = receiver.await.unwrap_or(Err(StartError::Unavailable))?;
        let Some(mut producer) = claimed else { return Ok(None) };
        if !producer.record.phase().is_live() && self.process.is_draining() {
            // A drain has interrupted the run between the reply and this poll.
            return Err(refused_by_drain(replaced));
        }
        producer.export();
        Ok(Some(producer))
    }

    /// Sends the claim for a reserved record. The claim is released if its reply is lost, if the
    /// request left before the reply, if a shutdown has begun, or if the reply took longer than a
    /// lease because the process was paused: another request may have the key by then.
    async fn confirm(
        &self,
        reserved: Producer,
        earlier: Option<RunId>,
        request: &oneshot::Sender<Confirmed>,
    ) -> Confirmed {
        let run = RunId::of(&reserved.record);
        let replaced = earlier.as_ref().map(|run| run.epoch);
        let began = Instant::now();
        let reply = caught(self.store.claim(&run, earlier.as_ref())).await;
        match reply.unwrap_or(Err(Failure::Lost)) {
            Ok(LookReply::Claimed) => {
                replaced.into_iter().for_each(|earlier| self.exports.replaced(earlier));
                if request.is_closed() || began.elapsed() >= self.timing.lease {
                    self.exports.lose_claim(run);
                    return Ok(None);
                }
                // Also releases the claim once the producer is dropped, if a shutdown has begun.
                export::begin(&reserved.record, &self.exports, &self.process, &self.store);
                let is_entered = self.process.enter(&reserved, replaced);
                if is_entered { Ok(Some(reserved)) } else { Err(refused_by_drain(replaced)) }
            }
            Err(Failure::Lost | Failure::Stopped) => {
                self.exports.lose_claim(run);
                Err(StartError::Unavailable)
            }
            Ok(LookReply::Restoring) | Err(_) => Err(StartError::Unavailable),
            Ok(_) => Ok(None),
        }
    }

    /// Cancels this run, after the event with these `lines`, if any. Its owner first exports all
    /// events, so that every later replay has what a client has seen.
    ///
    /// Once this method has returned, a request at any process finds that the run has ended, unless
    /// the store fails or the export takes too long.
    pub(super) async fn cancel_run(&self, run: &RunId, lines: Option<Bytes>) -> bool {
        if let Some(own) = self.exports.record(run) {
            let is_cancelled = self.process.cancel_record(&own, lines.as_deref());
            if self.is_up() {
                self.wait_until(|| self.exports.has_ended(run.epoch)).await;
            }
            return is_cancelled;
        }
        let until = Instant::now() + self.timing.patience;
        let (mut is_asked, mut pause) = (false, MIN_STOP_PAUSE);
        loop {
            match self.end(run, EndMode::Cancel { lines: lines.clone() }).await {
                Ok(EndReply::Live) if Instant::now() < until => is_asked = true,
                Err(_) if is_asked && Instant::now() < until => {}
                // The owner lives, and has been asked.
                Ok(EndReply::Live) => return true,
                Ok(EndReply::Over(Outcome::Cancelled)) => return is_asked,
                result => return result == Ok(EndReply::Ended),
            }
            sleep(pause).await;
            pause = (2 * pause).min(RETRY_DELAY);
        }
    }
}

/// The result of a claim, for the request.
type Confirmed = Result<Option<Producer>, StartError>;

/// Returns the error for a claimed run that a drain has overtaken. If the claim has replaced a run,
/// that run is over.
fn refused_by_drain(replaced: Option<Epoch>) -> StartError {
    replaced.map_or(StartError::Draining, |_| StartError::Unavailable)
}
