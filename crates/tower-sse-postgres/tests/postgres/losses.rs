//! Losses of events, and the gaps that clients receive for them.

use crate::*;

async fn two(server: &Server) -> [Process; 2] {
    [Process::connect(server.broker()).await, Process::connect(server.broker()).await]
}

async fn publish_and_read<const N: usize>(pair: &mut [Process; 2], numbers: [usize; N]) {
    pair[0].publish(numbers).await;
    for process in pair {
        process.reads(numbers).await;
    }
}

/// Connects two processes that read the events 1 to 3.
async fn pair(server: &Server) -> [Process; 2] {
    let mut pair = two(server).await;
    publish_and_read(&mut pair, [1, 2, 3]).await;
    pair
}

/// Returns a process that has read the events 1 to 4, and one that has read only event 1 and is
/// held by its proxy.
async fn ahead_and_behind(server: &Server) -> (Process, Process, Proxy) {
    let (mut ahead, behind, proxy) = one_behind_a_proxy(server).await;
    proxy.hold().await;
    ahead.delivers(2..=4).await;
    (ahead, behind, proxy)
}

/// Returns two processes that have read event 1. The second one is behind a proxy.
async fn one_behind_a_proxy(server: &Server) -> (Process, Process, Proxy) {
    let proxy = Proxy::start(server.port).await;
    let mut ahead = Process::connect(server.broker()).await;
    let mut behind = Process::connect(proxy.broker()).await;
    ahead.delivers([1]).await;
    behind.reads([1]).await;
    (ahead, behind, proxy)
}

