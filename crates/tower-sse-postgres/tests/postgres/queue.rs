//! The server's notification queue, which fills up while another program's listener stays in a
//! transaction.

use crate::*;

/// Replaces the server's functions for notifications. A sequence counts the refused notifications,
/// because a rollback doesn't undo the steps of a sequence.
const DOUBLE: &str = "
    create table queue (is_full boolean, is_stuck boolean);
    insert into queue values (false, false);
    create sequence failed;
    alter function pg_catalog.pg_notify(text, text) rename to real_notify;
    alter function pg_catalog.pg_notification_queue_usage() rename to real_usage;
    create function pg_catalog.pg_notify(text, text) returns void language plpgsql as $$
    begin
        if (select is_full from public.queue) then
            perform nextval('public.failed');
            raise program_limit_exceeded using
                message = 'too many notifications in the NOTIFY queue';
        end if;
        perform real_notify($1, $2);
    end $$;
    create function pg_catalog.pg_notification_queue_usage() returns float8
    language plpgsql volatile as $$
    begin
        update public.queue set is_full = is_stuck;
        return 1;
    end $$";

/// Checks that a connected process and a new process work while the queue is full.
async fn deliver_all(server: &Server, process: &mut Process) {
    process.publish([1]).await;
    let client = server.connect().await;
    sql(&client, "select tower_sse.publish('a', '2', 'tower_sse')").await;
    process.reads([1, 2]).await;
    let mut new = Process::connect(server.broker()).await;
    new.publish([3]).await;
    for process in [process, &mut new] {
        process.reads([3]).await;
        assert_eq!(process.health.reconnections(), 0);
        let error = process.health.last_error().unwrap().to_string();
        assert!(error.contains("too many notifications in the NOTIFY queue"), "{error}");
    }
}

#[tokio::test]
async fn events_arrive_while_the_queue_is_full() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, DOUBLE).await;
    let mut process = Process::connect(server.broker()).await;
    // A hub notifies only if another hub listens.
    let _listening = Process::connect(server.broker()).await;
    sql(&client, "update queue set is_full = true, is_stuck = true").await;
    deliver_all(&server, &mut process).await;
    // While the queue is full, most batches don't even try to notify.
    let failed = async || {
        sql(&client, "select last_value::text from failed").await.remove(0).parse::<u64>().unwrap()
    };
    let (before, began) = (failed().await, Instant::now());
    for number in 4..100 {
        process.hub.publish("a", number.to_string()).await.unwrap();
        process.reads([number]).await;
    }
    // The new process is gone, so only this process has tried.
    let (tried, seconds) = (failed().await - before, began.elapsed().as_secs());
    assert!(tried <= seconds + 1, "{tried} times in {seconds} s");
    // The stuck listener leaves. Hubs empty the queue and notify again.
    sql(&client, "update queue set is_stuck = false").await;
    until_async(async || {
        process.publish([0]).await;
        sql(&client, "select is_full::text from queue").await == ["false"]
    })
    .await;
    let other = Process::connect(server.broker()).await;
    assert!(other.stats.listens());
}

#[tokio::test]
async fn new_process_notifies_after_the_stuck_listener_has_left() {
    let Some(server) = Server::start().await else { return };
    sql(&server.connect().await, DOUBLE).await;
    sql(&server.connect().await, "update queue set is_full = true").await;
    let process = Process::connect(server.broker()).await;
    assert!(process.stats.listens());
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn warning_names_the_full_queue_in_place_of_a_pooler() {
    let Some(server) = Server::start().await else { return };
    sql(&server.connect().await, DOUBLE).await;
    sql(&server.connect().await, "update queue set is_full = true, is_stuck = true").await;
    let (log, _guard) = log::Log::record();
    let process = Process::connect(server.broker()).await;
    process.hub.publish("a", "1").await.unwrap();
    let lines: Vec<_> = log.lines().into_iter().filter(|line| line.contains("WARN")).collect();
    assert!(matches!(&lines[..], [line] if line.contains("too many notifications")), "{lines:?}");
}

/// In PostgreSQL 17 and later, a setting can make the queue small. By default, it holds 8 GB.
#[tokio::test]
async fn queue_that_is_really_full_stops_no_hub() {
    let Some(mut version) = program("postgres") else { return };
    let version = String::from_utf8(version.arg("--version").output().unwrap().stdout).unwrap();
    let major = version.split([' ', '.']).find_map(|part| part.parse::<u32>().ok()).unwrap();
    if major < 17 {
        // `.ci/slow postgres-versions` also runs this with newer versions.
        return;
    }
    let Some(server) = Server::start_with(&["max_notify_queue_pages=64"]).await else { return };
    let mut process = Process::connect(server.broker()).await;
    let _listening = Process::connect(server.broker()).await;
    let stuck = server.connect().await;
    sql(&stuck, "listen other").await;
    // A listener receives nothing before its transaction ends.
    sql(&stuck, "begin; select 1").await;
    let client = server.connect().await;
    let notify = "select pg_notify('other', repeat('x', 7000) || random())";
    until_async(async || client.batch_execute(notify).await.is_err()).await;
    deliver_all(&server, &mut process).await;
    // Hubs empty the queue once the listener has left.
    drop(stuck);
    until_async(async || {
        process.publish([0]).await;
        client.batch_execute(notify).await.is_ok()
    })
    .await;
}
