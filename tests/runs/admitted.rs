//! Which runs are admitted, and what makes room for them.

use crate::{memory::events, *};

fn key(n: usize) -> RunKey {
    RunKey::new(format!("user:{n}"), "turn").unwrap()
}

/// Returns runs whose memory limit holds four running runs of 40 kB each.
fn four_at_a_time() -> Runs {
    Runs::builder().max_memory(4 * 42_752).retain_bytes(40_000).build()
}

fn running(count: usize) -> impl FnOnce() -> Running {
    move || events(count)().chain(stream::pending())
}

type Running = stream::Chain<stream::Iter<std::vec::IntoIter<Event>>, stream::Pending<Event>>;

#[tokio::test(start_paused = true)]
async fn ended_runs_go_first_and_running_runs_never() {
    let runs = four_at_a_time();
    let mut ended = Vec::new();
    for n in 0..4 {
        ended.push(runs.start(&key(n), None, events(150)).await.unwrap());
        settle().await;
    }
    let slow = ended[0].attach(None).await.unwrap();
    let mut live = Vec::new();
    for n in 10..14 {
        // Runs without clients, with events of 24 kB, of 36 kB, and, twice, of more than a run may
        // keep.
        let count = [100, 150, 1000, 1000][n - 10];
        live.push(runs.start(&key(n), None, running(count)).await.unwrap());
        settle().await;
        assert!(runs.stats().memory <= 4 * 42_752, "{:?}", runs.stats());
    }
    assert!(ended[1].attach(None).await.is_none(), "it ended before the others");
    assert!(ended[0].attach(None).await.is_none(), "its room is needed");
    drop(slow);
    for (run, count) in live.iter().zip([100, 150]) {
        assert_eq!(run.messages().unwrap().len(), count);
    }
    for run in &live {
        assert_eq!(run.outcome(), None, "a running run is never stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn run_is_refused_unless_memory_holds_it_beside_those_that_run() {
    let runs = four_at_a_time();
    let mut live = Vec::new();
    for n in 0..4 {
        live.push(runs.start(&key(n), None, running(1)).await.unwrap());
    }
    let refused = async |n| runs.start(&key(n), None, running(1)).await.unwrap_err();
    assert_eq!(refused(4).await, StartError::Full);
    assert!(runs.start(&key(0), None, running(1)).await.is_ok(), "it runs already");
    let replaced = runs.replace(&key(0), None, running(1)).await.unwrap();
    assert_eq!(live[0].outcome(), Some(Outcome::Cancelled), "another takes its place");
    assert_eq!(refused(5).await, StartError::Full);
    replaced.cancel().await;
    _ = runs.start(&key(6), None, running(1)).await.unwrap();
    assert_eq!(runs.stats().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn thousand_short_answers_run_at_a_time_by_default() {
    let runs = Runs::new();
    let mut sources = Vec::new();
    for n in 0..1000 {
        let (source, events) = source::<Event>();
        _ = runs.start(&key(n), None, || events).await.unwrap();
        sources.push(source);
    }
    assert_eq!((runs.stats().running, runs.stats().refused), (1000, 0));
    let mut started = 1000;
    while runs.start(&key(started), None, stream::pending::<Event>).await.is_ok() {
        started += 1;
    }
    assert_eq!(started, 1022, "as the docs of `max_memory` say");
}

/// If the memory limit is below the maximum size of a run, one run may use the whole limit.
#[tokio::test(start_paused = true)]
async fn size_limit_above_the_memory_limit_allows_one_run_at_a_time() {
    let runs = Runs::builder().max_memory(100_000).retain_bytes(1 << 20).build();
    let run = runs.start(&key(0), None, running(1000)).await.unwrap();
    settle().await;
    let refused = runs.start(&key(1), None, running(1)).await.unwrap_err();
    assert_eq!(refused, StartError::Full);
    assert_eq!(run.outcome(), None);
    let memory = runs.stats().memory;
    assert!((90_000..=100_000).contains(&memory), "{memory}");
}
