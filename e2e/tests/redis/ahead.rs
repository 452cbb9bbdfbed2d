//! Ids that are ahead of the server's clock because the clock was set back. Redis then increments
//! the newest id, so after a loss Redis could assign ids again that some processes know. After a
//! loss, a process adds an entry that marks it: the marker.

use crate::*;

/// Adds the event 9 with an id that is an hour ahead. Returns the id's time in milliseconds.
async fn set_ids_ahead(server: &Server) -> u64 {
    let ahead = server.now().await + 3_600_000;
    add_at(server, ahead, 9).await;
    ahead
}

async fn add_at(server: &Server, milliseconds: u64, number: u64) {
    let add = format!("XADD tower-sse {milliseconds}-0 topic a data {number}");
    let _: String = server.command(&add).await;
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

/// The process to which the client moves has not read the marker of the loss yet.
#[tokio::test]
async fn client_of_faster_process_is_known_after_a_loss_behind_the_clock() {
    let Some(mut pair) = Pair::start(Server::start().await).await else { return };
    set_ids_ahead(&pair.server).await;
    pair.ahead.reads([9]).await;
    pair.behind.reads([9]).await;
    pair.hold_one_behind().await;
    let _: u64 = pair.server.command("DEL tower-sse").await;
    _ = pair.ahead.publish(1..4).await;
    pair.ahead.reads_after_a_gap(1..4).await;
    let Pair { ahead, behind, proxy, .. } = &mut pair;
    ahead.client.move_to(&behind.hub);
    _ = ahead.publish([4]).await;
    proxy.release();
    ahead.reads([4]).await;
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

/// A process that believes that the ids are ahead of the clock advances them. If the stream is then
/// lost while no process is connected, the next process assigns the skipped ids again.
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

/// Each process that connects would otherwise set the ids further ahead. Processes that reconnect
/// at the same time can each advance them, by a second in total.
#[tokio::test]
async fn ids_are_advanced_once_for_each_server() {
    let Some(mut server) = Server::start_durable().await else { return };
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Process::connect(server.broker()).await);
    }
    let ahead = set_ids_ahead(&server).await;
    for process in &mut processes {
        process.reads([9]).await;
    }
    for restarts in 1..3 {
        let earlier = server.length().await;
        server.kill();
        until(|| processes.iter().all(|process| !process.health.is_ready())).await;
        server.restart().await;
        until(|| processes.iter().all(|process| process.health.is_ready())).await;
        let advanced = server.length().await;
        assert!((earlier + 1..=earlier + processes.len()).contains(&advanced));
        processes.push(Process::connect(server.broker()).await);
        assert_eq!(server.length().await, advanced, "the new process adds nothing");
        let newest = server.newest().await;
        let milliseconds: u64 = newest.split_once('-').unwrap().0.parse().unwrap();
        assert!(milliseconds <= ahead + 1024 * restarts, "{newest} is too far ahead of {ahead}");
    }
}

/// While all processes are stopped, Redis returns to an older state, and its clock is an hour
/// behind the ids. Each client has received an event that this state lacks.
#[tokio::test]
async fn client_of_lost_events_misses_no_later_ones_behind_the_clock() {
    for lost_seconds in [1, 3, 30, 60, 90, 600] {
        let Some(mut server) = Server::start().await else { return };
        let mut process = Process::connect(server.broker()).await;
        let ahead = set_ids_ahead(&server).await;
        let _: String = server.command("SAVE").await;
        add_at(&server, ahead + 1000 * lost_seconds, 10).await;
        process.reads([9, 10]).await;
        let last = process.client.last.clone();
        drop(process);
        server.kill();
        server.restart().await;
        let process = Process::connect(server.broker()).await;
        let early = Client::resume(&process.hub, &["a"], last.clone());
        _ = process.publish_and_read([11]).await;
        let late = Client::resume(&process.hub, &["a"], last);
        _ = process.publish([12]).await;
        for mut client in [early, late] {
            let message = timeout(PATIENCE / 3, client.next()).await;
            let received = message.as_ref().map(|it| (&*it.event, &*it.data));
            let is_told = matches!(received, Ok(("gap", _) | ("message", "11")));
            assert!(is_told, "{received:?} after {lost_seconds} lost seconds");
        }
    }
}
