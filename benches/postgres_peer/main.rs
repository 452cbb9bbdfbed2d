//! The hub over PostgreSQL beside pg-bus, a crate that also publishes in the program's transactions:
//! `.ci/slow postgres-peer`. Both use their defaults except for the peer's schema, because
//! PostgreSQL reserves the default's prefix. Rounds alternate, each in new databases of one server.
//! Other work on the machine changes both figures but changes their ratio less.

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

/// How long each part of a round lasts.
const SECONDS: u64 = 6;
/// The rate of events that are published one by one.
const RATE: u64 = 20;
const BYTES: usize = 100;
/// The events of a statement that publishes many.
const MANY: u64 = 1000;
/// The number of such statements of each connection.
const STATEMENTS: u64 = 50;

/// A connected process that delivers events to one client.
trait Side: Sized + Send + Sync + 'static {
    async fn connect(pool: &PgPool, server: &Server, database: &str) -> Self;
    /// Publishes an event in a transaction.
    fn publish(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        data: &str,
    ) -> impl Future<Output = ()> + Send;
    /// What the program does after the commit.
    fn committed(&self);
    /// Publishes [`MANY`] events in one transaction.
    fn publish_many(&self, connection: &mut PgConnection) -> impl Future<Output = ()> + Send;
    /// Starts a client that counts the events it receives.
    async fn count(&self) -> Arc<AtomicU64>;
}

/// The figures of a side, one for each round.
#[derive(Default)]
struct Figures(HashMap<&'static str, Vec<f64>>);

impl Figures {
    fn add(&mut self, name: &'static str, figure: f64) {
        self.0.entry(name).or_default().push(figure);
    }

    fn median(&self, name: &str) -> f64 {
        let mut figures = self.0[name].clone();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }
}

/// Returns the processor time of each process of the server.
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

/// Returns the processor time of the server's processes since then, in milliseconds.
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
    let side = Arc::new(S::connect(&pool, server, database).await);
    let count = side.count().await;
    let data = "x".repeat(BYTES);

    sleep(Duration::from_secs(1)).await;
    let before = times_of(server);
    sleep(Duration::from_secs(SECONDS)).await;
    figures.add("idle", spent(server, &before) / (SECONDS as f64 * 1e3) * 100.0);

    let mut publishing = connection(&pool).await;
    let (mut delays, mut expected) = (Vec::new(), 0);
    let mut before = HashMap::new();
    let began = Instant::now();
    for number in 0..SECONDS * RATE + RATE {
        sleep_until(began + Duration::from_millis(number * 1000 / RATE)).await;
        if number == RATE {
            // The connections have prepared their statements.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hub_keeps_its_ratios_to_its_peer() {
    let rounds = env::var("TOWER_SSE_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let settings = ["fsync=on", "max_wal_size=4GB", "shared_buffers=128MB"];
    let Some(server) = Server::start_with(&settings).await else { return };
    let mut sides: [Figures; 4] = Default::default();
    for number in 0..rounds {
        round::<Theirs>(&server, &format!("theirs{number}"), &mut sides[0]).await;
        round::<Ours<{ Wake::WAKER }>>(&server, &format!("waker{number}"), &mut sides[1]).await;
        round::<Ours<{ Wake::SQL }>>(&server, &format!("wake{number}"), &mut sides[2]).await;
        round::<Ours<{ Wake::NONE }>>(&server, &format!("none{number}"), &mut sides[3]).await;
    }
    println!("| | pg-bus | waker | `wake => true` | neither |\n|---|---|---|---|---|");
    let rows = [
        ("p50", "commit to client, p50, ms"),
        ("idle", "idle: % of a processor of the server"),
        ("an event", "processor time of the server for an event, ms"),
        ("transactions", "transactions a second, 8 connections"),
        ("many", "events a second, 2 connections, INSERT of 1,000: committed"),
        ("received", "… and received"),
    ];
    for (name, row) in rows {
        let cells = sides.each_ref().map(|side| format!(" {:.3} |", side.median(name)));
        println!("| {row} |{}", cells.concat());
    }
    let ratio = |name: &str| sides[1].median(name) / sides[0].median(name);
    assert!(ratio("p50") < 1.5, "{}", ratio("p50"));
    assert!(ratio("an event") < 1.4, "{}", ratio("an event"));
    assert!(ratio("transactions") > 1.5, "{}", ratio("transactions"));
    assert!(ratio("received") > 1.0, "{}", ratio("received"));
    assert!(sides[1].median("idle") < 0.1, "{}", sides[1].median("idle"));
}
