//! The sizes of the log, the inbox and events: trims, counts, the cost of polls, numbering in
//! parts, and slow links.

use crate::*;

const COUNT: &str = "select count(*)::text from tower_sse.log";

#[tokio::test]
async fn log_is_trimmed_to_its_rows() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    let process = Process::connect_with(large(), server.broker().max_events(10_000)).await;
    for batch in 0..6 {
        let insert = "insert into tower_sse.inbox (stream, topic, data)
            select 'tower_sse', 'b', n::text from generate_series(1, 5000) n";
        sql(&client, insert).await;
        publish(&process.hub, "a", &batch.to_string()).await;
    }
    until_async(async || sql(&client, COUNT).await == ["10000"]).await;
    let newest = "select max(seq)::text = (select seq::text from tower_sse.log where data = '5'
        and topic = 'a') from tower_sse.log";
    assert_eq!(sql(&client, newest).await, ["t"]);
}

/// One trim must not take too long, so it removes a limited amount of data.
#[tokio::test]
async fn trim_removes_a_part_of_large_rows() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, "insert into tower_sse.stream (name) values ('large')").await;
    let insert = "insert into tower_sse.log (stream, seq, at, data)
        select 'large', n, now() - interval '1 hour', repeat('x', 1 << 20)
        from generate_series(1, 100) n";
    sql(&client, insert).await;
    let trim = async |from: u32| {
        let trim = format!(
            "select concat(first, ' ', more) from tower_sse.trim('large', {from}, 60, null, 1000)"
        );
        sql(&client, &trim).await
    };
    assert_eq!(trim(0).await, ["66 t"]);
    assert_eq!(trim(66).await, ["100 f"]);
    assert_eq!(sql(&client, COUNT).await, ["1"]);
    // The number of rows is limited too.
    sql(&client, &insert.replace("(1, 100)", "(101, 105)").replace("1 << 20", "1")).await;
    let trim = "select concat(first, ' ', more) from tower_sse.trim('large', 0, 60, null, 5)";
    assert_eq!(sql(&client, trim).await, ["105 t"]);
    assert_eq!(sql(&client, trim).await, ["105 f"]);
}

#[tokio::test]
async fn log_is_trimmed_by_age_up_to_the_newest_row() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    // Long enough that the process's client reads the rows in time, even on a busy machine.
    let brief = Retention::new().age(Duration::from_secs(3));
    let mut process = Process::connect_with(Hub::builder().retention(brief), server.broker()).await;
    process.delivers(0..20).await;
    until_async(async || sql(&client, COUNT).await == ["1"]).await;
    // From the row that is left, the process sees that nothing is missing.
    process.delivers([20]).await;
    assert_eq!(process.stats.losses(), 0);
}

/// The server's clock was a day ahead when a row was written.
#[tokio::test]
async fn row_with_a_future_time_is_trimmed_with_older_rows_after_it() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    for (ages, left) in [
        ("-86400, 3600, 3600", "1"),
        ("3600, -86400, -86400, 3600", "1"),
        ("3600, -86400, 0", "2"),
        ("-86400, 0, 0", "3"),
        // The row in the middle is young, whatever comes after it.
        ("-86400, 0, 3600", "3"),
    ] {
        let insert = format!(
            "truncate tower_sse.log; insert into tower_sse.log (stream, seq, at)
            select 's', n, clock_timestamp() - make_interval(secs => age)
            from unnest('{{{ages}}}'::float8[]) with ordinality a (age, n)"
        );
        sql(&client, &insert).await;
        sql(&client, "select from tower_sse.trim('s', 0, 600, null, 100)").await;
        assert_eq!(sql(&client, COUNT).await, [left], "{ages}");
    }
    // A call that can't get past such rows doesn't ask for another one.
    sql(&client, "update tower_sse.log set at = clock_timestamp() + interval '1 day'").await;
    let trim = "select concat(first, ' ', more) from tower_sse.trim('s', 0, 600, null, 1)";
    assert_eq!(sql(&client, trim).await, ["1 f"]);
}

#[tokio::test]
async fn short_age_of_the_log_is_refused() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().max_age(Duration::from_secs(1));
    let error = Hub::connect(broker).await.unwrap_err();
    assert!(error.to_string().contains("`max_age` is less"), "{error}");
}

