//! Processes whose memory is full: what is evicted, and what never is.

use std::ops::Range;

use super::*;

const MAX_MEMORY: usize = 400_000;
const RETAINED: usize = 90_000;

/// Creates two processes that have room for four running runs each.
async fn small() -> (Process, Process) {
    two_with(|builder| builder.max_memory(MAX_MEMORY).retain_bytes(RETAINED)).await
}

/// Returns texts whose events take 80 kB.
fn texts() -> Vec<&'static str> {
    static TEXTS: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..80).map(|at| format!("{at}{}", "x".repeat(850))).collect());
    TEXTS.iter().map(String::as_str).collect()
}

/// Starts a run with events that take 80 kB, which the store gets in a few batches.
async fn start_large(one: &Process, turn: usize) -> Source {
    let source = one.start_as(&key_of(turn)).await;
    for texts in texts().chunks(16) {
        send(&source, texts);
        sleep(Duration::from_secs(2)).await;
    }
    source
}

/// Fills a process's memory with runs that have these numbers.
async fn fill(process: &Process, turns: Range<usize>) -> Vec<Source> {
    stream::iter(turns).then(|turn| start_large(process, turn)).collect().await
}

/// Asserts that a client receives all events, even if its mirror gives way. The client then
/// reconnects with its last id.
async fn assert_receives_all(process: &Process, turn: usize, client: Attachment) {
    let (mut data, mut error) = read_all(client).await;
    if error.is_some() {
        assert_eq!(error.unwrap().outcome(), None, "its next event was evicted");
        let run = process.get_as(&key_of(turn)).await.unwrap();
        let record = process.record(&key_of(turn));
        let last = (!data.is_empty()).then(|| id_of(&record, data.len() as u64));
        let (rest, again) = read_all(soon(run.attach(last)).await.unwrap()).await;
        data.extend(rest);
        error = again;
    }
    assert!(error.is_none() && data == texts(), "{error:?} after {} events of {turn}", data.len());
}

#[tokio::test(start_paused = true)]
async fn stalled_clients_of_other_processes_runs_cost_own_runs_no_event() {
    let (one, other) = small().await;
    let (sources, mut idle) = (fill(&one, 0..4).await, Vec::new());
    let own = other.start_as(&key_of(10)).await;
    let mut prompt = other.attach_as(&key_of(10)).await;
    // `slow` has not read the beginning of an ended run of its own process.
    drop(start_large(&other, 11).await);
    let slow = other.attach_as(&key_of(11)).await;
    for round in 0..3 {
        for turn in 0..4 {
            idle.push((turn, other.attach_as(&key_of(turn)).await));
            let memory = other.runs.stats().memory;
            assert!(memory <= MAX_MEMORY, "{memory} with {} idle clients", idle.len());
            send(&own, &["own"]);
            assert_eq!(read(&mut prompt, 1).await, ["own"], "{round} {turn}");
        }
    }
    drop(own);
    assert_whole(prompt, &[]).await;
    assert_whole(slow, &texts()).await;
    drop(sources);
    for (turn, idle) in idle {
        assert_receives_all(&other, turn, idle).await;
    }
}

/// The run ends at the moment at which the mirror gives way. No client may take a part of the
/// events for all of them.
#[tokio::test(start_paused = true)]
async fn mirror_that_gives_way_while_its_run_ends_ends_no_client_early() {
    let (one, other) = small().await;
    let source = start_large(&one, 0).await;
    let idle = other.attach_as(&key_of(0)).await;
    let mut prompt = other.attach_as(&key_of(0)).await;
    read(&mut prompt, 80).await;
    send(&source, &["y"]);
    while other.store.cluster().mirrors.map.evict() {}
    drop(source);
    assert_whole(prompt, &["y"]).await;
    let (data, error) = read_all(idle).await;
    assert!(data.is_empty() && error.is_some_and(|error| error.outcome().is_none()));
    let again = read_all(other.attach_as(&key_of(0)).await).await;
    assert!(again.1.is_none() && again.0.len() == 81, "{again:?}");
}

/// A `404` would stop an `EventSource` for good.
#[tokio::test(start_paused = true)]
async fn request_whose_loading_mirror_gives_way_is_asked_to_come_again() {
    let (one, other) = small().await;
    let remote = start_large(&one, 0).await;
    let own = fill(&other, 1..5).await;
    let (key, request) = (key_of(0), request(None));
    let status = async || soon(other.runs.answer(&key, &request)).await.unwrap().status();
    let memory = other.runs.stats().memory;
    assert!(memory + 80_000 > MAX_MEMORY, "{memory}");
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    for turn in 1..5 {
        let run = other.get_as(&key_of(turn)).await.unwrap();
        assert_eq!(run.messages().map(|messages| messages.len()), Some(80), "{turn}");
    }
    drop(own);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(status().await, StatusCode::OK);
    drop(remote);
}

