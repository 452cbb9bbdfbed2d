use futures_util::{StreamExt, stream};
use tokio::{sync::mpsc::unbounded_channel, time::sleep};

use super::*;
use crate::{
    Event,
    connection::LastEventId,
    runs::{Attachment, RunKey, Runs},
};

const MAX_MEMORY: usize = 4 << 20;
const EVENTS: usize = 100;

async fn connect(server: &Server, max_memory: usize) -> Runs {
    let limits = Runs::builder().retain_bytes(1_100_000).max_memory(max_memory);
    limits.connect(server.redis().runs("app").lease(LEASE)).await.unwrap()
}

/// Asks again until there is an answer. On a busy machine, a process may have to connect again.
async fn again<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asked = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(PATIENCE, asked).await.expect("an answer")
}

/// Reads until the end or the next evicted event. Returns the number of events, and the last id.
async fn read(mut client: Attachment) -> (usize, Option<LastEventId>, bool) {
    let (mut count, mut last) = (0, None);
    while let Some(item) = timeout(PATIENCE, client.next()).await.unwrap() {
        let Ok(events) = item else { return (count, last, false) };
        let text = String::from_utf8(events.as_bytes().to_vec()).unwrap();
        count += text.matches("data: ").count();
        let id = text.lines().rev().find_map(|line| line.strip_prefix("id: "));
        last = id.map(|id| LastEventId::try_from(id).unwrap());
    }
    (count, last, true)
}

/// Eight runs of 1 MB, for three of which the other process has room beside its own.
#[tokio::test]
async fn stalled_clients_of_other_processes_runs_cost_own_runs_no_event() {
    let Some(server) = Server::start().await else { return };
    let (one, other) = (connect(&server, 64 << 20).await, connect(&server, MAX_MEMORY).await);
    let key = |turn: usize| RunKey::new("user", format!("turn {turn}")).unwrap();
    let (own, mut events) = unbounded_channel();
    let source = || stream::poll_fn(move |cx| events.poll_recv(cx));
    let run = other.start(&key(8), None, source).await.unwrap();
    let mut prompt = run.attach(None).await.unwrap();
    let mut idle = Vec::new();
    for turn in 0..8 {
        let events = || stream::iter(vec![Event::from("x".repeat(10_000)); EVENTS]);
        let run = again(async || one.start(&key(turn), None, events).await.ok()).await;
        assert_eq!(run.ended().await, Some(Outcome::Completed));
        let run = again(async || other.get(&key(turn)).await).await;
        assert_eq!(run.ended().await, Some(Outcome::Completed));
        idle.push((turn, run.attach(None).await.expect("its events")));
        let memory = other.stats().memory();
        assert!(memory <= MAX_MEMORY, "{memory} with {} idle clients", idle.len());
    }
    for sent in 0..20 {
        own.send(Event::from("y".repeat(10_000))).unwrap();
        let item = timeout(PATIENCE, prompt.next()).await.unwrap();
        assert!(matches!(item, Some(Ok(_))), "{item:?} after {sent}");
    }
    drop(own);
    assert!(timeout(PATIENCE, prompt.next()).await.unwrap().is_none());
    assert_eq!(run.messages().map(|messages| messages.len()), Some(20));
    for (turn, client) in idle {
        let (mut count, last, is_whole) = read(client).await;
        if !is_whole {
            let run = again(async || other.get(&key(turn)).await).await;
            let (rest, _, is_whole) = read(run.attach(last).await.expect("the rest")).await;
            assert!(is_whole, "{turn}: {count} and {rest} events");
            count += rest;
        }
        assert_eq!(count, EVENTS, "{turn}");
    }
}
