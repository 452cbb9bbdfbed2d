//! The event `start`, which gives a client on its first visit an id.

use crate::*;

/// Returns the position in the event `start`, if that is in the first frame of the response.
fn start_of(client: Requester, subscription: Subscription) -> Option<LastEventId> {
    let response = answer_to(client.request("/"), &SseLayer::new(), subscription.response());
    start_in(poll_frame(&mut response.into_body()))
}

fn start_in(first: Polled) -> Option<LastEventId> {
    let Polled::Data(mut bytes) = first else { return None };
    let message = Decoder::new().decode(&mut bytes).unwrap().filter(|it| it.event == "start")?;
    assert_eq!((&*message.data, &*bytes), ("{}", &b""[..]), "alone, but for the reconnection time");
    Some(last_id(&message.last_event_id))
}

/// Returns a hub with three events in the topic `a` and one in `l`. In topics whose names begin
/// with `l`, each event replaces the one before it.
fn hub_with_events() -> Hub {
    let retention = |topic: &str| match topic {
        "none" => Some(Retention::new().age(Duration::ZERO)),
        _ => topic.starts_with('l').then(Retention::latest),
    };
    let hub = Hub::builder().retention_of(retention).build();
    publish_all(&hub, ["a1", "a2", "a3", "l4"]);
    hub
}

#[tokio::test]
async fn start_shares_the_frame_of_the_reconnection_time() {
    let hub = hub_with_events();
    let first_frame = |layer: &SseLayer| {
        let visit = hub.subscribe(["a", "b"]).resume(None).response();
        let mut body = answer_to(Requester::EventSource.request("/"), layer, visit).into_body();
        let Polled::Data(first) = poll_frame(&mut body) else { panic!("no first frame") };
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        String::from_utf8(first.into()).unwrap()
    };
    let start = format!("event: start\ndata: {{}}\nid: {}\n\n", hub.position());
    assert_eq!(first_frame(&SseLayer::new().retry(SECOND)), format!("retry: 1000\n{start}"));
    let padded = SseLayer::new().retry(SECOND).padding(4);
    assert_eq!(first_frame(&padded), format!("retry: 1000\n:  \n{start}"));
    assert_eq!(first_frame(&SseLayer::new().without_retry()), start);
}

#[tokio::test]
async fn only_clients_that_reconnect_receive_it_unless_the_program_says_otherwise() {
    let hub = hub_with_events();
    let position = Some(LastEventId::from(hub.position()));
    for client in Requester::ALL {
        let subscribe = || hub.subscribe_to("a");
        let reconnects = matches!(client, Requester::EventSource | Requester::Library);
        let default = position.clone().filter(|_| reconnects);
        assert_eq!(start_of(client, subscribe().resume(None)), default, "{client:?}");
        let on = subscribe().start_event(true).resume(None);
        assert_eq!(start_of(client, on), position, "{client:?}");
        let off = subscribe().start_event(false).resume(None);
        assert_eq!(start_of(client, off), None, "{client:?}");
    }
}

#[tokio::test]
async fn it_comes_only_if_nothing_else_gives_the_client_an_id() {
    let hub = hub_with_events();
    let (earlier, now) = (hub.position(), LastEventId::from(hub.position()));
    publish(&hub, "none", "evicted by the next event");
    publish(&hub, "b", "b6");
    let newest = || Some(LastEventId::from(hub.position()));
    let of = |topics: &[&str]| hub.subscribe(topics);
    let since = |topics| of(topics).since(earlier.clone());
    let comment = Event::new().comment("hello");
    for (case, subscription, expected) in [
        ("an id of the hub", of(&["a"]).resume(now.clone()), None),
        ("a foreign id", of(&["a"]).resume(foreign()), None),
        ("a malformed id, whose gap has one", of(&["a"]).resume(last_id("?")), None),
        ("a greeting", of(&["a"]).greeting("hello").resume(None), None),
        ("a greeting with nothing to show", of(&["a"]).greeting(comment).resume(None), newest()),
        ("recent events", of(&["c", "a"]).recent(2).resume(None), None),
        ("no recent events", of(&["c", "l2"]).recent(2).resume(None), newest()),
        ("a newest value", of(&["c", "l"]).resume(None), None),
        ("no newest value", of(&["l2"]).resume(None), newest()),
        ("nothing since a position", since(&["a"]).resume(None), Some(now)),
        ("an event since a position", since(&["b"]).resume(None), None),
        ("a gap since a position", since(&["none"]).resume(None), None),
        ("no topics kept", of(&["c"]).resume(None), newest()),
    ] {
        assert_eq!(start_of(Requester::EventSource, subscription), expected, "{case}");
    }
    let wrapped = tower_sse::response(of(&["c"]).resume(None));
    let request = Requester::EventSource.request("/");
    let mut body = answer_to(request, &SseLayer::new(), wrapped).into_body();
    assert_eq!(start_in(poll_frame(&mut body)), None, "any stream");
}

