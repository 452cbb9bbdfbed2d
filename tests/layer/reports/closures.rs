use std::panic::{catch_unwind, panic_any};

use crate::{rig::*, *};

/// The names of the closures that were called, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    fn record(
        &self,
        name: &'static str,
    ) -> impl Fn(&tower_sse::CloseReport) + Send + Sync + 'static {
        let calls = self.clone();
        move |_| calls.0.lock().unwrap().push(name)
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Closes a stream whose response has these options.
fn close(layer: &SseLayer, options: StreamOptions) {
    drop(through(layer, event_stream(Feed::new().1).with_options(options)));
}

#[test]
fn closures_of_the_layer_run_before_those_of_a_response() {
    let calls = Calls::default();
    let layer = SseLayer::new()
        .on_close(calls.record("layer"))
        .options(StreamOptions::new().on_close(calls.record("options of the layer")));
    let options = || {
        StreamOptions::new().on_close(calls.record("response")).on_close(calls.record("the same"))
    };
    close(&layer, options());
    assert_eq!(calls.take(), ["layer", "options of the layer", "response", "the same"]);

    close(&SseLayer::new(), options());
    assert_eq!(calls.take(), ["response", "the same"]);
    close(&layer, StreamOptions::new());
    assert_eq!(calls.take(), ["layer", "options of the layer"]);
}

/// An `EventResponse` is both response and stream; its options come with the head too.
#[test]
fn response_of_a_stream_has_its_own_closure_too() {
    let calls = Calls::default();
    let layer = SseLayer::new().on_close(calls.record("layer"));
    let options = StreamOptions::new().on_close(calls.record("response"));
    drop(through(&layer, Response::new(stream::pending::<Event>()).with_options(options)));
    assert_eq!(calls.take(), ["layer", "response"]);
}

async fn contains_panics_of_callbacks<K: Kind>() {
    for &exit in ExitPath::ALL {
        let (reports, stats) = (Reports::default(), Stats::new());
        let layer = SseLayer::new()
            .max_streams(1)
            .stats(&stats)
            .on_close(|_| panic!("in the first closure"));
        // The second closure is called although the first has panicked.
        let layer = reports.observe(layer).on_open(|| panic!("in on_open"));
        let disconnect = exit.go::<K>(&layer.clone().track_disconnects(true)).await;

        assert_eq!(reports.reasons(), Vec::from_iter(exit.reason::<K>()), "{exit:?}");
        assert_eq!(stats.snapshot().open, 0, "{exit:?}");
        assert!(disconnect.is_none_or(|disconnect| disconnect.is_cancelled()), "{exit:?}");
        assert!(open::<K>(&layer).is_ok(), "{exit:?}: the place is free");
    }
}

/// This holds also while the thread unwinds from another panic, where an escaping one would abort
/// the process.
#[tokio::test(start_paused = true)]
async fn panic_in_on_open_or_on_close_is_contained() {
    for_each_kind!(contains_panics_of_callbacks.await);
}

/// The payload of a panic may itself panic when it is dropped.
#[test]
fn panic_whose_payload_panics_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the payload");
        }
    }

    let reports = Reports::default();
    let layer = SseLayer::new().on_close(|_| panic_any(Bomb));
    let layer = reports.observe(layer).on_open(|| panic_any(Bomb));
    let closing = catch_unwind(AssertUnwindSafe(|| close(&layer, StreamOptions::new())));
    // The payload must not reach the test harness, which drops it.
    assert!(closing.map_err(std::mem::forget).is_ok());
    assert_eq!(reports.reasons(), [CloseReason::Disconnected]);
}

async fn the_panic_is_the_sources<K: Kind>() {
    for on_close_panics in [false, true] {
        let reports = Reports::default();
        let (source, events) = Source::new();
        let layer = reports.observe(SseLayer::new()).on_close(move |_| {
            assert!(!on_close_panics, "in on_close");
        });
        let response = answer_to(Request::new(()), &layer, K::answer(events));
        let mut body = response.into_body();
        source.send("one");
        assert_eq!(poll_frame(&mut body), data("data: one\n\n"));
        source.panic();
        let panicking = AssertUnwindSafe(move || poll_frame(&mut { body }));
        let panic = catch_unwind(panicking).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the source"));
        assert_eq!(reports.reasons(), [CloseReason::Panicked]);
    }
}

#[tokio::test]
async fn panic_of_the_source_propagates_whatever_the_callbacks_do() {
    for_each_kind!(the_panic_is_the_sources.await);
}

/// The thread no longer unwinds when the body is dropped, and it may be another thread.
#[tokio::test]
async fn body_kept_after_its_source_panicked_reports_it_when_dropped() {
    let reports = Reports::default();
    let (source, events) = Source::new();
    let answer = tower_sse::response(events);
    let mut body = through(&reports.observe(SseLayer::new()), answer).into_body();
    source.panic();
    catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body))).unwrap_err();
    std::thread::spawn(move || drop(body)).join().unwrap();
    assert_eq!(reports.reasons(), [CloseReason::Panicked]);
}

/// A panic in the destructor of the source is a panic of the source.
#[test]
fn source_that_panics_when_it_is_dropped_is_reported() {
    for polled in [false, true] {
        let reports = Reports::default();
        let layer = reports.observe(SseLayer::new());
        let grumpy = Grumpy;
        let events = stream::poll_fn::<Event, _>(move |_| {
            let _: &Grumpy = &grumpy;
            Poll::Ready(None)
        });
        // A body that does not drop its stream by itself.
        let mut body = through(&layer, tower_sse::response(events)).into_body();
        let panicking = AssertUnwindSafe(move || {
            if polled {
                assert_eq!(poll_frame(&mut body), Polled::End);
            }
            drop(body);
        });
        let panic = catch_unwind(panicking).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the destructor"));
        assert_eq!(reports.reasons(), [CloseReason::Panicked], "polled {polled}");
    }
}