/// Publishes an event in a process that finds a loss meanwhile, and so reconnects. After an attempt
/// with an unknown outcome, tries again only if the event is not in the log.
async fn publish_while_connections_break(server: &Server, process: &Process, number: usize) {
    let client = server.connect().await;
    let appends = "select count(*)::text from pg_stat_activity
        where state = 'active' and query like '%append%' and pid <> pg_backend_pid()";
    let published = format!("select 1 from tower_sse.log where data = '{number}'");
    loop {
        match process.hub.publish("a", number.to_string()).await {
            Ok(_) => return,
            Err(PublishError::Unknown(_)) => {
                until_async(async || sql(&client, appends).await == ["0"]).await;
                if !sql(&client, &published).await.is_empty() {
                    return;
                }
            }
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Publishes an event. In each process, reads a gap and the event, and checks that one loss was
/// found. Clients that resume from before the loss, even in a new process, also get both.
async fn reads_one_gap(server: &Server, pair: &mut [Process; 2], next: usize) {
    let last = pair[0].client.last.clone();
    publish_while_connections_break(server, &pair[0], next).await;
    let new = Process::connect(server.broker()).await;
    for process in pair.iter_mut() {
        process.reads_after_a_gap([next]).await;
        assert_eq!(process.stats.losses(), 1);
    }
    for process in [&pair[0], &pair[1], &new] {
        let mut client = Client::resume(&process.hub, &["a"], last.clone());
        client.gap("a").await;
        assert_eq!(client.data(1).await, [next.to_string()]);
    }
}

/// Runs the statement of the page `operating` before the first process starts.
#[tokio::test]
async fn restore_while_all_hubs_are_stopped_is_told_after_the_documented_statement() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    let statement = block(include_str!("../../docs/operating.md"), "sql,restored");
    let hubs = "select pid::text from pg_stat_activity where application_name like 'tower-sse%'";
    let copy = async || drop(sql(&client, "create table copy as table tower_sse.log").await);
    let put_back = async || {
        until_async(async || sql(&client, hubs).await.is_empty()).await;
        sql(&client, "truncate tower_sse.log; insert into tower_sse.log table copy").await;
        sql(&client, &statement).await;
    };
    let connect = async || Process::connect(server.broker()).await;
    hub_process::restore_is_told(connect, copy, put_back).await;
}

#[tokio::test]
async fn emptied_log_is_one_loss() {
    let Some(server) = Server::start().await else { return };
    for statements in [
        "truncate tower_sse.log",
        "truncate tower_sse.log, tower_sse.stream, tower_sse.inbox restart identity",
        "delete from tower_sse.log",
    ] {
        let mut pair = pair(&server).await;
        sql(&server.connect().await, statements).await;
        reads_one_gap(&server, &mut pair, 4).await;
    }
}

#[tokio::test]
async fn emptied_log_of_idle_processes_is_one_loss() {
    let Some(server) = Server::start().await else { return };
    #[cfg(feature = "tracing")]
    let (log, _guard) = log::Log::record();
    let mut pair = pair(&server).await;
    sql(&server.connect().await, "truncate tower_sse.log").await;
    for process in &mut pair {
        process.reads_gap().await;
    }
    publish_and_read(&mut pair, [4]).await;
    assert_eq!(pair.map(|process| process.stats.losses()), [1; 2]);
    #[cfg(feature = "tracing")]
    {
        let mut warnings = log.lines();
        warnings.retain(|line| line.contains("WARN") && line.contains("lost events"));
        assert_eq!(warnings.len(), 2, "{:?}", log.lines());
    }
}

/// Only the row that a new connection adds stays in the log, so the deleted rows look trimmed.
#[tokio::test]
async fn rows_deleted_while_a_hub_connects_are_told_to_new_processes() {
    let Some(server) = Server::start().await else { return };
    let mut pair = two(&server).await;
    publish_and_read(&mut pair, [1]).await;
    let first = pair[0].client.last.clone();
    publish_and_read(&mut pair, [2, 3]).await;
    let (connecting, deleting) = (server.connect().await, server.connect().await);
    let open = "begin; select from tower_sse.append('tower_sse', 0, 0, null, true,
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', true)";
    sql(&connecting, open).await;
    sql(&deleting, "delete from tower_sse.log").await;
    sql(&connecting, "commit").await;
    publish_and_read(&mut pair, [4]).await;
    let new = Process::connect(server.broker()).await;
    Client::resume(&new.hub, &["a"], first.clone()).gap("a").await;
    for process in &pair {
        let mut client = Client::resume(&process.hub, &["a"], first.clone());
        assert_eq!(client.data(3).await, ["2", "3", "4"]);
        assert_eq!(process.stats.losses(), 0);
    }
}

/// Deletes one row, or trims all but the newest two.
#[tokio::test]
async fn removed_rows_are_a_loss_of_processes_that_have_not_read_them() {
    for (removal, before, after) in [
        ("delete from tower_sse.log where data = '3'", 2..3, 4..5),
        ("select from tower_sse.trim('tower_sse', 0, null, 2, 100)", 2..2, 3..5),
    ] {
        let Some(server) = Server::start().await else { return };
        let (mut ahead, mut behind, proxy) = ahead_and_behind(&server).await;
        sql(&server.connect().await, removal).await;
        proxy.release();
        behind.reads(before).await;
        behind.reads_after_a_gap(after).await;
        behind.publish([5]).await;
        for process in [&mut ahead, &mut behind] {
            process.reads([5]).await;
        }
        assert_eq!([ahead.stats.losses(), behind.stats.losses()], [0, 1]);
    }
}

/// `behind` has read all rows that are then trimmed. While `behind` is held, one event is
/// published. In the second round, a new connection also adds a row.
#[tokio::test]
async fn trim_of_rows_that_were_read_is_no_gap() {
    let Some(server) = Server::start().await else { return };
    let (mut ahead, mut behind, proxy) = one_behind_a_proxy(&server).await;
    for (number, rows) in [(2, 1), (3, 2)] {
        proxy.hold().await;
        let leap = if rows == 2 { Some(Process::connect(server.broker()).await) } else { None };
        ahead.publish([number]).await;
        let trim = format!("select from tower_sse.trim('tower_sse', 0, null, {rows}, 100)");
        sql(&server.connect().await, &trim).await;
        let kinds = "select string_agg(kind::text, ' ' order by seq) from tower_sse.log";
        assert_eq!(sql(&server.connect().await, kinds).await, [["0", "3 0"][rows - 1]]);
        drop(leap);
        proxy.release();
        for process in [&mut ahead, &mut behind] {
            process.reads([number]).await;
        }
    }
    assert_eq!([ahead.stats.losses(), behind.stats.losses()], [0, 0]);
}

/// The client's last event directly precedes the row that a new connection adds. That event is
/// older than the new process's history, or was trimmed.
#[tokio::test]
async fn history_that_begins_after_a_row_without_an_event_is_no_gap() {
    for statement in [
        "update tower_sse.log set at = at - interval '70 minutes'",
        "select tower_sse.trim('tower_sse', 0, null, 1, 100)",
    ] {
        let Some(server) = Server::start().await else { return };
        let hour = Retention::new().age(Duration::from_secs(3600));
        let connect =
            async || Process::connect_with(Hub::builder().retention(hour), server.broker()).await;
        let mut process = connect().await;
        process.delivers([1]).await;
        let last = process.client.last.clone();
        drop(connect().await);
        let client = server.connect().await;
        let kinds = "select string_agg(kind::text, ' ' order by seq) from tower_sse.log";
        assert_eq!(sql(&client, kinds).await, ["2 0 3"]);
        sql(&client, statement).await;
        process.publish([2]).await;
        let new = connect().await;
        let mut returning = Client::resume(&new.hub, &["a"], last);
        assert_eq!(returning.data(1).await, ["2"], "{statement}");
    }
}

/// The restored state has the event in its inbox, so a hub numbers the event again.
#[tokio::test]
async fn event_of_a_restored_inbox_is_received_again_after_the_gap() {
    let Some(mut server) = Server::start().await else { return };
    let mut pair = two(&server).await;
    // Holding the stream's row keeps hubs from numbering the event before the snapshot.
    let holding = server.connect().await;
    sql(&holding, "begin; select from tower_sse.stream for update").await;
    sql(&server.connect().await, "select tower_sse.publish('a', '1', 'tower_sse')").await;
    server.take_snapshot().await;
    for process in &mut pair {
        process.reads([1]).await;
    }
    server.restart_with_snapshot().await;
    for process in &mut pair {
        process.reads_after_a_gap([1]).await;
        assert_eq!(process.stats.losses(), 1);
    }
}

/// Rows are restored while the hubs' connections stay open. The call of `append` stands for a
/// process that has read no newer rows and assigns the next numbers.
#[tokio::test]
async fn events_in_numbers_that_are_given_again_precede_the_gap() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    let (mut ahead, mut behind, proxy) = one_behind_a_proxy(&server).await;
    sql(&client, "create table copy as select * from tower_sse.log").await;
    proxy.hold().await;
    ahead.delivers([2]).await;
    // Event 4 gets the number after the one that `ahead` has read.
    let overtake = "begin; select from tower_sse.stream for update;
        truncate tower_sse.log; insert into tower_sse.log select * from copy;
        select from tower_sse.append('tower_sse', 0, 0, null, false, '{a, a}', '{3, 4}',
            '{null, null}', '{null, null}', '{null, null}', '{f, f}', '{1, 2}', true); commit";
    sql(&client, overtake).await;
    ahead.reads([4]).await;
    ahead.reads_gap().await;
    proxy.release();
    behind.reads([3, 4]).await;
    behind.reads_gap().await;
    publish_while_connections_break(&server, &ahead, 5).await;
    for process in [&mut ahead, &mut behind] {
        process.reads([5]).await;
        assert_eq!(process.stats.losses(), 1);
    }
}

/// If the row that a process read last is deleted, the process can't tell this from an older copy
/// of the log.
#[tokio::test]
async fn deleted_row_that_a_process_read_last_is_a_loss_of_all() {
    let Some(server) = Server::start().await else { return };
    let proxies = [Proxy::start(server.port).await, Proxy::start(server.port).await];
    let mut ahead = Process::connect(server.broker()).await;
    let mut last = Process::connect(proxies[0].broker()).await;
    let mut behind = Process::connect(proxies[1].broker()).await;
    ahead.publish([1]).await;
    behind.reads([1]).await;
    proxies[1].hold().await;
    ahead.publish([2]).await;
    last.reads(1..=2).await;
    proxies[0].hold().await;
    ahead.publish([3]).await;
    ahead.reads(1..=3).await;
    sql(&server.connect().await, "delete from tower_sse.log where data = '2'").await;
    for proxy in &proxies {
        proxy.release();
    }
    ahead.reads_gap().await;
    last.reads([3]).await;
    last.reads_gap().await;
    // One gap for the missing row, and one for the mark that `last` adds.
    behind.reads_after_a_gap([3]).await;
    behind.reads_gap().await;
    publish_while_connections_break(&server, &ahead, 4).await;
    for process in [&mut ahead, &mut last, &mut behind] {
        process.reads([4]).await;
    }
}

/// A standby that has received none of the events becomes the primary.
#[tokio::test]
async fn promoted_standby_that_lags_is_one_loss() {
    let Some(mut primary) = Server::start().await else { return };
    let directory = Directory::new("standby");
    server::own(directory.path());
    let mut backup = program("pg_basebackup").unwrap();
    let port = primary.port.to_string();
    backup.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port]);
    run(backup.args(["-c", "fast", "--no-sync", "-D"]).arg(directory.path().join("data")));
    fs::write(directory.path().join("data/standby.signal"), "").unwrap();
    let standby = Server::start_in(directory, &[]).await;
    let address = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=postgres",
        standby.port, primary.port
    );
    let broker = || broker_at(&address);
    let mut pair = [Process::connect(broker()).await, Process::connect(broker()).await];
    publish_and_read(&mut pair, [1, 2, 3]).await;
    primary.stop(Stop::Immediate);
    run(program("pg_ctl").unwrap().args(["promote", "-D"]).arg(standby.data()));
    until(|| pair.iter().all(|process| process.health.reconnections() == 1)).await;
    reads_one_gap(&standby, &mut pair, 4).await;
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Starts a process that has published event 2, but can't read it until the proxy is released.
async fn with_an_unread_event() -> Option<(Server, Proxy, Process)> {
    let server = Server::start().await?;
    let proxy = Proxy::start(server.port).await;
    let mut process = Process::connect(proxy.broker()).await;
    process.delivers([1]).await;
    proxy.hold().await;
    process.publish([2]).await;
    Some((server, proxy, process))
}

