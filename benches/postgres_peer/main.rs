//! The hub over PostgreSQL beside pg-bus, a crate that also publishes in the program's
//! transactions: `.ci/slow postgres-peer`. Both sides use their defaults, with two exceptions. The
//! peer's schema is renamed, because PostgreSQL reserves the prefix of the default name. The hub's
//! limits are raised to hold the events of the last part. Each side runs in a new database of one
//! server.
//!
//! Other work on the machine changes all figures. So each round measures the peer before and after
//! the hub, and divides the hub's figure by the mean of the peer's two figures. The medians of
//! these ratios count. The ratio of the peer's two figures is the control: a time may exceed its
//! bound by this ratio, but at most by a quarter.

#![cfg(target_os = "linux")]

mod ours;
#[path = "../../crates/tower-sse-postgres/tests/postgres/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../../tests/support/programs.rs"]
mod support;
mod theirs;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{collections::HashMap, env, fs, sync::Arc, time::Duration};

use futures_util::future::join_all;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, Postgres, Transaction, pool::PoolConnection};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use ours::{Ours, Wake};
use server::Server;
use support::PATIENCE;
use theirs::Theirs;

/// How long each part of a round is measured, except the part with [`Side::publish_many`].
const SECONDS: u64 = 6;
/// The number of events a second that are published one by one.
const RATE: u64 = 20;
const BYTES: usize = 100;
/// The number of events of a statement that publishes many.
const MANY: u64 = 1000;
/// The number of statements with [`MANY`] events that each connection executes.
const STATEMENTS: u64 = 50;

/// A connected process that delivers events to one client.
trait Side: Sized + Send + Sync + 'static {
    async fn connect(pool: &PgPool, server: &Server, database: &str) -> Self;
    fn publish(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        data: &str,
    ) -> impl Future<Output = ()> + Send;
    /// Does what the program has to do after the commit.
    fn committed(&self);
    /// Publishes [`MANY`] events in one transaction.
    fn publish_many(&self, connection: &mut PgConnection) -> impl Future<Output = ()> + Send;
    /// Starts a client that counts the events it receives.
    async fn count(&self) -> Arc<AtomicU64>;
}

/// The figures of a side by their names, with one figure for each round.
#[derive(Default)]
struct Figures(HashMap<&'static str, Vec<f64>>);

impl Figures {
    fn add(&mut self, name: &'static str, figure: f64) {
        self.0.entry(name).or_default().push(figure);
    }
}

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Returns the processor time of each process that the server's first process has started.
fn times_of(server: &Server) -> HashMap<String, Duration> {
    let postmaster = fs::read_to_string(server.data().join("postmaster.pid")).unwrap();
    let postmaster = postmaster.lines().next().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let parent = stat.rsplit(')').next()?.split_ascii_whitespace().nth(1)?;
        let times = fs::read_to_string(process.path().join("schedstat")).ok()?;
        let time = times.split(' ').next()?.parse().ok()?;
        let id = process.file_name().into_string().ok()?;
        (parent == postmaster).then_some((id, Duration::from_nanos(time)))
    });
    processes.collect()
}

/// Returns the processor time that the server's processes in `before` have used since then, in
/// milliseconds.
fn spent(server: &Server, before: &HashMap<String, Duration>) -> f64 {
    let now = times_of(server).into_iter();
    let spent = now.map(|(id, time)| time.saturating_sub(before.get(&id).copied().unwrap_or(time)));
    spent.sum::<Duration>().as_secs_f64() * 1e3
}

