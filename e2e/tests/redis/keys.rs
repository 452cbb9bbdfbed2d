//! Changes to the key and its entries by other programs.

use crate::*;

#[tokio::test]
async fn deleted_key_is_one_gap_in_each_process() {
    for command in ["DEL tower-sse", "FLUSHALL", "RENAME tower-sse other", "UNLINK tower-sse"] {
        let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
        _ = pair.ahead.publish_and_read(1..5).await;
        let _: redis::Value = pair.server.command(command).await;
        // A new stream's ids would otherwise be among those of the old stream. If publishing
        // re-created the stream (the fault `e2e/mutants/redis-mkstream.patch`), readers would then
        // miss the events.
        pair.server.reach_next_millisecond().await;
        _ = pair.ahead.publish([5]).await;
        pair.proxy.release();
        _ = pair.behind.publish([6]).await;
        pair.ahead.reads(1..5).await;
        // Redis sent the event 1 to the waiting reader before the stream was deleted.
        pair.behind.reads([1]).await;
        pair.reads_after_one_gap([5, 6]).await;
    }
}

/// The last entry is too old for the hub's history, so the reader has not fed it to the hub.
#[tokio::test]
async fn replaced_entry_before_an_empty_history_is_a_loss() {
    let Some(server) = Server::start().await else { return };
    let _: String = server.command("XADD tower-sse 5-1 skip one").await;
    let process = Process::connect(server.broker()).await;
    let mut takeover = redis::pipe();
    takeover.atomic().cmd("DEL").arg(KEY);
    takeover.cmd("XADD").arg(&[KEY, "5-1", "skip", "other"]);
    let mut connection = server.try_connect().await.unwrap();
    let () = takeover.ignore().query_async(&mut connection).await.unwrap();
    until(|| process.stats.losses() == 1).await;
}

#[tokio::test]
async fn key_of_another_type_refuses_events_until_it_is_gone() {
    let Some((server, proxy, mut process)) = one_behind().await else { return };
    let broker = server.broker().publish_deadline(SHORT_DEADLINE);
    let refused = Process::connect(broker).await;
    let _: String = server.command("SET tower-sse text").await;
    let reason = process.refusal().await;
    assert!(format!("{reason:?}").contains("WRONGTYPE"), "{reason:?}");
    // Once the readers have noticed the error, the processes refuse events themselves.
    proxy.release();
    for process in [&process, &refused] {
        process.reports("wrongtype").await;
        assert!(!process.health.is_ready());
    }
    let reason = refused.refusal().await;
    assert!(reason.to_string().contains("WRONGTYPE"), "{reason}");

    let error = Hub::connect(server.broker()).await.unwrap_err();
    assert!(format!("{error:?}").contains("WRONGTYPE"), "{error:?}");

    let _: u64 = server.command("DEL tower-sse").await;
    _ = process.publish([1]).await;
    process.reads_after_a_gap([1]).await;
    assert_eq!(process.stats.losses(), 1);
}

/// A trim by an operator leaves more entries than one reply contains, or fewer.
#[tokio::test]
async fn stream_trimmed_under_a_slow_reader_is_a_gap_before_the_rest() {
    for (published, left) in [(3_000, 1_010), (100, 20)] {
        let Some(server) = Server::start().await else { return };
        trims(server, published, left).await;
    }
}

async fn trims(server: Server, published: usize, left: usize) {
    let Some(mut pair) = Pair::with_one_behind(Some(server)).await else { return };
    let mut connection = pair.server.try_connect().await.unwrap();
    let mut pipeline = redis::pipe();
    for number in 1..published {
        let entry = &[("topic", "a".to_owned()), ("data", number.to_string())];
        pipeline.cmd("XADD").arg("tower-sse").arg("*").arg(entry).ignore();
    }
    let () = pipeline.query_async(&mut connection).await.unwrap();
    _ = pair.ahead.publish_and_read([published]).await;
    let _: u64 = pair.server.command(&format!("XTRIM tower-sse MAXLEN = {left}")).await;
    pair.proxy.release();
    pair.behind.reads_around_a_gap([1], published - left + 1..=published).await;
    assert_eq!(pair.server.length().await, left, "no marker for the other processes");
    assert_eq!(pair.losses(), [0, 1]);
}

