//! What a server answers that cannot do what it should.

use super::{commands::*, *};
use crate::runs::seam::{Connection, Failure};

/// While Redis is out of memory, no new run is claimed, and the events of running runs are refused.
/// Leases are renewed, and runs can end.
#[tokio::test]
async fn runs_without_memory_keep_their_leases_and_can_end() {
    let Some(scene) = redis().await else { return };
    scene.begin("a1").await;
    scene.expire().await;
    let _: String = scene.world.server.command("CONFIG SET maxmemory 1").await;
    for command in
        [append(&run("a1"), 1, 1, "event"), claim(&run("a2")), replace(&run("a2"), &run("a1"))]
    {
        let error = scene.p.try_execute(command).await.unwrap_err();
        assert_eq!(error, Failure::Unavailable);
    }
    assert_eq!(scene.look().await, "late 1500 a1 of p");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
    assert_eq!(scene.look().await, "live a1 of p");
    assert_eq!(scene.cancel("a1", "q").await, "ended cancelled 0");
    assert_eq!(scene.received("p").await, "hint a1");
    assert_eq!(scene.look().await, "cancelled a1");
    assert_eq!(scene.p.number(), 1, "over the same connection");
}

/// After a fail-over, the connection leads to a server that is no longer the primary.
#[tokio::test]
async fn replica_is_unavailable_until_it_is_the_primary_again() {
    let Some(scene) = redis_with(Duration::from_secs(2)).await else { return };
    scene.begin("a1").await;
    let server = &scene.world.server;
    let _: String = server.command("REPLICAOF 127.0.0.1 1").await;
    let error = scene.p.try_execute(append(&run("a1"), 1, 1, "event")).await.unwrap_err();
    assert_eq!(error, Failure::WrongServer);
    let mut connection = scene.p.connection();
    _ = soon(connection.wait_for(|connection| *connection == Connection::Down)).await.unwrap();
    let error = scene.p.try_execute(look(&run("a1"))).await.unwrap_err();
    assert_eq!(error, Failure::Unavailable);
    assert!(!scene.world.health().is_ready());
    let _: String = server.command("REPLICAOF NO ONE").await;
    _ = scene.p.reconnected_after(1).await;
}

#[tokio::test]
async fn server_that_evicts_keys_is_reported() {
    let Some(scene) = redis_with(Duration::from_secs(2)).await else { return };
    let (server, health) = (&scene.world.server, scene.world.health());
    assert!(!health.evicts());
    let _: String = server.command("CONFIG SET maxmemory 100mb").await;
    let _: String = server.command("CONFIG SET maxmemory-policy allkeys-lru").await;
    until_async(async || health.evicts()).await;
}
