use std::{convert::Infallible, future::pending, mem, pin::pin, sync::Arc, time::Duration, vec};

use tokio::time::{Instant, sleep, timeout};
use tokio::{select, sync::oneshot, task::yield_now};
use tower_sse::hub::broker::Feed;

use crate::gate::{Gate, Session};
use crate::log::{Content, Identity, Known, Log, LogEntry, Page};
use crate::pace::{Backoff, PageSize};
use crate::queue::{Queue, SendBatch};
use crate::tasks::without_panic;
use crate::{Error, Health, debug, warn};

/// The number of entries that the follower feeds before it yields to other tasks. Loading them
/// takes 0.3 to 0.5 ms of processor time, depending on the number of topics (`benches/redis.sh`).
const ENTRIES_PER_POLL: usize = 100;
/// The number of timeouts in a row, while catching up, after which an entry is skipped if the log
/// [can skip](Log::SKIPS). After each timeout, the next page has at most one new entry.
const MAX_TIMEOUTS: u32 = 3;

/// Loads the history of a log into a hub and spawns a task that follows the log until the hub is
/// closed or dropped. Call this in your [`Broker::start`](tower_sse::hub::broker::Broker::start).
///
/// If your broker has a publishing task, such as [`Queue::run`], pass an
/// `alongside` future that completes when this task ends. Otherwise, pass [`pending`]. The hub is
/// closed if `alongside` completes.
///
/// # Errors
///
/// Returns an error if the log can't be opened or loaded.
pub async fn follow<L: Log>(
    log: L,
    feed: Feed,
    gate: Arc<Gate<L::Publishing>>,
    health: Health,
    alongside: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (loaded, loading) = oneshot::channel();
    feed.spawn(async move |feed| {
        let follower = Follower {
            log,
            feed,
            gate,
            health,
            last: Identity::default(),
            page_size: PageSize::default(),
            timeouts: 0,
            is_loaded: false,
        };
        select! {
            never = follower.run(loaded) => match never {},
            () = alongside => {}
        }
    });
    loading.await.unwrap_or_else(|_| Err(L::broken("the task that reads has ended")))
}

/// Calls [`follow`] for a log to which `sender` sends the batches of a [`Queue`].
///
/// # Errors
///
/// Returns an error if the log can't be opened or loaded.
pub async fn start<L: Log>(
    log: L,
    feed: Feed,
    health: Health,
    queue: &Arc<Queue>,
    sender: impl SendBatch<L::Publishing> + 'static,
) -> Result<(), Error>
where
    L::Publishing: 'static,
{
    let (gate, queue) = (Arc::<Gate<_>>::default(), Arc::clone(queue));
    let batching = tokio::spawn(queue.run(Arc::clone(&gate), feed.closed(), sender));
    // If the publishing task panics, the hub is closed, because it could no longer publish.
    follow(log, feed, gate, health, async { _ = batching.await }).await
}

/// The task that follows a log and reconnects when a connection breaks. It feeds every event to the
/// hub or reports that events may be missing.
struct Follower<L: Log> {
    log: L,
    feed: Feed,
    gate: Arc<Gate<L::Publishing>>,
    health: Health,
    /// The last entry that was read or skipped. Before the first one, this is the newest entry
    /// before the history. The number is 0 if there is none either.
    last: Identity,
    page_size: PageSize,
    /// The number of timeouts in a row that can mean that entries are
    /// [too large](Log::is_too_large).
    timeouts: u32,
    /// Whether the history is loaded. Losses are counted only after that.
    is_loaded: bool,
}

/// The log's connections and the publishers' session.
type Opened<L> = (<L as Log>::Session, Session<<L as Log>::Publishing>);

/// What is known about the log just before a page of entries.
#[derive(Clone, Copy)]
enum Before {
    /// The page follows the entry with this number, which is still in the log.
    Entry(u64),
    /// The entry with this number was trimmed, perhaps with later ones. Other processes may have
    /// read them. Zero if this process has not read an entry.
    Trimmed(u64),
    /// Entries before the page are missing, and perhaps no process has read them. If this process
    /// read [`Follower::last`], the next mark reports the loss to all processes.
    Gone,
    /// Nothing was trimmed between the last entry and the page. [`Follower::last`] was unread or
    /// deleted, or the log is in an older state.
    Older,
}

impl<L: Log> Drop for Follower<L> {
    fn drop(&mut self) {
        self.gate.retire();
        self.health.set_ready(false);
    }
}

