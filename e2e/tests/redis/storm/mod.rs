//! Processes whose clients are cut and move between them while Redis is killed again and again.
//!
//! `TOWER_SSE_STORM` sets how many seconds it lasts.

mod process;

use hyper::client::conn::http1::SendRequest;

use crate::*;

const CLIENTS: usize = 300;
const PUBLISHERS: usize = 6;
const TOPICS: usize = 20;
/// The delay of the process that is behind.
const DELAY: Duration = Duration::from_millis(250);
/// The number of acknowledged events that a kill can lose at least.
const NEW_EVENTS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_loses_nothing_without_a_gap() {
    let kills = [Data::All, Data::None, Data::Snapshot];
    let Some(verdict) = storm(&kills, seconds(7)).await else { return };
    verdict.assert_faultless();
    assert!(verdict.lost > 0 && verdict.gaps > 0, "a storm without a loss: {verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as the other, run it by `.ci/slow storm`"]
async fn durable_storm_has_no_gap() {
    let Some(verdict) = storm(&[Data::All], seconds(7)).await else { return };
    verdict.assert_faultless();
    assert_eq!((verdict.gaps, verdict.lost), (0, 0), "{verdict}");
}

fn seconds(default: u64) -> Duration {
    let seconds = env::var("TOWER_SSE_STORM").ok().map(|seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(default))
}

/// Kills Redis repeatedly, and restarts it with each of `data` in turn.
async fn storm(data: &[Data], duration: Duration) -> Option<Verdict> {
    let mut server = Server::start_durable().await?;
    let proxy = Proxy::start(server.port()).await;
    proxy.delay(DELAY);
    let processes = [
        process::start(&server.url()).await,
        process::start(&server.url()).await,
        process::start(&proxy.url()).await,
    ];
    let addresses = [0, 1, 2].map(|index: usize| processes[index].address);
    let calm = CancellationToken::new();
    let stop = CancellationToken::new();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let topics = vec![number % TOPICS, (number * 7 + 3) % TOPICS];
            tokio::spawn(StormClient::new(number, topics, addresses).run(calm.clone()))
        })
        .collect();
    let count = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| (number, addresses[number % 3], Arc::clone(&count)))
        .map(|(number, address, count)| publish_until(stop.clone(), number, address, count))
        .map(tokio::spawn)
        .collect();

    let losses = kill_again_and_again(&mut server, &proxy, data, duration, &count).await;
    stop.cancel();
    let publishers = try_join_all(publishers).await.unwrap().into_iter();
    let (acknowledged, failed): (Vec<_>, Vec<usize>) = publishers.unzip();
    let mut acknowledged = acknowledged.concat();
    calm.cancel();
    acknowledged.extend(publish_ends(addresses[0]).await);
    let clients = try_join_all(clients).await.unwrap().into_iter();
    let (journals, connections): (Vec<_>, Vec<usize>) = clients.unzip();
    let verdict = record::check(&acknowledged, &journals, &losses);
    println!(
        "storm of {} s, {} kills ({data:?}), {} connections of {CLIENTS} clients, {} events that \
         were not acknowledged: {verdict}",
        duration.as_secs(),
        kills(duration),
        connections.iter().sum::<usize>(),
        failed.iter().sum::<usize>(),
    );
    Some(verdict)
}

/// Returns the number of kills: one in ten seconds, or six.
fn kills(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs() / 10).unwrap().max(6)
}

/// Kills Redis once enough events were acknowledged, of which the process that is behind has not
/// read the newest. Returns when events were lost.
async fn kill_again_and_again(
    server: &mut Server,
    proxy: &Proxy,
    data: &[Data],
    duration: Duration,
    acknowledged: &AtomicUsize,
) -> Vec<Loss> {
    let mut losses = Vec::new();
    let began = Instant::now();
    let kills = kills(duration);
    for (number, data) in (0..kills).zip(data.iter().cycle()) {
        let next = began + duration * (number + 1) / (kills + 1);
        if *data == Data::Snapshot {
            tokio::time::sleep_until(next - Duration::from_millis(500)).await;
            server.take_snapshot();
        }
        let before = acknowledged.load(SeqCst);
        tokio::time::sleep_until(next).await;
        until(|| acknowledged.load(SeqCst) >= before + NEW_EVENTS).await;
        proxy.hold();
        let began = server.now().await;
        server.kill();
        proxy.release();
        server.restart_with(*data).await;
        if *data != Data::All {
            losses.push(Loss::between(began, server.now().await));
        }
    }
    sleep((began + duration).saturating_duration_since(Instant::now())).await;
    losses
}