#[tokio::test]
async fn client_that_is_cut_off_before_its_first_event_misses_nothing() {
    for published in [0, 1, 3] {
        let (broker, [first, other]) = connected();
        publish_all(&first, ["a1", "b2", "a3"].into_iter().take(published));
        let alone = Hub::new();
        publish_all(&alone, ["a1", "b2", "a3"].into_iter().take(published));
        for (case, visited, publisher, returned) in [
            ("in memory", &alone, &alone, alone.clone()),
            ("at the same process", &first, &other, first.clone()),
            ("at a new process", &first, &first, connect(&broker)),
        ] {
            let visit = visited.subscribe(["a", "b"]).resume(None);
            let start =
                start_of(Requester::EventSource, visit).expect("the connection then breaks");
            let before = sequence(start.as_str());
            publish_all(publisher, ["b+", "c+", "a+"]);
            let missed = [format!("b+@{}", before + 1), format!("a+@{}", before + 3)];
            assert_eq!(read(&returned, &["a", "b"], start), missed, "{case} after {published}");
        }
    }
}

/// The layer sends the event `start`, so a filter in the handler doesn't see it.
#[tokio::test]
async fn filter_that_drops_everything_keeps_the_start() {
    let hub = Hub::new();
    let visit = hub.subscribe_to("a").resume(None).response();
    let filter = filter::from_fn(|_| filter::Verdict::Drop);
    let filtered = visit.map(|body| FilterBody::new(body, filter));
    let request = Requester::EventSource.request("/");
    let mut body = answer_to(request, &SseLayer::new(), filtered).into_body();
    publish(&hub, "a", "a1");
    assert_eq!(start_in(poll_frame(&mut body)), Some(id(&hub, 0)));
    assert_eq!(poll_frame(&mut body), Polled::Pending);
}

/// The clients of a run have the ids of the run, not of the hub.
#[cfg(feature = "runs")]
#[tokio::test]
async fn run_whose_source_is_a_hub_has_no_start() {
    use tower_sse::runs::{RunKey, Runs};

    let hub = Hub::new();
    let service = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(hub.subscribe_to("a").resume(None).response()))
    });
    let key = |_: &Request<()>| Some(RunKey::new("user", "name"));
    let app = SseLayer::new().layer(Runs::new().layer(key).layer(service));
    let response = app.oneshot(Requester::EventSource.request("/")).await.unwrap();
    assert_eq!(start_in(poll_frame(&mut response.into_body())), None);
}

#[tokio::test]
async fn start_is_no_event_of_the_source_and_ends_its_block() {
    let reports = Reports::default();
    let shutdown = CancellationToken::new();
    let layer = reports.observe(SseLayer::new().timings(true).shutdown(shutdown.clone()));
    let layer = layer.drain(Drain::at_once().retry(SECOND));
    let visit = Hub::new().subscribe_to("a").resume(None).response();
    let mut body = answer_to(Requester::EventSource.request("/"), &layer, visit).into_body();
    assert!(start_in(poll_frame(&mut body)).is_some());
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    shutdown.cancel();
    assert_eq!(poll_frame(&mut body), Polled::Data("retry: 1000\n".into()));
    assert_eq!(reports.closed()[0].time_to_first_event, None);
}

#[tokio::test]
async fn test_client_resumes_after_a_start_that_it_does_not_show() {
    let hub = Hub::new();
    let visited = hub.clone();
    let service = service_fn(move |request: Request<String>| {
        let last = LastEventId::from_headers(request.headers());
        ready(Ok::<_, Infallible>(visited.subscribe_to("a").resume(last).response()))
    });
    let mut client = TestClient::new(SseLayer::new().layer(service));
    let mut first = client.get("/").await;
    first.assert_no_message(Duration::ZERO).await;
    let missed = publish(&hub, "a", "missed");
    let again = client.reconnect(first).await.next().await;
    assert_eq!((&*again.data, sequence(&again.last_event_id)), ("missed", missed));
}

/// If a proxy cuts longer answers, a longer wait would keep the position from the client.
#[tokio::test(start_paused = true)]
async fn long_poll_that_begins_with_it_waits_for_one_second() {
    let hub = hub_with_events();
    let poll = |subscription: Subscription| {
        let options = tower_sse::StreamOptions::new().long_poll(Duration::from_secs(8));
        let layer = SseLayer::new().without_retry().options(options);
        let request = Requester::EventSource.request("/");
        answer_to(request, &layer, subscription.response()).into_body()
    };
    let mut first = poll(hub.subscribe_to("a").resume(None));
    let position = start_in(poll_frame(&mut first)).unwrap();
    for step in [SECOND - MILLISECOND, MILLISECOND] {
        assert_eq!(poll_frame(&mut first), Polled::Pending);
        advance(step).await;
    }
    assert_eq!(poll_frame(&mut first), Polled::End);

    let mut second = poll(hub.subscribe_to("a").resume(position));
    assert_eq!(poll_frame(&mut second), Polled::Pending);
    advance(7 * SECOND).await;
    publish(&hub, "a", "a5");
    assert!(matches!(poll_frame(&mut second), Polled::Data(_)));
    assert_eq!(poll_frame(&mut second), Polled::End);
}
