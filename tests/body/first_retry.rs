//! The reconnection time that the stream of an `EventSource` starts with by default.

use tower_sse::streams::Streams;

use crate::{rig::*, *};

fn parting() -> SseLayer {
    SseLayer::new()
        .without_heartbeat()
        .farewell(Event::new().event("bye").data("see you"))
        .drain(Drain::per_client().retry(3 * SECOND))
}

#[track_caller]
fn time_of(polled: &Polled) -> u64 {
    let Polled::Data(line) = polled else { panic!("{polled:?}") };
    let line = str::from_utf8(line).unwrap();
    line.strip_prefix("retry: ").and_then(|line| line.strip_suffix('\n')).unwrap().parse().unwrap()
}

fn has_two_in_one_block(sent: &str) -> bool {
    sent.split("\n\n").any(|block| block.matches("retry:").count() > 1)
}

fn sent_by(rig: &mut Rig) -> String {
    let mut sent = String::new();
    while let Polled::Data(bytes) = rig.poll() {
        sent.push_str(str::from_utf8(&bytes).unwrap());
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn no_other_client_is_sent_a_time_by_default() {
    for client in [Requester::Fetch, Requester::Get, Requester::Post] {
        let mut rig = Rig::starting(SseLayer::new(), client);
        assert_eq!(rig.poll(), Polled::Pending, "{client:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn layer_request_and_response_set_or_forbid_the_time() {
    let (set, off) = (StreamOptions::new().retry(7 * SECOND), StreamOptions::new().without_retry());
    let line = data("retry: 7000\n");
    let cases = [
        ([Some(&set), None, None], line.clone()),
        ([None, Some(&set), None], line.clone()),
        ([None, None, Some(&set)], line.clone()),
        ([Some(&off), None, None], Polled::Pending),
        ([None, Some(&off), None], Polled::Pending),
        ([None, None, Some(&off)], Polled::Pending),
        ([Some(&off), None, Some(&set)], line.clone()),
        ([Some(&set), Some(&off), None], Polled::Pending),
        ([None, Some(&off), Some(&set)], line),
    ];
    for ([layer, request, response], expected) in cases {
        let name = format!("{layer:?}, {request:?}, {response:?}");
        let layer = layer.map_or(SseLayer::new(), |set| SseLayer::new().options(set.clone()));
        let mut asked: Request<()> = Requester::EventSource.request("/");
        if let Some(options) = request {
            options.clone().merge_into_extensions(asked.extensions_mut());
        }
        let mut rig = Rig::starting_with(layer, asked, |mut answer| {
            if let Some(options) = response {
                options.clone().merge_into(&mut answer);
            }
            answer
        });
        assert_eq!(rig.poll(), expected, "{name}");
    }
    let mut rig =
        Rig::starting(SseLayer::new().retry(SECOND).without_retry(), Requester::EventSource);
    assert_eq!(rig.poll(), Polled::Pending);
}

#[tokio::test(start_paused = true)]
async fn stream_that_must_end_at_once_has_no_time_of_the_default() {
    let mut drained = Rig::starting(parting(), Requester::EventSource);
    drained.shutdown.cancel();
    drained.assert_ends_with(GOODBYE, CloseReason::Drained);

    let expired = SseLayer::new().max_age(Duration::ZERO);
    let mut expired = Rig::starting(expired, Requester::EventSource);
    expired.assert_ends(CloseReason::Expired);

    let streams = Streams::new();
    let mut request = Requester::EventSource.request("/");
    streams.subjects_of(&mut request).add("a");
    let mut closed =
        Rig::starting_with(SseLayer::new().streams(&streams), request, |answer| answer);
    streams.close("a").await.unwrap();
    closed.assert_ends(CloseReason::Revoked);
}

/// Some clients reject a block with two `retry` lines.
#[tokio::test(start_paused = true)]
async fn stream_that_ends_before_its_first_frame_has_one_time() {
    let with_time = || Event::new().retry(9 * SECOND).data("over");
    let farewell = parting().farewell(with_time());
    for (name, layer) in [
        ("drained", parting()),
        ("drained, without a farewell", SseLayer::new().drain(Drain::at_once().retry(SECOND))),
        ("drained, with a time of the farewell", farewell),
        ("drained, with a time of its own", parting().retry(SECOND)),
        ("closed", SseLayer::new()),
        ("ended", SseLayer::new().terminator(with_time())),
        ("failed", SseLayer::new().on_error(move |_| with_time())),
    ] {
        let streams = Streams::new();
        let layer = layer.without_heartbeat().streams(&streams);
        let mut request = Requester::EventSource.request("/");
        streams.subjects_of(&mut request).add("a");
        let mut rig = Rig::starting_with(layer, request, |answer| answer);
        let first = time_of(&rig.poll());
        assert_eq!(rig.poll(), Polled::Pending, "{name}");
        match name {
            "closed" => assert_eq!(streams.close_all(), 1),
            "ended" => rig.feed.end(),
            "failed" => rig.feed.fail("broken"),
            _ => rig.shutdown.cancel(),
        }
        let last = sent_by(&mut rig);
        assert!(last.starts_with("\nretry: "), "{name}: {last:?}");
        assert!(!has_two_in_one_block(&format!("retry: {first}\n{last}")), "{name}: {last:?}");
        assert!(rig.reason().is_some(), "{name}");
    }
}

/// The empty line of an event also ends the block of the first `retry` line. A comment line does
/// not end that block.
#[tokio::test(start_paused = true)]
async fn time_of_the_drain_needs_no_empty_line_behind_an_event() {
    for (passed, line_end) in [
        ("data: a\n\n", ""),
        ("data: a\r\n\r\n", ""),
        (":\n\n", ""),
        (": a\n", "\n"),
        (": a\r", "\n\n"),
    ] {
        let mut rig = Rig::starting(parting(), Requester::EventSource);
        time_of(&rig.poll());
        rig.passes(passed);
        rig.shutdown.cancel();
        assert_eq!(rig.poll(), bytes([line_end, GOODBYE].concat().as_bytes()), "{passed:?}");
        rig.assert_ends(CloseReason::Drained);
    }
    let heartbeat = Heartbeat::every(SECOND).event("ping", "1");
    let layer = parting().retry(SECOND).heartbeat(heartbeat);
    let mut rig = Rig::starting(layer, Requester::EventSource);
    assert_eq!(rig.poll(), data("retry: 1000\nevent: ping\ndata: 1\n\n"));
    rig.shutdown.cancel();
    rig.assert_ends_with(GOODBYE, CloseReason::Drained);

    let mut mid_event = Rig::starting(parting(), Requester::EventSource);
    time_of(&mid_event.poll());
    mid_event.passes("data: a\n");
    mid_event.shutdown.cancel();
    mid_event.assert_waits(5 * SECOND).await;
    assert_eq!(mid_event.poll(), data(RETRY));
}

#[cfg(feature = "testing")]
#[tokio::test(start_paused = true)]
async fn test_client_sees_only_a_time_that_the_program_sets() {
    let events = async || tower_sse::response(stream::iter([Event::from("a")]));
    let routes = Router::new().route("/", get(events));
    for (layer, expected) in
        [(SseLayer::new(), None), (SseLayer::new().retry(7 * SECOND), Some(7 * SECOND))]
    {
        let mut events = TestClient::new(routes.clone().layer(layer)).get("/").await;
        assert_eq!(events.next().await.data, "a");
        assert_eq!(events.retry(), expected);
    }
}
