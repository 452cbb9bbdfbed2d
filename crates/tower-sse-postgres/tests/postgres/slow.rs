//! A server that stands still for a moment: later events arrive as usual, and the hub is not ready
//! meanwhile.

use tokio_postgres::Client as Sql;

use crate::*;

/// Far more than an event by SQL takes, and far less than ten times the standstill.
const USUAL: Duration = Duration::from_secs(2);

/// Whether a poll waits for a lock.
async fn poll_waits(observer: &Sql) -> bool {
    let waiting = "select pid::text from pg_locks where not granted";
    !sql(observer, waiting).await.is_empty()
}

/// Locks the inbox until `commit`. A poll waits for it when this returns.
async fn lock_inbox(server: &Server, observer: &Sql) -> Sql {
    let locking = server.connect().await;
    sql(&locking, "begin; lock table tower_sse.inbox").await;
    until_async(async || poll_waits(observer).await).await;
    locking
}

async fn arrives_as_usual(process: &mut Process, client: &Sql, number: usize) {
    let began = Instant::now();
    sql(client, &format!("select tower_sse.publish('a', '{number}')")).await;
    process.reads([number]).await;
    assert!(began.elapsed() < USUAL, "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_slow_poll_delays_no_later_event() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker()).await;
    let observer = server.connect().await;
    arrives_as_usual(&mut process, &observer, 1).await;
    let locking = lock_inbox(&server, &observer).await;
    // The poll takes this long.
    sleep(Duration::from_millis(700)).await;
    sql(&locking, "commit").await;
    until_async(async || !poll_waits(&observer).await).await;
    arrives_as_usual(&mut process, &observer, 2).await;
    assert_eq!(process.health.reconnections(), 0);
}

#[tokio::test]
async fn hub_is_not_ready_while_its_server_stands_still() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker()).await;
    let observer = server.connect().await;
    let locking = lock_inbox(&server, &observer).await;
    until(|| !process.health.is_ready()).await;
    sql(&locking, "commit").await;
    until(|| process.health.is_ready()).await;
    arrives_as_usual(&mut process, &observer, 1).await;
    // It was the same connection all the time.
    assert_eq!(process.health.reconnections(), 0);
    let error = process.health.last_error().unwrap();
    assert!(error.contains("not at the end of the log within 1s"), "{error}");
}

/// A transaction that deletes rows by hand, and stays open.
#[tokio::test]
async fn locked_rows_of_the_log_stop_only_the_trim() {
    let Some(server) = Server::start().await else { return };
    let brief = Retention::new().age(Duration::from_millis(500));
    let mut process = Process::connect_with(Hub::builder().retention(brief), server.broker()).await;
    process.publish(0..5).await;
    process.reads(0..5).await;
    let deleting = server.connect().await;
    sql(&deleting, "begin; delete from tower_sse.log").await;
    until(|| process.health.last_error().is_some()).await;
    let error = process.health.last_error().unwrap();
    assert!(error.contains("lock timeout"), "{error}");
    process.publish(5..10).await;
    process.reads(5..10).await;
    assert_eq!(process.health.reconnections(), 0);
    sql(&deleting, "rollback").await;
    let rows = "select count(*)::text from tower_sse.log";
    until_async(async || sql(&deleting, rows).await == ["1"]).await;
}
