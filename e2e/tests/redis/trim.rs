//! Trimming by time.

use crate::*;

/// Long enough that clients on a busy machine read events before they are too old.
const AGE: Duration = Duration::from_secs(2);

async fn connect(broker: RedisBroker) -> Process {
    connect_for(broker, AGE).await
}

async fn connect_for(broker: RedisBroker, age: Duration) -> Process {
    Process::connect_with(Hub::builder().retention(Retention::new().age(age)), broker.max_age(age))
        .await
}

/// Waits for so long by the server's clock.
async fn pass(server: &Server, time: Duration) {
    let later = server.now().await + time.as_millis() as u64;
    until_async(async || server.now().await >= later).await;
}

/// Waits until the stream has been trimmed, whether or not entries were too old.
async fn is_surveyed(server: &Server) {
    let calls = async || {
        let stats = server.command::<String>("INFO commandstats").await;
        let calls = stats.split_once("cmdstat_xtrim:calls=").map(|(_, rest)| rest.to_owned());
        calls.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    let before = calls().await;
    // The first may have begun earlier.
    until_async(async || calls().await >= before + 2).await;
}

/// Waits until the stream has only one entry.
async fn is_trimmed(server: &Server) {
    until_async(async || server.length().await <= 1).await;
}

#[tokio::test]
async fn old_entries_are_trimmed_without_a_gap() {
    let Some(server) = Server::start().await else { return };
    let mut processes = [connect(server.broker()).await, connect(server.broker()).await];
    _ = processes[0].publish(0..5).await;
    // The hubs keep events as long as Redis does.
    for process in &mut processes {
        process.reads(0..5).await;
    }
    is_trimmed(&server).await;
    // The newest entry stays, although it becomes old too, until it is not the newest.
    pass(&server, Duration::from_secs(5)).await;
    assert_eq!(server.length().await, 1);
    _ = processes[1].publish([5]).await;
    for process in &mut processes {
        process.reads([5]).await;
    }
    is_trimmed(&server).await;
    let new = connect(server.broker()).await;
    assert!(processes.iter().chain([&new]).all(|process| process.stats.losses() == 0));
    let entries: String =
        format!("{:?}", server.command::<redis::Value>("XRANGE tower-sse - +").await);
    assert!(entries.contains("topic") && !entries.contains("gap"), "{entries}");
}

/// A process that has read all entries before a silence finds its place after it, although the last
/// of them is too old by then.
#[tokio::test]
async fn unread_first_entry_after_a_silence_is_no_gap() {
    const LONGER: Duration = Duration::from_secs(5);
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let mut ahead = connect_for(server.broker(), LONGER).await;
    let mut behind = connect_for(proxy.broker(), LONGER).await;
    _ = ahead.publish([0]).await;
    ahead.reads([0]).await;
    behind.reads([0]).await;
    pass(&server, LONGER).await;
    proxy.hold();
    _ = ahead.publish([1]).await;
    is_surveyed(&server).await;
    proxy.lose();
    ahead.reads([1]).await;
    behind.reads([1]).await;
    assert_eq!([ahead.stats.losses(), behind.stats.losses()], [0, 0]);
}

/// The process that is cut off may have missed any of the trimmed entries.
#[tokio::test]
async fn entry_that_is_trimmed_before_a_process_reads_it_is_a_gap() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let mut ahead = connect(server.broker()).await;
    let mut behind = connect(proxy.broker()).await;
    _ = ahead.publish([0]).await;
    ahead.reads([0]).await;
    behind.reads([0]).await;
    proxy.hold();
    _ = ahead.publish([1, 2]).await;
    ahead.reads([1, 2]).await;
    is_trimmed(&server).await;
    proxy.lose();
    until(|| behind.health.is_ready() && behind.stats.losses() > 0).await;
    _ = ahead.publish([3]).await;
    ahead.reads([3]).await;
    behind.reads_gap().await;
    // The hub may still have the newest entry of the time in which it was cut off.
    while let data = behind.client.next().await.data
        && data != "3"
    {
        assert!(["a", "2"].contains(&&*data), "{data}");
    }
    assert_eq!([ahead.stats.losses(), behind.stats.losses()], [0, 1]);
}

