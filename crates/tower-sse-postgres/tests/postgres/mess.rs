//! Transactions of all kinds, and publishers and clients of three hubs, while connections break and
//! the server restarts: each client receives each committed event once, in one order, without a
//! gap.

use crate::*;

/// More topics than a subscription reads from without a heap.
const TOPICS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
const WRITERS: usize = 20;
const PUBLISHERS: usize = 6;
const CLIENTS: usize = 6;
/// The number of clients that move to another hub from time to time.
const MOVING: usize = 3;
const LAST: &str = "last";

/// Returns a topic. The last ones get few events.
fn some_topic() -> &'static str {
    TOPICS[fastrand::usize(..TOPICS.len()).min(fastrand::usize(..TOPICS.len()))]
}

/// What the writers and publishers know about their events.
#[derive(Default)]
struct Book {
    /// The data of events that must be received, in the order in which each writer wrote them.
    committed: HashMap<String, Vec<String>>,
    /// The data of events that may be received.
    unknown: HashSet<String>,
}

#[derive(Clone)]
struct Mess {
    address: String,
    end: Instant,
    long: Duration,
    book: Arc<Mutex<Book>>,
}

impl Mess {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    fn record(&self, writer: &str, events: Vec<String>, is_committed: Option<bool>) {
        let mut book = self.book.lock().unwrap();
        match is_committed {
            Some(true) => book.committed.entry(writer.to_owned()).or_default().extend(events),
            Some(false) => {}
            None => book.unknown.extend(events),
        }
    }

    async fn write(self, writer: usize) {
        let name = format!("w{writer}");
        let mut sent = 0;
        while !self.is_over() {
            let Ok(client) = connect(&self.address).await else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            while !self.is_over() && !client.is_closed() {
                let mut events = Vec::new();
                let began = self.transact(&client, &name, &mut sent, &mut events).await;
                let commits = fastrand::u8(..100) >= 5;
                let statement = if commits { "commit" } else { "rollback" };
                let outcome = match began {
                    // The transaction failed before its commit, so the server rolls it back.
                    Err(_) => Some(false),
                    Ok(()) => match client.batch_execute(statement).await {
                        Ok(()) => Some(commits),
                        Err(_) => (!commits).then_some(false),
                    },
                };
                self.record(&name, events, outcome);
            }
        }
    }

    /// Runs a transaction up to, but without, its commit. Adds its events to `events`.
    async fn transact(
        &self,
        client: &Sql,
        name: &str,
        sent: &mut usize,
        events: &mut Vec<String>,
    ) -> Result<(), tokio_postgres::Error> {
        client.batch_execute("begin").await?;
        for _ in 0..fastrand::usize(1..=4) {
            *sent += 1;
            let data = format!("{name}-{sent}");
            let insert = "select tower_sse.publish($1, $2, 'tower_sse')";
            let topic = some_topic();
            if fastrand::u8(..10) == 0 {
                client.batch_execute("savepoint s").await?;
                client.execute(insert, &[&topic, &format!("{data} rolled back")]).await?;
                client.batch_execute("rollback to s").await?;
            }
            client.execute(insert, &[&topic, &data]).await?;
            events.push(data);
            let pause = if fastrand::u16(..1000) == 0 {
                self.long
            } else {
                Duration::from_millis(fastrand::u64(..12))
            };
            sleep(pause).await;
        }
        if fastrand::u16(..800) == 0 {
            let first = *sent + 1;
            *sent += 8000;
            let bulk = format!(
                "insert into tower_sse.inbox (stream, topic, data)
                select 'tower_sse', 'a', '{name}-' || n from generate_series({first}, {sent}) n"
            );
            client.batch_execute(&bulk).await?;
            events.extend((first..=*sent).map(|number| format!("{name}-{number}")));
        }
        Ok(())
    }

    async fn publish(self, publisher: usize, hub: Hub) {
        let name = format!("p{publisher}");
        let mut sent = 0;
        while !self.is_over() {
            sent += 1;
            let data = format!("{name}-{sent}");
            let topic = some_topic();
            let outcome = match hub.publish(topic, data.clone()).await {
                Ok(_) => Some(true),
                Err(PublishError::Refused(_)) => Some(false),
                Err(PublishError::Unknown(_)) => None,
                Err(error) => panic!("{error:?}"),
            };
            self.record(&name, vec![data], outcome);
            sleep(Duration::from_millis(fastrand::u64(..4))).await;
        }
    }
}

/// Reads all events before the last one, and returns their ids and data. If `moves` is `true`, the
/// client moves to another hub from time to time.
async fn read(hubs: Vec<Hub>, mut client: Client, moves: bool) -> Vec<(String, String)> {
    let mut received = Vec::new();
    loop {
        let message = client.next().await;
        assert_ne!(message.event, "gap", "after {:?}", received.last());
        if message.data == LAST {
            return received;
        }
        received.push((message.last_event_id.to_string(), message.data));
        if moves && fastrand::u16(..2000) == 0 {
            client.move_to(&hubs[fastrand::usize(..hubs.len())]);
        }
    }
}

