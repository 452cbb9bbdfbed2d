//! Clients that move between processes while Redis is killed again and again.
//!
//! `TOWER_SSE_STORM` sets how many seconds the test lasts.

use crate::*;

/// The delay of the process that is behind.
const DELAY: Duration = Duration::from_millis(250);
/// The minimum number of events that are acknowledged before each kill.
const NEW_EVENTS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_loses_nothing_without_a_gap() {
    let kills = [Data::All, Data::None, Data::Snapshot];
    let Some(verdict) = storm(&kills).await else { return };
    assert!(verdict.lost > 0 && verdict.gaps > 0, "a storm without a loss: {verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as the other, run it by `.ci/slow storm`"]
async fn durable_storm_has_no_gap() {
    let Some(verdict) = storm(&[Data::All]).await else { return };
    assert_eq!((verdict.gaps, verdict.lost), (0, 0), "{verdict:?}");
}

/// Kills Redis repeatedly, and restarts it with each of `data` in turn.
async fn storm(data: &[Data]) -> Option<Verdict> {
    let seconds = env::var("TOWER_SSE_STORM").map_or(7, |seconds| seconds.parse().unwrap());
    let duration = Duration::from_secs(seconds);
    let mut server = Server::start_durable().await?;
    let proxy = Proxy::start(server.port()).await;
    proxy.delay(DELAY);
    let brokers = [server.broker(), server.broker(), proxy.broker()];
    let count = Arc::<AtomicUsize>::default();
    let killing = kill_again_and_again(&mut server, &proxy, data, duration, &count);
    let verdict = load_until(killing, brokers, &count).await;
    println!("storm of {seconds} s, {} kills ({data:?}): {verdict:?}", kills(duration));
    Some(verdict)
}

/// Returns the number of kills: one every ten seconds, but at least six.
fn kills(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs() / 10).unwrap().max(6)
}

/// Kills Redis at even intervals, each time after at least [`NEW_EVENTS`] more events. The process
/// behind the proxy has not read the newest of these. Returns the times in which events were lost.
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
