//! Entries whose ids cannot be those of events, because their sequence numbers would overflow or
//! break the order.

use futures_util::future::join_all;

use crate::*;

/// Returns ids that are out of range, and what a program may have meant by them.
async fn ids_out_of_range(server: &Server) -> [(&'static str, String); 5] {
    let now = server.now().await;
    [
        ("a sequence number of 65 bits", "17592186044416-0".to_owned()),
        ("no room for a marker", "17592186044415-0".to_owned()),
        ("the maximum", format!("{}-{}", u64::MAX, u64::MAX)),
        ("microseconds", format!("{}-0", now * 1000)),
        // Later than the end of the test on a busy machine.
        ("a counter above the next millisecond", format!("{}-1048576", now + 600_000)),
    ]
}

/// Removes the entries after `last`.
async fn delete_entries_after(server: &Server, last: &str) {
    let entries: Vec<(String, redis::Value)> =
        server.command(&format!("XRANGE tower-sse ({last} +")).await;
    for (id, _) in entries {
        let _: u64 = server.command(&format!("XDEL tower-sse {id}")).await;
    }
    let _: String = server.command(&format!("XSETID tower-sse {last}")).await;
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
    // At the same time, because each waits for a deadline.
    join_all(cases).await;
}

async fn check_until_gone(about: &str, id: &str, deletes_stream: bool) {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker()).await;
    let refused = Process::connect(server.broker().publish_deadline(SHORT_DEADLINE)).await;
    _ = process.publish_and_read([0]).await;
    process.reads([0]).await;
    // Not always the second one: a process can have advanced the ids.
    let first = server.newest().await;

    let _: String = server.command(&format!("XADD tower-sse {id} topic a data x")).await;
    let are_following = || process.health.is_ready() || refused.health.is_ready();
    let refuses = async {
        loop {
            let error = process.hub.publish("a", "refused").await.unwrap_err();
            assert!(matches!(error, PublishError::Refused(_)), "{about}: {error:?}");
        }
    };
    // A publisher that finds the gate shut waits for it.
    tokio::select! {
        () = refuses => {}
        () = until(|| !are_following()) => {}
    }
    let error = process.health.last_error().unwrap();
    assert!(names(&error, id), "{about}: {error}");
    let reason = refused.refusal().await;
    assert!(names(&reason.to_string(), id), "{about}: {reason}");
    // Events that were refused can have left entries too.
    let newest = server.newest().await;
    let error = Hub::connect(server.broker()).await.unwrap_err();
    assert!(names(&format!("{error:?}"), &newest), "{about}: {error:?}");

    if deletes_stream {
        let _: u64 = server.command("DEL tower-sse").await;
        _ = process.publish([1]).await;
        process.reads_gap().await;
    } else {
        delete_entries_after(&server, &first).await;
        _ = process.publish([1]).await;
    }
    process.reads([1]).await;
    assert_eq!(process.stats.losses(), u64::from(deletes_stream), "{about}");
    assert!(process.health.is_ready(), "{about}");
}

/// The publisher notices the entry before the reader.
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