/// A client that reconnects with its last event id, like a browser.
pub(super) struct StormClient {
    number: usize,
    addresses: [SocketAddr; 3],
    path: String,
    journal: Journal,
    last: Option<String>,
    /// The topics of which it has received the last event.
    ended: Vec<usize>,
}

impl StormClient {
    pub(super) fn new(number: usize, mut topics: Vec<usize>, addresses: [SocketAddr; 3]) -> Self {
        topics.sort_unstable();
        topics.dedup();
        let names: Vec<_> = topics.iter().map(ToString::to_string).collect();
        let path = format!("/events/{}", names.join(","));
        let journal = Journal { topics, start: 0, messages: Vec::new() };
        Self { number, addresses, path, journal, last: None, ended: Vec::new() }
    }

    /// Reads, and reconnects to another process after a while, until it has the last event of each
    /// topic. Returns the journal and the number of connections.
    pub(super) async fn run(mut self, calm: CancellationToken) -> (Journal, usize) {
        let mut connections = 0;
        let mut deadline = Instant::now() + PATIENCE;
        while self.ended.len() < self.journal.topics.len() {
            let mut cut = Instant::now() + Duration::from_millis(fastrand::u64(100..3_000));
            if calm.is_cancelled() {
                assert!(Instant::now() < deadline, "client {} misses the end", self.number);
                cut = Instant::now() + PATIENCE;
            } else {
                deadline = cut + PATIENCE;
            }
            let address = self.addresses[fastrand::usize(..3)];
            connections += 1;
            _ = timeout_at(cut, self.read(address)).await;
            self.journal.reconnect();
        }
        (self.journal, connections)
    }

    async fn read(&mut self, address: SocketAddr) {
        let last = self.last.clone();
        let header = last.as_deref().map(|last| ("last-event-id", last));
        let mut body = get(address, &self.path, header.as_slice()).await.into_body();
        let mut decoder = Decoder::new();
        while let Some(frame) = body.frame().await {
            let mut bytes: Bytes = frame.unwrap().into_data().unwrap_or_default();
            while let Some(message) = decoder.decode(&mut bytes).unwrap() {
                self.record(&message);
            }
            if self.ended.len() == self.journal.topics.len() {
                return;
            }
        }
    }

    fn record(&mut self, message: &Message) {
        self.last = Some(message.last_event_id.to_string());
        if message.event == "hello" {
            self.journal.start = sequence(&message.last_event_id);
            return;
        }
        let received = Received::now(message);
        if received.is_end() {
            self.ended.push(received.topic);
        }
        self.journal.messages.push(received);
    }
}

/// Publishes to one process, about 30 events a second, and counts those that are acknowledged. Also
/// returns how many were refused or unknown.
pub(super) async fn publish_until(
    stop: CancellationToken,
    publisher: usize,
    address: SocketAddr,
    count: Arc<AtomicUsize>,
) -> (Vec<Acknowledged>, usize) {
    let mut sender = connect_h1(address).await;
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    let mut failed = 0;
    for number in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let topic = fastrand::usize(..TOPICS);
        let number = ((publisher as u64) << 32) + number;
        match publish(&mut sender, topic, number).await.as_str() {
            "refused" | "unknown" => failed += 1,
            id => {
                let sequence = sequence(id);
                // It waits for each, so they are in this order.
                assert!(acknowledged.last().is_none_or(|last| last.sequence < sequence));
                acknowledged.push(Acknowledged::now(topic, number, sequence));
                count.fetch_add(1, SeqCst);
            }
        }
        sleep(Duration::from_millis(fastrand::u64(..60))).await;
    }
    (acknowledged, failed)
}

/// Publishes one event to each topic, by which clients know that there are no more.
pub(super) async fn publish_ends(address: SocketAddr) -> Vec<Acknowledged> {
    let mut sender = connect_h1(address).await;
    let mut acknowledged = Vec::new();
    for topic in 0..TOPICS {
        let number = FIRST_END + topic as u64;
        let id = loop {
            match publish(&mut sender, topic, number).await.as_str() {
                "refused" => sleep(Duration::from_millis(10)).await,
                "unknown" => panic!("no answer from a Redis that runs"),
                id => break sequence(id),
            }
        };
        acknowledged.push(Acknowledged::now(topic, number, id));
    }
    acknowledged
}

async fn publish(sender: &mut SendRequest<Full<Bytes>>, topic: usize, number: u64) -> String {
    let request = Request::post(format!("/publish/{topic}"))
        .header("host", "localhost")
        .body(Full::from(data(topic, number)))
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
