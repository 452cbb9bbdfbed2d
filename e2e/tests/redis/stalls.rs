//! Redis' replies are late, too large for a link, or report that Redis lacks memory or is still
//! loading.

use crate::*;

#[tokio::test]
async fn server_that_stops_for_a_minute_loses_and_doubles_nothing() {
    const DEADLINE: Duration = Duration::from_secs(2);
    let limits = |redis: Redis| {
        redis.timeout(Duration::from_secs(10)).broker(KEY).publish_deadline(DEADLINE)
    };
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let publisher = Process::connect(server.broker()).await;
    let ahead = Process::connect(limits(server.redis())).await;
    let behind = Process::connect(limits(proxy.redis())).await;
    let mut pair = Pair { server, proxy, ahead, behind };
    let first = publisher.publish([0]).await;
    pair.ahead.reads([0]).await;
    pair.behind.reads([0]).await;
    pair.behind.has_read(first).await;
    pair.proxy.hold();
    _ = publisher.publish(1..5).await;
    pair.server.stop();
    // From now on, only time limits end a wait.
    pause();
    let stopped = Instant::now();
    let [mut next, mut unknown, mut refused] = [5, 0, 0];
    while stopped.elapsed() < Duration::from_secs(60) {
        let sent = Instant::now();
        match pair.ahead.hub.publish("a", next.to_string()).await.unwrap_err() {
            // Redis has received the event and answers later.
            PublishError::Unknown(_) => {
                unknown += 1;
                next += 1;
            }
            PublishError::Refused(_) => refused += 1,
            error => panic!("{error:?}"),
        }
        // If the connection breaks, `publish` returns `Unknown` before the deadline.
        assert!(sent.elapsed().as_millis() <= DEADLINE.as_millis() + 1, "{:?}", sent.elapsed());
    }
    assert!(unknown > 0 && refused > 0, "{unknown} unknown, {refused} refused");
    resume();
    pair.proxy.release();
    pair.server.resume();
    pair.are_following().await;
    _ = publisher.publish([next, next + 1]).await;
    pair.ahead.reads(1..next + 2).await;
    pair.behind.reads(1..next + 2).await;
    assert_eq!(pair.losses(), [0, 0]);
}

#[tokio::test]
async fn reader_notices_a_dead_connection_however_long_publishers_wait() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let broker = proxy.redis().broker(KEY).publish_deadline(Duration::from_secs(600));
    let mut process = Process::connect(broker).await;
    // The proxy holds nothing of a connection that has published.
    process.delivers([0]).await;
    proxy.hold();
    until(|| !process.health.is_ready()).await;
    proxy.release();
    until(|| process.health.is_ready()).await;
}

/// The reply to an event takes longer than the default time limit, as over a slow uplink.
#[tokio::test]
async fn slow_publishing_connection_delays_only_its_publishers() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let publisher = Process::connect(server.broker()).await;
    let broker = proxy.redis().broker(KEY).pause(Duration::from_millis(200));
    let mut process = Process::connect(broker.publish_deadline(Duration::from_secs(600))).await;
    process.delivers([0]).await;
    proxy.hold_publishers();
    let hub = process.hub.clone();
    let publishing = tokio::spawn(async move { hub.publish("b", "x").await });
    let held = Instant::now();
    for number in 1.. {
        _ = publisher.publish([number]).await;
        process.reads([number]).await;
        if held.elapsed() > Duration::from_secs(6) {
            break;
        }
    }
    proxy.release();
    _ = publishing.await.unwrap().unwrap();
    assert!(process.health.reconnections() == 0 && process.health.last_error().is_none());
}

#[tokio::test]
async fn dead_publishing_connection_is_replaced_although_nothing_is_published() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let mut process = Process::connect(proxy.redis().broker(KEY)).await;
    process.delivers([0]).await;
    proxy.hold_publishers();
    until(|| process.health.reconnections() == 1).await;
    proxy.release();
    process.delivers([1]).await;
}

/// While the process is away, the last entry that it has read is trimmed, and Redis runs out of
/// memory.
#[tokio::test]
async fn process_that_was_away_reads_on_although_writes_are_refused() {
    let Some((server, proxy, mut process)) = one_behind().await else { return };
    let publisher = Process::connect(server.broker()).await;
    _ = publisher.publish(1..4).await;
    let _: usize = server.command("XTRIM tower-sse MAXLEN = 1").await;
    let _: String = server.command("CONFIG SET maxmemory 1").await;
    proxy.lose();
    process.reads_around_a_gap([], [3]).await;
    until(|| process.health.is_ready()).await;
}

/// Without this limit, over a fast link, pages of large entries would grow until they take half a
/// second.
#[tokio::test]
async fn pages_of_large_events_are_limited_by_their_bytes() {
    let Some((server, hub)) = hub_of(Server::start().await).await else { return };
    let data = "x".repeat(1_000_000);
    for _ in 0..40 {
        _ = publish(&hub, "a", &data).await;
    }
    let newest = publish(&hub, "a", "").await.id();
    drop(hub);
    for setting in ["slowlog-max-len 10000", "slowlog-log-slower-than 0"] {
        let _: String = server.command(&format!("CONFIG SET {setting}")).await;
    }
    let late = Hub::connect(server.broker()).await.unwrap();
    until(|| late.position() == newest).await;
    type Command = (u64, u64, u64, Vec<String>, String, String);
    let commands: Vec<Command> = server.command("SLOWLOG GET 10000").await;
    // The check of a connection asks for one id, without a count.
    let ranges = commands.iter().filter(|(_, _, _, parts, ..)| parts[0] == "XRANGE");
    let counts = ranges.filter_map(|(.., parts, _, _)| parts.get(5)?.parse().ok());
    let counts: Vec<usize> = counts.collect();
    // Each count includes the last entry of the previous page.
    assert!(counts.len() > 10 && counts.iter().all(|it| *it <= 5), "{counts:?}");
}