/// One process finds nothing, and before it has marked that, the other one publishes. All processes
/// report what the trim may have taken from them before this event.
#[tokio::test]
async fn trim_to_nothing_is_one_gap_in_each_process() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    _ = pair.ahead.publish_and_read(1..=3).await;
    // The reader that is behind receives a full page, and reads on at once.
    pair.proxy.hold_when_sent("XREAD");
    pair.proxy.release();
    until(|| pair.proxy.is_holding()).await;
    let _: u64 = pair.server.command("XTRIM tower-sse MAXLEN 0").await;
    pair.proxy.hold_when_sent("*6\r\n$6\r\nXRANGE\r\n");
    pair.proxy.release();
    until(|| pair.proxy.is_holding()).await;
    _ = pair.ahead.publish([4]).await;
    pair.proxy.release();
    pair.ahead.reads(1..=3).await;
    pair.behind.reads(1..=3).await;
    pair.reads_after_one_gap([4]).await;
    pair.are_following().await;
    _ = pair.behind.publish([5]).await;
    for process in [&mut pair.ahead, &mut pair.behind] {
        process.reads([5]).await;
    }
    assert_eq!(pair.losses(), [1, 1]);
}

#[tokio::test]
async fn maximum_age_below_the_retention_of_the_hub_is_refused() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().max_age(Duration::from_secs(299));
    let error = Hub::connect(broker).await.unwrap_err();
    assert!(format!("{error:?}").contains("retention"), "{error:?}");
    _ = Hub::connect(server.broker().max_age(Duration::from_secs(300))).await.unwrap();
}

/// The user may publish, and not trim.
#[tokio::test]
async fn missing_permission_to_trim_is_reported() {
    let Some(server) = Server::start().await else { return };
    let _: String = server.command("ACL SETUSER default -xtrim -memory").await;
    let mut process = connect(server.broker()).await;
    process.reports("survey").await;
    _ = process.publish([0]).await;
    process.reads([0]).await;
    assert!(process.health.is_ready());
    // Without trimming, it needs no permission.
    let Process { health, stats, .. } = &Process::connect(server.broker()).await;
    until(|| stats.log().is_some()).await;
    let log = stats.log().unwrap();
    assert_eq!((log.bytes, health.last_error()), (None, None));
}

// A reader that is behind finds that entries after the last one that it has read are gone, while
// the counts of the server's commands no longer prove that they were trimmed: any program on the
// server may have renamed a key.

/// Renames a key that no hub uses, as a program does that swaps its caches.
async fn rename_foreign_key(server: &Server) {
    let _: String = server.command("SET cache 1").await;
    let _: String = server.command("RENAME cache cache-old").await;
}

#[tokio::test]
async fn gap_precedes_what_is_left_after_a_trim_and_a_foreign_rename() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    let mut moving = Client::connect(&pair.ahead.hub, &["a"]);
    rename_foreign_key(&pair.server).await;
    _ = pair.ahead.publish_and_read(1..=20).await;
    let _: u64 = pair.server.command("XTRIM tower-sse MAXLEN 5").await;
    // This client is ahead of the process that it moves to.
    assert_eq!(moving.data(10).await.last().unwrap(), "10");
    moving.move_to(&pair.behind.hub);
    pair.proxy.release();
    pair.behind.reads([1]).await;
    pair.behind.reads_gap().await;
    moving.gap("a").await;
    moving.move_to(&pair.ahead.hub);
    let left: Vec<_> = (16..=20).map(|number| number.to_string()).collect();
    assert_eq!(moving.data(5).await, left);
    assert_eq!(pair.behind.client.data(5).await, left);
}

/// Clients of all processes move, and so do those of the process that has skipped entries.
#[tokio::test]
async fn gap_of_a_trim_precedes_newer_events_after_a_rollback() {
    let Some(server) = Server::start().await else { return };
    let mut proxies = Vec::new();
    for _ in 0..3 {
        proxies.push(Proxy::start(server.port()).await);
    }
    let disturb = async {
        sleep(Duration::from_millis(200)).await;
        let _: u64 = server.command("COPY tower-sse older").await;
        let copied = server.now().await;
        sleep(Duration::from_millis(500)).await;
        let _: String = server.command("RENAME older tower-sse").await;
        let rolled_back = Loss::between(copied, server.now().await);
        sleep(Duration::from_secs(1)).await;
        proxies[1].hold();
        sleep(Duration::from_millis(1_200)).await;
        let _: u64 = server.command("XTRIM tower-sse MAXLEN 5").await;
        proxies[1].release();
        sleep(Duration::from_secs(1)).await;
        // The check lets newer events precede the gaps of these losses, and of no others.
        vec![rolled_back]
    };
    let brokers = [0, 1, 2].map(|number: usize| proxies[number].broker());
    let verdict = load_until(disturb, brokers, None).await;
    let Verdict { untold, doubled, out_of_order, mistaken, .. } = verdict;
    let faults = verdict.faults.join("\n");
    assert_eq!([untold, doubled, out_of_order, mistaken], [0; 4], "{verdict}\n{faults}");
    assert!(verdict.lost > 0, "{verdict}");
}
