//! Errors that publishers get, and the time limit for connecting.

use crate::*;

#[tokio::test]
async fn server_that_refuses_writes_refuses_the_event() {
    let Some((server, proxy, Process { hub, mut client, .. })) = one_behind().await else { return };
    for (before, reason, kind, after) in [
        ("CONFIG SET maxmemory 1", "OOM", ErrorKind::OutOfResources, "CONFIG SET maxmemory 0"),
        (
            "CONFIG SET min-replicas-to-write 1",
            "NOREPLICAS",
            ErrorKind::ReadOnly,
            "CONFIG SET min-replicas-to-write 0",
        ),
        ("REPLICAOF 127.0.0.1 1", "READONLY", ErrorKind::ReadOnly, "REPLICAOF NO ONE"),
        (
            "ACL SETUSER default -xadd",
            "NOPERM",
            ErrorKind::NotPermitted,
            "ACL SETUSER default +@all",
        ),
    ] {
        // Without this hold, the reader could learn of the change first, and the process would
        // refuse the event itself.
        proxy.hold();
        let _: String = server.command(before).await;
        let error = hub.publish("a", reason).await.unwrap_err();
        assert_eq!(kind_of(&error), kind);
        let PublishError::Refused(refused) = error else { panic!("{reason}: {error:?}") };
        let text = format!("{refused:?}").to_uppercase();
        assert!(text.contains(reason), "{reason}: {text}");
        let _: String = server.command(after).await;
        proxy.release();
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = hub.publish("a", format!("after {reason}")).await {
            assert!(matches!(error, PublishError::Refused(_)), "{error:?}");
            assert!(Instant::now() < deadline);
        }
        assert_eq!(client.data(1).await, [format!("after {reason}")]);
    }
}

/// Returns the kind of a refusal, as the documentation shows.
#[track_caller]
fn kind_of(error: &PublishError) -> ErrorKind {
    let PublishError::Refused(reason) = error else { panic!("{error:?}") };
    reason.downcast_ref::<Error>().expect("an error of Redis").kind()
}

#[tokio::test]
async fn refusal_without_a_connection_has_the_kind_of_the_last_failure() {
    let Some(server) = Server::start().await else { return };
    let _: String = server.command("ACL SETUSER app on >secret ~* &* +@all").await;
    let proxy = Proxy::start(server.port()).await;
    let url = proxy.url().replace("//", "//app:secret@");
    let broker = patient(Redis::open(&url).unwrap()).publish_deadline(SHORT_DEADLINE);
    let Process { hub, health, .. } = Process::connect(broker).await;

    proxy.switch_to(free_port());
    until(|| !health.is_ready()).await;
    let error = hub.publish("a", "x").await.unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::Unreachable);

    let _: usize = server.command("ACL DELUSER app").await;
    proxy.switch_to(server.port());
    let is_told = |error: Error| error.to_string().contains("Password authentication failed");
    until(|| health.last_error().is_some_and(is_told)).await;
    let error = hub.publish("a", "x").await.unwrap_err();
    assert_eq!(kind_of(&error), ErrorKind::NotPermitted);
}

/// The listener accepts connections, and never answers.
#[tokio::test(start_paused = true)]
async fn connecting_takes_no_longer_than_the_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    for (seconds, redis) in [
        (3, Redis::open(&url).unwrap()),
        (7, Redis::open(&url).unwrap().timeout(Duration::from_secs(7))),
    ] {
        let started = Instant::now();
        let error = Hub::connect(redis.broker(KEY)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
        assert_eq!(started.elapsed().as_secs(), seconds);
    }
}

#[test]
#[should_panic(expected = "a timeout must not be less than 3s")]
fn timeout_that_ends_each_wait_for_events_is_refused() {
    _ = Redis::open("redis://localhost/").unwrap().timeout(Duration::from_secs(2));
}