#[tokio::test]
async fn rows_of_a_stream_without_a_hub_are_counted() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, "insert into tower_sse.stream (name) values ('forgotten')").await;
    let insert = "insert into tower_sse.inbox (stream, topic, data)
        select 'forgotten', 'a', '' from generate_series(1, {})";
    sql(&client, &insert.replace("{}", "7")).await;
    sql(&client, "update tower_sse.inbox set at = at - interval '1 hour' where id = 1").await;
    let process = Process::connect(server.broker()).await;
    until(|| process.stats.waiting().is_some_and(|waiting| waiting.rows == 7)).await;
    let age = process.stats.waiting().unwrap().oldest_age;
    assert!(age > Duration::from_secs(3600) && age < Duration::from_secs(3700), "{age:?}");
    let log = process.stats.log().unwrap();
    assert!(log.bytes > Some(0) && log.oldest_age < Duration::from_secs(100), "{log:?}");
    sql(&client, &insert.replace("{}", "100000")).await;
    until(|| process.stats.waiting().is_some_and(|waiting| waiting.rows > 7)).await;
    assert_eq!(process.stats.waiting().unwrap().rows, 100_000, "not more are counted");
}

/// Over a slow link, two processes can't read two large events in time. One process has published
/// the first event, and the other one is starting.
#[tokio::test]
async fn events_that_a_link_cannot_carry_are_gaps_only_there() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    let mut ahead = Process::connect_with(large(), server.broker()).await;
    let mut behind = Process::connect(proxy.broker()).await;
    behind.delivers([0]).await;
    proxy.limit(100);
    let large = "x".repeat((1 << 20) - 1);
    for publisher in [&behind, &ahead] {
        _ = publish(&publisher.hub, "b", &large).await;
    }
    ahead.publish([1]).await;
    ahead.reads([0, 1]).await;
    let starting = async {
        let connecting = timeout(2 * PATIENCE, Process::connect(proxy.broker()));
        let mut starting = connecting.await.expect("it skips the events");
        ahead.publish([2]).await;
        starting.reads([2]).await;
        starting.stats.losses()
    };
    let reading = async {
        behind.reads_gap().await;
        behind.reads_after_a_gap([1, 2]).await;
    };
    let (losses, ()) = tokio::join!(starting, reading);
    assert_eq!((ahead.stats.losses(), behind.stats.losses(), losses), (0, 2, 0));
    ahead.reads([2]).await;
    assert_eq!(ahead.hub.stats().events, 5, "the other process has them");
}

/// After the log was emptied, the process behind the slow link also skips the mark of the loss. A
/// trimmed log needs no mark.
#[tokio::test]
async fn large_event_after_a_loss_or_trim_stops_no_hub() {
    let losses_of_ahead = async |change: &str| {
        let server = Server::start().await?;
        let proxy = Proxy::start(server.port).await;
        let mut ahead = Process::connect_with(large(), server.broker()).await;
        let mut behind = Process::connect_with(large(), proxy.broker()).await;
        ahead.delivers([0]).await;
        behind.reads([0]).await;
        proxy.hold().await;
        let large = "x".repeat((1 << 20) - 1);
        let client = server.connect().await;
        if change.starts_with("truncate") {
            sql(&client, change).await;
            ahead.reads_gap().await;
            until_async(async || ahead.hub.publish("b", &*large).await.is_ok()).await;
        } else {
            _ = publish(&ahead.hub, "b", &large).await;
            sql(&client, change).await;
        }
        proxy.limit(100);
        proxy.release();
        until(|| behind.stats.losses() > 0).await;
        until(|| behind.health.is_ready()).await;
        behind.publish([1]).await;
        behind.reads_after_a_gap([1]).await;
        Some(ahead.stats.losses())
    };
    let trim = losses_of_ahead("select tower_sse.trim('tower_sse', 0, null, 1, 100)");
    let losses = tokio::join!(losses_of_ahead("truncate tower_sse.log"), trim);
    assert!(matches!(losses, (Some(1..), Some(0)) | (None, None)), "{losses:?}");
}

/// If a notification counted as a part of the response, the hub would skip an event while the
/// server is slow.
#[tokio::test]
async fn notifications_are_no_part_of_a_late_response() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    let mut process = Process::connect(proxy.broker()).await;
    process.delivers([1]).await;
    let client = server.connect().await;
    proxy.hold_requests(true);
    let error = || process.health.last_error().map_or_else(String::new, |it| it.to_string());
    until_async(async || {
        sql(&client, "select pg_notify(tower_sse.channel('tower_sse'), 'log')").await;
        error().contains("response within")
    })
    .await;
    assert!(error().contains("no response within"), "{}", error());
    proxy.hold_requests(false);
    process.delivers([2]).await;
}

