use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use std::{io, path::Path, path::PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior::Immediate, params};
use tokio::time::{Instant, sleep};
use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Feed, Fields, Publication, Publisher};
use tower_sse::{Event, hub::PublishError};
use tower_sse_broker::{Content, Gate, Health, Identity, InFlight, Known, Log, event_of, follow};
use tower_sse_broker::{LogEntry, Page, Queue, Queued, SendBatch};

/// A request that failed. The follower needs an error that it can clone.
type Failed = Arc<io::Error>;

/// A log in a file of SQLite, for processes on one host.
pub struct SqliteBroker(pub PathBuf);

/// The kind is 0 for an event, 1 for the last event of its topic, and 2 for a mark of a loss. Times
/// and numbers are microseconds since 1970, so a new log begins above the numbers of a lost log.
const SCHEMA: &str = "
    pragma journal_mode = wal;
    create table if not exists log (
        number integer primary key, nonce integer not null, at integer not null,
        kind integer not null, topic text not null, data text not null,
        name text, retry integer, comment text
    )";
const TRIM_INTERVAL: Duration = Duration::from_secs(2);
/// The time limit for a lock, and for publishing an event.
const DEADLINE: Duration = Duration::from_secs(2);

impl Broker for SqliteBroker {
    type Publisher = SqlitePublisher;
    type Error = Failed;

    fn name(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }

    async fn start(self, feed: Feed) -> Result<SqlitePublisher, Failed> {
        let (gate, queue) = (Arc::new(Gate::default()), Arc::new(Queue::default()));
        let batching = Arc::clone(&queue).run(Arc::clone(&gate), feed.closed(), Batches);
        let batching = tokio::spawn(batching);
        let max_age = feed.max_age().saturating_mul(2);
        let log = SqliteLog { path: self.0, file: None, max_age, next_trim: Instant::now() };
        follow(log, feed, gate, Health::default(), async { _ = batching.await }).await?;
        Ok(SqlitePublisher(queue))
    }
}

pub struct SqlitePublisher(Arc<Queue>);

impl Publisher for SqlitePublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        self.0.publish(publication, DEADLINE, || "the log is busy or unavailable").await
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        // What a number can be ahead of the clock in a burst of events.
        committed.max(now()).saturating_add(60_000_000)
    }
}

struct Batches;

impl SendBatch<Database> for Batches {
    async fn send(&mut self, in_flight: &InFlight<'_, Database>, batch: Vec<Queued>) -> bool {
        let known = in_flight.newest_known();
        let appending = in_flight.session.connection.run(move |connection| {
            let appended = append(connection, known, None, &batch);
            Ok((batch, appended))
        });
        // Events without an answer are reported as unknown.
        let Ok((batch, appended)) = appending.await else { return false };
        for (place, queued) in (0..).zip(batch) {
            let outcome = match &appended {
                Ok((first, at)) => {
                    let event = Identity { number: first + place, fingerprint: queued.nonce };
                    in_flight.acknowledge(event, Duration::from_micros(*at))
                }
                Err(error) => Err(PublishError::Unknown(error.to_string().into())),
            };
            queued.answer(outcome);
        }
        false
    }
}

struct SqliteLog {
    path: PathBuf,
    /// The device and the inode of the session's file.
    file: Option<(u64, u64)>,
    /// The age after which events are removed.
    max_age: Duration,
    next_trim: Instant,
}

impl Log for SqliteLog {
    type Session = Database;
    type Publishing = Database;
    type Entry = Entry;
    type Error = Failed;

    const SERVER: &'static str = "SQLite";

    async fn open(&mut self, known: Known) -> Result<Database, Failed> {
        // Creates the file. If another one replaces it before it is opened again, the session ends.
        _ = Connection::open(&self.path).map_err(io::Error::other)?;
        self.file = identify_file(&self.path);
        let connection = Connection::open(&self.path).map_err(io::Error::other)?;
        let database = Database(Arc::new(Mutex::new(connection)));
        let create = database.run(move |connection| {
            connection.busy_timeout(DEADLINE)?;
            connection.execute_batch(SCHEMA)?;
            append(connection, known.newest, known.lost, &[])
        });
        create.await.map(|_| database)
    }

    async fn newest_before(
        &mut self,
        db: &mut Database,
        age: Duration,
    ) -> Result<Option<Identity>, Failed> {
        const NEWEST: &str =
            "select number, nonce from log where at < ? order by number desc limit 1";
        let start = now().saturating_sub(microseconds(age));
        let newest = db.run(move |connection| {
            connection.query_row(NEWEST, [start], Entry::identify).optional()
        });
        newest.await
    }

    async fn read(
        &mut self,
        db: &mut Database,
        from: u64,
        count: usize,
    ) -> Result<Page<Entry>, Failed> {
        let read = db.run(move |connection| {
            let page = "select * from log where number >= ? order by number limit ?";
            let mut page = connection.prepare_cached(page)?;
            let entries = page.query_map([from, count as u64], Entry::decode)?;
            entries.collect::<rusqlite::Result<Vec<_>>>()
        });
        read.await.map(|entries| Page { has_more: entries.len() == count, entries })
    }

