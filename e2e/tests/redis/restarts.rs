//! Kills of Redis, which restarts with all its data, without it, or with an older state.
//!
//! One of the two processes is up to date; the other has read only the event 0.

use crate::*;

#[tokio::test]
async fn first_visitor_that_is_cut_off_resumes_at_restarted_processes() {
    let Some(server) = Server::start().await else { return };
    first_visits_miss_nothing(async || Hub::connect(server.broker()).await.unwrap()).await;
}

#[tokio::test]
async fn restart_with_all_data_loses_nothing() {
    let Some(mut pair) = Pair::with_one_behind(Server::start_durable().await).await else { return };
    _ = pair.ahead.publish(1..6).await;
    _ = pair.behind.publish(6..10).await;
    pair.restart_server().await;
    _ = pair.behind.publish([10]).await;
    pair.ahead.reads(1..11).await;
    pair.behind.reads(1..11).await;
    assert_eq!(pair.losses(), [0, 0]);
}

#[tokio::test]
async fn restart_without_data_is_one_gap_in_each_process() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    _ = pair.ahead.publish_and_read(1..10).await;
    pair.restart_server().await;
    pair.are_following().await;
    _ = pair.ahead.publish([10]).await;
    _ = pair.behind.publish([11]).await;
    pair.ahead.reads(1..10).await;
    pair.reads_after_one_gap([10, 11]).await;
}

/// Only the process that is up to date has read the events after the snapshot. It detects their
/// loss, and the other process reads the marker.
#[tokio::test]
async fn rollback_is_one_gap_in_each_process() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    _ = pair.ahead.publish(1..6).await;
    let _: String = pair.server.command("SAVE").await;
    _ = pair.ahead.publish_and_read(6..10).await;
    pair.restart_server().await;
    pair.are_following().await;
    _ = pair.behind.publish([10]).await;
    _ = pair.ahead.publish([11]).await;
    pair.ahead.reads(1..10).await;
    pair.behind.reads(1..6).await;
    pair.reads_after_one_gap([10, 11]).await;

    // No client receives it again from the other process.
    let Pair { ahead, behind, .. } = &mut pair;
    ahead.client.move_to(&behind.hub);
    behind.client.move_to(&ahead.hub);
    _ = ahead.publish([12]).await;
    ahead.reads([12]).await;
    behind.reads([12]).await;
}

#[tokio::test]
async fn rollback_to_what_was_read_is_found_by_the_acknowledgements() {
    let Some((mut server, proxy, mut process)) = one_behind().await else { return };
    _ = process.publish(1..6).await;
    let _: String = server.command("SAVE").await;
    _ = process.publish(6..10).await;
    server.kill();
    proxy.lose();
    server.restart().await;
    _ = process.publish([10]).await;
    process.reads_around_a_gap(1..6, [10]).await;
    assert_eq!(process.stats.losses(), 1);
}

/// Unless publishers wait for the reader, clients receive an event that is published after the
/// restart before the gap.
#[tokio::test]
async fn rollback_is_found_after_another_restart() {
    let Some((mut server, proxy, mut process)) = one_behind().await else { return };
    let _: String = server.command("SAVE").await;
    _ = process.publish(1..10).await;
    server.kill();
    proxy.lose();
    proxy.delay(Duration::from_millis(100));
    server.restart().await;
    _ = process.publish([10]).await;
    let _: String = server.command("SAVE").await;
    server.kill();
    server.restart().await;
    _ = process.publish([11]).await;
    process.reads_after_a_gap([10, 11]).await;
    assert_eq!(process.stats.losses(), 1);
}

/// The marker is lost too, before any process has read it.
#[tokio::test]
async fn marker_that_is_lost_is_written_again() {
    let Some((mut server, proxy, mut process)) = one_behind().await else { return };
    proxy.release();
    _ = process.publish(1..5).await;
    let _: String = server.command("SAVE").await;
    _ = process.publish_and_read(5..10).await;
    process.reads(1..10).await;
    server.kill();
    proxy.hold_when_sent("newest_at");
    server.restart().await;
    // The script that adds it runs when the process connects, in vain, and when it has found the
    // loss. Then the process reads on.
    for next in ["newest_at", "*6\r\n$6\r\nXRANGE\r\n"] {
        until(|| proxy.is_holding()).await;
        proxy.hold_when_sent(next);
        proxy.release();
    }
    until(|| proxy.is_holding()).await;
    server.kill();
    proxy.lose();
    server.restart().await;
    _ = process.publish([10]).await;
    process.reads_after_a_gap([10]).await;
    assert_eq!(process.stats.losses(), 1);
}

/// A process that knows an earlier marker, which was also lost, must report the new loss at the
/// same position as the other processes. Clients of all processes receive event 4 after the gap.
#[tokio::test]
async fn marker_that_was_rolled_back_does_not_cover_a_later_loss() {
    let Some(mut server) = Server::start().await else { return };
    let proxies = [Proxy::start(server.port()).await, Proxy::start(server.port()).await];
    let mut one = Process::connect(proxies[0].broker()).await;
    let mut other = Process::connect(proxies[1].broker()).await;
    let first = one.publish_and_read([0]).await;
    other.has_read(first).await;
    let _: String = server.command("SAVE").await;
    let last = one.publish_and_read([1]).await;
    other.has_read(last).await;

    // The first loss, of which one process is cut off.
    proxies[0].switch_to(free_port());
    server.kill();
    server.restart().await;
    _ = other.publish([2, 3]).await;
    other.reads_around_a_gap([0, 1], [2, 3]).await;

    // The second loss, in which the marker of the first is lost, and which that process notices
    // before the other one.
    proxies[1].switch_to(free_port());
    server.kill();
    server.restart().await;
    proxies[0].switch_to(server.port());
    _ = one.publish([4]).await;
    proxies[1].switch_to(server.port());
    for process in [&mut one, &mut other] {
        until(|| process.health.is_ready()).await;
    }
    one.reads_around_a_gap([0, 1], [4]).await;
    other.reads_after_a_gap([4]).await;
    assert_eq!([one.stats.losses(), other.stats.losses()], [1, 2]);
}

/// The history before the loaded entries may have contained the event whose loss the marker
/// records.
#[tokio::test]
async fn marker_is_reported_by_a_process_whose_history_begins_after_the_loss() {
    let Some(server) = Server::start().await else { return };
    let now = server.now().await;
    for (age, fields) in [
        (6_000, "topic a data 1".to_owned()),
        (4_000, "topic a data 2".to_owned()),
        (2_000, format!("gap {}-0", now - 5_000)),
        (1_000, "topic a data 3".to_owned()),
    ] {
        let _: String = server.command(&format!("XADD tower-sse {}-0 {fields}", now - age)).await;
    }
    let hub = Hub::builder()
        .retention(Retention::new().age(Duration::from_secs(3)))
        .connect(server.broker())
        .await
        .unwrap();
    let position = hub.position().to_string();
    let (epoch, _) = position.split_once('-').unwrap();
    let last = LastEventId::try_from(format!("{epoch}-{}", (now - 4_000) << 20)).unwrap();
    let mut client = Client::resume(&hub, &["a"], Some(last));
    client.gap("a").await;
    assert_eq!(client.data(1).await, ["3"]);
}
