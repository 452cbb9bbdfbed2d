//! Heartbeats that are events. They repeat the client's last event id if the layer knows it: some
//! clients forget their id at an event without one, and would reconnect without an id.

use tower_sse::Heartbeat;

use crate::*;

const EVENT: &str = "event: heartbeat\ndata: {}\n";

fn layer() -> SseLayer {
    SseLayer::new().heartbeat(Heartbeat::every(SECOND).event("heartbeat", "{}")).without_retry()
}

async fn beat<B: Body<Data = Bytes, Error: ToString> + Unpin>(body: &mut B) -> String {
    assert_eq!(poll_frame(body), Polled::Pending);
    advance(2 * SECOND).await;
    text(poll_frame(body))
}

fn text(polled: Polled) -> String {
    let Polled::Data(bytes) = polled else { panic!("{polled:?}") };
    String::from_utf8(bytes.into()).unwrap()
}

fn with(id: &str) -> String {
    format!("{EVENT}id: {id}\n\n")
}

#[tokio::test(start_paused = true)]
async fn heartbeat_event_of_a_hub_repeats_the_id_that_the_client_has() {
    let hub = Hub::builder().retention(Retention::new().events(4)).build();
    publish_all(&hub, ["a1", "b2", "a3"]);
    let latest = hub.position();
    let open = |client: Requester, topics: &[&str], last: Option<LastEventId>| {
        let visit = hub.subscribe(topics).resume(last).response();
        answer_to(client.request("/"), &layer(), visit).into_body()
    };
    for topics in [&["a"][..], &["a", "b"]] {
        for (client, last, first) in [
            (Requester::EventSource, None, format!("event: start\ndata: {{}}\nid: {latest}\n\n")),
            (Requester::Fetch, None, String::new()),
            (Requester::EventSource, Some(latest.clone().into()), String::new()),
            (Requester::Get, Some(latest.clone().into()), String::new()),
        ] {
            let mut body = open(client, topics, last);
            assert_eq!(text(poll_frame(&mut body)), first + &with(latest.as_str()));
            for _ in 0..2 {
                assert_eq!(beat(&mut body).await, with(latest.as_str()), "{client:?} {topics:?}");
            }
        }
    }
    // The heartbeat repeats the id of the last event, even if a frame has several events.
    let mut body = open(Requester::EventSource, &["a", "b"], Some(id(&hub, 0)));
    assert_eq!(text(poll_frame(&mut body)), with(id(&hub, 0).as_str()));
    assert!(text(poll_frame(&mut body)).starts_with("data: a1\n"));
    while let Polled::Data(_) = poll_frame(&mut body) {}
    assert_eq!(beat(&mut body).await, with(latest.as_str()));
    publish_all(&hub, ["a4", "a5"]);
    assert!(text(poll_frame(&mut body)).contains("data: a4\n"));
    while let Polled::Data(_) = poll_frame(&mut body) {}
    assert_eq!(beat(&mut body).await, with(hub.position().as_str()));
    let mut returned = open(Requester::EventSource, &["c"], Some(foreign()));
    assert_eq!(text(poll_frame(&mut returned)), with("1-0"), "an id of no hub, for another gap");
    let gap = text(poll_frame(&mut returned));
    let gap_id = gap
        .strip_prefix("event: gap\ndata: {\"topic\":\"c\",\"reason\":\"other_hub\"}\nid: ")
        .unwrap();
    assert_eq!(beat(&mut returned).await, with(gap_id.trim_end()));
}

