//! Processes whose clients are cut and move between them while Redis is killed again and again.
//!
//! `TOWER_SSE_STORM` sets how many seconds it lasts.

mod client;
mod process;
mod publisher;

use std::env;

use self::{client::StormClient, publisher::publish_until};
use crate::{record, *};

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
    let mut acknowledged = Vec::new();
    let mut outcomes = publisher::Outcomes::default();
    for publisher in publishers {
        let (events, counted) = publisher.await.unwrap();
        acknowledged.extend(events);
        outcomes += counted;
    }
    calm.cancel();
    acknowledged.extend(publisher::publish_ends(addresses[0]).await);
    let mut journals = Vec::new();
    let mut connections = 0;
    for client in clients {
        let (journal, connected) = client.await.unwrap();
        journals.push(journal);
        connections += connected;
    }
    let verdict = record::check(&acknowledged, &journals, &losses);
    println!(
        "storm of {} s, {} kills ({data:?}), {connections} connections of {CLIENTS} clients, \
         {outcomes:?}: {verdict}",
        duration.as_secs(),
        kills(duration),
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
