//! Tests of the follower: an older log replaces the log, reads of it time out, and a client receives
//! an event before the follower continues.

use std::sync::Mutex;

use tower_sse::Event;
use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Publication, Publisher};
use tower_sse::hub::{Hub, PublishError};

use super::*;
use crate::tasks::lock;

/// The number of the last row before the log is replaced.
const LAST: u64 = 5;
const MARK: &str = "mark";

struct Row(Identity, &'static str);

/// A log that reads the row with the number `from` without its data, as PostgreSQL's log does.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    rows: Vec<(u64, u64, &'static str)>,
    /// The number of reads that will time out.
    late: u32,
    /// The data of the rows that the follower has fed.
    fed: Vec<&'static str>,
    gate: Arc<Gate<()>>,
    /// The numbers of the rows that were fed before the gate knew their numbers.
    fed_unknown: Vec<u64>,
}

impl Rows {
    async fn until_a_mark_is_fed(&self) {
        let fed = async {
            while lock(&self.0).fed.last() != Some(&MARK) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(60), fed).await.unwrap();
    }
}

impl Log for Rows {
    type Session = ();
    type Publishing = ();
    type Entry = Row;

    const SERVER: &'static str = "the test";
    const SKIPS: bool = true;

    async fn open(&mut self, _: Known) -> Result<(), Error> {
        Ok(())
    }

    async fn newest_before(&mut self, _: &mut (), _: Duration) -> Result<Option<Identity>, Error> {
        Ok(None)
    }

    async fn read(&mut self, _: &mut (), from: u64, count: usize) -> Result<Page<Row>, Error> {
        let mut state = lock(&self.0);
        if state.late > 0 {
            state.late -= 1;
            return Err(Self::broken("late"));
        }
        let rows = state.rows.iter().filter(|(number, ..)| *number >= from).take(count);
        let row = |(number, fingerprint, data): &(u64, u64, &'static str)| {
            let data = if *number > from || *data == MARK { data } else { "" };
            Row(Identity { number: *number, fingerprint: *fingerprint }, data)
        };
        let entries = Vec::from_iter(rows.map(row));
        Ok(Page { has_more: entries.len() == count, entries })
    }

    async fn has_up_to(&mut self, _: &mut (), number: u64) -> Result<bool, Error> {
        Ok(lock(&self.0).rows.first().is_some_and(|(first, ..)| *first <= number))
    }

    async fn mark(&mut self, _: &mut (), known: Known) -> Result<Option<Identity>, Error> {
        lock(&self.0).rows.push((known.newest + 1, 1, MARK));
        Ok(None)
    }

    async fn publishing(&mut self, _: &mut (), _: Identity) -> Result<(), Error> {
        Ok(())
    }

    async fn wait(&mut self, _: &mut ()) -> Result<(), Error> {
        sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    /// When the follower calls this with the last row's number, another process publishes the next
    /// row.
    async fn skip(&mut self, _: &mut (), from: u64) -> Result<Option<Identity>, Error> {
        let mut state = lock(&self.0);
        let first = state.rows.iter().find(|(number, ..)| *number >= from);
        let first = first.map(|(number, fingerprint, _)| (*number, *fingerprint));
        if from == LAST {
            state.rows.push((LAST + 1, 1, "next"));
        }
        Ok(first.map(|(number, fingerprint)| Identity { number, fingerprint }))
    }

    fn content(&mut self, Row(Identity { number, .. }, data): Row) -> Content {
        let mut state = lock(&self.0);
        state.fed.push(data);
        let is_known = state.gate.ledger().newest_known >= number;
        state.fed_unknown.extend((!is_known).then_some(number));
        drop(state);
        if data == MARK {
            return Content::Mark;
        }
        let arrival = Arrival::new(number, Duration::ZERO, Duration::ZERO);
        Content::Event { arrival, topic: "a".to_owned(), event: Event::new().data(data) }
    }

    fn is_timeout(_: &Error) -> bool {
        true
    }
}

impl LogEntry for Row {
    fn identity(&self) -> Identity {
        self.0
    }
}

impl Broker for Rows {
    type Publisher = Self;
    type Error = Error;

    fn name(&self) -> String {
        "rows".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<Self, Error> {
        let gate = Arc::clone(&lock(&self.0).gate);
        follow(self.clone(), feed, gate, Health::default(), pending()).await?;
        Ok(self)
    }
}

impl Publisher for Rows {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        Err(PublishError::Closed)
    }
}

/// In the older log, the row with the number `LAST` is a different one, or there is none.
#[tokio::test(start_paused = true)]
async fn event_after_a_large_one_in_an_older_log_keeps_its_data() {
    for older in [(LAST, 2, "large"), (LAST - 1, 1, "older")] {
        let log = Rows::default();
        lock(&log.0).rows.push((LAST, 1, "last"));
        let _hub = Hub::connect(log.clone()).await.unwrap();
        {
            let mut state = lock(&log.0);
            (state.rows, state.late) = (vec![older], MAX_TIMEOUTS + 1);
        }
        log.until_a_mark_is_fed().await;
        assert_eq!(lock(&log.0).fed, ["last", "next", MARK], "{older:?}");
    }
}

/// A client can receive an event while the follower is still feeding it. If the log then returns to
/// an older state, the process must not publish another event with the number.
#[tokio::test(start_paused = true)]
async fn numbers_are_known_before_clients_receive_them() {
    let log = Rows::default();
    let count = ENTRIES_PER_POLL as u64 * 2 + 1;
    lock(&log.0).rows.extend((1..count).map(|number| (number, 1, "loaded")));
    let _hub = Hub::connect(log.clone()).await.unwrap();
    lock(&log.0).rows.extend([(count, 1, "followed"), (count + 1, 1, MARK)]);
    log.until_a_mark_is_fed().await;
    assert_eq!(lock(&log.0).fed_unknown, [] as [u64; 0]);
}