impl<L: Log> Follower<L> {
    async fn run(mut self, loaded: oneshot::Sender<Result<(), Error>>) -> Infallible {
        let mut opened = match self.load().await {
            Ok(opened) => {
                without_panic(|| loaded.send(Ok(())));
                opened
            }
            Err(error) => {
                self.health.set_error(error.clone());
                without_panic(|| loaded.send(Err(error)));
                // `follow` now returns the error, which drops the hub and this future.
                pending().await
            }
        };
        let mut backoff = Backoff::up_to(Duration::MAX);
        loop {
            let since = Instant::now();
            let error = self.broken(&mut opened).await;
            warn!(%error, "connection to {} lost", L::SERVER);
            self.end_session(error);
            backoff.end_session(since.elapsed());
            // The server's limit on connections may not allow the old and the new session at once.
            drop(opened);
            opened = loop {
                sleep(backoff.next_delay()).await;
                match self.open().await {
                    Ok(opened) => break opened,
                    Err(error) => {
                        debug!(%error, "failed to reconnect to {}", L::SERVER);
                        self.end_session(error);
                    }
                }
            };
            self.health.count_reconnection();
        }
    }

    /// Opens the first session. After a timeout in `begin`, tries again, up to four times without
    /// progress. If this returned the first timeout instead, the program's next attempt would start
    /// from the beginning and fail at the same page.
    async fn load(&mut self) -> Result<Opened<L>, Error> {
        let mut attempts = 0;
        loop {
            let (session, last) = (self.log.open(self.known()).await?, self.last);
            match self.begin(session).await {
                Err(error) if L::is_timeout(&error) && attempts <= MAX_TIMEOUTS => {
                    attempts = if self.last == last { attempts + 1 } else { 0 };
                    debug!(%error, "timeout while loading from {}", L::SERVER);
                    self.health.set_error(error);
                }
                result => return result,
            }
        }
    }

    async fn open(&mut self) -> Result<Opened<L>, Error> {
        let session = self.log.open(self.known()).await?;
        self.begin(session).await
    }

    async fn begin(&mut self, mut session: L::Session) -> Result<Opened<L>, Error> {
        self.catch_up(&mut session).await?;
        let mut known = self.known();
        // The server can also lose the mark.
        while known.lost.is_some() {
            if let Some(mark) = self.log.mark(&mut session, known).await? {
                self.gate.ledger().await_marker(mark);
            }
            self.catch_up(&mut session).await?;
            let before = mem::replace(&mut known, self.known());
            if (before.lost, before.last) == (known.lost, known.last) {
                return Err(L::broken("the mark of a loss cannot be read"));
            }
        }
        self.is_loaded = true;
        let publishing = self.log.publishing(&mut session, self.last).await?;
        let publishers = self.gate.open(publishing);
        self.health.set_ready(true);
        debug!(last = self.last.number, "following the log in {}", L::SERVER);
        Ok((session, publishers))
    }

    /// Shuts the gate after a break or a failed attempt, and prepares the next attempt.
    fn end_session(&mut self, error: Error) {
        self.gate.shut();
        self.page_size.halve();
        self.health.set_ready(false);
        self.health.set_error(error);
    }

    /// Follows the log until the session has to end.
    async fn broken(&mut self, (session, publishers): &mut Opened<L>) -> Error {
        match publishers.ended.run_until_cancelled(self.follow(session)).await {
            Some(Err(error)) => error,
            None => L::broken("the connection for publishing is unusable"),
        }
    }

    async fn follow(&mut self, session: &mut L::Session) -> Result<Infallible, Error> {
        loop {
            self.log.wait(session).await?;
            let health = self.health.clone();
            let mut look = pin!(self.look(session));
            if let Ok(looked) = timeout(L::LATE, &mut look).await {
                looked?;
                continue;
            }
            let late = format!("not at the end of the log within {:?}", L::LATE);
            health.set_error(L::broken(&late));
            health.set_ready(false);
            look.await?;
            health.set_ready(true);
        }
    }

    async fn look(&mut self, session: &mut L::Session) -> Result<(), Error> {
        self.log.upkeep(session, self.last).await?;
        let read = self.gate.ledger().begin_read();
        let count = self.page_size.entries();
        if let Some(entries) = self.log.look(session, self.last, count).await? {
            let is_full = entries.len() == count;
            self.fit(&entries);
            self.feed_page(Before::Entry(self.last.number), entries).await;
            if is_full {
                // This read may have waited for an entry, so its duration can't be used.
                self.page_size.grow();
                self.catch_up(session).await?;
            } else {
                self.gate.ledger().finish_read(read);
            }
        } else {
            self.catch_up(session).await?;
        }
        if self.known().lost.is_some() {
            // The next session marks the losses before this process publishes again. The backoff
            // limits how often this happens.
            return Err(L::broken("an entry is missing that this process has read or published"));
        }
        Ok(())
    }

