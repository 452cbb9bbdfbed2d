use std::sync::OnceLock;

use tokio::sync::oneshot;

use crate::*;

/// The next stream would be refused if the closed one still held the only permit, and it would
/// deadlock if a lock were held.
#[test]
fn on_close_can_open_the_next_stream_at_the_limit() {
    let next = Arc::new(Mutex::new(None));
    let itself = Arc::new(OnceLock::<SseLayer>::new());
    let layer: SseLayer = SseLayer::new().max_streams(1).on_close({
        let (next, itself) = (Arc::clone(&next), Arc::clone(&itself));
        move |_| {
            let opened = open::<Bodies>(itself.get().unwrap());
            next.lock().unwrap().get_or_insert(opened);
        }
    });
    itself.set(layer.clone()).unwrap();
    drop(open::<Bodies>(&layer).unwrap());
    assert!(matches!(*next.lock().unwrap(), Some(Ok(_))));
    assert!(open::<Bodies>(&layer).is_err(), "the next one has the place");
}

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
        assert_polls(&mut body, [data(":\n"), Polled::Pending]);
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
    assert_eq!((closed.frames, closed.bytes, closed.heartbeats), (5, 12 + 6 + 11, 3));
}

#[tokio::test(start_paused = true)]
async fn bare_stream_opens_at_the_call_and_others_at_the_head() {
    async fn age<K: Kind>() -> Duration {
        let reports = Reports::default();
        let (ready, answer) = oneshot::channel::<()>();
        let mut answer = Some(answer);
        let mut service = reports.observe(SseLayer::<K::Marker>::new()).layer(service_fn(|_| {
            let answer = answer.take().unwrap();
            async move {
                answer.await.unwrap();
                Ok::<_, io::Error>(K::answer(Source::new().1))
            }
        }));
        let mut future = Box::pin(service.call(Request::new(())));
        assert!(future.as_mut().now_or_never().is_none());
        assert_eq!(reports.opened(), usize::from(K::BARE));
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

/// The owner of the body decides where it is dropped: hyper's task, or a thread of its own.
#[tokio::test]
async fn close_is_reported_on_the_thread_that_drops_the_body() {
    let reports = Reports::default();
    let (on_thread, thread) = oneshot::channel();
    let on_thread = Mutex::new(Some(on_thread));
    let layer: SseLayer = reports.observe(SseLayer::new()).on_close(move |_| {
        let on_thread = on_thread.lock().unwrap().take().unwrap();
        on_thread.send(std::thread::current().id()).unwrap();
    });
    let mut body = open::<Bodies>(&layer).unwrap();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    let dropping = std::thread::spawn(move || {
        drop(body);
        std::thread::current().id()
    });
    let thread = soon(thread).await.unwrap();
    assert_eq!(thread, dropping.join().unwrap());
    assert_eq!(reports.reasons(), [CloseReason::Disconnected]);
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

#[test]
fn other_responses_open_no_stream() {
    let reports = Reports::default();
    let layer: SseLayer = reports.observe(SseLayer::new().track_disconnects(true));
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let request = Request::builder().method(method).body(()).unwrap();
        let page = Response::builder().header("content-type", "text/html").body(Feed::new().1);
        drop(answer_to(request, &layer, page.unwrap()));
    }
    assert_eq!((reports.opened(), reports.closed()), (0, vec![]));
}
