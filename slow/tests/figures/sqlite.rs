//! Figures of a hub over SQLite. The rates of publishing are printed beside those of a hub without
//! a broker.

use std::{env, process};

use rusqlite::Connection;

use super::file::File;
use crate::*;

pub(crate) fn own_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    processor_time(&fields(&stat)).as_secs_f64()
}

/// Returns the share of a processor that this process takes over some seconds.
async fn share() -> f64 {
    let before = own_time();
    sleep(Duration::from_secs(2 * SECONDS)).await;
    (own_time() - before) / (2 * SECONDS) as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_keep_their_bounds() {
    if let Ok(path) = env::var("TOWER_SSE_SQLITE_WRITER") {
        return write(&path).await;
    }
    let file = File::new();
    let mut process = connect(Hub::builder(), file.broker()).await;
    let quiet = share().await;
    println!("a quiet file: {:.2} % of a processor", quiet * 100.0);

    let own = times(async |_| {
        let start = Instant::now();
        let (published, _) = tokio::join!(process.hub.publish("a", "x"), process.client.next());
        published.unwrap();
        start.elapsed()
    });
    let own = own.await;
    let (program, insert) =
        (file.sql(), format!("insert into {} (topic, data) values ('a', 'x')", file.table));
    let other = times(async |_| {
        program.execute(&insert, []).unwrap();
        let committed = Instant::now();
        process.client.next().await;
        committed.elapsed()
    });
    let other = other.await;
    println!(
        "to a client, median and maximum: {own:?} by the hub, {other:?} after a commit by SQL"
    );

    let mut rates = Vec::new();
    for tasks in [1, 50, 1000] {
        let before = own_time();
        let rate = publishers(&process.hub, tasks).await;
        let each = (own_time() - before) / (rate * SECONDS as f64) * 1e6;
        let memory = publishers(&Hub::new(), tasks).await;
        println!(
            "{tasks} tasks publish: {rate:.0} events/s, each {each:.0} µs of a processor, and \
             {memory:.0} events/s without a broker"
        );
        rates.push(rate);
    }
    drop(process);

    let full = File::new();
    drop(connect(Hub::builder(), full.broker()).await);
    full.run(
        "with recursive n(n) as (select 1 union all select n + 1 from n limit 100000)
        insert into news (topic, data) select 't' || n % 100, printf('%256s', n) from n",
    );
    let builder = Hub::builder().retention(Retention::new().events(2_000));
    let start = Instant::now();
    let hub = builder.connect(full.broker().max_events(200_000)).await.unwrap();
    let started = start.elapsed();
    println!("start with 100,000 events: {started:?}");
    drop(hub);

    let reader = connect(Hub::builder(), file.broker()).await;
    let mut child = process::Command::new(env::current_exe().unwrap())
        .args(["--exact", "sqlite::figures_keep_their_bounds"])
        .env("TOWER_SSE_SQLITE_WRITER", format!("{}\n{}", file.path.display(), file.table))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    let reading = share().await;
    child.kill().unwrap();
    child.wait().unwrap();
    drop(reader);
    println!("a process that reads 1,000 events/s: {:.2} % of a processor", reading * 100.0);

    assert!(quiet <= 0.01 && reading <= 0.02);
    assert!(own.0 <= Duration::from_millis(2) && other.1 <= Duration::from_millis(30));
    assert!(rates[1] >= 20_000.0 && started <= Duration::from_secs(1));
}

/// Publishes 1,000 events a second by SQL, one in each transaction.
async fn write(target: &str) {
    let (path, table) = target.split_once('\n').unwrap();
    let program = Connection::open(path).unwrap();
    program.execute_batch("pragma synchronous = normal").unwrap();
    let insert = format!("insert into {table} (topic, data) values ('b', ?)");
    let mut next = Instant::now();
    loop {
        program.execute(&insert, ["x".repeat(BYTES)]).unwrap();
        next += Duration::from_millis(1);
        sleep(next.saturating_duration_since(Instant::now())).await;
    }
}
