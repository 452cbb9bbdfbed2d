//! Ids that are ahead of the server's clock because the clock was set back. Redis then increments
//! the newest id, so after a loss Redis could assign ids again that some processes know. After a
//! loss, a process adds an entry that marks it: the marker.

use crate::*;

/// Adds the event 9 with an id that is an hour ahead.
async fn set_ids_ahead(server: &Server) {
    let ahead = server.now().await + 3_600_000;
    let _: String = server.command(&format!("XADD tower-sse {ahead}-0 topic a data 9")).await;
}

#[track_caller]
fn assert_above(later: Option<Receipt>, earlier: Option<Receipt>) {
    let [later, earlier] = [later, earlier].map(|receipt| sequence(receipt.unwrap().id().as_str()));
    assert!(later > earlier, "an id was assigned again: {later} after {earlier}");
}

/// The process that adds the marker does not know the newest events.
#[tokio::test]
async fn marker_is_above_events_that_its_writer_does_not_know() {
    let Some(mut pair) = Pair::start(Server::start().await).await else { return };
    set_ids_ahead(&pair.server).await;
    pair.ahead.reads([9]).await;
    pair.behind.reads([9]).await;
    pair.hold_one_behind().await;
    let last = pair.ahead.publish(1..6).await;
    pair.ahead.reads(1..6).await;
    let _: u64 = pair.server.command("DEL tower-sse").await;
    let next = pair.behind.publish([6]).await;
    assert_above(next, last);

    pair.proxy.release();
    // Redis sent the event 1 to the waiting reader before the stream was deleted.
    pair.behind.reads([1]).await;
    let Pair { ahead, behind, .. } = &mut pair;
    ahead.client.move_to(&behind.hub);
    for process in [ahead, behind] {
        process.reads_after_a_gap([6]).await;
    }
    pair.ahead.delivers([7]).await;
    pair.behind.reads([7]).await;
    assert_eq!(pair.losses(), [1, 1]);
}

/// The stream is deleted twice. The process that adds the second marker knows neither the first
/// marker nor the events after it.
#[tokio::test]
async fn second_marker_is_above_events_after_an_unknown_first_one() {
    let Some(mut pair) = Pair::start(Server::start().await).await else { return };
    set_ids_ahead(&pair.server).await;
    pair.ahead.reads([9]).await;
    pair.behind.reads([9]).await;
    pair.hold_one_behind().await;
    let _: u64 = pair.server.command("DEL tower-sse").await;
    let last = pair.ahead.publish(2..6).await;
    let _: u64 = pair.server.command("DEL tower-sse").await;
    let next = pair.behind.publish([6]).await;
    assert_above(next, last);
}

/// The process that returns first has read nothing that was lost.
#[tokio::test]
async fn event_after_a_rollback_is_above_those_unknown_to_its_publisher() {
    let Some(mut server) = Server::start().await else { return };
    let proxies = [Proxy::start(server.port()).await, Proxy::start(server.port()).await];
    let mut ahead = Process::connect(proxies[0].broker()).await;
    let mut behind = Process::connect(proxies[1].broker()).await;
    set_ids_ahead(&server).await;
    ahead.reads([9]).await;
    behind.reads([9]).await;
    proxies[1].hold();
    let _: String = server.command("SAVE").await;
    let last = ahead.publish(1..6).await;
    ahead.reads(1..6).await;

    proxies[0].switch_to(free_port());
    server.kill();
    proxies[1].lose();
    // With this delay, the publisher is faster than the reader.
    proxies[1].delay(Duration::from_millis(100));
    server.restart().await;
    let next = behind.publish([6]).await;
    assert_above(next, last);
    // No process that is connected knows of the loss.
    ahead.client.move_to(&behind.hub);
    ahead.reads([6]).await;
    behind.reads([6]).await;

    proxies[0].switch_to(server.port());
    _ = ahead.publish([7]).await;
    for process in [&mut ahead, &mut behind] {
        process.reads_after_a_gap([7]).await;
        assert_eq!(process.stats.losses(), 1);
    }
}

/// A process that believes that the ids are ahead of the clock advances them by a second. If the
/// stream is then lost while no process is connected, the next process assigns the ids of that
/// second again.
#[tokio::test]
async fn late_reply_about_the_time_advances_no_ids() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    proxy.hold_when_sent("$4\r\nTIME\r\n");
    let release = async {
        until(|| proxy.is_holding()).await;
        sleep(Duration::from_millis(200)).await;
        proxy.release();
    };
    let (_process, ()) = tokio::join!(Process::connect(proxy.broker()), release);
    let entries: Vec<(String, Vec<String>)> = server.command("XRANGE tower-sse - +").await;
    assert!(entries.iter().all(|(_, fields)| fields[0] == "gap"), "{entries:?}");
}

/// Each process that connects would otherwise set the ids further ahead.
#[tokio::test]
async fn ids_are_advanced_once_for_each_server() {
    let Some(mut server) = Server::start_durable().await else { return };
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Process::connect(server.broker()).await);
    }
    set_ids_ahead(&server).await;
    for process in &mut processes {
        process.reads([9]).await;
    }
    for restarts in 1..3 {
        server.kill();
        until(|| processes.iter().all(|process| !process.health.is_ready())).await;
        server.restart().await;
        until(|| processes.iter().all(|process| process.health.is_ready())).await;
        processes.push(Process::connect(server.broker()).await);
        let entries: Vec<(String, Vec<String>)> = server.command("XRANGE tower-sse - +").await;
        let skips = entries.iter().filter(|(_, fields)| fields[0] == "skip").count();
        assert_eq!(skips, restarts, "{entries:?}");
    }
}