/// Another event now has the acknowledged event's number. Only the publisher can notice this.
#[tokio::test]
async fn acknowledged_event_in_whose_place_is_another_one_is_a_loss() {
    let Some((server, proxy, mut process)) = with_an_unread_event().await else { return };
    let overtake = "update tower_sse.log set nonce = 7, data = '3' where data = '2'";
    sql(&server.connect().await, overtake).await;
    proxy.release();
    process.reads([3]).await;
    process.reads_gap().await;
    assert_eq!(process.stats.losses(), 1);
}

/// In an older copy without the acknowledged event, the process numbers an event published by SQL.
/// The acknowledged number may already be a client's last event id.
#[tokio::test]
async fn number_of_an_acknowledged_event_is_not_given_again() {
    let Some((server, proxy, mut process)) = with_an_unread_event().await else { return };
    let client = server.connect().await;
    let replace = "delete from tower_sse.log where data = '2' returning seq::text";
    let acknowledged = sql(&client, replace).await;
    sql(&client, "select tower_sse.publish('a', '3', 'tower_sse', wake => true)").await;
    proxy.release();
    process.reads_after_a_gap([3]).await;
    let number = sql(&client, "select seq::text from tower_sse.log where data = '3'").await;
    assert!(number > acknowledged, "{number:?} after {acknowledged:?}");
}