/// As documented, the deletion goes unnoticed: nothing in the stream shows that the entry was
/// there.
#[tokio::test]
async fn entry_that_is_deleted_unread_is_missed_without_a_gap() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    _ = pair.ahead.publish([1]).await;
    _ = pair.ahead.publish_and_read([2]).await;
    let newest = pair.server.newest().await;
    _ = pair.ahead.publish_and_read([3]).await;
    let _: u64 = pair.server.command(&format!("XDEL tower-sse {}", newest)).await;
    pair.proxy.release();
    pair.ahead.reads(1..4).await;
    pair.behind.reads([1, 3]).await;
    assert_eq!(pair.losses(), [0, 0]);
}

#[tokio::test]
async fn foreign_entries_are_skipped_and_counted() {
    let Some((server, mut process)) = Process::start().await else { return };
    _ = process.publish([0]).await;
    for fields in ["color red", "topic a"] {
        let _: String = server.command(&format!("XADD tower-sse * {fields}")).await;
    }
    let _: String = server.command("XADD tower-sse * color red topic a data 1").await;
    process.reads([0, 1]).await;
    assert_eq!((process.stats.foreign_entries(), process.stats.losses()), (2, 0));
}

/// While the clock is behind the newest id, Redis increments only the id's counter.
#[tokio::test]
async fn counter_that_grows_too_high_is_skipped() {
    let Some((server, mut process)) = Process::start().await else { return };
    let ahead = server.now().await + 30_000;
    for counter in [(1 << 19) - 2, (1 << 20) - 2] {
        let id = format!("{ahead}-{counter}");
        let _: String =
            server.command(&format!("XADD tower-sse {id} topic a data {counter}")).await;
    }
    let receipt = process.publish([0]).await;
    until(|| process.hub.position() >= receipt.unwrap().id()).await;
    _ = process.publish([1]).await;
    process.reads([(1 << 19) - 2, (1 << 20) - 2, 0, 1]).await;
    let entries: Vec<(String, Vec<String>)> =
        server.command(&format!("XRANGE tower-sse ({ahead}-{} + COUNT 10", (1 << 20) - 2)).await;
    let skips: Vec<_> = entries.iter().filter(|(_, fields)| fields[0] == "skip").collect();
    // One process adds one `skip`, after which the counter is low again.
    let [skip] = skips[..] else { panic!("{entries:?}") };
    for (id, _) in [skip, entries.last().unwrap()] {
        assert!(id.starts_with(&format!("{}-", ahead + 1)), "{entries:?}");
    }
}

// Entries whose ids cannot be those of events, because their sequence numbers would overflow or
// break the order.