/// When the next run asks for room, the store's reply to the end of a run is still under way.
#[tokio::test(start_paused = true)]
async fn run_takes_its_room_until_the_store_has_its_end() {
    let (one, _other) = small().await;
    let mut sources = fill(&one, 0..4).await;
    assert_eq!(one.try_start(&key_of(4), None).await.unwrap_err(), StartError::Full);
    one.store.faults().reply_delay = Duration::from_millis(100);
    drop(sources.pop());
    sleep(Duration::from_millis(10)).await;
    one.store.faults().reply_delay = Duration::ZERO;
    assert_eq!(one.try_start(&key_of(4), None).await.unwrap_err(), StartError::Full);
    sleep(Duration::from_secs(1)).await;
    assert!(one.try_start(&key_of(4), None).await.unwrap().is_some());
    assert_eq!(one.runs.stats().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn run_is_replaced_although_memory_is_full() {
    let (one, other) = small().await;
    let sources = fill(&one, 0..4).await;
    // Clients of both processes have read nothing of the run that is replaced.
    let (_here, _there) = (one.attach_as(&key_of(0)).await, other.attach_as(&key_of(0)).await);
    let (source, stream) = source();
    soon(one.runs.replace(&key_of(0), None, || stream)).await.unwrap();
    assert!(sources[0].is_closed());
    let texts = texts();
    send(&source, &texts);
    sleep(Duration::from_secs(1)).await;
    assert!(one.runs.stats().memory <= MAX_MEMORY, "{:?}", one.runs.stats());
    drop((source, sources));
    for turn in 0..4 {
        assert_whole(other.attach_as(&key_of(turn)).await, &texts).await;
    }
}

#[tokio::test(start_paused = true)]
async fn drain_while_memory_is_full_tells_every_client_the_whole_truth() {
    let (one, other) = small().await;
    let mut sources = fill(&one, 0..4).await;
    let texts = texts();
    let cut = other.attach_as(&key_of(0)).await;
    sources.drain(1..).for_each(drop);
    soon(one.runs.drain(Duration::from_secs(1))).await;
    assert_fails(cut, &texts, Some(Outcome::Interrupted)).await;
    assert_eq!(other.outcomes(), [], "its owner has reported it");
    for turn in 1..4 {
        assert_whole(other.attach_as(&key_of(turn)).await, &texts).await;
    }
}

/// How many runs together have more events than the memory has room for.
const TURNS: usize = 8;

/// The same as [`small`], and the first process has a complete answer.
async fn small_with_an_answer() -> (Process, Process) {
    let (one, other) = small().await;
    drop(start_large(&one, 0).await);
    assert_kept([&one, &other]).await;
    (one, other)
}

async fn assert_kept(processes: [&Process; 2]) {
    for process in processes {
        let run = process.get_as(&key_of(0)).await.expect("the kept run");
        assert_whole(soon(run.attach(None)).await.expect("its events"), &texts()).await;
    }
}

/// Each run is replaced while clients of both processes are attached to it.
#[tokio::test(start_paused = true)]
async fn replaced_runs_displace_no_kept_answer() {
    let (one, other) = small_with_an_answer().await;
    let (mut sources, mut earlier) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let source = one.replace().await;
        for client in earlier.drain(..) {
            assert_fails(client, &[], Some(Outcome::Cancelled)).await;
        }
        let memory = one.runs.stats().memory;
        assert!(memory < 2 * RETAINED, "{memory} bytes of one answer");
        send(&source, &texts());
        for process in [&one, &other] {
            let mut client = process.attach().await;
            read(&mut client, texts().len()).await;
            earlier.push(client);
        }
        sources.push(source);
    }
    assert_kept([&one, &other]).await;
}

/// Each run completes or fails. The other process then starts the next run with the same key.
#[tokio::test(start_paused = true)]
async fn runs_that_other_processes_follow_displace_no_kept_answer() {
    for fails in [false, true] {
        let (one, other) = small_with_an_answer().await;
        for turn in 0..2 * TURNS {
            let (owner, next) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
            let started = if fails { owner.start().await } else { Some(owner.replace().await) };
            let source = started.expect("a free key");
            let client = next.attach().await;
            send(&source, &texts());
            if fails {
                source.send(Err("broken")).unwrap();
                assert_fails(client, &texts(), Some(Outcome::Failed)).await;
            } else {
                drop(source);
                assert_whole(client, &texts()).await;
            }
        }
        assert_kept([&one, &other]).await;
    }
}

/// Redis deletes the first run by itself.
#[tokio::test(start_paused = true)]
async fn run_counts_for_as_long_as_the_store_keeps_it() {
    const KEPT_FOR: Duration = Duration::from_secs(60);
    let (one, other) = two_with(|builder| builder.retain_for(KEPT_FOR).max_memory(100_000)).await;
    let text = "x".repeat(60_000);
    for (turn, pause) in [(1, KEPT_FOR), (2, KEPT_FOR / 2), (3, KEPT_FOR / 2)] {
        finish(one.start_as(&key_of(turn)).await, &[&text]);
        sleep(pause + Duration::from_secs(1)).await;
    }
    assert!(other.get_as(&key_of(2)).await.is_none() && other.get_as(&key_of(3)).await.is_some());
    let forgotten = one.store.count("forget");
    assert_eq!(forgotten, 1, "its time was not over when the third one was stored");
}

/// The store goes back to its state after the third of ten batches, such as when a replica takes
/// over, and the run is exported again.
#[tokio::test(start_paused = true)]
async fn partly_lost_run_keeps_all_events_and_counts_once() {
    for ends in [false, true] {
        let (one, other) =
            two_with(|builder| builder.retain_bytes(500_000).max_memory(750_000)).await;
        finish(one.start_as(&key_of(1)).await, &["x".repeat(200_000).as_str()]);
        sleep(Duration::from_secs(1)).await;
        let source = one.start().await.unwrap();
        let texts: Vec<_> = (0..10).map(|at| format!("{at}{}", "x".repeat(40_000))).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        for (at, text) in texts.iter().enumerate() {
            if at == 3 {
                one.store.network.take_snapshot();
            }
            send(&source, &[text]);
            sleep(Duration::from_secs(2)).await;
        }
        let source = Some(source).filter(|_| !ends);
        sleep(Duration::from_secs(2)).await;
        one.store.go_away();
        one.store.put_back();
        one.store.come_back().await;
        sleep(Duration::from_secs(4)).await;
        drop(source);
        sleep(Duration::from_secs(1)).await;
        assert!(other.get_as(&key_of(1)).await.is_some(), "both fit");
        assert_whole(other.attach().await, &texts).await;
    }
}