/// A long transaction keeps the inbox's deleted rows on disk.
#[tokio::test]
async fn deleted_rows_cost_no_poll() {
    let Some(server) = Server::start().await else { return };
    let writing = server.connect().await;
    let client = server.connect().await;
    let mut process = Process::connect_with(large(), server.broker()).await;
    let writes = "create table other (n int); begin; insert into other values (1)";
    sql(&writing, writes).await;
    let reading = server.connect().await;
    sql(&reading, "begin isolation level repeatable read; select 1").await;
    // The writer ends. For the reader's snapshot, rows that are deleted later stay on disk.
    sql(&writing, "commit").await;
    let insert = "insert into tower_sse.inbox (stream, topic, data)
        select 'tower_sse', 'b', n::text from generate_series(1, 50000) n";
    sql(&client, insert).await;
    until_async(async || sql(&client, "select count(*)::text from tower_sse.inbox").await == ["0"])
        .await;
    let covered = "select covered::text from tower_sse.append('tower_sse', 0, 0, null, false,
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', false)";
    let covered = sql(&client, covered).await.remove(0);
    let whole = blocks_of_poll(&client, "0").await;
    let part = blocks_of_poll(&client, &covered).await;
    println!("with 50,000 deleted rows, blocks of a poll of all {whole}, of the rest {part}");
    assert!(part * 3 < whole, "{part} {whole}");
    process.delivers([1]).await;
    // A `covered` above all current ids, as after a restore, counts as zero.
    let far = "select waits::text from tower_sse.poll('tower_sse', 9e18::bigint)";
    assert_eq!(sql(&client, far).await, ["false"]);
    sql(&client, "begin; select tower_sse.publish('a', 'own', 'tower_sse')").await;
    assert_eq!(sql(&client, far).await, ["true"]);
}

/// Returns how many blocks a poll looks at. Unlike its time, the number doesn't depend on what else
/// runs.
async fn blocks_of_poll(client: &tokio_postgres::Client, covered: &str) -> u64 {
    let poll = format!("select * from tower_sse.poll('tower_sse', {covered})");
    // The session's first call parses the function.
    client.batch_execute(&poll).await.unwrap();
    let plan = sql(client, &format!("explain (analyze, buffers, timing off) {poll}")).await;
    let buffers = plan.iter().find(|line| line.contains("Buffers: shared")).unwrap();
    let counts = buffers.split(['=', ' ']).filter_map(|word| word.parse::<u64>().ok());
    counts.sum()
}

/// With old statistics, the server may not use the index on the ids. This test drops the index.
#[tokio::test]
async fn many_rows_are_numbered_soon_without_an_index_of_their_ids() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    let mut process = Process::connect_with(large(), server.broker()).await;
    process.delivers([1]).await;
    let insert = "alter table tower_sse.inbox drop constraint inbox_pkey;
        insert into tower_sse.inbox (stream, topic, data)
        select 'tower_sse', 'b', '' from generate_series(1, 60000);
        select tower_sse.publish('a', '2', 'tower_sse')";
    sql(&client, insert).await;
    process.reads([2]).await;
}

/// Numbering all rows at once could exceed a statement's time limit. Each part returns the
/// `covered` from which the next part looks for rows. This id must not pass the rows that are left,
/// nor those of a transaction that is still open.
#[tokio::test]
async fn large_rows_are_numbered_in_parts() {
    let Some(server) = Server::start().await else { return };
    let (client, late) = (server.connect().await, server.connect().await);
    sql(&client, "insert into tower_sse.stream (name) values ('tower_sse')").await;
    sql(&late, "begin; select tower_sse.publish('a', 'late', 'tower_sse')").await;
    let insert = "insert into tower_sse.inbox (stream, topic, data)
        select 'tower_sse', 'a', repeat('x', 1048576) from generate_series(1, 40) n";
    sql(&client, insert).await;
    let mut covered = "0".to_owned();
    for (more, left) in [("true", "24"), ("true", "8"), ("false", "0")] {
        let append = format!(
            "with a as (select * from tower_sse.append('tower_sse', {covered}, 0, null, false,
            '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', false))
            select more::text from a union all select covered::text from a"
        );
        let response: [String; 2] = sql(&client, &append).await.try_into().unwrap();
        assert_eq!(response[0], more);
        let waiting = "select count(*)::text from tower_sse.inbox";
        assert_eq!(sql(&client, waiting).await, [left]);
        assert_ne!(response[1], covered, "the next part begins later");
        [_, covered] = response;
        sql(&late, "commit").await;
    }
}

/// The bytes of a page are limited, because the client library buffers a whole response.
#[tokio::test]
async fn pages_are_limited_by_their_bytes() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    drop(Process::connect(server.broker()).await);
    let insert = "insert into tower_sse.inbox (stream, topic, data)
        select 'tower_sse', 'a', repeat('x', 1048576) from generate_series(1, 15) n";
    sql(&client, insert).await;
    let mut process = Process::connect_with(large(), server.broker()).await;
    process.publish([1]).await;
    let first = "select min(seq)::text from tower_sse.log";
    let first = sql(&client, first).await.remove(0);
    let page =
        format!("select count(*)::text from tower_sse.read('tower_sse', {first}, 1000, 4194304)");
    let rows: usize = sql(&client, &page).await.remove(0).parse().unwrap();
    assert!((5..10).contains(&rows), "{rows}");
    process.reads([1]).await;
}