/// Returns ids that are out of range, each with a description.
async fn ids_out_of_range(server: &Server) -> [(&'static str, String); 5] {
    let now = server.now().await;
    [
        ("a sequence number of 65 bits", "17592186044416-0".to_owned()),
        ("no room for a marker", "17592186044415-0".to_owned()),
        ("the maximum", format!("{}-{}", u64::MAX, u64::MAX)),
        ("microseconds", format!("{}-0", now * 1000)),
        // Ten minutes ahead: the clock must not reach this id during the test.
        ("a counter above the next millisecond", format!("{}-1048576", now + 600_000)),
    ]
}

/// Removes the entries after `last`. Returns whether the server then assigns lower ids again: the
/// successors of Redis 7.0 do not.
async fn delete_entries_after(server: &Server, last: &str) -> bool {
    let entries: Vec<(String, redis::Value)> =
        server.command(&format!("XRANGE tower-sse ({last} +")).await;
    for (id, _) in entries {
        let _: u64 = server.command(&format!("XDEL tower-sse {id}")).await;
    }
    let mut connection = server.try_connect().await.unwrap();
    let lowered = redis::cmd("XSETID").arg(KEY).arg(last).query_async(&mut connection).await;
    lowered.map(|()| true).unwrap_or_else(|error| {
        assert!(error.to_string().contains("max_deleted_entry_id"), "{error}");
        false
    })
}

fn names(text: &str, id: &str) -> bool {
    text.contains(&format!("entry {id} of stream `tower-sse`"))
        && text.contains("`DEL tower-sse`")
        && text.contains(&format!("`XDEL tower-sse {id}`"))
}

#[tokio::test]
async fn id_out_of_range_refuses_events_until_the_entry_is_gone() {
    let Some(server) = Server::start().await else { return };
    let ids = ids_out_of_range(&server).await;
    let cases = ids.iter().flat_map(|(about, id)| {
        [true, false].map(|deletes_stream| check_until_gone(about, id, deletes_stream))
    });
    // The cases run at the same time, because each waits for a deadline.
    join_all(cases).await;
}

async fn check_until_gone(about: &str, id: &str, deletes_stream: bool) {
    let Some((server, mut process)) = Process::start().await else { return };
    let refused = Process::connect(server.broker().publish_deadline(SHORT_DEADLINE)).await;
    process.delivers([0]).await;
    // This isn't always the second entry: a process can have added an entry that advances the ids.
    let first = server.newest().await;

    let _: String = server.command(&format!("XADD tower-sse {id} topic a data x")).await;
    let are_following = || process.health.is_ready() || refused.health.is_ready();
    let refuses = async {
        loop {
            let error = process.hub.publish("a", "refused").await.unwrap_err();
            assert!(matches!(error, PublishError::Refused(_)), "{about}: {error:?}");
        }
    };
    // A publisher waits while its process does not follow the stream. So `refuses` is dropped once
    // neither process follows the stream.
    tokio::select! {
        () = refuses => {}
        () = until(|| !are_following()) => {}
    }
    let error = process.health.last_error().unwrap().to_string();
    assert!(names(&error, id), "{about}: {error}");
    let reason = refused.refusal().await;
    assert!(names(&reason.to_string(), id), "{about}: {reason}");
    // Events that were refused can have left entries too.
    let newest = server.newest().await;
    let error = Hub::connect(server.broker()).await.unwrap_err();
    assert!(names(&format!("{error:?}"), &newest), "{about}: {error:?}");

    let deletes_stream = deletes_stream || !delete_entries_after(&server, &first).await;
    if deletes_stream {
        let _: u64 = server.command("DEL tower-sse").await;
        _ = process.publish([1]).await;
        process.reads_gap().await;
    } else {
        _ = process.publish([1]).await;
    }
    process.reads([1]).await;
    assert_eq!(process.stats.losses(), u64::from(deletes_stream), "{about}");
    assert!(process.health.is_ready(), "{about}");
}

/// The publisher notices the entry before the reader does.
#[tokio::test]
async fn publish_that_would_get_an_id_out_of_range_is_refused() {
    let Some(server) = Server::start().await else { return };
    for (about, id) in ids_out_of_range(&server).await {
        let Some((server, proxy, mut process)) = one_behind().await else { return };
        let _: String = server.command(&format!("XADD tower-sse {id} topic a data x")).await;
        let error = process.hub.publish("a", "refused").await.unwrap_err();
        let PublishError::Refused(reason) = error else { panic!("{about}: {error:?}") };
        let reason = format!("{reason:?}");
        assert!(reason.contains("`DEL tower-sse`"), "{about}: {reason}");
        assert!(process.health.is_ready(), "{about}");

        let _: u64 = server.command("DEL tower-sse").await;
        proxy.release();
        until(|| process.stats.losses() == 1).await;
        _ = process.publish([1]).await;
        process.reads_after_a_gap([1]).await;
    }
}

/// The process that begins the stream anew may not know these ids.
#[tokio::test]
async fn marker_is_above_the_ids_of_a_stream_that_was_just_deleted() {
    const MARK: &str = include_str!("../../../crates/tower-sse-redis/src/broker/lua/mark.lua");
    let Some(server) = Server::start().await else { return };
    let mut pipeline = redis::pipe();
    // Several streams begin in each millisecond.
    for _ in 0..200 {
        pipeline.cmd("EVAL").arg(&[MARK, "1", KEY, "empty", "0", "1000-0", "nonce", "0"]);
        for _ in 0..3 {
            pipeline.cmd("XADD").arg(&[KEY, "*", "data", "x"]);
        }
        pipeline.cmd("DEL").arg(KEY).ignore();
    }
    let mut connection = server.try_connect().await.unwrap();
    let ids: Vec<String> = pipeline.query_async(&mut connection).await.unwrap();
    let parts = ids.iter().map(|id| id.split_once('-').unwrap());
    let ids: Vec<[u64; 2]> = parts.map(|(a, b)| [a, b].map(|part| part.parse().unwrap())).collect();
    let falls = ids.windows(2).find(|pair| pair[0] >= pair[1]);
    assert_eq!(falls, None);
}
