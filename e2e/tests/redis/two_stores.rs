//! A program with two stores handles the errors of both in one `match`.

use tower_sse_sqlite::Sqlite;

use crate::*;

/// What the program does about an event that was not published.
#[derive(Debug, PartialEq)]
enum Remedy {
    FreeSpace,
    Shorten,
    TryLater,
}

fn remedy_of(error: PublishError) -> Remedy {
    let (PublishError::Refused(reason) | PublishError::TooLarge(reason)) = error else {
        panic!("{error:?}")
    };
    let error: Error = *reason.downcast().unwrap();
    match error.kind() {
        ErrorKind::OutOfResources => Remedy::FreeSpace,
        ErrorKind::TooLarge => Remedy::Shorten,
        ErrorKind::Unreachable | ErrorKind::Loading | ErrorKind::Locked => Remedy::TryLater,
        _ => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_match_handles_the_errors_of_two_stores() {
    let Some(server) = Server::start().await else { return };
    let directory = env::temp_dir().join(format!("tower-sse-two-stores-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let sqlite = Sqlite::open(directory.join("events.db")).unwrap();
    let sqlite = sqlite.pragma("max_page_count", "60").broker("news");
    let redis = server.broker().publish_deadline(SHORT_DEADLINE);
    let states: [(Health, BrokerStats); 2] =
        [(redis.health(), redis.stats()), (sqlite.health(), sqlite.stats())];
    let hubs = [Hub::connect(redis).await.unwrap(), Hub::connect(sqlite).await.unwrap()];
    for hub in &hubs {
        let event = Event::new().data("x").comment("x".repeat(1 << 20));
        let error = hub.publish("a", event).await.unwrap_err();
        assert_eq!(remedy_of(error), Remedy::Shorten);
    }

    let _: String = server.command("CONFIG SET maxmemory 1").await;
    for hub in &hubs {
        let error = loop {
            if let Err(error) = hub.publish("a", "x".repeat(50_000)).await {
                break error;
            }
        };
        assert_eq!(remedy_of(error), Remedy::FreeSpace);
    }

    for (health, stats) in &states {
        assert!(health.is_ready());
        until(|| stats.log().is_some_and(|log| log.max_events == 100_000)).await;
    }
    drop(server);
    until(|| !states[0].0.is_ready()).await;
    assert_eq!(remedy_of(hubs[0].publish("a", "x").await.unwrap_err()), Remedy::TryLater);
    fs::remove_dir_all(directory).unwrap();
}