/// A process may lag behind the one that gave the client its id. If the client is cut after the
/// first heartbeat, it continues at another process with that heartbeat's id.
#[tokio::test(start_paused = true)]
async fn first_heartbeat_event_skips_and_repeats_nothing_at_another_process() {
    let (broker, [first, lagging]) = connected();
    publish_all(&first, ["a1"]);
    broker.pause(&lagging);
    publish_all(&first, ["a2", "a3"]);
    let (missed, gap) = (["a2@2", "a3@3"], ["gap a@0", "a1@1", "a2@2", "a3@3"]);
    for (last, rest) in [
        (None, &missed[..]),
        (Some(id(&first, 1)), &missed),
        (Some(id(&first, 2)), &missed[1..]),
        (Some(id(&first, 3)), &[]),
        (Some(foreign()), &gap),
    ] {
        let visit = lagging.subscribe_to("a").resume(last.clone()).response();
        let mut body = answer_to(Requester::Fetch.request("/"), &layer(), visit).into_body();
        let beat = text(poll_frame(&mut body));
        let own = beat.strip_prefix(EVENT).and_then(|rest| rest.strip_prefix("id: "));
        let own = own.map(|id| last_id(id.trim_end())).or(last.clone()).expect("an id");
        assert_eq!(read(&first, &["a"], own), rest, "{last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeat_event_has_the_id_with_which_the_source_ends() {
    let (feed, source) = support::Feed::new();
    let mut body = answer_to(Request::new(()), &layer(), event_stream(source)).into_body();
    let without = format!("{EVENT}\n");
    assert_eq!(text(poll_frame(&mut body)), without);
    assert_eq!(beat(&mut body).await, without, "a source that has none");
    let large = format!("data: {}", "x".repeat(256 * 1024 - 6));
    for (frames, expected) in [
        (&["data: a\nid: 7\n\n"][..], with("7")),
        (&["data: a\n\ndata: b\nid: 8\n\n"], with("8")),
        (&["id: 9\n\n"], with("9")),
        (&["data: a\n", "id: 10\n\n"], with("10")),
        (&["data: a\nid: \n\n"], with("")),
        (&["data: a\nid: 7\n\ndata: b\n\n"], without.clone()),
        (&["data: a\nid: 7\n\n", "data: b\n\n"], without.clone()),
        // If the layer does not know the id of the newest event, it repeats none: an older id would
        // send the client back.
        (&["data: a\nid: 7\n\n", "data: b\ni", "d: 11\n\n"], without.clone()),
        (&["data: a\nid: 7\n\n", "data: b\nid: 12\n", "\n"], without.clone()),
        (&["data: a\nid: 7\n\n", "data: b", "id: 13\n\n"], without.clone()),
        // The layer splits large frames, but not shortly before their end.
        (&[&format!("{large}\nid: 14\n\n")], with("14")),
        (&[&format!("{}\nid: 14\n\n", &large[4..])], with("14")),
        (&[&format!("{large}{}\nid: 14\n\n", &large[7..])], with("14")),
        (&[&format!("{large}id: {}\n\n", "1".repeat(2000))], without.clone()),
        (&["id: 16\rdata: a\n\n"], without.clone()),
        (&["data: a\rid: 17\n\n"], with("17")),
        (&["data: a\nid: 7\n\n", "data: b\r\nid: 15\r\n\r\n"], with("15")),
        (&["data: a\r\nid: 7\r\n\r\ndata: b\r\n\r\n"], without.clone()),
        (&["data: a\r\nid: 7\r\n\r\n", "data: b\r\nid: 18\r\n\r", "\n"], without.clone()),
        (&["data: b\r\nid: 19\n\r\n"], without.clone()),
        (&["data: a\nid: 7\n\n", ""], with("7")),
    ] {
        for frame in frames {
            feed.data(frame.to_string());
            let mut received = 0;
            // A large frame uses up the task's cooperative budget.
            while let Polled::Data(bytes) = poll_frame(&mut body) {
                received += bytes.len();
                yield_now().await;
            }
            assert_eq!(received, frame.len());
        }
        for _ in 0..2 {
            assert_eq!(beat(&mut body).await, expected, "{frames:.60?}");
        }
    }
    feed.data("data: half\n");
    while let Polled::Data(_) = poll_frame(&mut body) {}
    assert_eq!(beat(&mut body).await, ": \n", "the comment, within an event");
}

#[cfg(feature = "runs")]
#[tokio::test(start_paused = true)]
async fn heartbeat_event_of_a_run_repeats_the_id_that_the_client_has() {
    use tower_sse::runs::{RunKey, Runs};

    let hub = Hub::new();
    let (runs, source) = (Runs::new(), hub.clone());
    let service = runs.layer(|_: &Request<()>| Some(RunKey::new("user", "name"))).layer(
        service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(source.subscribe_to("a").resume(None).response()))
        }),
    );
    let app = layer().layer(service);
    let open = async |last: Option<&str>| {
        let mut request = Requester::EventSource.request("/");
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().unwrap());
        }
        app.clone().oneshot(request).await.unwrap().into_body()
    };
    let mut first = open(None).await;
    // The client has no id of the run yet, and the hub's position is no id of the run.
    assert_eq!(text(poll_frame(&mut first)), format!("{EVENT}\n"));
    assert_eq!(beat(&mut first).await, format!("{EVENT}\n"));
    publish(&hub, "a", "a1");
    for _ in 0..50 {
        yield_now().await;
    }
    let event = text(poll_frame(&mut first));
    let id = event.strip_prefix("data: a1\nid: ").unwrap().trim_end();
    assert_eq!(beat(&mut first).await, with(id));
    assert_eq!(text(poll_frame(&mut open(Some(id)).await)), with(id));
}
