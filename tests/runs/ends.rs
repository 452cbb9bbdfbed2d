//! Each run is reported once, on every exit path.

use std::task::{Context, Wake, Waker};

use crate::*;

#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<RunEnd>>>);

impl Ends {
    fn builder(&self) -> RunsBuilder {
        self.observe(Runs::builder())
    }

    fn observe(&self, builder: RunsBuilder) -> RunsBuilder {
        let ends = self.0.clone();
        builder.on_end(move |end| ends.lock().unwrap().push(end.clone()))
    }

    fn first(&self) -> RunEnd {
        self.0.lock().unwrap()[0].clone()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.0.lock().unwrap().iter().map(|end| end.outcome).collect()
    }
}

async fn running(ends: &Ends) -> (Rig, Feed, Client) {
    Rig::new(ends.builder().build()).running().await
}

#[tokio::test(start_paused = true)]
async fn report_has_the_figures_of_the_run() {
    let ends = Ends::default();
    let (rig, feed, client) = running(&ends).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    feed.data("data: b\n\n");
    feed.end();
    settle().await;
    let end = ends.first();
    assert_eq!((&end.key, end.outcome, end.events), (&turn(), Outcome::Completed, 2));
    assert_eq!(end.bytes, 2 * client.bytes.len() as u64);
    assert_eq!(end.age.as_secs(), 3);
    let stats = rig.runs.stats();
    assert_eq!((stats.events, stats.bytes), (end.events, end.bytes));
    assert_eq!((stats.running, stats.kept, stats.attached), (0, 1, 1));
    drop(client);
    assert_eq!(rig.runs.stats().attached, 0);
}

#[tokio::test(start_paused = true)]
async fn run_that_ends_twice_is_reported_once() {
    let ends = Ends::default();
    let (rig, feed, client) = running(&ends).await;
    feed.end();
    settle().await;
    assert!(!rig.runs.cancel(&turn(), None).await);
    rig.runs.get(&turn()).await.unwrap().cancel().await;
    rig.runs.drain(Duration::ZERO).await;
    drop(client);
    tokio::time::advance(Duration::from_secs(3600)).await;
    settle().await;
    drop(rig);
    assert_eq!(ends.outcomes(), [Outcome::Completed]);
}

/// Returns the waker of an executor that panics when it is asked to poll a future again.
fn panicking_waker() -> Waker {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }
    Arc::new(Panics).into()
}