/// Another program can add an event of any size. The link of `behind` and `starting` does not carry
/// this event within their time limit. `behind` has read the event before it.
#[tokio::test]
async fn event_that_a_link_cannot_carry_is_a_gap_only_there() {
    let Some(mut pair) = Pair::start(Server::start().await).await else { return };
    let broker = || pair.proxy.redis().timeout(Duration::from_secs(3)).broker(KEY);
    pair.behind = Process::connect(broker()).await;
    _ = pair.ahead.publish([0]).await;
    pair.behind.reads([0]).await;
    pair.proxy.limit(1024);
    let add = format!("XADD tower-sse * topic b data {}", "x".repeat(5 << 20));
    let _: String = pair.server.command(&add).await;
    let mut starting = Process::connect(broker()).await;
    starting.reports("timed out").await;
    until(|| pair.behind.stats.losses() == 1 && pair.behind.health.is_ready()).await;
    _ = pair.behind.publish([1]).await;
    pair.behind.reads_after_a_gap([1]).await;
    starting.reads([1]).await;
    pair.ahead.reads([0, 1]).await;
    assert_eq!((pair.losses(), starting.stats.losses()), ([0, 1], 0));
    assert_eq!(pair.ahead.hub.stats().events, 3, "the other process has it");
}

/// After a roll-back, the large entry has the id of the last entry that was read. No process adds
/// an entry before the gap.
#[tokio::test]
async fn last_entry_that_a_link_cannot_carry_is_a_gap() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let broker = proxy.redis().timeout(Duration::from_secs(3)).broker(KEY);
    let mut process = Process::connect(broker).await;
    process.delivers([0]).await;
    proxy.hold();
    let last = server.newest().await;
    let _: u64 = server.command("DEL tower-sse").await;
    let add = format!("XADD tower-sse {last} topic b data {}", "x".repeat(5 << 20));
    let _: String = server.command(&add).await;
    proxy.limit(1024);
    proxy.release();
    process.reads_gap().await;
    until(|| process.health.is_ready()).await;
    process.delivers([1]).await;
}

#[tokio::test]
async fn event_above_1_mebibyte_is_too_large() {
    let Some((_server, process)) = Process::start().await else { return };
    let largest = "x".repeat((1 << 20) - "b".len());
    let too_large = format!("{largest}x");
    let error = process.hub.publish("b", too_large).await.unwrap_err();
    let PublishError::TooLarge(reason) = error else { panic!("{error:?}") };
    assert_eq!(reason.downcast_ref().map(Error::kind), Some(ErrorKind::TooLarge));
    let text = format!("{reason:?}");
    assert!(text.contains("the event has 1048577 bytes, more than 1048576"), "{text}");
    let receipt = publish(&process.hub, "b", &largest).await;
    process.has_read(Some(receipt)).await;
}

/// The pages of a reader start small, so a burst takes many reads.
#[tokio::test]
async fn pause_delays_a_burst_once() {
    const PAUSE: Duration = Duration::from_secs(2);
    let Some((server, hub)) = hub_of(Server::start().await).await else { return };
    let pausing = Hub::connect(server.broker().pause(PAUSE)).await.unwrap();
    let burst = Instant::now();
    for number in 0..200 {
        _ = publish(&hub, "a", &number.to_string()).await;
    }
    until(|| pausing.position() == hub.position()).await;
    assert!(burst.elapsed() < 4 * PAUSE, "{:?}", burst.elapsed());
}

#[tokio::test]
async fn server_that_loads_its_data_refuses_events_until_it_has_it() {
    let options = ["--enable-debug-command", "yes", "--rdbcompression", "no"];
    let Some(mut pair) = Pair::with_one_behind(Server::start_with(&options).await).await else {
        return;
    };
    // While Redis loads its data, it answers only after every few keys.
    let _: String = pair.server.command("DEBUG POPULATE 600 key 4000").await;
    _ = pair.ahead.publish_and_read(1..5).await;
    let _: String = pair.server.command("SAVE").await;
    pair.server.kill();
    pair.proxy.lose();
    // In microseconds.
    pair.server.add_options(&["--key-load-delay", "50000"]);
    pair.server.add_options(&["--loading-process-events-interval-bytes", "1024"]);
    pair.server.spawn();
    pair.ahead.reports("loading").await;
    let error = Hub::connect(pair.server.broker()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Loading, "{error:?}");
    let publishing = pair.ahead.hub.publish("a", "5");
    let ending_to_load = pair.server.command::<String>("CONFIG SET key-load-delay 0");
    let (publishing, _) = tokio::join!(publishing, ending_to_load);
    assert!(!matches!(publishing, Err(PublishError::Unknown(_))), "{publishing:?}");
    if publishing.is_err() {
        _ = pair.ahead.publish([5]).await;
    }
    pair.ahead.reads(1..6).await;
    pair.behind.reads(1..6).await;
    assert_eq!(pair.losses(), [0, 0]);
}
