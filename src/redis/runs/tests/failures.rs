//! What a server answers that cannot do what it should.

use super::*;

#[tokio::test]
async fn server_without_memory_is_unavailable_over_the_same_connection() {
    let Some((server, p, name)) = begun().await else { return };
    let _: String = server.command("CONFIG SET maxmemory 1").await;
    for command in [append(&name, 1, 1, "event"), claim(&run("other", "k2"))] {
        let error = p.try_execute(command).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(text) if text.starts_with("OOM")));
    }
    p.in_step(sync(&name)).await;
    assert_eq!(p.number(), 1);
}

/// After a fail-over, the connection leads to a server that is no longer the primary.
#[tokio::test]
async fn replica_is_unavailable_until_it_is_the_primary_again() {
    let Some((server, p, name)) = begun().await else { return };
    let _: String = server.command("REPLICAOF 127.0.0.1 1").await;
    let error = p.try_execute(append(&name, 1, 1, "event")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.starts_with("READONLY")));
    let mut connection = p.connection();
    let down = connection.wait_for(|connection| *connection == Connection::Down);
    _ = timeout(PATIENCE, down).await.expect("a break in time").unwrap();
    let error = p.try_execute(look(&name)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!p.health.is_ready());
    let _: String = server.command("REPLICAOF NO ONE").await;
    _ = p.reconnected_after(1).await;
}

#[tokio::test]
async fn key_of_another_type_concerns_its_run_alone() {
    let Some((server, p)) = one().await else { return };
    let (broken, sound) = (run("broken", "k1"), run("sound", "k2"));
    p.begin(&broken).await;
    p.begin(&sound).await;
    _ = server.command::<u32>("DEL app:run:{owner:broken}:k1").await;
    let _: String = server.command("SET app:run:{owner:broken}:k1 text").await;
    let results = p.store.execute(Some(1), vec![sync(&broken), sync(&sound)]).await;
    assert!(
        matches!(results[..], [Err(StoreError::Run(_)), Ok(Reply::Sync(SyncReply::InStep { .. }))]),
        "{results:?}"
    );
    assert!(matches!(p.end(&broken, EndMode::Lost).await, EndReply::Ended { .. }));
    assert_eq!(p.number(), 1);
}

#[tokio::test]
async fn server_that_evicts_keys_is_reported() {
    let Some((server, p)) = one().await else { return };
    assert!(!p.health.evicts());
    let _: String = server.command("CONFIG SET maxmemory 100mb").await;
    let _: String = server.command("CONFIG SET maxmemory-policy allkeys-lru").await;
    until("a report in time", async || p.health.evicts()).await;
}
