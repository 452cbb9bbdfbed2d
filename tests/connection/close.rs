use crate::{rig::*, *};

#[tokio::test(start_paused = true)]
async fn close_report_has_the_age_and_what_was_sent() {
    let reports = Reports::default();
    let layer =
        SseLayer::new().heartbeat(Heartbeat::every(16 * SECOND)).retry(Retry::fixed(SECOND));
    let (feed, mut body) = fed(&reports.observe(layer));
    advance(2 * SECOND).await;
    assert_polls(&mut body, [data("retry: 1000\n"), Polled::Pending]);
    for _ in 0..3 {
        advance(17 * SECOND).await;
        assert_polls(&mut body, [data(": \n"), Polled::Pending]);
    }
    // Only what is sent counts: a BOM is sent only at the start of a stream.
    feed.data("\u{feff}data: one\n\n");
    assert_eq!(poll_frame(&mut body), data("data: one\n\n"));
    feed.data("");
    feed.end();
    assert_eq!(reports.closed(), [], "not before the end");
    assert_eq!(poll_frame(&mut body), Polled::End);

    // The server may keep the body and poll it again.
    advance(60 * SECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::End);
    drop(body);
    let [closed] = &reports.closed()[..] else { panic!("{:?}", reports.closed()) };
    assert_eq!(closed.reason, CloseReason::Ended);
    assert_eq!(closed.age, 53 * SECOND);
    assert_eq!((closed.frames, closed.bytes, closed.heartbeats), (5, 12 + 9 + 11, 3));
}

/// A service of bare streams has no other response than a stream. Other services may answer with
/// anything, so their streams open at the head.
#[tokio::test(start_paused = true)]
async fn bare_stream_opens_at_the_call_and_others_at_the_head() {
    async fn age<K: Kind>() -> Duration {
        let reports = Reports::default();
        let (ready, answer) = oneshot::channel::<()>();
        let mut answer = Some(answer);
        let layer = SseLayer::<K::Marker>::new().max_streams(1);
        let mut service = reports.observe(layer.clone()).layer(service_fn(|_| {
            let answer = answer.take().unwrap();
            async move {
                answer.await.unwrap();
                Ok::<_, io::Error>(K::answer(Source::new().1))
            }
        }));
        let mut future = Box::pin(service.call(Request::new(())));
        assert!(future.as_mut().now_or_never().is_none());
        assert_eq!(reports.opened(), usize::from(K::BARE));
        assert_eq!(open::<K>(&layer).is_err(), K::BARE);
        advance(3 * SECOND).await;
        ready.send(()).unwrap();
        let response = future.await.unwrap();
        assert_eq!(reports.opened(), 1);
        advance(4 * SECOND).await;
        drop(response);
        reports.closed()[0].age
    }

    assert_eq!(age::<Bodies>().await, 4 * SECOND);
    assert_eq!(age::<Responses>().await, 4 * SECOND);
    assert_eq!(age::<Streams>().await, 7 * SECOND);
}

#[test]
fn stream_with_another_status_opens_and_one_without_a_body_does_not() {
    for (status, opened) in [(201, 1), (404, 1), (503, 1), (204, 0), (304, 0)] {
        let (of_body, of_stream) = (Reports::default(), Reports::default());
        let answer = event_stream(Feed::new().1).with_status(status);
        drop(through(&of_body.observe(SseLayer::new()), answer));
        let answer = Response::new(Source::new().1).with_status(status);
        drop(through(&of_stream.observe(SseLayer::new()), answer));
        for (reports, of) in [(of_body, "body"), (of_stream, "stream")] {
            let counts = (reports.opened(), reports.closed().len());
            assert_eq!(counts, (opened, opened), "{status} of a {of}");
        }
    }
}

