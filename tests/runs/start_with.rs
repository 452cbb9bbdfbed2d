//! Runs that begin with a call, which may fail before there is a stream.

use tokio::time::sleep;

use crate::*;

type Events = stream::Iter<std::vec::IntoIter<Event>>;
type Call = Result<Events, &'static str>;

fn events(data: &'static str) -> Call {
    Ok(stream::iter(vec![Event::from(data)]))
}

fn waiting() -> (oneshot::Sender<Call>, impl Future<Output = Call> + Send + 'static) {
    let (sender, receiver) = oneshot::channel();
    (sender, async { receiver.await.unwrap() })
}

async fn begin(runs: &Runs, call: impl Future<Output = Call> + Send + 'static) -> Starting {
    let runs = runs.clone();
    let starting = tokio::spawn(async move { runs.start_with(&turn(), None, || call).await });
    settle().await;
    starting
}

type Starting = JoinHandle<Result<Result<Run, &'static str>, StartError>>;

async fn data(run: &Run) -> Vec<String> {
    _ = run.ended().await;
    run.messages().unwrap().into_iter().map(|message| message.data).collect()
}

async fn assert_free(runs: &Runs) {
    settle().await;
    assert!(runs.get(&turn()).await.is_none());
    assert_eq!((runs.stats().running, runs.stats().kept, runs.stats().memory), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn stream_is_recorded_once_the_call_has_it() {
    let runs = Runs::new();
    let (call, answer) = waiting();
    let starting = begin(&runs, answer).await;
    assert!(!starting.is_finished());
    assert_eq!(runs.stats().running, 1);
    call.send(events("a")).unwrap();
    let run = starting.await.unwrap().unwrap().unwrap();
    assert_eq!(data(&run).await, ["a"]);
    assert_eq!(run.outcome(), Some(Outcome::Completed));
    let uncalled = || -> std::future::Ready<Call> { panic!("called") };
    let same = runs.start_with(&turn(), None, uncalled).await.unwrap().unwrap();
    assert_eq!(data(&same).await, ["a"]);
}

/// Each waiting client makes its own call, because the error of the first call reaches only the
/// first client.
#[tokio::test(start_paused = true)]
async fn those_who_wait_call_themselves_if_the_call_fails() {
    let rig = Rig::new(Runs::new());
    let (call, answer) = waiting();
    let first = begin(&rig.runs, answer).await;
    let second = begin(&rig.runs, ready(Err("second"))).await;
    let through_layer = rig.send(post());
    settle().await;
    assert_eq!(rig.handler.calls(), 0);
    call.send(Err("first")).unwrap();
    assert_eq!(first.await.unwrap().unwrap().err(), Some("first"));
    assert_eq!(second.await.unwrap().unwrap().err(), Some("second"));
    settle().await;
    assert_eq!(rig.handler.calls(), 1);
    let feed = rig.handler.stream();
    feed.data("data: a\n\n");
    assert_eq!(through_layer.client().await.read().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn call_goes_on_if_its_client_leaves_until_it_is_abandoned() {
    let runs = Runs::builder().abandon_after(Duration::from_secs(10)).build();
    let (call, answer) = waiting();
    let key = turn();
    let waits = runs.start_with(&key, None, || answer);
    assert!(tokio::time::timeout(Duration::from_secs(60), waits).await.is_err(), "it is attached");
    settle().await;
    assert!(!call.is_closed());
    let run = runs.get(&turn()).await.unwrap();
    advance(Duration::from_secs(9)).await;
    settle().await;
    assert!(!call.is_closed());
    advance(Duration::from_secs(2)).await;
    settle().await;
    assert!(call.is_closed());
    assert_eq!(run.outcome(), Some(Outcome::Abandoned));

    let (call, answer) = waiting();
    let waits = runs.start_with(&key, None, || answer);
    assert!(tokio::time::timeout(Duration::from_secs(1), waits).await.is_err());
    call.send(events("a")).unwrap();
    settle().await;
    assert_eq!(data(&runs.get(&turn()).await.unwrap()).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn run_that_is_over_during_the_call_is_answered_as_cancelled() {
    for replaces in [false, true] {
        let runs = Runs::new();
        let key = turn();
        let starting = runs.start_with(&key, None, pending::<Call>);
        let ending = async {
            sleep(SECOND).await;
            if replaces {
                let events = || stream::iter([Event::from("b")]);
                return Some(runs.replace(&turn(), None, events).await.unwrap());
            }
            assert!(runs.cancel(&turn(), None).await);
            None
        };
        let (run, replacement) = tokio::join!(starting, ending);
        let run = run.unwrap().unwrap();
        assert_eq!(run.outcome(), Some(Outcome::Cancelled));
        let status = async |run: &Run, requester| {
            let (parts, ()) = by(requester).into_parts();
            run.answer(&parts).await.status()
        };
        assert_eq!(status(&run, Requester::EventSource).await, 204, "replaced: {replaces}");
        assert_eq!(status(&run, Requester::Fetch).await, 404, "replaced: {replaces}");
        if let Some(replacement) = replacement {
            // Unlike the cancelled run, this one has recorded an event: after its retention, it is
            // unknown.
            assert_eq!(replacement.ended().await, Some(Outcome::Completed));
            sleep(301 * SECOND).await;
            assert_eq!(status(&replacement, Requester::EventSource).await, 404);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn starters_of_interrupted_runs_are_refused_even_if_the_run_is_forgotten() {
    let runs = Runs::builder().retain_for(Duration::ZERO).build();
    let (a, b) = (RunKey::new("ann", "a").unwrap(), RunKey::new("ann", "b").unwrap());
    let draining = async {
        sleep(Duration::from_secs(1)).await;
        runs.drain(Duration::ZERO).await;
        assert!(runs.get(&a).await.is_none(), "before its starter is polled");
    };
    let (a, b, _) = tokio::join!(
        runs.start_with(&a, None, pending::<Call>),
        runs.start_with(&b, None, pending::<Call>),
        draining
    );
    for run in [a.unwrap().unwrap(), b.unwrap().unwrap()] {
        assert_eq!(run.outcome(), Some(Outcome::Interrupted));
        let (parts, ()) = by(Requester::Fetch).into_parts();
        assert_eq!(run.answer(&parts).await.status(), 503);
    }
}

#[tokio::test(start_paused = true)]
async fn panic_propagates_and_frees_the_key() {
    let runs = Runs::new();
    let key = turn();
    let of_call = || -> std::future::Ready<Call> { panic!("no") };
    let start = runs.start_with(&key, None, of_call);
    assert!(AssertUnwindSafe(start).catch_unwind().await.is_err());
    assert_free(&runs).await;
    let of_future = || async { if true { panic!("no") } else { events("a") } };
    let start = runs.start_with(&key, None, of_future);
    assert!(AssertUnwindSafe(start).catch_unwind().await.is_err());
    assert_free(&runs).await;
    assert_eq!(ended_as(&runs.stats(), Outcome::Failed), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_count_for_the_limits() {
    let runs = Runs::builder().max_running(1).build();
    let (call, answer) = waiting();
    let starting = begin(&runs, answer).await;
    let other = RunKey::new("ann", "other").unwrap();
    let refused = runs.start_with(&other, None, || ready(events("b"))).await;
    assert_eq!(refused.unwrap_err(), StartError::Full);
    call.send(Err("429")).unwrap();
    assert!(starting.await.unwrap().unwrap().is_err());
    assert!(runs.start_with(&other, None, || ready(events("b"))).await.unwrap().is_ok());
}
