//! Runs take the memory that their statistics count, and no more than their limit.

use allocation_counter::measure;

use crate::*;

fn key(n: usize) -> RunKey {
    RunKey::new(format!("user:{:04}", n % 1000), format!("turn:{n:08}")).unwrap()
}

pub(crate) fn events(count: usize) -> impl FnOnce() -> stream::Iter<std::vec::IntoIter<Event>> {
    move || stream::iter(vec![Event::from("x".repeat(100)); count])
}

fn start_all<S>(runtime: &Runtime, runs: &Runs, range: std::ops::Range<usize>, make: impl Fn() -> S)
where
    S: Stream<Item = Event> + Send + 'static,
{
    runtime.block_on(async {
        for n in range {
            _ = runs.start(&key(n), None, &make).await.unwrap();
            if n % 100 == 99 {
                settle().await;
            }
        }
        settle().await;
    });
}

#[test]
fn ended_run_takes_about_what_is_counted() {
    const RUNS: usize = 3 << 10;
    for (name, count) in [("empty", 0), ("ten events", 10)] {
        let runtime = runtime();
        let runs = Runs::builder().retain_for(Duration::MAX).max_memory(usize::MAX).build();
        start_all(&runtime, &runs, 0..100, || events(count)());
        let before = runs.stats().memory;
        let taken = measure(|| start_all(&runtime, &runs, 100..RUNS, || events(count)()));
        let counted = runs.stats().memory - before;
        let ratio = taken.bytes_current as f64 / counted as f64;
        assert!((0.75..1.05).contains(&ratio), "{name}: {ratio}, {taken:?} of {counted}");
        assert_eq!(runs.stats().kept, RUNS);
    }
}

#[test]
fn idle_run_without_clients_takes_at_most_2_kib_besides_its_bytes() {
    const RUNS: usize = 1024;
    let runtime = runtime();
    let runs = Runs::builder().max_memory(usize::MAX).max_running_per_owner(1024).build();
    let endless = || stream::iter([Event::from("x")]).chain(stream::pending());
    start_all(&runtime, &runs, 0..100, endless);
    let before = runs.stats().memory;
    let taken = measure(|| start_all(&runtime, &runs, 100..100 + RUNS, endless));
    let each = taken.bytes_current as f64 / RUNS as f64;
    let counted = (runs.stats().memory - before) as f64 / RUNS as f64;
    // The run has one event of at most 30 bytes, with 112 bytes of bookkeeping.
    assert!(each < 2048.0 + 142.0, "{each} bytes");
    assert!((0.75..1.05).contains(&(each / counted)), "{each} bytes, {counted} counted");
}

#[test]
fn memory_stays_below_its_limit_and_is_freed() {
    const LIMIT: usize = 16 << 20;
    let runtime = runtime();
    // There is room for 1,115 running runs.
    let builder = Runs::builder().max_memory(LIMIT).retain_bytes(12 << 10);
    let runs = builder.abandon_after(Duration::from_secs(60)).build();
    let limit = (LIMIT + LIMIT / 20) as i64;
    // The 5% above the limit are for the runtime and the maps.
    let event = |_| Event::from("x".repeat(1000));
    let flood = || stream::iter(0..100).map(event).chain(stream::pending());
    let endless = measure(|| start_all(&runtime, &runs, 0..1000, flood));
    assert_eq!(runs.stats().running, 1000);
    assert!(runs.stats().memory <= LIMIT, "{:?}", runs.stats());
    assert!(endless.bytes_current <= limit, "{endless:?}");
    assert!(endless.bytes_max as i64 <= limit, "{endless:?}");
    let empty = measure(|| start_all(&runtime, &runs, 1000..101_000, stream::empty));
    assert!(runs.stats().memory <= LIMIT, "{:?}", runs.stats());
    assert!(endless.bytes_current + empty.bytes_current <= limit, "{empty:?}");
    assert_eq!(runs.stats().running, 1000, "a running run is never evicted");
    let rest = measure(|| {
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_secs(61)).await;
            assert_eq!(ended_as(&runs.stats(), Outcome::Abandoned), 1000);
            tokio::time::sleep(Duration::from_secs(301)).await;
        });
    });
    assert_eq!((runs.stats().kept, runs.stats().memory), (0, 0));
    let left = endless.bytes_current + empty.bytes_current + rest.bytes_current;
    assert!(left < 600_000, "{left} bytes left");
}

