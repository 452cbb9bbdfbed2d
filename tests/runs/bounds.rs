//! What a run keeps, when its source waits for readers, and when it is abandoned.

use crate::*;

const EVENTS: usize = 20_000;

/// Returns a counter and a source of `EVENTS` events that are ready at once. The counter counts the
/// events taken from the source.
fn fast() -> (Arc<AtomicUsize>, impl FnOnce() -> Events) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let events = move || -> Events {
        Box::pin(stream::iter(0..EVENTS).map(move |n| {
            count.fetch_add(1, Relaxed);
            Event::from(format!("{n:0>80}"))
        }))
    };
    (taken, events)
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Event> + Send>>;

fn small() -> Runs {
    Runs::builder().retain_bytes(64 * 1024).build()
}

/// Returns the numbers of the events that are ready, and whether the attachment failed.
fn ready(attachment: &mut Attachment) -> (Vec<usize>, bool) {
    let mut read = Vec::new();
    while let Some(Some(item)) = attachment.next().now_or_never() {
        let Ok(events) = item else { return (read, true) };
        read.extend(data_of(&events).map(|data| data.parse::<usize>().unwrap()));
    }
    (read, false)
}

/// Lets the source go on until it waits or has ended.
async fn run_dry(taken: &AtomicUsize) {
    loop {
        let before = taken.load(Relaxed);
        settle().await;
        if taken.load(Relaxed) == before {
            return;
        }
    }
}

async fn read_rest(taken: &AtomicUsize, attachment: &mut Attachment, mut read: usize) {
    while read < EVENTS {
        run_dry(taken).await;
        let (numbers, failed) = ready(attachment);
        assert!(!failed && !numbers.is_empty(), "lagged after {read} of {EVENTS}");
        read += numbers.len();
    }
}

/// Returns a rig with a run to which two readers are attached: a client through the layer, and an
/// attachment.
async fn two_readers() -> (Rig, Run, Arc<AtomicUsize>, Attachment, Client) {
    let rig = Rig::new(small());
    let (taken, events) = fast();
    let run = rig.runs.start(&turn(), None, events).await.unwrap();
    let attachment = run.attach(None).await.unwrap();
    let client = rig.send(post()).client().await;
    run_dry(&taken).await;
    (rig, run, taken, attachment, client)
}

