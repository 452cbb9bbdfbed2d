//! Connections that break, and servers that restart.

use super::{relay::Relay, swap::Swap, *};

#[tokio::test]
async fn broken_connections_are_replaced() {
    let Some((server, p, name)) = begun().await else { return };
    let mut number = p.number();
    for kind in ["pubsub", "normal"] {
        _ = server.command::<u32>(&format!("CLIENT KILL TYPE {kind} SKIPME yes")).await;
        number = p.reconnected_after(number).await;
        p.in_step(sync(&name)).await;
        assert!(p.health.is_ready());
    }
}

/// What was exported over an earlier connection may be lost, so nothing is sent in the belief that
/// it is there.
#[tokio::test]
async fn commands_for_an_earlier_connection_are_not_sent() {
    let Some((mut server, p, name)) = begun().await else { return };
    let number = p.number();
    server.restart().await;
    let later = p.reconnected_after(number).await;
    assert!(later > number);
    let results = p.store.execute(Some(number), vec![append(&name, 1, 1, "event")]).await;
    assert!(matches!(results[..], [Err(StoreError::Unavailable(_))]), "{results:?}");
    let results = p.store.execute(Some(later), vec![look(&name)]).await;
    assert!(matches!(results[..], [Ok(Reply::Look(LookReply::Restoring))]), "{results:?}");
}

/// Until its owner has restored the claim, a run that is running is not taken for missing.
#[tokio::test]
async fn owners_learn_of_a_flush_which_frees_no_key_for_a_lease() {
    let Some((server, p, q)) = two().await else { return };
    let (lost, other) = (run("lost", "k1"), run("other", "k2"));
    p.begin(&lost).await;
    let _: String = server.command("FLUSHALL").await;
    let flushed = Instant::now();
    for command in [look(&lost), claim(&lost), look(&other)] {
        assert_eq!(q.execute(command).await, Reply::Look(LookReply::Restoring));
    }
    assert!(matches!(p.receive().await, Incoming::HintToAll));
    _ = p.execute(restore(&lost)).await;
    let reply = q.execute(look(&lost)).await;
    assert!(matches!(reply, Reply::Look(LookReply::Live { .. })), "{reply:?}");
    let is_free = async || q.execute(look(&other)).await == Reply::Look(LookReply::Free);
    until("the end of the restoration", is_free).await;
    assert!(flushed.elapsed() > LEASE / 2, "{:?}", flushed.elapsed());
}

/// It starts between the flush and the first request to the others.
#[tokio::test]
async fn process_that_starts_after_a_flush_knows_that_others_have_runs() {
    let Some((server, _p, name)) = begun().await else { return };
    let _: String = server.command("FLUSHALL").await;
    let q = Process::connect(&server, "q").await;
    assert_eq!(q.execute(look(&name)).await, Reply::Look(LookReply::Restoring));
}

/// A proxy keeps the connection of a command that timed out, and Redis executes the command later.
#[tokio::test]
async fn connection_that_timed_out_is_closed_by_its_successor() {
    let Some(server) = Server::start().await else { return };
    let relay = Relay::start(&server);
    let p = Process::connect_with(relay.redis().runs("app").lease(LEASE), "p").await.unwrap();
    let name = run("name", "k1");
    p.begin(&name).await;
    let number = p.number();
    // Only writes wait, so that the next connection can be opened meanwhile.
    let _: String = server.command("CLIENT PAUSE 60000 WRITE").await;
    let results = p.store.execute(Some(number), vec![append(&name, 1, 1, "late")]).await;
    assert!(matches!(results[..], [Err(StoreError::Lost(_))]), "{results:?}");
    _ = p.reconnected_after(number).await;
    let _: String = server.command("CLIENT UNPAUSE").await;
    assert_eq!(p.in_step(sync(&name)).await.0, 0);
}

/// All connections must lead to the same server, as long as they last.
#[tokio::test]
async fn session_ends_if_another_server_is_behind_any_of_its_connections() {
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    for connection in 0..3 {
        let swap = Swap::start(&server, &other, &format!("swap{connection}"));
        let redis = swap.redis().runs("app").lease(LEASE);
        let p = Process::connect_with(redis, "p").await.unwrap();
        let number = p.number();
        swap.swap(connection);
        _ = p.reconnected_after(number).await;
        assert!(p.health.last_error().unwrap().contains("another server answers"));
    }
}

#[tokio::test]
async fn missing_scripts_are_loaded_again() {
    let Some((server, p, name)) = begun().await else { return };
    let _: String = server.command("SCRIPT FLUSH").await;
    let commands = vec![append(&name, 1, 1, "event"), sync(&name), look(&name)];
    let results = p.store.execute(Some(1), commands).await;
    assert!(
        matches!(
            results[..],
            [
                Ok(Reply::Append(AppendReply::Appended { entries: 1 })),
                Ok(Reply::Sync(SyncReply::InStep { newest: 1, .. })),
                Ok(Reply::Look(LookReply::Live { .. })),
            ]
        ),
        "{results:?}"
    );
    let _: String = server.command("SCRIPT FLUSH").await;
    assert_eq!(p.store.load(&name, 0).await.unwrap().batches.len(), 1);
    assert_eq!(p.number(), 1, "over the same connection");
}

/// A process that has mirrors of ended runs only has nothing to check.
#[tokio::test]
async fn no_commands_leave_the_connections_open() {
    let Some((_server, p, name)) = begun().await else { return };
    assert!(p.store.execute(None, Vec::new()).await.is_empty());
    p.in_step(sync(&name)).await;
    assert_eq!(p.number(), 1, "over the same connection");
}

#[tokio::test]
async fn dropped_store_closes_its_connections() {
    let Some((server, p, name)) = begun().await else { return };
    assert!(matches!(p.end(&name, completed(0)).await, EndReply::Ended { .. }));
    let mut connection = p.connection();
    drop(p);
    let closed = connection.wait_for(|state| *state == Connection::Down);
    // The state is dropped with the store.
    _ = timeout(PATIENCE, closed).await.expect("the end in time");
    let clients = async || server.command::<String>("CLIENT LIST").await.lines().count();
    until("connections stay", async || clients().await <= 1).await;
}
