use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::{Instant, sleep};
use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Feed, Publication, Publisher};
use tower_sse::{Event, hub::PublishError};
use tower_sse_broker::__private::{Content, Identity, InFlight, Known, Log, LogEntry, Page};
use tower_sse_broker::__private::{Queue, Queued, SendBatch, start};
use tower_sse_broker::{Error, Health};

/// A log in memory, for the hubs of one process. Its clones share the log.
#[derive(Clone)]
pub struct ListBroker {
    pub name: String,
    pub server: Server,
}

/// Stands for a server. In your broker, its methods send requests, each with a time limit.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<Vec<Entry>>>);

/// An entry of the log. On a server, store the event's fields as text; `event_of` makes the event
/// from them.
#[derive(Clone)]
pub struct Entry {
    pub identity: Identity,
    /// The time of publication since 1970.
    pub at: Duration,
    pub kind: Kind,
}

#[derive(Clone)]
pub enum Kind {
    Event {
        topic: String,
        event: Event,
        ends_topic: bool,
    },
    /// Events before this entry may be lost.
    Mark,
}

const TRIM_INTERVAL: Duration = Duration::from_secs(2);
/// The time limit for publishing an event.
const DEADLINE: Duration = Duration::from_secs(2);

impl Broker for ListBroker {
    type Publisher = ListPublisher;
    type Error = Error;

    fn name(&self) -> String {
        format!("list:{}", self.name)
    }

    async fn start(self, feed: Feed) -> Result<ListPublisher, Error> {
        let (queue, health) = (Arc::new(Queue::default()), Health::default());
        let max_age = feed.max_age().saturating_mul(2);
        let log = List { server: self.server, max_age, next_trim: Instant::now() };
        start(log, feed, health, &queue, Batches).await?;
        Ok(ListPublisher(queue))
    }
}

pub struct ListPublisher(Arc<Queue>);

impl Publisher for ListPublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        self.0.publish(publication, DEADLINE, || "the log is unavailable").await
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        // In a burst of events, a number can be this far ahead of the clock.
        committed.max(number_at(now())).saturating_add(60_000_000)
    }
}

struct Batches;

impl SendBatch<Server> for Batches {
    async fn send(&mut self, in_flight: &InFlight<'_, Server>, batch: Vec<Queued>) -> bool {
        // If the request fails, answer `Refused` if the server has certainly not added the events,
        // and `Unknown` otherwise.
        let server = &in_flight.session.connection;
        let (first, at) = server.append(in_flight.newest_known(), None, &batch);
        for (number, queued) in (first..).zip(batch) {
            let event = Identity { number, fingerprint: queued.nonce };
            queued.answer(in_flight.acknowledge(event, at));
        }
        false
    }
}

impl Server {
    pub fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events in one step. Adds a mark before them if the log is empty, ends below the number
    /// `known`, or has no mark for `lost`. Returns the first event's number and the time. Numbers
    /// are at least the microseconds since 1970, so a new log begins above the numbers of a lost
    /// log, unless the lost log was ahead of the clock.
    fn append(&self, known: u64, lost: Option<u64>, batch: &[Queued]) -> (u64, Duration) {
        let mut entries = self.entries();
        let newest = entries.last().map_or(0, |entry| entry.identity.number);
        let is_mark = |entry: &Entry| matches!(entry.kind, Kind::Mark);
        let has_mark = |lost| entries.iter().any(|it| is_mark(it) && it.identity.number > lost);
        let needs_mark = newest == 0 || newest < known || lost.is_some_and(|lost| !has_mark(lost));
        let at = now();
        let mut number = number_at(at).max(known + 1).max(newest + 1);
        if needs_mark {
            let identity = Identity { number, fingerprint: number };
            entries.push(Entry { identity, at, kind: Kind::Mark });
            number += 1;
        }
        for (number, queued) in (number..).zip(batch) {
            let Publication { topic, event, ends_topic, .. } = &queued.publication;
            let (topic, event, ends_topic) = (topic.clone(), event.clone(), *ends_topic);
            let identity = Identity { number, fingerprint: queued.nonce };
            entries.push(Entry { identity, at, kind: Kind::Event { topic, event, ends_topic } });
        }
        (number, at)
    }
}

struct List {
    server: Server,
    /// The age after which events are removed.
    max_age: Duration,
    next_trim: Instant,
}

impl Log for List {
    type Session = Server;
    type Publishing = Server;
    type Entry = Entry;

    const SERVER: &'static str = "the list";

    async fn open(&mut self, known: Known) -> Result<Server, Error> {
        let server = self.server.clone();
        server.append(known.newest, known.lost, &[]);
        Ok(server)
    }

    async fn newest_before(
        &mut self,
        server: &mut Server,
        age: Duration,
    ) -> Result<Option<Identity>, Error> {
        let start = now().saturating_sub(age);
        let entries = server.entries();
        Ok(entries.iter().rfind(|entry| entry.at < start).map(|entry| entry.identity))
    }

    async fn read(
        &mut self,
        server: &mut Server,
        from: u64,
        count: usize,
    ) -> Result<Page<Entry>, Error> {
        let entries = server.entries();
        let first = entries.partition_point(|entry| entry.identity.number < from);
        let entries: Vec<_> = entries.iter().skip(first).take(count).cloned().collect();
        Ok(Page { has_more: entries.len() == count, entries })
    }

    async fn has_up_to(&mut self, server: &mut Server, number: u64) -> Result<bool, Error> {
        Ok(server.entries().first().is_some_and(|entry| entry.identity.number <= number))
    }

    async fn mark(&mut self, server: &mut Server, known: Known) -> Result<Option<Identity>, Error> {
        server.append(known.newest, known.lost, &[]);
        Ok(None)
    }

    async fn publishing(&mut self, server: &mut Server, _: Identity) -> Result<Server, Error> {
        Ok(server.clone())
    }

    /// If your server can notify its clients, end this wait at a notification.
    async fn wait(&mut self, _: &mut Server) -> Result<(), Error> {
        sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    /// Removes old events, but not the newest entry: processes read it again to check the log.
    async fn upkeep(&mut self, server: &mut Server, _: Identity) -> Result<(), Error> {
        if Instant::now() >= self.next_trim {
            self.next_trim = Instant::now() + TRIM_INTERVAL;
            let (start, mut entries) = (now().saturating_sub(self.max_age), server.entries());
            let old = entries.partition_point(|entry| entry.at < start);
            let old = old.min(entries.len().saturating_sub(1));
            drop(entries.drain(..old));
        }
        Ok(())
    }

    fn content(&mut self, entry: Entry) -> Content {
        match entry.kind {
            Kind::Event { topic, event, ends_topic } => {
                let age = now().saturating_sub(entry.at);
                let arrival = Arrival::new(entry.identity.number, entry.at, age);
                Content::Event { arrival: arrival.ends_topic(ends_topic), topic, event }
            }
            Kind::Mark => Content::Mark,
        }
    }
}

impl LogEntry for Entry {
    fn identity(&self) -> Identity {
        self.identity
    }
}

/// Returns the time since 1970.
fn now() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

fn number_at(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
