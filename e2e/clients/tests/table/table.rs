//! The table in docs/clients.md.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, future::Future, pin::Pin};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use crate::cells;
use crate::clients::{Client, clients};
use crate::driver;
use crate::half::half;
use crate::kind::kind;
use crate::origin::Stage;
use crate::situations::{
    Facts, ended_topic, first_visit, full, heartbeat_events, heartbeats, kill, large, limit,
    max_age, quiet, restart, shutdown, silence,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/clients.md");
const HEADER: &str = "| client | version | kind | comes back | loses | after the last event | cut answer | largest event | idle limit | what to set |\n|---|---|---|---|---|---|---|---|---|---|\n";

/// How many clients are tried at a time. Clients that only wait do not count.
const AT_A_TIME: usize = 16;

const SITUATIONS: [&str; 15] = [
    "ended_topic",
    "first_visit",
    "full",
    "half",
    "heartbeat_events",
    "heartbeats",
    "kill",
    "large",
    "limit",
    "max_age",
    "quiet",
    "restart",
    "shutdown",
    "silence",
    "more_silence",
];

async fn play(situation: &str, stage: &Stage, patience: Duration) -> Facts {
    let playing: Pin<Box<dyn Future<Output = Facts> + Send + '_>> = match situation {
        "ended_topic" => Box::pin(ended_topic(stage)),
        "first_visit" => Box::pin(first_visit(stage)),
        "full" => Box::pin(full(stage)),
        "half" => Box::pin(half(stage)),
        "heartbeat_events" => Box::pin(heartbeat_events(stage)),
        "heartbeats" => Box::pin(heartbeats(stage, patience)),
        "kill" => Box::pin(kill(stage)),
        "large" => Box::pin(large(stage)),
        "limit" => Box::pin(limit(stage)),
        "max_age" => Box::pin(max_age(stage)),
        "quiet" => Box::pin(quiet(stage)),
        "restart" => Box::pin(restart(stage)),
        "shutdown" => Box::pin(shutdown(stage)),
        "silence" | "more_silence" => Box::pin(silence(stage, patience)),
        _ => unreachable!("{situation}"),
    };
    playing.await
}

/// Takes a client through all situations at once and returns its row.
async fn row(client: &Client, permits: &Semaphore, patience: Duration) -> Result<String, String> {
    let begin = Instant::now();
    let permit = permits.acquire().await.expect("open");
    let stages: Vec<_> = SITUATIONS.iter().map(|it| (*it, Stage::new(client.name))).collect();
    let addresses: BTreeMap<_, _> = stages
        .iter()
        .map(|(it, stage)| ((*it).to_owned(), (stage.url(), stage.shared.clone())))
        .collect();
    // The servers listen before the client starts.
    let playing = stages.iter().map(async |(it, stage)| {
        let facts = play(it, stage, patience).await;
        ((*it).to_owned(), facts)
    });
    let starting = async { driver::start(&client.command(), client.name, addresses) };
    let mut playing: FuturesUnordered<_> = playing.collect();
    let mut permit = Some(permit);
    // Each server listens after its first poll.
    assert!(futures_util::poll!(playing.next()).is_pending(), "no client has come yet");
    let process = starting.await;
    let mut seen = BTreeMap::new();
    while let Some((situation, facts)) = playing.next().await {
        seen.insert(situation, facts);
        // The situations that are left wait for the client to leave, or to ask for an ended topic.
        if playing.len() <= 4 {
            permit.take();
        }
    }
    drop(process);
    for (situation, facts) in &seen {
        println!("{}: {situation}: {facts:?}", client.name);
    }
    println!("{} took {:?}", client.name, begin.elapsed());
    if let Some((situation, _)) = seen.iter().find(|(_, facts)| !facts.came) {
        return Err(format!("{} sent no request in {situation}", client.name));
    }
    if cells::needs_a_cause(&seen) && client.remark.is_empty() {
        return Err(format!("{} has no cause: {seen:?}", client.name));
    }
    let (_, stage) = &stages[9];
    let head = stage.shared.lock().head.clone().unwrap_or_default();
    Ok(format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        client.title,
        if client.name.contains(", ") { String::new() } else { client.version() },
        kind(client.name, &head).await,
        cells::comes_back(&seen),
        cells::loses(&seen),
        cells::afterwards(&seen),
        cells::cut(&seen),
        cells::largest(&seen),
        cells::idle(&seen),
        client.remark,
    ))
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn table_is_what_was_seen() {
    let patience = Duration::from_secs(number("TOWER_SSE_CLIENT_SILENCE", 330));
    let only = env::var("TOWER_SSE_CLIENT").unwrap_or_default();
    let clients = clients();
    let chosen =
        clients.iter().filter(|it| only.is_empty() || only.split(';').any(|name| name == it.name));
    let permits = &Semaphore::new(AT_A_TIME);
    let rows = join_all(chosen.map(|client| row(client, permits, patience))).await;
    let failures: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    let seen: String =
        rows.iter().filter_map(|row| row.as_ref().ok()).map(String::as_str).collect();
    println!("{seen}");
    assert!(failures.is_empty(), "{failures:#?}");
    if !only.is_empty() {
        return;
    }
    let page = fs::read_to_string(PATH).unwrap();
    let (before, rest) = page.split_once(HEADER).expect("the table");
    let (written, after) = rest.split_at(rest.find("\n\n").expect("text after the table") + 1);
    if env::var_os("TOWER_SSE_CLIENT_TABLE").is_none_or(|it| it != "write") {
        return assert_eq!(written, seen, "left: docs/clients.md");
    }
    let date = Command::new("date").arg("+%Y-%m-%d").output().unwrap().stdout;
    let date = String::from_utf8(date).unwrap();
    let (start, old) = before.split_once("On ").expect("a date");
    let before = format!("{start}On {}{}", date.trim(), &old["2026-11-27".len()..]);
    fs::write(PATH, format!("{before}{HEADER}{seen}{after}")).unwrap();
}
