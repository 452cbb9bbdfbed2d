//! Figures of the hub beside those of pgbench with the same server in the same run.

use tokio::time::timeout;

use super::server::{Server, own, program, sql};
use crate::*;

/// Runs a statement repeatedly over several connections. Returns the transactions per second.
async fn pgbench(server: &Server, clients: usize, statement: &str) -> f64 {
    let script = server.path().join("script.sql");
    fs::write(&script, statement).unwrap();
    own(&script);
    let mut command = program("pgbench").unwrap();
    let port = server.port.to_string();
    command.args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-p", &port]);
    command.args(["-c", &clients.to_string(), "-T", &SECONDS.to_string(), "-f"]).arg(script);
    let command = command.arg("postgres").stderr(Stdio::null()).output();
    let output = String::from_utf8(command.unwrap().stdout).unwrap();
    let line = output.lines().find(|line| line.starts_with("tps = "));
    let rate = line.and_then(|line| line.split_ascii_whitespace().nth(2)?.parse().ok());
    rate.unwrap_or_else(|| panic!("{output}"))
}

fn large() -> HubBuilder {
    Hub::builder().retention(Retention::new().events(1_000_000).bytes(1 << 30)).max_memory(2 << 30)
}

fn time_of(server: &Server) -> Duration {
    let data = server.data();
    let postmaster = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let postmaster = postmaster.lines().next().unwrap();
    let mut time = Duration::ZERO;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        let fields = fields(&stat);
        if fields.get(1) == Some(&postmaster) {
            time += processor_time(&fields);
        }
    }
    time
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_keep_their_ratios() {
    let Some(server) = Server::start_with(&["fsync=on", "max_wal_size=4GB"]).await else { return };
    let client = server.connect().await;
    sql(&client, "insert into tower_sse.stream (name) values ('tower_sse')").await;
    // Measured before the load, because the server vacuums after a load.
    let mut hubs = Vec::new();
    for _ in 0..2 {
        hubs.push(large().connect(server.broker()).await.unwrap());
    }
    sleep(Duration::from_secs(2)).await;
    let before = time_of(&server);
    sleep(Duration::from_secs(10)).await;
    let idle = (time_of(&server) - before).as_secs_f64() / 10.0 / 2.0;
    println!("an idle process: {:.2} % of a processor of the server", idle * 100.0);
    drop(hubs);

    sql(
        &client,
        "create table plain (id bigint generated always as identity primary key, data text)",
    )
    .await;
    let data = "x".repeat(BYTES);
    let insert = format!("insert into plain (data) values ('{data}');");
    let publish = format!("select tower_sse.publish('b', '{data}', 'tower_sse');");
    let single = pgbench(&server, 1, &insert).await;
    let commit = Duration::from_secs_f64(1.0 / single);
    println!("pgbench, 1 connection: {single:.0} inserts/s, {commit:?} each");
    let publish_and_wake =
        format!("select tower_sse.publish('b', '{data}', 'tower_sse', wake => true);");
    let [mut with, mut without, mut woken] = [0.0_f64; 3];
    for _ in 0..2 {
        without = without.max(pgbench(&server, 20, &publish).await);
        let hub = large().connect(server.broker()).await.unwrap();
        with = with.max(pgbench(&server, 20, &publish).await);
        woken = woken.max(pgbench(&server, 20, &publish_and_wake).await);
        drop(hub);
    }
    println!(
        "20 connections that publish by SQL: {with:.0} transactions/s, {without:.0} without a hub, \
         {woken:.0} with `wake => true`"
    );

    let broker = server.broker().max_events(2_000_000);
    let waker = broker.waker();
    let mut process = connect(large(), broker).await;
    let other = connect(Hub::builder(), server.broker()).await;
    let by_hub = times(async |number| {
        let began = Instant::now();
        other.hub.publish("a", number.to_string()).await.unwrap();
        process.reads([number]).await;
        began.elapsed()
    });
    let by_hub = by_hub.await.0;
    let mut by_sql = async |wakes: bool| {
        times(async |number| {
            let insert = "select tower_sse.publish('a', $1, 'tower_sse')";
            client.execute(insert, &[&number.to_string()]).await.unwrap();
            let began = Instant::now();
            if wakes {
                waker();
            }
            process.reads([number]).await;
            began.elapsed()
        })
        .await
        .0
    };
    let (polled, woken) = (by_sql(false).await, by_sql(true).await);
    println!(
        "to a client of another process: {by_hub:?} by a hub, {polled:?} after the commit by SQL, {woken:?} with a waker"
    );

    for tasks in [1, 50, 200, 1000] {
        let rate = publishers(&process.hub, tasks).await;
        println!("{tasks} publishers: {rate:.0} events/s, {:.2} of pgbench", rate / single);
        // An event waits for its own batch's commit. With several tasks, most events also wait for
        // the previous batch. With many tasks, the processors limit the rate.
        let batches = if tasks == 1 { 1.0 } else { 2.0 };
        let time = (commit.as_secs_f64() + 0.0015) * batches;
        let least = (tasks as f64 / time).min(10_000.0);
        assert!(rate > least, "{rate} instead of {least}");
    }

    let count: usize =
        sql(&client, "select count(*)::text from tower_sse.log").await[0].parse().unwrap();
    let began = Instant::now();
    let late = timeout(PATIENCE, connect(large(), server.broker())).await.unwrap();
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("loading the history: {rate:.0} rows/s of {count}");
    drop(late);

    assert!(idle < 0.01, "{idle}");
    assert!(by_hub < commit * 2 + Duration::from_millis(10), "{by_hub:?}");
    assert!(
        polled < Duration::from_millis(90) && woken < commit * 2 + Duration::from_millis(15),
        "{polled:?} {woken:?}"
    );
    // Where the disk commits within 0.1 ms, the processors are the limit, and the hub takes a part
    // of them.
    assert!(with > without * 0.6, "{with} of {without}");
    assert!(rate > 20_000.0, "{rate}");
}