/// Runs that were replaced while clients still read them are within the limit too.
#[tokio::test(start_paused = true)]
async fn runs_that_stalled_clients_hold_are_within_the_limit() {
    const LIMIT: usize = 1 << 20;
    let runs = Runs::builder().max_memory(LIMIT).retain_for(Duration::ZERO).build();
    let mut stalled = Vec::new();
    for _ in 0..100 {
        let run = runs.replace(&key(0), None, events(500)).await.unwrap();
        stalled.push(run.attach(None).await.unwrap());
        settle().await;
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let memory = runs.stats().memory;
    assert!(memory <= LIMIT + LIMIT / 20, "{memory}");
    let mut lagged = 0;
    for attachment in &mut stalled {
        let mut items = Vec::new();
        while let Some(item) = attachment.next().await {
            items.push(item);
        }
        lagged += usize::from(items.last().is_some_and(Result::is_err));
    }
    assert!(lagged > 50, "{lagged}");
    drop(stalled);
    assert_eq!(runs.stats().memory, 0);
}

/// A run that is replaced while a client reads it stays until this client has left.
#[test]
fn replaced_runs_whose_clients_have_left_take_no_memory() {
    const RUNS: usize = 1_500;
    let runtime = runtime();
    let runs = Runs::builder().retain_for(Duration::ZERO).build();
    let end_all = |range| start_all(&runtime, &runs, range, stream::empty);
    end_all(0..100);
    let taken = measure(|| {
        let mut attached = Vec::with_capacity(RUNS);
        runtime.block_on(async {
            for n in 0..RUNS {
                let run = runs.replace(&key(0), None, events(1)).await.unwrap();
                attached.push(run.attach(None).await.unwrap());
                if n % 100 == 99 {
                    settle().await;
                }
            }
        });
        drop(attached);
        end_all(0..2);
    });
    assert_eq!((runs.stats().kept, runs.stats().memory), (0, 0));
    assert!(taken.bytes_current < 100_000, "{} bytes", taken.bytes_current);
}

/// The run in the docs of `max_memory` takes 16 kB. A replay adds 5 kB, and the copies for 16
/// clients add a total of 69 kB.
#[tokio::test(start_paused = true)]
async fn clients_that_are_behind_add_frames_to_a_small_run() {
    let runs = Runs::new();
    let tokens = || stream::iter((0..100).map(|_| Event::from("x".repeat(17))));
    let run = runs.start(&key(0), None, tokens).await.unwrap();
    run.ended().await;
    let alone = runs.stats().memory;
    assert!((4400..4600).contains(&runs.stats().bytes), "{:?}", runs.stats());
    assert!((16_000..17_000).contains(&alone), "{alone}");
    // The first client gets a replay. The others resume after different events.
    let mut ids = vec![None];
    let mut added = Vec::new();
    for n in 0..16 {
        let mut attachment = run.attach(ids[n].clone()).await.unwrap();
        while let Some(Ok(events)) = attachment.next().await {
            let of_batch = field_of(&events, "id: ");
            ids.extend(of_batch.map(|id| Some(LastEventId::try_from(id).unwrap())));
        }
        added.push(runs.stats().memory - alone);
    }
    assert!((4_500..5_000).contains(&added[0]), "{added:?}");
    assert!((68_000..70_000).contains(added.last().unwrap()), "{added:?}");
}

#[test]
fn events_one_by_one_take_few_allocations_besides_their_text() {
    const EVENTS: usize = 2000;
    let runtime = runtime();
    let runs = Runs::new();
    let (sender, events) = source();
    let mut attachment = runtime.block_on(async {
        let run = runs.start(&key(0), None, || events).await.unwrap();
        run.attach(None).await.unwrap()
    });
    let mut send_and_read = || {
        runtime.block_on(async {
            for _ in 0..EVENTS {
                sender.send(Event::from("x".repeat(30))).unwrap();
                let events = attachment.next().await.unwrap().unwrap();
                assert_eq!(data_of(&events).count(), 1);
            }
        });
    };
    send_and_read();
    let taken = measure(&mut send_and_read);
    let each = taken.count_total as f64 / EVENTS as f64;
    assert!((1.0..1.2).contains(&each), "{each} for each event");
}