#[tokio::test(start_paused = true)]
async fn source_waits_for_a_reader_that_sleeps_which_gets_all() {
    let (taken, events) = fast();
    let run = small().start(&turn(), None, events).await.unwrap();
    let mut attachment = run.attach(None).await.unwrap();
    let mut read = Vec::new();
    while read.len() < EVENTS {
        // The reader sleeps until the source can go no further.
        run_dry(&taken).await;
        // An event takes up to 111 bytes on the wire. The source is at most two frames ahead of the
        // 64 KiB that the run keeps.
        let ahead = taken.load(Relaxed) - read.len();
        assert!(ahead < 1000, "{ahead} events ahead");
        let (numbers, failed) = ready(&mut attachment);
        assert!(!failed && !numbers.is_empty());
        read.extend(numbers);
    }
    assert!(read.iter().copied().eq(0..EVENTS));
    assert_eq!(run.ended().await, Some(Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn source_without_readers_completes_and_keeps_the_newest_events() {
    let rig = Rig::new(small());
    let (_, events) = fast();
    let run = rig.runs.start(&turn(), None, events).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    assert!(run.attach(None).await.is_none(), "the beginning is gone");
    assert_eq!(rig.send(post()).client().await.status, 404);
    assert!(rig.runs.stats().memory < 3 * 64 * 1024, "{:?}", rig.runs.stats());
    assert_eq!(rig.runs.stats().events, EVENTS as u64);
}

#[tokio::test(start_paused = true)]
async fn reader_that_lags_behind_another_fails_and_then_gets_404() {
    let (rig, _, taken, mut fast, mut slow) = two_readers().await;
    let fast_read = ready(&mut fast).0.len();
    let mut read = slow.read_ready().len();
    assert!(read > 0);
    let id = slow.last.clone();
    read_rest(&taken, &mut fast, fast_read).await;
    read += slow.read().await.len();
    assert!(read < EVENTS);
    assert_eq!(slow.end, Some(End::Failed));
    assert_eq!(rig.send(after(&id, post())).client().await.status, 404);
    assert_eq!(rig.runs.stats().lagged, 1);
}

/// A cancelled run ends cleanly only for clients that miss none of its events.
#[tokio::test(start_paused = true)]
async fn reader_that_lags_behind_in_a_cancelled_run_fails_too() {
    let (rig, run, taken, mut fast, mut slow) = two_readers().await;
    assert!(!ready(&mut fast).0.is_empty());
    assert!(!slow.read_ready().is_empty());
    for _ in 0..10 {
        run_dry(&taken).await;
        assert!(!ready(&mut fast).0.is_empty());
    }
    run.cancel().await;
    slow.read().await;
    assert_eq!(slow.end, Some(End::Failed));
    assert_eq!(rig.runs.stats().lagged, 1);
    let (_, failed) = ready(&mut fast);
    assert!(failed, "the attachment itself fails");
}

/// After the faster reader has left, the source waits for the slower one, so that the slower one
/// does not lag.
#[tokio::test(start_paused = true)]
async fn source_waits_for_the_reader_that_stays() {
    let (taken, events) = fast();
    let run = small().start(&turn(), None, events).await.unwrap();
    let mut slow = run.attach(None).await.unwrap();
    let mut fast = run.attach(None).await.unwrap();
    run_dry(&taken).await;
    let (first, _) = ready(&mut slow);
    run_dry(&taken).await;
    _ = ready(&mut fast);
    drop(fast);
    // The slower reader could lag only behind a faster one.
    read_rest(&taken, &mut slow, first.len()).await;
    assert_eq!(run.ended().await, Some(Outcome::Completed));
}

/// The last reader leaves while the source waits for it.
#[tokio::test(start_paused = true)]
async fn source_goes_on_when_its_last_reader_leaves() {
    let (taken, events) = fast();
    let run = small().start(&turn(), None, events).await.unwrap();
    let attachment = run.attach(None).await.unwrap();
    run_dry(&taken).await;
    assert!(taken.load(Relaxed) < EVENTS);
    drop(attachment);
    assert_eq!(run.ended().await, Some(Outcome::Completed));
}

/// The record is full of events that a stalled client has not read. The client that returns has
/// read all of them.
#[tokio::test(start_paused = true)]
async fn source_goes_on_when_a_client_returns_that_has_read_all() {
    let runs = Runs::builder().retain_bytes(3 * (31 + 112)).build();
    let (sender, stream) = source();
    let run = runs.start(&turn(), None, || stream).await.unwrap();
    let _stalled = run.attach(None).await.unwrap();
    let mut client = run.attach(None).await.unwrap();
    // Three events are kept: each takes 28 bytes on the wire, and 112 of bookkeeping, so a fourth
    // has no room.
    let mut last = None;
    for n in 0..3 {
        sender.send(Event::from(n.to_string())).unwrap();
        let events = client.next().await.unwrap().unwrap();
        let id = field_of(&events, "id: ").next().unwrap();
        last = Some(LastEventId::try_from(id).unwrap());
    }
    drop(client);
    sender.send(Event::from("3")).unwrap();
    settle().await;
    let mut client = run.attach(last).await.unwrap();
    assert!(ready(&mut client).0.is_empty());
    settle().await;
    assert_eq!(ready(&mut client), (vec![3], false));
}

async fn outcome_after(run: &Run, time: Duration) -> Option<Outcome> {
    advance(time).await;
    settle().await;
    run.outcome()
}

#[tokio::test(start_paused = true)]
async fn call_that_never_answers_is_abandoned_once_nobody_waits_for_it() {
    let rig = Rig::new(Runs::builder().abandon_after(60 * SECOND).build());
    let first = rig.call(post()).await;
    let second = rig.call(post()).await;
    first.leave().await;
    let run = rig.runs.get(&turn()).await.unwrap();
    assert_eq!(outcome_after(&run, 1000 * SECOND).await, None, "a client waits");
    second.leave().await;
    assert_eq!(outcome_after(&run, 61 * SECOND).await, Some(Outcome::Abandoned));
    assert!(rig.handler.is_dropped());
    assert_eq!(rig.runs.stats().running, 0);
}

/// By default, a run has no maximum duration.
#[tokio::test(start_paused = true)]
async fn run_is_never_abandoned_if_the_time_is_endless() {
    let runs = Runs::builder().abandon_after(Duration::MAX).retain_for(Duration::MAX).build();
    let run = runs.start(&turn(), None, stream::pending::<Event>).await.unwrap();
    settle().await;
    assert_eq!(outcome_after(&run, 365 * 86_400 * SECOND).await, None);
    run.cancel().await;
    advance(365 * 86_400 * SECOND).await;
    settle().await;
    assert!(runs.get(&turn()).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn resumed_client_needs_only_the_events_that_are_kept() {
    let runs = Runs::builder().retain_bytes(3 * (31 + 112)).build();
    let (_, sender, run, mut client) = Rig::new(runs).started().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        sender.send(Event::from(n.to_string())).unwrap();
        assert_eq!(client.read().await, [n.to_string()]);
        ids.push(client.last.clone());
    }
    // Three events are kept: each takes 28 or 29 bytes on the wire, and 112 of bookkeeping, so a
    // fourth has no room.
    for (id, expected) in [(5, None), (6, Some(3)), (8, Some(1)), (9, Some(0))] {
        let last = LastEventId::try_from(&*ids[id]).unwrap();
        let attachment = run.attach(last).await;
        let kept = attachment.map(|mut attachment| ready(&mut attachment).0.len());
        assert_eq!(kept, expected, "after {id}");
    }
}

#[test]
fn size_of_zero_is_rejected() {
    assert!(std::panic::catch_unwind(|| Runs::builder().retain_bytes(0)).is_err());
}
