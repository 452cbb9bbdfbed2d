//! Publishing while the server does not answer: when each call ends, with which outcome, and what
//! stays behind.

use allocation_counter::measure;

use crate::*;

const DEADLINE: Duration = Duration::from_millis(400);

/// Publishes 20 events at once, each with its own deadline. Returns the data of events that were
/// published, and of those whose outcome is unknown.
async fn publish_at_once(hub: &Hub, name: &str) -> [Vec<String>; 2] {
    let mut publishing = Vec::new();
    for number in 0..20 {
        let (hub, data) = (hub.clone(), format!("{name}-{number}"));
        publishing.push(tokio::spawn(async move { (hub.publish("a", data.clone()).await, data) }));
    }
    let [mut published, mut unknown] = [Vec::new(), Vec::new()];
    for publishing in publishing {
        match publishing.await.unwrap() {
            (Ok(_), data) => published.push(data),
            (Err(PublishError::Refused(_)), _) => {}
            (Err(PublishError::Unknown(_)), data) => unknown.push(data),
            (Err(error), _) => panic!("{error:?}"),
        }
    }
    [published, unknown]
}

/// Reads up to the event `last`. Each earlier event must be in `possible` and arrive at most once.
async fn reads_at_most_once(client: &mut Client, mut possible: Vec<String>, last: &str) {
    loop {
        let message = client.next().await;
        if message.data == last {
            return;
        }
        let place = possible.iter().position(|data| *data == message.data);
        possible.remove(place.unwrap_or_else(|| panic!("{message:?}")));
    }
}

#[tokio::test]
async fn frozen_server_is_refused_or_unknown_in_time() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker().publish_deadline(DEADLINE)).await;
    let mut other = Process::connect(server.broker()).await;
    publish(&other.hub, "a", "first").await;
    other.client.data(1).await;
    let ids = server.freeze().await;
    let began = Instant::now();
    let control = async {
        sleep(DEADLINE).await;
        began.elapsed()
    };
    let frozen = async { (publish_at_once(&process.hub, "frozen").await, began.elapsed()) };
    let (([published, unknown], took), control) = tokio::join!(frozen, control);
    assert!(took < control * 5, "{took:?}, a sleep of {DEADLINE:?} took {control:?}");
    assert!(published.is_empty() && !unknown.is_empty(), "{unknown:?}");
    // These events were queued behind the batch that was sent.
    let [published, refused] = publish_at_once(&process.hub, "later").await;
    assert!(published.is_empty() && refused.is_empty(), "{refused:?}");
    server.resume(&ids);
    // If refused events were still queued, clients would receive them before `last`. `last` may be
    // published twice.
    until_async(async || process.hub.publish("a", "last").await.is_ok()).await;
    reads_at_most_once(&mut other.client, unknown.clone(), "last").await;
    process.client.data(1).await;
    reads_at_most_once(&mut process.client, unknown, "last").await;
}

/// While a transaction locks the stream's row, hubs can't number events. No statement may wait
/// forever.
#[tokio::test]
async fn held_row_is_told_by_the_deadline() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker().publish_deadline(DEADLINE)).await;
    let client = server.connect().await;
    sql(&client, "begin; select from tower_sse.stream for update").await;
    let [published, unknown] = publish_at_once(&process.hub, "held").await;
    assert!(published.is_empty() && !unknown.is_empty(), "{unknown:?}");
    let observer = server.connect().await;
    let waiting = async || sql(&observer, "select pid::text from pg_locks where not granted").await;
    let pids = waiting().await;
    assert_eq!(pids.len(), 1, "{pids:?}");
    sql(&client, "select tower_sse.publish('a', 'by SQL', 'tower_sse')").await;
    let is_late = |error: Error| error.to_string().contains("no response");
    until(|| process.health.last_error().is_some_and(is_late)).await;
    // The hub has cancelled its statement. The next one may already be waiting.
    until_async(async || waiting().await != pids).await;
    assert!(!waiting().await.contains(&pids[0]));
    sql(&client, "commit").await;
    until(|| process.health.is_ready()).await;
    // `last` may be published twice.
    until_async(async || process.hub.publish("a", "last").await.is_ok()).await;
    let mut possible = unknown;
    possible.push("by SQL".to_owned());
    reads_at_most_once(&mut process.client, possible, "last").await;
}