    fn fit(&mut self, entries: &[L::Entry]) {
        self.page_size.fit(entries.len(), entries.iter().map(LogEntry::bytes).sum());
    }

    fn known(&self) -> Known {
        let ledger = self.gate.ledger();
        Known { last: self.last.number, newest: ledger.newest_known, lost: ledger.lost }
    }

    async fn catch_up(&mut self, session: &mut L::Session) -> Result<(), Error> {
        let result = self.read_to_end(session).await;
        if let Err(error) = &result
            && L::is_timeout(error)
        {
            self.timeouts += u32::from(L::is_too_large(error));
            self.page_size = PageSize::default();
        }
        result
    }

    async fn read_to_end(&mut self, session: &mut L::Session) -> Result<(), Error> {
        if self.last.number == 0
            && let Some(before) = self.log.newest_before(session, self.feed.max_age()).await?
        {
            // A client that resumes from before the history receives a gap.
            self.report_loss(before.number);
            self.last = before;
            if before.is_unread() {
                self.log.skip(session, before.number).await?;
            }
        } else if L::SKIPS && self.timeouts >= MAX_TIMEOUTS {
            self.skip_next(session).await?;
        }
        loop {
            // If the last entry was read, reading it again shows whether the log is still the same.
            let is_inclusive = !self.last.is_unread();
            let from = self.last.number.saturating_add(u64::from(!is_inclusive));
            let count = self.page_size.entries() + usize::from(is_inclusive);
            let read = self.gate.ledger().begin_read();
            let asked = Instant::now();
            let Page { mut entries, has_more } = self.log.read(session, from, count).await?;
            let new_entries = entries.len().saturating_sub(usize::from(is_inclusive));
            self.page_size.adapt(new_entries, asked.elapsed());
            self.fit(&entries);
            let is_last = |first: &L::Entry| {
                first.number() == self.last.number && first.identity() == self.last
            };
            let before = if entries.first().is_some_and(is_last) {
                Before::Entry(self.last.number)
            } else {
                self.find_place(session, entries.is_empty()).await?
            };
            entries.retain(|entry| entry.number() > self.last.number);
            self.timeouts = 0;
            self.feed_page(before, entries).await;
            if !has_more {
                self.gate.ledger().finish_read(read);
                return Ok(());
            }
        }
    }

    /// Finds out why a page does not begin with the last entry that this follower has passed.
    ///
    /// Logs are trimmed from the beginning. If the log still has an entry up to the last number, no
    /// entry between that number and the page was trimmed: the entry with the last number was
    /// passed unread or was deleted, or the log is in an older state. Otherwise, entries between
    /// the last number and the page may be missing too.
    async fn find_place(
        &mut self,
        session: &mut L::Session,
        is_empty: bool,
    ) -> Result<Before, Error> {
        let last = self.last;
        if last.number == 0 {
            return Ok(Before::Trimmed(0));
        }
        let has_older = self.log.has_up_to(session, last.number).await?;
        if !has_older && self.log.was_trimmed(session).await? {
            if !is_empty {
                return Ok(Before::Trimmed(last.number));
            }
            if self.is_loaded {
                // The next session adds a mark, unless another process has published meanwhile.
                // Every process then finds the same hole, and a mark would cause a second gap.
                return Err(L::broken("the log was trimmed to nothing"));
            }
        }
        if !last.is_unread() {
            self.gate.ledger().lose(last.number);
        }
        Ok(if has_older { Before::Older } else { Before::Gone })
    }

    /// Skips the next entry without reading it and reports it as lost. An entry that is too large
    /// would otherwise keep this process from reading the later ones.
    async fn skip_next(&mut self, session: &mut L::Session) -> Result<(), Error> {
        let last = self.last;
        // Reading the last entry again can time out too: after a rollback, the large entry can have
        // its number.
        let is_proof_late = self.timeouts > MAX_TIMEOUTS;
        let is_proven = last.is_unread()
            || !is_proof_late && {
                let page = self.log.read(session, last.number, 1).await?;
                page.entries.first().is_some_and(|first| first.identity() == last)
            };
        if !is_proven {
            // The last entry counts as lost, unless it was trimmed.
            self.find_place(session, false).await?;
        }
        if let Some(next) = self.log.skip(session, last.number.saturating_add(1)).await? {
            debug!(number = next.number, "skipping an entry that does not come in time");
            self.report_loss(next.number);
            let met = Some(next).filter(|next| !next.is_unread());
            let mut ledger = self.gate.ledger();
            ledger.pass(met.as_slice(), next.number);
            if ledger.lost.is_some() {
                // The skipped entry may be the mark of the loss, so the loss needs a newer mark.
                ledger.lose(next.number);
            }
            drop(ledger);
            self.last = next;
            // The next entry may be too large as well: one more timeout is enough to skip it.
            self.timeouts = MAX_TIMEOUTS - 1;
        } else if is_proof_late {
            let met = self.log.skip(session, last.number).await?;
            self.last = met.filter(|met| met.number == last.number).unwrap_or(last);
        }
        Ok(())
    }