    async fn has_up_to(&mut self, db: &mut Database, number: u64) -> Result<bool, Failed> {
        let exists = "select exists (select 1 from log where number <= ?)";
        db.run(move |it| it.query_row(exists, [number], |row| row.get(0))).await
    }

    async fn mark(&mut self, db: &mut Database, known: Known) -> Result<Option<Identity>, Failed> {
        db.run(move |it| append(it, known.newest, known.lost, &[])).await.map(|_| None)
    }

    async fn publishing(&mut self, db: &mut Database, _: Identity) -> Result<Database, Failed> {
        Ok(db.clone())
    }

    async fn wait(&mut self, _: &mut Database) -> Result<(), Failed> {
        sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    /// Ends the session if the file was removed or replaced, because other processes then use another
    /// one. Removes old events, but not the newest entry: a process finds its place by this entry.
    async fn upkeep(&mut self, db: &mut Database, _: Identity) -> Result<(), Failed> {
        if identify_file(&self.path) != self.file {
            return Err(Self::broken("the file was removed or replaced"));
        }
        if Instant::now() < self.next_trim {
            return Ok(());
        }
        self.next_trim = Instant::now() + TRIM_INTERVAL;
        let trim = "delete from log where at < ? and number < (select max(number) from log)";
        let start = now().saturating_sub(microseconds(self.max_age));
        db.run(move |it| it.execute(trim, [start])).await.map(|_| ())
    }

    fn content(&mut self, entry: Entry) -> Content {
        entry.content
    }

    fn is_timeout(_: &Failed) -> bool {
        false
    }

    fn broken(reason: &str) -> Failed {
        Arc::new(io::Error::other(reason))
    }
}

struct Entry {
    identity: Identity,
    content: Content,
}

impl LogEntry for Entry {
    fn number(&self) -> u64 {
        self.identity.number
    }

    fn identity(&self) -> Identity {
        self.identity
    }
}

impl Entry {
    fn identify(row: &Row<'_>) -> rusqlite::Result<Identity> {
        Ok(Identity { number: row.get("number")?, fingerprint: row.get("nonce")? })
    }

    fn decode(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (identity, at) = (Self::identify(row)?, row.get("at")?);
        let retry = row.get::<_, Option<i64>>("retry")?.map(|retry| retry as u64);
        let data: String = row.get("data")?;
        let event = event_of(data, row.get("name")?, retry, row.get("comment")?);
        let content = match (row.get("kind")?, event) {
            (kind @ (0 | 1), Ok(event)) => {
                let age = Duration::from_micros(now().saturating_sub(at));
                let arrival = Arrival::new(identity.number, Duration::from_micros(at), age);
                let arrival = arrival.ends_topic(kind == 1);
                Content::Event { arrival, topic: row.get("topic")?, event }
            }
            (2, _) => Content::Mark,
            _ => Content::Unreadable,
        };
        Ok(Self { identity, content })
    }
}

/// Returns the device and the inode of a file, if it exists.
#[cfg(unix)]
fn identify_file(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

/// Windows does not remove or replace a file that is open.
#[cfg(not(unix))]
fn identify_file(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Adds events in one transaction, behind a mark if the log is empty, has lost what this process
/// knows, or has no mark of `lost`. Returns the number of the first event, and the time.
fn append(
    connection: &mut Connection,
    known: u64,
    lost: Option<u64>,
    batch: &[Queued],
) -> rusqlite::Result<(u64, u64)> {
    let transaction = connection.transaction_with_behavior(Immediate)?;
    let count = |from: u64, kind: u64| {
        let rows = "select count(*) from log where number >= ? and kind >= ? limit 1";
        transaction.query_row(rows, [from, kind], |row| row.get::<_, u64>(0))
    };
    let is_unmarked = lost.is_some_and(|lost| count(lost, 2) == Ok(0));
    let is_short = count(known, 0)? == 0;
    let newest = "select coalesce(max(number), 0) from log";
    let newest: u64 = transaction.query_row(newest, [], |row| row.get(0))?;
    let at = now();
    let mut number = at.max(known + 1).max(newest + 1);
    let insert = "insert into log values (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = transaction.prepare_cached(insert)?;
    let mut add = |number, nonce, kind, topic: &str, event: Fields<'_>| {
        let Fields { data, name, retry, comment, .. } = event;
        let retry = retry.map(|retry| retry as i64);
        insert.execute(params![number, nonce, at, kind, topic, data, name, retry, comment])
    };
    if is_short || is_unmarked {
        add(number, at | 1, 2, "", Event::new().fields())?;
        number += 1;
    }
    for (number, queued) in (number..).zip(batch) {
        let Publication { topic, event, ends_topic, .. } = &queued.publication;
        add(number, queued.nonce, u8::from(*ends_topic), topic, event.fields())?;
    }
    drop(insert);
    transaction.commit().map(|()| (number, at))
}

/// A connection, which is used on threads that may block.
#[derive(Clone)]
struct Database(Arc<Mutex<Connection>>);

impl Database {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failed> {
        let connection = Arc::clone(&self.0);
        let work = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
        let worked = tokio::task::spawn_blocking(work).await.map_err(io::Error::from);
        worked.and_then(|result| result.map_err(io::Error::other)).map_err(Arc::new)
    }
}

fn microseconds(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

fn now() -> u64 {
    microseconds(UNIX_EPOCH.elapsed().unwrap_or_default())
}
