//! Which rows of the inbox a hub numbers, and in which order: by their commits or, if they wait
//! together, by their inserts.

use crate::*;

async fn send(client: &Sql, data: &str) {
    client.execute("select tower_sse.publish('a', $1, 'tower_sse')", &[&data]).await.unwrap();
}

#[tokio::test]
async fn transactions_are_in_the_order_of_their_commits() {
    let Some((server, mut process)) = Process::start().await else { return };
    let [first, second, third] =
        [server.connect().await, server.connect().await, server.connect().await];
    sql(&first, "begin").await;
    send(&first, "1").await;
    sql(&first, "savepoint s").await;
    send(&first, "rolled back").await;
    sql(&first, "rollback to s").await;
    send(&first, "2").await;
    sql(&second, "begin").await;
    send(&second, "3").await;
    sql(&second, "commit").await;
    process.reads([3]).await;
    sql(&third, "begin isolation level serializable").await;
    send(&third, "never").await;
    sql(&first, "commit").await;
    process.reads([1, 2]).await;
    sql(&third, "rollback").await;
    send(&third, "4").await;
    // The hub numbers the rows of the inbox before its own event.
    process.publish([5]).await;
    process.reads([4, 5]).await;
}

/// A transaction that began first publishes after another one has committed.
#[tokio::test]
async fn rows_that_wait_together_are_in_the_order_of_their_inserts() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker();
    let waker = broker.waker();
    let mut process = Process::connect(broker).await;
    let [holding, first, second] =
        [server.connect().await, server.connect().await, server.connect().await];
    sql(&first, "begin; select pg_current_xact_id()").await;
    sql(&holding, "begin; select from tower_sse.stream for update").await;
    send(&second, "1").await;
    waker();
    let waiting = "select pid::text from pg_locks where not granted";
    until_async(async || !sql(&second, waiting).await.is_empty()).await;
    send(&first, "2").await;
    sql(&first, "commit").await;
    sql(&holding, "commit").await;
    process.reads([1, 2]).await;
}

/// The process that numbers the second event has not read the first one.
#[tokio::test]
async fn event_of_another_process_comes_before_a_later_one() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    let broker = proxy.broker();
    let waker = broker.waker();
    let mut behind = Process::connect(broker).await;
    let mut other = Process::connect(server.broker()).await;
    let client = server.connect().await;
    proxy.hold().await;
    other.delivers([1]).await;
    send(&client, "2").await;
    waker();
    other.reads([2]).await;
    proxy.release();
    behind.reads([1, 2]).await;
    assert_eq!(behind.stats.losses(), 0);
}

#[tokio::test]
async fn first_visitor_that_is_cut_off_resumes_at_restarted_processes() {
    let Some(server) = Server::start().await else { return };
    first_visits_miss_nothing(async || Hub::connect(server.broker()).await.unwrap()).await;
}

#[tokio::test]
async fn forgotten_transactions_stop_no_others() {
    let Some((server, mut process)) = Process::start().await else { return };
    let [forgotten, other] = [server.connect().await, server.connect().await];
    sql(&forgotten, "begin").await;
    send(&forgotten, "50").await;
    sql(&forgotten, "prepare transaction 'forgotten'").await;
    sql(&forgotten, "begin").await;
    send(&forgotten, "51").await;
    // Every 50th batch looks at the whole inbox.
    for number in 0..50 {
        send(&other, &number.to_string()).await;
        process.reads([number]).await;
    }
    sql(&other, "commit prepared 'forgotten'").await;
    process.reads([50]).await;
    sql(&forgotten, "commit").await;
    process.reads([51]).await;
}

#[tokio::test]
async fn bulk_of_rows_is_complete_and_in_order() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect_with(large(), server.broker()).await;
    let client = server.connect().await;
    sql(
        &client,
        "insert into tower_sse.inbox (stream, topic, data)
        select 'tower_sse', 'a', n::text from generate_series(0, 12000) n",
    )
    .await;
    process.reads(0..=12_000).await;
}

/// Most polls skip a row whose transaction's id is below `Settings::covered`.
#[tokio::test]
async fn row_of_a_covered_transaction_is_found_later() {
    let Some((server, mut process)) = Process::start().await else { return };
    let client = server.connect().await;
    process.delivers([0]).await;
    // A restored dump can contain such a row.
    sql(&client, "insert into tower_sse.inbox (stream, topic, data, xid) values ('tower_sse', 'a', '1', '3')").await;
    process.reads([1]).await;
}

/// If a transaction began before another one but commits later, the next batch numbers the late
/// transaction's events.
#[tokio::test]
async fn late_commits_are_found_by_the_next_poll() {
    let Some((server, mut process)) = Process::start().await else { return };
    let [late, other] = [server.connect().await, server.connect().await];
    // Most polls look only at transactions from the id `Settings::covered` on. If this id were
    // above the late transaction's, the event would arrive only when a poll looks at the whole
    // inbox. To wait for this 20 times takes too long.
    soon(async {
        for round in 0..20 {
            sql(&late, "begin").await;
            send(&late, &(2 * round + 1).to_string()).await;
            send(&other, &(2 * round).to_string()).await;
            process.reads([2 * round]).await;
            sql(&late, "commit").await;
            process.reads([2 * round + 1]).await;
        }
    })
    .await;
}

/// The other hub's transaction has numbered an event and is still open.
#[tokio::test]
async fn hub_that_numbers_waits_for_another_that_does() {
    let Some((server, mut process)) = Process::start().await else { return };
    let (other, observer) = (server.connect().await, server.connect().await);
    let append = "begin; select from tower_sse.append('tower_sse', 0, 0, null, false, \
        array['a'], array['first'], array[null], array[null]::bigint[], array[null], \
        array[false], array[1], false)";
    sql(&other, append).await;
    let hub = process.hub.clone();
    let publishing = tokio::spawn(async move { hub.publish("a", "second").await });
    let waiting = "select pid::text from pg_locks where not granted";
    until_async(async || !sql(&observer, waiting).await.is_empty()).await;
    sql(&other, "commit").await;
    publishing.await.unwrap().unwrap();
    assert_eq!(process.client.data(2).await, ["first", "second"]);
}

pub(crate) fn large() -> HubBuilder {
    Hub::builder().retention(Retention::new().events(1_000_000).bytes(1 << 30)).max_memory(2 << 30)
}