/// A new process adds a row of kind 3 (a leap) to an older copy of the log, whose earlier rows are
/// then trimmed. By the numbers, nothing is missing after the last event that was read. Only the
/// publisher can notice the loss.
#[tokio::test]
async fn acknowledged_event_lost_before_a_leap_and_a_trim_is_a_loss() {
    let Some((server, proxy, mut process)) = with_an_unread_event().await else { return };
    let client = server.connect().await;
    sql(&client, "delete from tower_sse.log where data = '2'").await;
    let _other = Process::connect(server.broker()).await;
    sql(&client, "select from tower_sse.trim('tower_sse', 0, null, 1, 100)").await;
    assert_eq!(sql(&client, "select kind::text from tower_sse.log").await, ["3"]);
    proxy.release();
    process.reads_gap().await;
    assert_eq!(process.stats.losses(), 1);
}

/// Each of the two processes finds that its event is missing before one of them marks the loss.
#[tokio::test]
async fn loss_that_two_processes_find_at_once_is_marked_once() {
    let Some(server) = Server::start().await else { return };
    let proxies = [Proxy::start(server.port).await, Proxy::start(server.port).await];
    let mut pair =
        [Process::connect(proxies[0].broker()).await, Process::connect(proxies[1].broker()).await];
    pair[0].publish([1]).await;
    for (process, proxy) in pair.iter_mut().zip(&proxies) {
        process.reads([1]).await;
        proxy.hold().await;
    }
    pair[0].publish([2]).await;
    pair[1].publish([3]).await;
    let (holding, client) = (server.connect().await, server.connect().await);
    let overtake = "update tower_sse.log set nonce = nonce + 1, data = data::int + 2
        where data in ('2', '3')";
    sql(&client, overtake).await;
    sql(&holding, "begin; select from tower_sse.stream for update").await;
    proxies.iter().for_each(Proxy::release);
    let waiting = async || sql(&client, "select pid::text from pg_locks where not granted").await;
    until_async(async || waiting().await.len() >= 2).await;
    sql(&holding, "commit").await;
    for process in &mut pair {
        process.reads([4, 5]).await;
        process.reads_gap().await;
    }
    pair[0].publish([6]).await;
    for process in &mut pair {
        process.reads([6]).await;
        assert_eq!(process.stats.losses(), 1);
    }
}

