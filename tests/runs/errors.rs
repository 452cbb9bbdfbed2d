//! The error of a run's source, as the closures of its clients' layers receive it.

use super::support::error::{Caused, Root};
use crate::*;

/// Returns a rig whose layer sends the name of the type of the error that `on_error` receives.
fn naming(runs: Runs) -> Rig {
    let name = |error: &(dyn Error + 'static)| {
        Event::from(match error {
            _ if error.is::<Root>() => "root",
            _ if error.is::<Caused>() => "caused",
            _ if error.is::<RunError>() => "run",
            _ => "other",
        })
    };
    Rig { layer: SseLayer::new().on_error(name), ..Rig::new(runs) }
}

/// Returns errors of a source, each with the name of the type that `on_error` receives.
fn cases() -> [(BoxError, &'static str); 4] {
    [
        (Root.into(), "root"),
        (Caused(Root.into()).into(), "caused"),
        (axum::Error::new(Root).into(), "root"),
        ("only text".into(), "other"),
    ]
}

#[tokio::test(start_paused = true)]
async fn on_error_receives_the_programs_error_for_every_client_of_a_run() {
    for through_layer in [false, true] {
        for (error, expected) in cases() {
            let rig = naming(Runs::new());
            let mut first = if through_layer {
                let (feed, client) = rig.stream(post()).await;
                feed.data("data: a\n\n");
                feed.fail(error);
                client
            } else {
                let source = || stream::iter([Ok(Event::from("a")), Err(error)]);
                _ = rig.runs.start(&turn(), None, source).await.unwrap();
                Client::new(rig.answer(post()).await)
            };
            assert_eq!(first.read().await, ["a", expected]);
            assert_eq!(first.end, Some(End::Clean));
            // A client that comes later receives the same error.
            let mut later = Client::new(rig.answer(post()).await);
            assert_eq!(later.read().await, ["a", expected]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_ends_of_a_run_have_no_error_of_the_program() {
    let rig = naming(Runs::builder().retain_bytes(1).build());
    let (feed, mut client) = rig.stream(post()).await;
    feed.data("data: larger than a run may be\n\n");
    assert_eq!(client.read().await, ["run"]);
}

/// A run can be the source of another one, as in a proxy.
#[tokio::test(start_paused = true)]
async fn error_of_a_run_of_a_run_is_that_of_the_program() {
    let inner = Runs::new().start(&turn(), None, failing).await.unwrap();
    let attachment = inner.attach(None).await.unwrap();
    let rig = naming(Runs::new());
    _ = rig.runs.start(&turn(), None, || attachment).await.unwrap();
    let mut client = Client::new(rig.answer(post()).await);
    assert_eq!(client.read().await, ["caused"]);
}

fn failing() -> impl Stream<Item = Result<Event, Caused>> + Send + 'static {
    stream::iter([Err(Caused(Root.into()))])
}

/// A cancellation of the source is a failure of the run for its clients.
#[tokio::test(start_paused = true)]
async fn cancellation_if_is_not_asked_about_the_error_of_the_program() {
    let is_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_asked);
    let rig = naming(Runs::new());
    let layer = rig.layer.clone().cancellation_if(move |error| {
        let is_of_program = error.is::<Root>() || error.is::<Caused>();
        asked.fetch_or(is_of_program, Relaxed);
        is_of_program
    });
    let rig = Rig { layer, ..rig };
    let (feed, mut client) = rig.stream(post()).await;
    feed.fail(Caused(Root.into()));
    assert_eq!(client.read().await, ["caused"]);
    assert!(!is_asked.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn error_of_an_attachment_has_the_programs_but_not_as_source() {
    let run = Runs::new().start(&turn(), None, failing).await.unwrap();
    let error = run.attach(None).await.unwrap().next().await.unwrap().unwrap_err();
    assert!(error.error().unwrap().downcast_ref::<Caused>().unwrap().0.is::<Root>());
    assert_eq!(error.to_string(), "the run ended: failed: caused: root");
    let mut cause = error.source();
    while let Some(error) = cause {
        assert!(!error.is::<Caused>() && !error.is::<Root>());
        cause = error.source();
    }
}

/// An error whose drop the test sees.
#[derive(Debug)]
struct Witness<T>(#[allow(dead_code)] T);

impl<T> std::fmt::Display for Witness<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("witness")
    }
}

impl<T: std::fmt::Debug> Error for Witness<T> {}

#[tokio::test(start_paused = true)]
async fn error_is_dropped_with_its_run() {
    let mut witness = Weak::new();
    let runs = Runs::new();
    let source = || {
        let error = Arc::new(());
        witness = Arc::downgrade(&error);
        stream::iter([Err::<Event, _>(Witness(error))])
    };
    let run = runs.start(&turn(), None, source).await.unwrap();
    settle().await;
    assert_eq!(run.outcome(), Some(Outcome::Failed));
    assert_eq!(witness.strong_count(), 1);
    // The next run with the key replaces the failed one.
    drop(run);
    _ = runs.replace(&turn(), None, stream::pending::<Event>).await.unwrap();
    settle().await;
    assert_eq!(witness.strong_count(), 0);
}

#[derive(Debug)]
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a drop panicked");
    }
}

/// The other run replaces the failed one, whose error is dropped then.
#[tokio::test(start_paused = true)]
async fn error_whose_drop_panics_disturbs_no_other_run() {
    let reported = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reported);
    let runs = Runs::builder().on_end(move |_| _ = count.fetch_add(1, Relaxed)).build();
    let failing = || stream::iter([Err::<Event, _>(Witness(Panics))]);
    _ = runs.start(&turn(), None, failing).await.unwrap();
    settle().await;
    let other = runs.replace(&turn(), None, stream::empty::<Event>).await.unwrap();
    settle().await;
    assert_eq!(other.outcome(), Some(Outcome::Completed));
    let begun = Instant::now();
    runs.drain(SECOND).await;
    assert_eq!((reported.load(Relaxed), begun.elapsed()), (2, Duration::ZERO));
}
