//! How hubs find rows that another process has inserted or numbered.

use crate::*;

const SEND: &str = "select tower_sse.publish('a', $1, wake => $2)";

/// Publishes by SQL, and returns the median time from the commit to the client.
async fn latency(
    server: &Server,
    process: &mut Process,
    wake: bool,
    committed: impl Fn(),
) -> Duration {
    let client = server.connect().await;
    let mut times = Vec::new();
    for number in 0..31 {
        // Not at the same time after each poll.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..100))).await;
        client.execute(SEND, &[&number.to_string(), &wake]).await.unwrap();
        let began = Instant::now();
        committed();
        process.reads([number]).await;
        times.push(began.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
async fn waker_and_notification_are_faster_than_polls() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    let polled = latency(&server, &mut process, false, || {}).await;
    let woken = latency(&server, &mut process, false, &waker).await;
    let notified = latency(&server, &mut process, true, || {}).await;
    println!(
        "from the commit, by poll {polled:?}, by waker {woken:?}, by wake => true {notified:?}"
    );
    assert!(woken < polled / 2 && notified < polled / 2, "{polled:?} {woken:?} {notified:?}");
}

/// As behind a proxy that loses what the server sends by itself.
#[tokio::test]
async fn lost_notifications_are_replaced_by_polls() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    let other = Process::connect(server.broker()).await;
    let mut process = Process::connect(proxy.broker()).await;
    assert!(process.health.listens());
    proxy.drop_notifications();
    other.publish(0..5).await;
    process.reads(0..5).await;
    // It notices when it connects.
    proxy.cut();
    until(|| process.health.reconnections() == 1).await;
    assert!(!process.health.listens());
    other.publish(5..10).await;
    process.reads(5..10).await;
}

#[tokio::test]
async fn hub_that_does_not_listen_polls() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker().listen(false)).await;
    let other = Process::connect(server.broker().listen(false)).await;
    assert!(!process.health.listens());
    other.publish(0..5).await;
    process.reads(0..5).await;
}

/// The server cannot prepare a transaction that notifies.
#[tokio::test]
async fn transaction_that_wakes_hubs_cannot_be_prepared() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker()).await;
    let client = server.connect().await;
    for (wake, is_prepared) in [(false, true), (true, false)] {
        sql(&client, "begin").await;
        client.execute(SEND, &[&"1", &wake]).await.unwrap();
        let prepared = client.batch_execute(&format!("prepare transaction '{wake}'")).await;
        assert_eq!(prepared.is_ok(), is_prepared, "{prepared:?}");
        let error = prepared.err();
        let code = error.as_ref().and_then(tokio_postgres::Error::code);
        assert_eq!(code, (!is_prepared).then_some(&SqlState::FEATURE_NOT_SUPPORTED));
    }
    sql(&client, "commit prepared 'false'").await;
    process.reads([1]).await;
    // The other one is rolled back.
    process.publish([2]).await;
    process.reads([2]).await;
}