/// No process knows that the log is an older copy. Lost numbers must not be assigned again.
#[tokio::test]
async fn numbers_leap_over_a_loss_that_no_process_knows() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    let mut process = Process::connect(server.broker()).await;
    process.delivers([1]).await;
    sql(&client, "create table copy as select * from tower_sse.log").await;
    process.delivers(2..=30).await;
    let last: Option<LastEventId> = process.client.last.clone();
    drop(process);
    sql(&client, "truncate tower_sse.log; insert into tower_sse.log select * from copy").await;
    let process = Process::connect(server.broker()).await;
    process.publish([31]).await;
    let mut returning = Client::resume(&process.hub, &["a"], last);
    assert_eq!(returning.data(1).await, ["31"]);
}

/// Stands for the promotion of a standby.
pub(crate) const PROMOTE: &str =
    "create or replace function tower_sse.cluster() returns text language sql
        as $$ select 'another' $$";

/// Only the schema's function `cluster` shows new processes that the data come from a standby or a
/// backup.
#[tokio::test]
async fn other_cluster_is_a_loss_that_no_process_remembers() {
    let Some((server, mut process)) = Process::start().await else { return };
    process.delivers([1]).await;
    let last = process.client.last.clone();
    drop(process);
    sql(&server.connect().await, PROMOTE).await;
    for _ in 0..2 {
        let process = Process::connect(server.broker()).await;
        let mut returning = Client::resume(&process.hub, &["a"], last.clone());
        returning.gap("a").await;
        process.publish([2]).await;
        assert_eq!(returning.data(1).await, ["2"]);
        // Besides the mark at the log's beginning, there is only one more.
        let marks = "select count(*)::text from tower_sse.log where kind = 2";
        assert_eq!(sql(&server.connect().await, marks).await, ["2"]);
        sql(&server.connect().await, "delete from tower_sse.log where data = '2'").await;
    }
}

/// An event that a client has received must be on disk, even if the role's commits don't wait.
#[tokio::test]
async fn crash_loses_nothing_if_commits_do_not_wait() {
    // With these settings, the server writes a commit to disk at once only if the commit waits.
    let settings = ["synchronous_commit=off", "wal_writer_delay=10s", "wal_writer_flush_after=0"];
    let Some(mut server) = Server::start_with(&settings).await else { return };
    let mut pair = pair(&server).await;
    server.stop(Stop::Immediate);
    server.restart().await;
    until(|| pair.iter().all(|process| process.health.reconnections() == 1)).await;
    publish_and_read(&mut pair, [4]).await;
    assert_eq!(pair.map(|process| process.stats.losses()), [0; 2]);
}

#[tokio::test]
async fn connections_to_two_servers_are_refused() {
    let (Some(old), Some(new)) = (Server::start().await, Server::start().await) else { return };
    let proxy = Proxy::start(old.port).await;
    proxy.alternate_with(new.port);
    let error = Hub::connect(proxy.broker()).await.unwrap_err();
    assert!(error.to_string().contains("different servers"), "{error}");
}

/// The system accepts connections for a server that hangs.
#[tokio::test]
async fn hub_connects_although_another_server_of_the_list_does_not_answer() {
    let Some(server) = Server::start().await else { return };
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = format!("{},{}", hanging.local_addr().unwrap().port(), server.port);
    let address = format!("host=127.0.0.1,127.0.0.1 port={ports} user=postgres dbname=postgres");
    let mut connecting = JoinSet::new();
    for _ in 0..8 {
        connecting.spawn(Hub::connect(broker_at(&address)));
    }
    while let Some(connected) = connecting.join_next().await {
        connected.unwrap().unwrap();
    }
}