#[tokio::test(start_paused = true)]
async fn run_is_reported_although_a_waker_panics() {
    let ends = Ends::default();
    let (rig, _feed, client) = running(&ends).await;
    let run = rig.runs.get(&turn()).await.unwrap();
    let mut ended = Box::pin(run.ended());
    assert!(ended.poll_unpin(&mut Context::from_waker(&panicking_waker())).is_pending());
    assert!(rig.runs.cancel(&turn(), None).await);
    drop(client);
    assert_eq!(ends.outcomes(), [Outcome::Cancelled]);
    assert!(rig.runs.drain(Duration::MAX).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn tasks_behind_one_whose_waker_panics_learn_of_the_end() {
    let (rig, _feed, client) = running(&Ends::default()).await;
    let (run, drained) = (rig.runs.get(&turn()).await.unwrap(), || rig.runs.drain(Duration::MAX));
    let (count, counts) = Wakes::new();
    let mut waiting = [0; 2].map(|_| (Box::pin(run.ended()), Box::pin(drained())));
    for ((ended, drained), waker) in waiting.iter_mut().zip([panicking_waker(), counts]) {
        let cx = &mut Context::from_waker(&waker);
        assert!(ended.poll_unpin(cx).is_pending() && drained.poll_unpin(cx).is_pending());
    }
    assert!(rig.runs.cancel(&turn(), None).await);
    assert_eq!(count.get(), 2);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn run_goes_on_although_the_waker_of_its_first_client_panics() {
    let rig = Rig::new(Runs::new());
    let service = rig.layer.layer(rig.runs.layer(key).layer(rig.handler.service()));
    let mut first = Box::pin(service.oneshot(post()));
    assert!(first.poll_unpin(&mut Context::from_waker(&panicking_waker())).is_pending());
    let second = rig.call(post()).await;
    let feed = rig.handler.stream();
    feed.data("data: a\n\n");
    assert_eq!(second.client().await.read().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn failure_panic_and_cancellation_are_reported() {
    let ends = Ends::default();
    // A cancelled task's error fails the run like any other error.
    for error in [BoxError::from("no"), cancelled_task().await.into()] {
        let (_, feed, mut client) = running(&ends).await;
        feed.fail(error);
        assert_eq!(client.read().await, [""; 0]);
        assert_eq!(client.end, Some(End::Failed));
    }

    let runs = ends.builder().build();
    let panicking = || stream::iter([1]).map(|_| -> Event { panic!("the source panicked") });
    let run = runs.start(&turn(), None, panicking).await.unwrap();
    let mut attachment = run.attach(None).await.unwrap();
    let error = attachment.next().await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::Failed));
    let cause = std::error::Error::source(&error).unwrap();
    assert!(cause.source().is_none() && error.to_string().contains(&cause.to_string()));

    let (rig, feed, client) = running(&ends).await;
    assert!(rig.runs.cancel(&turn(), None).await);
    settle().await;
    assert!(feed.is_dropped());
    drop(client);
    let failed = [Outcome::Failed; 3];
    assert_eq!(ends.outcomes(), [&failed[..], &[Outcome::Cancelled]].concat());
}

/// Clients receive what was generated before the panic, as they do before an error.
#[tokio::test(start_paused = true)]
async fn events_before_a_panic_in_the_same_turn_are_recorded() {
    let source = || {
        stream::iter(0..).map(|n| match n {
            4 => panic!("the source panicked"),
            n => Event::from(n.to_string()),
        })
    };
    for through_layer in [false, true] {
        let ends = Ends::default();
        let rig = Rig::new(ends.builder().build());
        let mut client = if through_layer {
            let first = rig.call(post()).await;
            rig.handler.reply(Ok(tower_sse::response(source()).map(BodyExt::boxed_unsync)));
            first.client().await
        } else {
            _ = rig.runs.start(&turn(), None, source).await.unwrap();
            Client::new(rig.answer(post()).await)
        };
        assert_eq!(client.read().await, ["0", "1", "2", "3"]);
        assert_eq!(client.end, Some(End::Failed));
        let end = ends.first();
        assert_eq!((end.outcome, end.events), (Outcome::Failed, 4));
    }
}

async fn cancelled_run() -> RunError {
    let run = Runs::new().start(&turn(), None, stream::pending::<Event>).await.unwrap();
    let mut attachment = run.attach(None).await.unwrap();
    run.cancel().await;
    attachment.next().await.unwrap().unwrap_err()
}

/// A clean end of the body would make the run look complete.
#[tokio::test(start_paused = true)]
async fn answer_that_an_inner_layer_ends_early_fails_the_run() {
    for requester in Requester::ALL {
        for cause in ["age", "shutdown", "cancelled task", "cancelled run", "error"] {
            let (ends, token) = (Ends::default(), CancellationToken::new());
            let inner: SseLayer = SseLayer::new().without_heartbeat();
            let inner = match cause {
                "age" => inner.max_age(MaxAge::new(SECOND).grace(Duration::ZERO)),
                "shutdown" => inner.shutdown(token.clone()).drain(Drain::at_once()),
                "error" => inner.on_error(|_| Event::from("failed")),
                _ => inner,
            };
            let rig = Rig::new(ends.builder().build());
            let recorded = inner
                .layer(rig.handler.service())
                .map_response(|answer: Response<SseBody<Body>>| answer.map(BodyExt::boxed_unsync));
            let service = rig.layer.layer(rig.runs.layer(key).layer(recorded));
            let mut answer = Box::pin(service.oneshot(by(requester)));
            assert!(futures_util::poll!(answer.as_mut()).is_pending());
            settle().await;
            let feed = rig.handler.stream();
            feed.data("data: a\n\n");
            let mut client = Client::new(answer.await.unwrap());
            assert_eq!(client.read().await, ["a"]);
            token.cancel();
            match cause {
                "cancelled task" => feed.fail(cancelled_task().await),
                "cancelled run" => feed.fail(cancelled_run().await),
                "error" => feed.fail("reset"),
                _ => {}
            }
            tokio::time::advance(SECOND).await;
            let last = client.read().await;
            let is_error = last.contains(&"failed".into());
            assert_eq!(is_error, cause == "error", "{requester:?} {last:?}");
            tokio::time::advance(SECOND).await;
            settle().await;
            assert_eq!(ends.outcomes(), [Outcome::Failed], "{requester:?} {cause}");
            let told = [last, client.read().await].concat().ends_with(&["<interrupted>".into()]);
            assert_eq!(told, requester == Requester::EventSource, "{requester:?} {cause}");
            let end = if told { End::Clean } else { End::Failed };
            assert_eq!(client.end, Some(end), "{requester:?} {cause}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn call_without_an_answer_is_reported_unless_it_is_no_run() {
    let ends = Ends::default();
    for outcome in
        [None, Some(Outcome::Failed), Some(Outcome::Cancelled), Some(Outcome::Interrupted)]
    {
        for requester in [Requester::Post, Requester::EventSource] {
            let rig = Rig::new(ends.builder().build());
            let first = rig.call(by(requester)).await;
            let second = rig.call(by(requester)).await;
            match outcome {
                None => rig.handler.json(),
                Some(Outcome::Failed) => rig.handler.panic(),
                Some(Outcome::Cancelled) => assert!(rig.runs.cancel(&turn(), None).await),
                _ => rig.runs.drain(Duration::ZERO).await,
            }
            let expected = match (outcome, requester) {
                (None | Some(Outcome::Failed), _) => {
                    // The second request makes a call of its own.
                    settle().await;
                    assert_eq!(rig.handler.calls(), 2);
                    assert!(rig.runs.cancel(&turn(), None).await);
                    assert_eq!(ends.0.lock().unwrap().pop().unwrap().outcome, Outcome::Cancelled);
                    continue;
                }
                (Some(Outcome::Cancelled), Requester::EventSource) => 204,
                // An empty 200 would look like the whole answer.
                (Some(Outcome::Cancelled), _) => 404,
                (Some(Outcome::Interrupted), Requester::Post) => 503,
                _ => 200,
            };
            for client in [first, second] {
                let mut client = client.client().await;
                assert_eq!(client.status, expected, "{outcome:?} {requester:?}");
                assert_eq!(client.read().await, [""; 0]);
                assert_eq!(client.end, Some(End::Clean));
            }
            assert!(rig.handler.is_dropped());
        }
        let expected: Vec<_> = [outcome; 2].into_iter().flatten().collect();
        assert_eq!(ends.outcomes(), expected, "{outcome:?}");
        ends.0.lock().unwrap().clear();
    }
}

#[test]
fn runtime_that_ends_interrupts_its_runs() {
    let ends = Ends::default();
    let runs = ends.builder().build();
    let first = runtime();
    let rig = Rig::new(runs.clone());
    first.block_on(async {
        _ = runs.start(&turn(), None, stream::pending::<Event>).await.unwrap();
        let mut other = post();
        *other.uri_mut() = "/other".parse().unwrap();
        let call = rig.call(other).await;
        assert_eq!(rig.handler.calls(), 1);
        drop(call);
    });
    drop(first);
    assert_eq!(ends.outcomes(), [Outcome::Interrupted; 2]);
    assert_eq!(runs.stats().running, 0);
    // On another runtime, the runs are still found, and forgotten after their retention.
    runtime().block_on(async {
        assert!(runs.get(&turn()).await.is_some());
        tokio::time::sleep(Duration::from_secs(301)).await;
        assert_eq!(runs.stats().kept, 0);
    });
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_callback_does_not_keep_others_from_the_report() {
    let ends = Ends::default();
    let runs = ends.observe(Runs::builder().on_end(|_| panic!("a callback panicked"))).build();
    let run = runs.start(&turn(), None, || stream::iter([Event::from("a")])).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    assert_eq!(ends.outcomes(), [Outcome::Completed]);
}

/// No lock is held while a callback runs.
#[tokio::test(start_paused = true)]
async fn callback_can_use_the_runs() {
    static RUNS: OnceLock<Runs> = OnceLock::new();
    let (seen, running) = std::sync::mpsc::channel();
    let builder =
        Runs::builder().on_end(move |_| seen.send(RUNS.get().unwrap().stats().running).unwrap());
    let runs = RUNS.get_or_init(|| builder.build());
    let run = runs.start(&turn(), None, || stream::iter([Event::from("a")])).await.unwrap();
    run.ended().await;
    assert_eq!(running.try_iter().collect::<Vec<_>>(), [0]);
}

async fn drain(rig: &Rig) -> tokio::task::JoinHandle<()> {
    let runs = rig.runs.clone();
    let drain = tokio::spawn(async move { runs.drain(Duration::from_secs(10)).await });
    settle().await;
    drain
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_runs_and_interrupts_those_that_take_longer() {
    let ends = Ends::default();
    let (rig, feed, mut client) = running(&ends).await;
    let other = RunKey::new("ann", "/other").unwrap();
    let endless = rig.runs.start(&other, None, stream::pending::<Event>).await.unwrap();
    let begun = tokio::time::Instant::now();
    let drain = drain(&rig).await;
    assert!(rig.runs.start(&other, None, stream::pending::<Event>).await.is_ok(), "it is there");
    let third = RunKey::new("ann", "/third").unwrap();
    let error = rig.runs.start(&third, None, stream::pending::<Event>).await.unwrap_err();
    assert_eq!(error, StartError::Draining);
    assert!(rig.runs.replace(&other, None, stream::pending::<Event>).await.is_err());
    assert_eq!(endless.outcome(), None, "it goes on");
    feed.data("data: b\n\n");
    feed.end();
    assert_eq!(client.read().await, ["b", "[DONE]"]);
    assert!(!drain.is_finished());
    let mut other = endless.attach(None).await.unwrap();
    drain.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
    let error = other.next().await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::Interrupted));
    assert_eq!(ends.outcomes(), [Outcome::Completed, Outcome::Interrupted]);
}

/// A program that exits after the drain must not lose the report, even if `on_end` takes longer
/// than the grace period.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_waits_for_a_report_that_outlasts_the_grace_period() {
    for grace in [PATIENCE, Duration::from_millis(10)] {
        let (barrier, ends) = (Arc::new(Barrier::new(2)), Ends::default());
        let reporting = Arc::clone(&barrier);
        let wait_twice = move |_: &RunEnd| {
            reporting.wait();
            reporting.wait();
        };
        let runs = ends.observe(Runs::builder().on_end(wait_twice)).build();
        _ = runs.start(&turn(), None, || stream::iter([Event::from("a")])).await.unwrap();
        barrier.wait();
        let mut drain = Box::pin(runs.drain(grace));
        let early = tokio::time::timeout(Duration::from_millis(100), drain.as_mut()).await;
        barrier.wait();
        assert!(early.is_err());
        drain.await;
        assert_eq!(ends.outcomes(), [Outcome::Completed]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_can_have_the_end_before_the_run_is_reported() {
    let (barrier, ends) = (Arc::new(Barrier::new(2)), Ends::default());
    let reporting = Arc::clone(&barrier);
    let wait = move |_: &RunEnd| _ = reporting.wait();
    let runs = ends.observe(Runs::builder().on_end(wait)).build();
    let events = || stream::iter([Event::from("a")]);
    let run = runs.start(&turn(), None, events).await.unwrap();
    let answer = run.answer(&Request::new(()).into_parts().0).await.into_body();
    let bytes = tokio::time::timeout(PATIENCE, answer.collect()).await.unwrap().unwrap().to_bytes();
    assert!(bytes.starts_with(b"data: a\nid: "), "{bytes:?}");
    assert_eq!(ends.outcomes(), []);
    barrier.wait();
    runs.drain(PATIENCE).await;
    assert_eq!(ends.outcomes(), [Outcome::Completed]);
}
