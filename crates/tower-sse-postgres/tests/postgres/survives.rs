//! Faults of servers, processes and clients while programs publish by SQL: clients get every event
//! or a gap.

use std::ops::RangeInclusive;

use crate::*;

/// Publishes events in one transaction of a new connection.
async fn insert(server: &Server, numbers: RangeInclusive<usize>) {
    let (first, last) = numbers.into_inner();
    let insert = format!(
        "insert into tower_sse.inbox (stream, topic, data)
        select 'tower_sse', 'a', n from generate_series({first}, {last}) n"
    );
    sql(&server.connect().await, &insert).await;
}

#[tokio::test]
async fn backup_put_back_is_a_gap_before_later_events() {
    let Some((mut server, mut process)) = Process::start().await else { return };
    insert(&server, 1..=5).await;
    process.reads(1..=5).await;
    server.take_snapshot().await;
    insert(&server, 6..=100).await;
    process.reads(6..=100).await;
    let last = process.client.last.clone();
    server.restart_with_snapshot().await;
    insert(&server, 101..=120).await;
    process.reads_after_a_gap(101..=120).await;
    let new = Process::connect(server.broker()).await;
    for hub in [&process.hub, &new.hub] {
        let mut returning = Client::resume(hub, &["a"], last.clone());
        returning.gap("a").await;
        assert_eq!(
            returning.data(20).await,
            (101..=120).map(|n| n.to_string()).collect::<Vec<_>>()
        );
    }
}

/// After a crash, the server may assign the ids of rolled-back transactions again.
#[tokio::test]
async fn page_rendered_before_a_crash_receives_all_later_events() {
    let Some((mut server, mut process)) = Process::start().await else { return };
    insert(&server, 1..=1).await;
    process.reads([1]).await;
    let client = server.connect().await;
    for _ in 0..60 {
        sql(&client, "begin; select tower_sse.publish('a', '', 'tower_sse'); rollback").await;
    }
    let rendered = LastEventId::from(process.hub.position());
    server.stop(Stop::Immediate);
    server.restart().await;
    insert(&server, 2..=11).await;
    let new = Process::connect(server.broker()).await;
    for hub in [&process.hub, &new.hub] {
        let mut page = Client::resume(hub, &["a"], Some(rendered.clone()));
        assert_eq!(page.data(10).await, (2..=11).map(|n| n.to_string()).collect::<Vec<_>>());
    }
    process.reads(2..=11).await;
    assert_eq!(process.stats.losses(), 0);
}

/// A proxy holds the connection by which the process reads, as if the process were suspended.
#[tokio::test]
async fn paused_process_receives_every_event_or_a_gap() {
    let Some((server, mut process)) = Process::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    let mut paused = Process::connect(proxy.broker()).await;
    proxy.hold().await;
    insert(&server, 1..=1500).await;
    process.reads(1..=1500).await;
    proxy.release();
    paused.reads(1..=1500).await;

    proxy.hold().await;
    insert(&server, 1501..=3000).await;
    process.reads(1501..=3000).await;
    let trim = "delete from tower_sse.log
        where seq <= (select seq from tower_sse.log where data = '2500')";
    sql(&server.connect().await, trim).await;
    proxy.release();
    paused.reads_after_a_gap(2501..=3000).await;
}

#[tokio::test]
async fn client_that_stops_reading_gets_a_gap_for_what_it_misses() {
    let Some(server) = Server::start().await else { return };
    let brief = Retention::new().events(100);
    let mut process = Process::connect_with(Hub::builder().retention(brief), server.broker()).await;
    insert(&server, 1..=1).await;
    process.reads([1]).await;
    let mut other = Client::connect(&process.hub, &["b"]);
    insert(&server, 2..=20_000).await;
    sql(&server.connect().await, "select tower_sse.publish('b', '', 'tower_sse')").await;
    other.data(1).await;
    process.reads_after_a_gap(19_901..=20_000).await;
}

/// One transaction is in the same database, the other in another database of the server.
#[tokio::test]
async fn open_transaction_of_another_program_delays_and_loses_nothing() {
    let Some((server, mut process)) = Process::start().await else { return };
    let beside = server.connect().await;
    sql(&beside, "create database other").await;
    let address = server.address().replace("dbname=postgres", "dbname=other");
    let elsewhere = connect(&address).await.unwrap();
    for open in [&beside, &elsewhere] {
        sql(open, "begin; create table written ()").await;
    }
    insert(&server, 1..=1500).await;
    process.reads(1..=1500).await;
    let waits = "select count(*)::text from tower_sse.inbox";
    assert_eq!(sql(&server.connect().await, waits).await, ["0"]);
    for open in [&beside, &elsewhere] {
        sql(open, "commit").await;
    }
    insert(&server, 1501..=1502).await;
    process.reads(1501..=1502).await;
    assert_eq!(process.stats.losses(), 0);
}