    async fn feed_page(&mut self, mut before: Before, entries: Vec<L::Entry>) {
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            before = self.feed_some(before, &mut entries);
            if entries.len() > 0 {
                yield_now().await;
            }
        }
    }

    /// Feeds up to [`ENTRIES_PER_POLL`] entries without yielding. Returns what is known just before
    /// the next entry. Once the hub is closed, `feed` ignores entries, and the task ends at its
    /// next `await`.
    fn feed_some(&mut self, mut before: Before, entries: &mut vec::IntoIter<L::Entry>) -> Before {
        let tracks = self.gate.ledger().needs_entries();
        if let Some(last) = entries.as_slice().iter().take(ENTRIES_PER_POLL).next_back() {
            self.know(last.number());
        }
        let (mut tracked, mut mark) = (Vec::new(), 0);
        for count in 1..=ENTRIES_PER_POLL {
            let Some(entry) = entries.next() else { break };
            let number = entry.number();
            // Unless the ledger tracks entries, only the identity of the last entry before a
            // yield is compared later. An identity can be a hash of the whole entry, so don't
            // compute the others.
            let is_compared = count == ENTRIES_PER_POLL || entries.len() == 0;
            let identity = (tracks || is_compared).then(|| entry.identity());
            let previous = entry.previous();
            let content = self.log.content(entry);
            if before.is_incomplete(previous, &content) {
                if !matches!(before, Before::Gone) {
                    // No mark is needed: every process that lacks these entries finds the hole.
                    self.gate.ledger().forgive_before(number);
                }
                // `previous` was written directly before this entry, so nothing after it is lost.
                let lost = previous.filter(|previous| before.is_up_to(*previous));
                self.report_loss(lost.unwrap_or(number.saturating_sub(1)));
            }
            before = Before::Entry(number);
            match content {
                Content::Event { arrival, topic, event } => {
                    _ = self.feed.event(arrival, &topic, &event);
                }
                Content::Mark => {
                    mark = number;
                    self.report_loss(number);
                }
                Content::Unreadable => self.report_loss(number),
                Content::Nothing => {}
            }
            if let Some(identity) = identity {
                self.last = identity;
                tracked.extend(tracks.then_some(identity));
            }
        }
        let mut ledger = self.gate.ledger();
        ledger.pass(&tracked, self.last.number);
        ledger.cover(mark);
        before
    }

    /// Records that the log contained an entry with this number. Call this before clients can
    /// receive the number: if the log then returns to an older state, this process must not publish
    /// another event with the number.
    fn know(&self, number: u64) {
        self.gate.ledger().know(number);
    }

    /// Reports that events with numbers up to `number` may have been lost.
    fn report_loss(&mut self, number: u64) {
        self.know(number);
        if self.feed.report_loss(number) == Ok(true) && self.is_loaded {
            self.health.stats().update(|stats| stats.losses += 1);
            warn!("{} has lost events, so clients get gaps", L::SERVER);
        }
    }
}

impl Before {
    /// Returns whether the number of the entry before the page is known and at most `number`.
    fn is_up_to(self, number: u64) -> bool {
        matches!(self, Self::Entry(last) | Self::Trimmed(last) if last <= number)
    }

    /// Returns whether entries may be missing just before an entry with this content. `previous` is
    /// the number of the entry that was written directly before that entry, if known.
    fn is_incomplete(self, previous: Option<u64>, content: &Content) -> bool {
        match self {
            // The mark itself reports the missing entries, at the same place in all processes.
            _ if matches!(content, Content::Mark) => false,
            Self::Entry(number) => previous.is_some_and(|previous| previous != number),
            Self::Trimmed(last) => previous != Some(last),
            Self::Gone => true,
            Self::Older => false,
        }
    }
}

#[cfg(test)]
mod tests;
