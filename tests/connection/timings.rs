use crate::{rig::bytes, *};

fn times(report: &CloseReport) -> (Option<Duration>, Option<Duration>) {
    (report.time_to_head, report.time_to_first_event)
}

/// The handler takes two seconds, and its first event three more.
async fn measures<K: Kind>() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::<K::Marker>::new().timings(true));
    let (source, events) = Source::new();
    let mut events = Some(events);
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        let events = events.take().expect("one request");
        async {
            sleep(2 * SECOND).await;
            Ok::<_, Infallible>(K::answer(events))
        }
    }));
    let response = service.call(Requester::Get.request("/")).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(3 * SECOND).await;
    source.send("one");
    assert_eq!(poll_frame(&mut body), data("data: one\n\n"));
    advance(SECOND).await;
    source.send("two");
    assert_eq!(poll_frame(&mut body), data("data: two\n\n"));
    drop(body);
    assert_eq!(times(&reports.closed()[0]), (Some(2 * SECOND), Some(5 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn times_begin_with_the_request() {
    for_each_kind!(measures.await);
}

#[tokio::test(start_paused = true)]
async fn comments_and_reconnection_times_are_no_events() {
    let layer = SseLayer::new()
        .timings(true)
        .padding(16)
        .retry(Retry::fixed(SECOND))
        .heartbeat(Heartbeat::every(10 * SECOND));
    let mut rig = Rig::starting(layer, Requester::Get);
    assert!(matches!(rig.poll(), Polled::Data(_)), "the preamble");
    rig.idle(10 * SECOND).await;
    assert!(matches!(rig.poll(), Polled::Data(_)), "a heartbeat");
    // The second half of the comment looks like a field, and each of the empty lines is a frame.
    for passed in
        [": comment\n\n", "retry: 5\r\n\r\n", ": half of a ", "data: comment\n", "\n", "\n"]
    {
        rig.passes(passed);
        advance(SECOND).await;
    }
    rig.passes(": \ndata: one\n\n");
    advance(SECOND).await;
    rig.passes("data: two\n\n");
    assert_eq!(rig.leave().time_to_first_event, Some(16 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn events_of_the_layer_are_no_events_of_the_source() {
    let layer = || SseLayer::new().without_heartbeat().timings(true);
    let mut rig = Rig::new(layer().terminator("[DONE]"), Requester::Get);
    rig.feed.end();
    assert_eq!(rig.poll(), data("data: [DONE]\n\n"));
    assert_eq!(rig.leave().time_to_first_event, None);

    let heartbeat = Heartbeat::every(10 * SECOND).event("ping", "");
    let mut rig = Rig::new(layer().heartbeat(heartbeat), Requester::Get);
    assert_eq!(rig.poll(), data("event: ping\ndata: \n\n"));
    rig.idle(10 * SECOND).await;
    assert_eq!(rig.poll(), data("event: ping\ndata: \n\n"));
    advance(SECOND).await;
    rig.passes("data: one\n\n");
    assert_eq!(rig.leave().time_to_first_event, Some(11 * SECOND));

    let layer = layer().farewell(Event::from("bye")).drain(Drain::at_once().retry(SECOND));
    let mut rig = Rig::new(layer, Requester::Get);
    assert_eq!(rig.poll(), Polled::Pending);
    rig.shutdown.cancel();
    assert_eq!(rig.poll(), data("retry: 1000\ndata: bye\n\n"));
    assert_eq!(rig.leave().time_to_first_event, None);
}

#[cfg(feature = "hub")]
#[tokio::test(start_paused = true)]
async fn event_that_gives_a_client_its_first_id_is_not_the_sources() {
    let hub = tower_sse::hub::Hub::new();
    hub.publish("a", "zero").await.unwrap();
    let visit = hub.subscribe_to("a").resume(None).response();
    let layer = SseLayer::new().timings(true);
    let mut rig = Rig::of(layer, Requester::EventSource, visit);
    assert!(matches!(rig.poll(), Polled::Data(_)), "the event `start`");
    assert_eq!(rig.poll(), Polled::Pending);
    advance(SECOND).await;
    hub.publish("a", "one").await.unwrap();
    assert!(matches!(rig.poll(), Polled::Data(_)));
    assert_eq!(rig.leave().time_to_first_event, Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn first_bytes_of_a_content_coding_count_as_an_event() {
    let layer = SseLayer::new().timings(true);
    let mut rig = Rig::answering(layer, Requester::Get.request("/"), |answer| {
        answer.with_header("content-encoding", "gzip")
    });
    advance(SECOND).await;
    rig.feed.data(&b"\x1f\x8b\x08"[..]);
    assert_eq!(rig.poll(), bytes(b"\x1f\x8b\x08"));
    assert_eq!(rig.leave().time_to_first_event, Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn stream_whose_client_leaves_before_the_head_has_no_times() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::<marker::Events>::new().timings(true));
    let mut service =
        layer.layer(service_fn(|_: Request<()>| pending::<Result<Events, Infallible>>()));
    assert!(service.call(Request::new(())).now_or_never().is_none());
    assert_eq!(times(&reports.closed()[0]), (None, None));
}

#[tokio::test(start_paused = true)]
async fn times_are_not_noted_by_default() {
    let mut rig =
        Rig::new(SseLayer::new().label(|_| "a").timings(true).timings(false), Requester::Get);
    rig.passes("data: one\n\n");
    let report = rig.leave();
    assert_eq!((times(&report), report.label.as_deref()), ((None, None), Some("a")));
}