async fn until(count: &AtomicU64, expected: u64) {
    let waiting = async {
        while count.load(Relaxed) < expected {
            sleep(Duration::from_micros(100)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{} events of {expected}", count.load(Relaxed));
}

async fn connection(pool: &PgPool) -> PoolConnection<Postgres> {
    pool.acquire().await.unwrap()
}

/// Measures one side in a new database and adds its figures.
async fn round<S: Side>(server: &Server, database: &str, figures: &mut Figures) {
    let admin = server.connect().await;
    server::sql(&admin, &format!("create database {database}")).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{database}", server.port);
    let pool = PgPoolOptions::new().max_connections(20).connect(&url).await.unwrap();
    // Open the connections first, because `spent` leaves out processes that start later.
    drop(join_all((0..8).map(|_| connection(&pool))).await);
    let idle = async || {
        sleep(Duration::from_secs(1)).await;
        let before = times_of(server);
        sleep(Duration::from_secs(SECONDS)).await;
        spent(server, &before) / (SECONDS as f64 * 1e3) * 100.0
    };
    let own = idle().await;
    let side = Arc::new(S::connect(&pool, server, database).await);
    let count = side.count().await;
    let data = "x".repeat(BYTES);

    figures.add("idle", idle().await - own);

    let mut publishing = connection(&pool).await;
    let (mut delays, mut expected) = (Vec::new(), 0);
    let mut before = HashMap::new();
    let began = Instant::now();
    for number in 0..SECONDS * RATE + RATE {
        sleep_until(began + Duration::from_millis(number * 1000 / RATE)).await;
        if number == RATE {
            // By now, the connections have prepared their statements.
            before = times_of(server);
            delays.clear();
        }
        let mut transaction = sqlx::Connection::begin(&mut *publishing).await.unwrap();
        side.publish(&mut transaction, &data).await;
        let committed = Instant::now();
        transaction.commit().await.unwrap();
        side.committed();
        expected += 1;
        until(&count, expected).await;
        delays.push(committed.elapsed().as_secs_f64() * 1e3);
    }
    figures.add("an event", spent(server, &before) / (SECONDS * RATE) as f64);
    delays.sort_by(f64::total_cmp);
    figures.add("p50", delays[delays.len() / 2]);
    drop(publishing);

    let before = times_of(server);
    let began = Instant::now();
    let published = load(&pool, 8, Arc::clone(&side), async |side, connection| {
        let mut published = 0;
        while began.elapsed() < Duration::from_secs(SECONDS) {
            let mut transaction = sqlx::Connection::begin(&mut *connection).await.unwrap();
            side.publish(&mut transaction, "x").await;
            transaction.commit().await.unwrap();
            side.committed();
            published += 1;
        }
        published
    });
    let published = published.await;
    figures.add("transactions", published as f64 / began.elapsed().as_secs_f64());
    expected += published;
    until(&count, expected).await;
    figures.add("a transaction", spent(server, &before) / published as f64);

    let before = times_of(server);
    let began = Instant::now();
    let published = load(&pool, 2, Arc::clone(&side), async |side, connection| {
        for _ in 0..STATEMENTS {
            side.publish_many(connection).await;
            side.committed();
        }
        STATEMENTS * MANY
    });
    let published = published.await;
    figures.add("many", published as f64 / began.elapsed().as_secs_f64());
    until(&count, expected + published).await;
    figures.add("a row", spent(server, &before) * 1e3 / published as f64);
    figures.add("received", published as f64 / began.elapsed().as_secs_f64());
    drop(side);
    pool.close().await;
    let drop = format!("drop database {database} with (force)");
    server::sql(&admin, &drop).await;
}

/// Publishes over some connections at the same time. Returns the number of events.
async fn load<S: Side>(
    pool: &PgPool,
    connections: usize,
    side: Arc<S>,
    publish: impl AsyncFn(&S, &mut PgConnection) -> u64 + Copy,
) -> u64 {
    let mut loads = Vec::new();
    for _ in 0..connections {
        let (mut connection, side) = (connection(pool).await, Arc::clone(&side));
        loads.push(async move { publish(&side, &mut connection).await });
    }
    join_all(loads).await.into_iter().sum()
}

/// Returns two medians of ratios: of the hub's figure to the mean of the peer's two figures, and of
/// the peer's larger figure to its smaller figure.
fn compare(ours: &[f64], before: &[f64], after: &[f64]) -> (f64, f64) {
    let peer = before.iter().zip(after);
    let ratios = ours.iter().zip(peer.clone()).map(|(ours, (a, b))| 2.0 * ours / (a + b));
    (median(ratios), median(peer.map(|(a, b)| a.max(*b) / a.min(*b))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hub_keeps_its_ratios_to_its_peer() {
    let rounds = env::var("TOWER_SSE_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let settings = ["fsync=on", "max_wal_size=4GB", "shared_buffers=128MB"];
    let Some(server) = Server::start_with(&settings).await else { return };
    let [mut before, mut waker, mut after, mut wake, mut none]: [Figures; 5] = Default::default();
    for number in 0..rounds {
        round::<Theirs>(&server, &format!("before{number}"), &mut before).await;
        round::<Ours<{ Wake::WAKER }>>(&server, &format!("waker{number}"), &mut waker).await;
        round::<Theirs>(&server, &format!("after{number}"), &mut after).await;
        round::<Ours<{ Wake::SQL }>>(&server, &format!("wake{number}"), &mut wake).await;
        round::<Ours<{ Wake::NONE }>>(&server, &format!("none{number}"), &mut none).await;
    }
    println!("| | pg-bus | waker | `wake => true` | neither | waker / pg-bus | control |");
    println!("|---|---|---|---|---|---|---|");
    // The bound of the hub's figure as a multiple of the peer's, and whether less is better. An
    // infinite bound is not checked.
    let rows = [
        ("p50", "commit to client, p50, ms", 1.2, true),
        ("idle", "idle: % of a processor above the server's own", f64::INFINITY, true),
        ("an event", "processor time of the server for an event, ms", 1.1, true),
        ("transactions", "transactions a second, 8 connections", 1.5, false),
        ("a transaction", "processor time of the server for one of them, ms", f64::INFINITY, true),
        ("many", "events a second, 2 connections, INSERT of 1,000: committed", 1.0, false),
        ("received", "… and received", 1.0, false),
        ("a row", "processor time of the server for one of them, µs", 1.1, true),
    ];
    let mut missed = Vec::new();
    for (name, row, bound, is_less_better) in rows {
        let [before, waker, after, wake, none] =
            [&before, &waker, &after, &wake, &none].map(|side| &*side.0[name]);
        let (ratio, control) = compare(waker, before, after);
        let peer = [before, after].concat();
        let cells = [&*peer, waker, wake, none].map(|it| format!(" {:.3} |", median(it.to_vec())));
        println!("| {row} |{} {ratio:.2} | {control:.2} |", cells.concat());
        let excess = if is_less_better { ratio / bound } else { bound / ratio };
        let allowed = if is_less_better { control.min(1.25) } else { 1.0 };
        // An idle peer takes almost no processor time, so the ratio of `idle` has no bound.
        if bound.is_finite() && excess > allowed {
            missed.push(row);
        }
    }
    assert_eq!(missed, [""; 0]);
    let idle = median(waker.0["idle"].clone());
    assert!(idle < 0.05, "{idle}");
}
