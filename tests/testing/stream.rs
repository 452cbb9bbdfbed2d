use crate::*;

fn fed() -> (Feed, TestStream) {
    let (feed, body) = Feed::new();
    (feed, TestStream::new(event_stream(body)))
}

#[tokio::test(start_paused = true)]
async fn messages_come_one_by_one_or_by_number_or_to_the_end() {
    let events = stream::iter(1..=6).map(|n: u32| Event::from(n.to_string()));
    let mut events = TestStream::new(tower_sse::response(events));
    assert_eq!(events.next().await, Message::new("1"));
    assert_eq!(events.take(2).await, [Message::new("2"), Message::new("3")]);
    assert_eq!(events.take(0).await, []);
    assert_eq!(events.collect().await, ["4", "5", "6"].map(Message::new));
    assert_eq!(events.collect().await, [], "the end stays");
}

#[tokio::test(start_paused = true)]
async fn time_limit_applies_to_each_message() {
    let start = Instant::now();
    let ticks = IntervalStream::new(interval(29 * SECOND)).map(|_| Event::from("tick"));
    TestStream::new(tower_sse::response(ticks)).take(10).await;
    assert_eq!(start.elapsed(), 9 * 29 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn comments_are_read_beside_messages() {
    for line_end in ["\n", "\r", "\r\n"] {
        for is_cut in [false, true] {
            let lines = [
                "\u{feff}: one",
                ":two",
                "\u{feff}: none",
                "data: a:b",
                "::",
                "data: c",
                "",
                ":  three",
                ":",
                "x",
            ];
            let body = lines.join(line_end);
            let (feed, mut events) = fed();
            if is_cut {
                body.chars().for_each(|c| feed.data(c.to_string()));
            } else {
                feed.data(body);
            }
            assert_eq!(events.next().await, Message::new("a:b\nc"));
            for text in ["one", "two", ":", " three", ""] {
                assert_eq!(events.next_comment().await, text, "{line_end:?} {is_cut}");
            }
            assert!(events.next_comment().now_or_never().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_a_comment_has_passed_can_be_read() {
    let (feed, mut events) = fed();
    feed.data("id: 1\ndata: a\n\nid: 2\ndata: b\n\n: c\nid: 3\ndata: d\n\n");
    assert_eq!(events.next_comment().await, "c");
    assert_eq!(events.last_event_id(), "2");
    let data = events.take(3).await.into_iter().map(|message| message.data);
    assert_eq!(data.collect::<Vec<_>>(), ["a", "b", "d"]);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_the_layer_come_when_the_clock_says_so() {
    let (_feed, body) = Feed::new();
    let mut events = TestStream::new(through(&SseLayer::new(), event_stream(body)));
    let start = Instant::now();
    assert_eq!(events.next_comment().await, "");
    let elapsed = start.elapsed();
    assert!((15 * SECOND..16 * SECOND).contains(&elapsed), "{elapsed:?}");
    events.assert_no_message(3600 * SECOND).await;
    assert_eq!(start.elapsed(), elapsed + 3600 * SECOND);
    assert_eq!(events.next_comment().await, "", "one that came meanwhile");
    assert_eq!(start.elapsed(), elapsed + 3600 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn id_is_that_of_the_last_message_that_was_returned() {
    let (feed, mut events) = fed();
    feed.data("retry: 5\nid: 1\ndata: a\n\nretry: 6\nid: 2\ndata: b\n\n");
    assert_eq!((events.last_event_id(), events.retry()), ("", None));
    for (id, retry) in [("1", 5), ("2", 6)] {
        events.next().await;
        let retry = Duration::from_millis(retry);
        assert_eq!((events.last_event_id(), events.retry()), (id, Some(retry)));
    }
}

#[tokio::test(start_paused = true)]
async fn error_of_a_body_comes_after_its_messages() {
    let events = stream::iter([Ok(Event::from("a")), Err(io::Error::other("disk full"))]);
    let response = through(&SseLayer::new(), tower_sse::response(events));
    let mut events = TestStream::new(response);
    let error = events.error().await;
    assert!(error.downcast_ref::<io::Error>().is_some());
    assert_eq!(error.to_string(), "disk full");
    assert_eq!(events.next().await.data, "a");
    assert_eq!(events.error().await.to_string(), "disk full", "the error stays");
}

#[tokio::test(start_paused = true)]
async fn error_is_that_of_the_program_in_axum_and_without_layers() {
    let handler = || async {
        tower_sse::response(stream::iter([Err::<Event, _>(io::Error::other("disk full"))]))
    };
    let app = Router::new().route("/", get(handler));
    for app in [app.clone(), app.layer(SseLayer::new())] {
        let mut events = TestClient::new(app).get("/").await;
        let error = events.error().await;
        assert!(error.is::<io::Error>(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn event_that_is_too_large_is_an_error() {
    let (feed, mut events) = fed();
    feed.data(vec![b'x'; 2 << 20]);
    assert_eq!(events.error().await.to_string(), "an event is larger than 1048576 bytes");
}

#[tokio::test(start_paused = true)]
async fn wait_that_is_given_up_loses_nothing() {
    let (feed, mut events) = fed();
    feed.data(": he");
    assert!(timeout(SECOND, events.next_comment()).await.is_err());
    feed.data("re\ndata: o");
    assert!(timeout(SECOND, events.next()).await.is_err());
    feed.data("ne\n\n");
    assert_eq!(events.next().await.data, "one");
    assert_eq!(events.next_comment().await, "here");
}

#[tokio::test(start_paused = true)]
async fn body_is_dropped_at_its_end_and_with_the_stream() {
    let (feed, events) = fed();
    assert!(!feed.is_dropped());
    drop(events);
    assert!(feed.is_dropped());

    let (feed, mut events) = fed();
    feed.end();
    events.collect().await;
    assert!(feed.is_dropped());
}
