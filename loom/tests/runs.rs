//! Models of starters, clients and the end of a run, checked in all interleavings with at most two
//! involuntary thread switches.
#![cfg(tower_sse_loom)]

use std::sync::atomic::Ordering::Relaxed;
use std::{convert::Infallible, future::ready, sync::Arc, sync::atomic::AtomicUsize};

use futures_util::{StreamExt, stream};
use http::{Request, Response};
use loom::{future::block_on, model::Builder, thread};
use tower::{Layer, Service, service_fn};
use tower_sse::Event;
use tower_sse::runs::{Attachment, Outcome, RunKey, Runs};

/// Checks all interleavings with at most two involuntary thread switches. The model receives the
/// runs and a counter of ended runs.
fn check(model: impl Fn(&Runs, &AtomicUsize) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let ends = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ends);
        let runs = Runs::builder().on_end(move |_| _ = count.fetch_add(1, Relaxed)).build();
        model(&runs, &ends);
    });
}

fn key() -> RunKey {
    RunKey::shared("turn").unwrap()
}

/// Reads to the end. Returns the number of events, and the outcome of a run that didn't complete.
async fn read(mut attachment: Attachment) -> (usize, Option<Outcome>) {
    let mut events = 0;
    while let Some(item) = attachment.next().await {
        match item {
            Ok(item) => events += str::from_utf8(item.as_bytes()).unwrap().matches("data:").count(),
            Err(error) => return (events, error.outcome()),
        }
    }
    (events, None)
}

#[test]
fn client_that_attaches_while_events_are_recorded_reads_all_of_them() {
    check(|runs, _| {
        let events = || stream::iter([Event::from("a"), Event::from("b")]);
        let run = block_on(runs.start(&key(), None, events)).unwrap();
        let attachment = block_on(run.attach(None)).expect("a run");
        assert_eq!(block_on(read(attachment)), (2, None));
        assert_eq!(block_on(run.ended()), Some(Outcome::Completed));
    });
}

#[test]
fn event_wakes_a_client_of_a_run_that_goes_on() {
    check(|runs, _| {
        let events = || stream::iter([Event::from("a")]).chain(stream::pending());
        let run = block_on(runs.start(&key(), None, events)).unwrap();
        let mut attachment = block_on(run.attach(None)).expect("a run");
        assert!(block_on(attachment.next()).expect("an event").is_ok());
        block_on(run.cancel());
        assert_eq!(block_on(read(attachment)), (0, Some(Outcome::Cancelled)));
    });
}

#[test]
fn run_that_is_cancelled_as_it_completes_ends_once() {
    check(|runs, ends| {
        let run = block_on(runs.start(&key(), None, || stream::iter([Event::from("a")]))).unwrap();
        let attachment = block_on(run.attach(None)).expect("a run");
        let cancelled = block_on(runs.cancel(&key(), None));
        let (events, outcome) = block_on(read(attachment));
        if cancelled {
            assert_eq!(outcome, Some(Outcome::Cancelled));
            assert!(events <= 1);
        } else {
            assert_eq!((events, outcome), (1, None));
        }
        assert!(ends.load(Relaxed) <= 1);
        assert_eq!(runs.stats().running, 0);
    });
}

#[test]
fn two_starters_make_one_run() {
    check(|runs, _| {
        let called = Arc::new(AtomicUsize::new(0));
        let start = || {
            let (runs, called) = (runs.clone(), Arc::clone(&called));
            let call = move || {
                called.fetch_add(1, Relaxed);
                stream::pending::<Event>()
            };
            move || _ = block_on(runs.start(&key(), None, call)).unwrap()
        };
        let other = thread::spawn(start());
        start()();
        other.join().unwrap();
        assert_eq!((called.load(Relaxed), runs.stats().running), (1, 1));
        assert!(block_on(runs.cancel(&key(), None)));
    });
}

#[test]
fn of_two_replaces_one_survives() {
    check(|runs, ends| {
        let replace = || {
            let runs = runs.clone();
            move || _ = block_on(runs.replace(&key(), None, stream::pending::<Event>)).unwrap()
        };
        let other = thread::spawn(replace());
        replace()();
        other.join().unwrap();
        assert_eq!((runs.stats().running, ends.load(Relaxed)), (1, 1));
        assert!(block_on(runs.cancel(&key(), None)));
        assert_eq!((runs.stats().running, ends.load(Relaxed)), (0, 2));
    });
}

/// If a call's answer isn't an event stream, the client that waits for it makes the next call.
#[test]
fn client_that_waits_for_a_call_without_a_run_calls_next() {
    check(|runs, ends| {
        let calls = Arc::new(AtomicUsize::new(0));
        let request = || {
            let calls = Arc::clone(&calls);
            let service = service_fn(move |_: Request<()>| {
                let types = ["application/json", "text/event-stream"];
                let content_type = types[calls.fetch_add(1, Relaxed).min(1)];
                let response = Response::builder().header("content-type", content_type);
                ready(Ok::<_, Infallible>(response.body("data: a\n\n".to_owned()).unwrap()))
            });
            let mut service = runs.layer(|_: &Request<()>| Some(Ok(key()))).layer(service);
            move || {
                let answer = block_on(service.call(Request::new(()))).unwrap();
                answer.headers()["content-type"].to_str().unwrap().to_owned()
            }
        };
        let other = thread::spawn(request());
        let mut answers = [request()(), other.join().unwrap()];
        answers.sort();
        assert_eq!(answers, ["application/json", "text/event-stream"]);
        assert_eq!((calls.load(Relaxed), runs.stats().started), (2, 2));
        assert!(ends.load(Relaxed) <= 1);
    });
}