/// The server can have committed before it ended the connection, for example while it waited for a
/// standby.
#[tokio::test]
async fn event_whose_connection_the_server_ends_may_be_published() {
    let Some((server, process)) = Process::start().await else { return };
    let client = server.connect().await;
    sql(&client, "begin; select from tower_sse.stream for update").await;
    let mut publishing = pin!(process.hub.publish("a", "1"));
    let end = "select pg_terminate_backend(pid)::text from pg_locks where not granted";
    let ended = async {
        until_async(async || sql(&client, end).await == ["true"]).await;
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        published = &mut publishing => published.unwrap_err(),
        () = ended => return,
    };
    assert!(matches!(error, PublishError::Unknown(_)), "{error:?}");
}

/// Publishes 3,000 events of 64 KiB, 100 at a time. None may be acknowledged.
async fn publish_in_vain(hub: &Hub) {
    for _ in 0..30 {
        let mut publishing = JoinSet::new();
        for _ in 0..100 {
            let hub = hub.clone();
            publishing.spawn(async move { hub.publish("a", "x".repeat(64 << 10)).await });
        }
        while let Some(published) = publishing.join_next().await {
            let error = published.unwrap().unwrap_err();
            assert!(
                matches!(error, PublishError::Refused(_) | PublishError::Unknown(_)),
                "{error:?}"
            );
        }
    }
}

/// The test has one thread, because the counter counts each thread's memory separately.
#[test]
fn events_that_are_refused_leave_no_memory() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for is_frozen in [false, true] {
        let Some(mut server) = runtime.block_on(Server::start()) else { return };
        let brief = Duration::from_millis(20);
        let broker = server.broker().publish_deadline(brief);
        let process = runtime.block_on(Process::connect(broker));
        let frozen = is_frozen.then(|| runtime.block_on(server.freeze()));
        if !is_frozen {
            server.stop(Stop::Fast);
            runtime.block_on(until(|| !process.health.is_ready()));
        }
        let used = measure(|| runtime.block_on(publish_in_vain(&process.hub)));
        println!("frozen: {is_frozen}, {used:?}");
        // A batch that was sent may still wait for its reply.
        assert!(used.bytes_current < 32 << 20, "frozen: {is_frozen}, {used:?}");
        server.resume(&frozen.unwrap_or_default());
    }
}

#[tokio::test]
async fn event_that_waits_is_refused_when_its_hub_closes() {
    let Some(mut server) = Server::start().await else { return };
    let process = Process::connect(server.broker().publish_deadline(PATIENCE * 2)).await;
    server.stop(Stop::Fast);
    until(|| !process.health.is_ready()).await;
    let mut publishing = pin!(process.hub.publish("a", "1"));
    assert!(timeout(Duration::ZERO, &mut publishing).await.is_err());
    process.hub.close();
    let error = soon(publishing).await.unwrap_err();
    assert!(matches!(error, PublishError::Closed), "{error:?}");
}

/// If the server never answers a session's batch, the batch must not stop the next session.
#[tokio::test]
async fn publishing_continues_with_the_next_session() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    let process = Process::connect(proxy.broker().publish_deadline(DEADLINE)).await;
    // Once `waiting` is known, the publishers' connection sends only batches for at least a second.
    until(|| process.stats.waiting().is_some()).await;
    proxy.hold_publishers();
    let error = process.hub.publish("a", "1").await.unwrap_err();
    assert!(matches!(error, PublishError::Unknown(_)), "{error:?}");
    let end = "select pg_terminate_backend(pid)::text from pg_stat_activity
        where query ~ '\\.(poll|read)\\(' and pid <> pg_backend_pid()";
    assert_eq!(sql(&server.connect().await, end).await, ["true"]);
    until(|| process.health.reconnections() == 1).await;
    // On a busy machine, a publish can miss the deadline in the new session too, so try again.
    let publish = async |process: &Process| {
        let began = Instant::now();
        while process.hub.publish("a", "2").await.is_err() {}
        began.elapsed()
    };
    let took = publish(&process).await;
    let other = Process::connect(server.broker().publish_deadline(DEADLINE)).await;
    let control = publish(&other).await;
    // The events did not wait for the response to the first session's batch, which may take 5
    // seconds.
    let limit = Duration::from_secs(5) + control;
    assert!(took < limit, "{took:?}, and {control:?} in another process");
}