/// Restarts the server and breaks connections until `end`: first once each, then at random. Returns
/// how often it did each.
async fn disrupt(server: &mut Server, end: Instant) -> [usize; 2] {
    let (mut kills, mut restarts, mut first) = (0, 0, [0, 1].into_iter());
    while Instant::now() < end {
        sleep(Duration::from_millis(fastrand::u64(200..1500))).await;
        // 0 restarts the server, and 1 breaks connections.
        match first.next().unwrap_or_else(|| fastrand::u8(..8)) {
            0 => {
                let how = if fastrand::bool() { Stop::Fast } else { Stop::Immediate };
                block_in_place(|| server.stop(how));
                server.restart().await;
                restarts += 1;
            }
            1..4 => {
                let kill = "select pg_terminate_backend(pid) from pg_stat_activity
                    where backend_type = 'client backend' and pid <> pg_backend_pid()
                    and (application_name like 'tower-sse%') = (random() < 0.5)
                    order by random() limit 2";
                sql(&server.connect().await, kill).await;
                kills += 1;
            }
            _ => {}
        }
    }
    [kills, restarts]
}

/// Checks that all clients received the same events: each committed event once, in its writer's
/// order, and otherwise only events that may have been committed.
fn check(received: &[Vec<(String, String)>], book: &Book) {
    let first = &received[0];
    for other in received {
        assert_eq!(other.len(), first.len());
        for (place, (one, two)) in other.iter().zip(first).enumerate() {
            assert_eq!(one, two, "in place {place}");
        }
    }
    let mut places = HashMap::new();
    for (place, (_, data)) in first.iter().enumerate() {
        assert!(places.insert(&**data, place).is_none(), "{data} is doubled");
    }
    let mut committed = 0;
    for events in book.committed.values() {
        let mut last = None;
        for event in events {
            let place = places.get(&**event);
            assert!(place.is_some(), "{event} is missing");
            assert!(last < place, "{event} is out of order");
            last = place;
        }
        committed += events.len();
    }
    let known: HashSet<_> = book.committed.values().flatten().collect();
    for (_, data) in first {
        assert!(known.contains(data) || book.unknown.contains(data), "{data} was not committed");
    }
    println!(
        "{committed} committed events, and {} of {} that may be, at {} clients",
        first.len() - committed,
        book.unknown.len(),
        received.len(),
    );
}

/// Runs the test for `duration`, with occasional transactions in which an insert is followed by a
/// pause of `long`.
async fn mess(duration: Duration, long: Duration) {
    let Some(mut server) = Server::start().await else { return };
    let mut hubs = Vec::new();
    for _ in 0..3 {
        let broker = server.broker().publish_deadline(Duration::from_secs(2)).max_events(1_000_000);
        hubs.push(large().connect(broker).await.unwrap());
    }
    let end = Instant::now() + duration;
    let mess = Mess { address: server.address(), end, long, book: Arc::default() };
    let clients: Vec<JoinHandle<_>> = (0..CLIENTS)
        .map(|number| {
            let client = Client::connect(&hubs[number % hubs.len()], &TOPICS);
            tokio::spawn(read(hubs.clone(), client, number < MOVING))
        })
        .collect();
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS {
        tasks.spawn(mess.clone().write(number));
    }
    for number in 0..PUBLISHERS {
        tasks.spawn(mess.clone().publish(number, hubs[number % hubs.len()].clone()));
    }
    let [kills, restarts] = disrupt(&mut server, end).await;
    println!("{kills} times connections were killed, and {restarts} restarts");
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    // A hub numbers at most 5,000 rows of the inbox before its own event. For the last event not to
    // overtake others, the inbox must be empty.
    let client = server.connect().await;
    let waiting = "select count(*)::text from tower_sse.inbox";
    until_async(async || sql(&client, waiting).await == ["0"]).await;
    // The last event may be published twice, but clients stop reading at the first copy.
    until_async(async || hubs[0].publish("a", LAST).await.is_ok()).await;
    let mut received = Vec::new();
    for client in clients {
        received.push(timeout(PATIENCE * 2, client).await.unwrap().unwrap());
    }
    check(&received, &mess.book.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mess_of_seconds_loses_nothing() {
    mess(Duration::from_secs(5), Duration::from_secs(2)).await;
}

/// Run by `.ci/slow postgres-mess`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes, or the seconds that TOWER_SSE_MESS says"]
async fn mess_of_minutes_loses_nothing() {
    let seconds = env::var("TOWER_SSE_MESS").map_or(600, |seconds| seconds.parse().unwrap());
    mess(Duration::from_secs(seconds), Duration::from_secs(9)).await;
}