async fn releases_and_reports_once<K: Kind>(tracks: bool) {
    let stats = Stats::new();
    let mut expected: Vec<_> = stats.snapshot().closed_by_reason;
    let (mut closed, mut frames, mut bytes) = (0, 0, 0);
    for &exit in ExitPath::ALL {
        let limited = SseLayer::<K::Marker>::new().max_streams(1);
        let (source, events) = Source::new();
        let (reports, found) = (Reports::default(), Arc::new(Mutex::new(Vec::new())));
        let layer = reports.observe(limited.clone().stats(&stats)).on_close({
            let (found, witness) = (Arc::clone(&found), source.witness());
            let (limited, stats) = (limited.clone(), stats.clone());
            move |_| {
                let released = (witness.is_dropped(), open::<K>(&limited).is_ok());
                let counted = (stats.snapshot().open, stats.snapshot().closed);
                found.lock().unwrap().push((released, counted));
            }
        });
        let disconnect = exit.go_with::<K>(&layer.track_disconnects(tracks), source, events).await;

        // A stream is reported once, after its source is dropped and its permit released.
        let reason = exit.reason::<K>();
        assert_eq!(reports.opened(), usize::from(reason.is_some()), "{exit:?}");
        assert_eq!(reports.reasons(), Vec::from_iter(reason), "{exit:?}");
        for report in reports.closed() {
            assert_eq!((report.frames, report.bytes), exit.sent(), "{exit:?}");
            assert_eq!(report.heartbeats, 0, "{exit:?}");
        }
        if let Some(reason) = reason {
            expected.iter_mut().find(|(other, _)| *other == reason).unwrap().1 += 1;
            (closed, frames, bytes) = (closed + 1, frames + exit.sent().0, bytes + exit.sent().1);
        }
        let seen = reason.map(|_| ((true, true), (0, closed)));
        assert_eq!(*found.lock().unwrap(), Vec::from_iter(seen), "{exit:?}");

        let now = stats.snapshot();
        assert_eq!(Vec::from_iter(now.closed_by_reason), expected, "{exit:?}");
        assert_eq!((now.opened, now.closed, now.open), (closed, closed, 0), "{exit:?}");
        assert_eq!((now.frames, now.bytes), (frames, bytes), "{exit:?}");
        assert_eq!((now.heartbeats, now.refused), (0, 0), "{exit:?}");

        let _first = open::<K>(&limited).expect("the place is free");
        let second = open::<K>(&limited).err();
        assert_eq!(second, Some(StatusCode::SERVICE_UNAVAILABLE), "{exit:?}: there is one place");

        let is_called = exit != ExitPath::NotAcceptable || !K::BARE;
        assert_eq!(disconnect.is_some(), (tracks || K::BARE) && is_called, "{exit:?}");
        if let Some(disconnect) = disconnect {
            assert!(disconnect.is_cancelled(), "{exit:?}");
            assert!(disconnect.is_cancelled() && disconnect.token().is_cancelled(), "{exit:?}");
            disconnect.cancelled().now_or_never().expect("it returns at once");
        }
    }
    assert!(expected.iter().all(|(_, closed)| *closed > 0), "every reason: {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn every_exit_path_releases_and_reports_a_stream_once() {
    for tracks in [false, true] {
        releases_and_reports_once::<Bodies>(tracks).await;
        releases_and_reports_once::<Responses>(tracks).await;
        releases_and_reports_once::<Streams>(tracks).await;
    }
}

async fn contains_panics_of_callbacks<K: Kind>() {
    for &exit in ExitPath::ALL {
        let (reports, stats) = (Reports::default(), Stats::new());
        let layer = SseLayer::new()
            .max_streams(1)
            .stats(&stats)
            .on_close(|_| panic!("in the first closure"));
        // The `on_close` closure that `observe` adds is called although the one before it panics.
        let layer = reports.observe(layer).on_open(|| panic!("in on_open"));
        let disconnect = exit.go::<K>(&layer.clone().track_disconnects(true)).await;

        assert_eq!(reports.reasons(), Vec::from_iter(exit.reason::<K>()), "{exit:?}");
        assert_eq!(stats.snapshot().open, 0, "{exit:?}");
        assert!(disconnect.is_none_or(|disconnect| disconnect.is_cancelled()), "{exit:?}");
        assert!(open::<K>(&layer).is_ok(), "{exit:?}: the place is free");
    }
}

/// The panic is also contained while the thread unwinds from another panic: if it escaped, the
/// process would abort.
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
    let closing = catch_unwind(AssertUnwindSafe(|| drop(open::<Bodies>(&layer))));
    // The payload must not reach the test harness, which would drop it.
    assert!(closing.map_err(std::mem::forget).is_ok());
    assert_eq!(reports.reasons(), [CloseReason::Disconnected]);
}

/// When the body is dropped, the thread no longer unwinds. The body may also be on another thread.
#[tokio::test]
async fn body_kept_after_its_source_panicked_reports_it_when_dropped() {
    let reports = Reports::default();
    let (source, events) = Source::new();
    let answer = tower_sse::response(events);
    let mut body = through(&reports.observe(SseLayer::new()), answer).into_body();
    source.panic();
    let panic = catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the source"));
    thread::spawn(move || drop(body)).join().unwrap();
    assert_eq!(reports.reasons(), [CloseReason::Panicked]);
}

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
        // A body drops its source when it is polled to its end, or else when it is dropped itself.
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
