//! How a stream begins and ends: preamble, terminator, trailers.

use crate::*;

fn layer() -> SseLayer {
    SseLayer::new().without_heartbeat()
}

#[tokio::test]
async fn reconnection_time_from_a_range_is_drawn_for_every_stream() {
    let layer = layer().retry(Retry::between(Duration::from_millis(10), Duration::from_millis(12)));
    let mut drawn = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let (_feed, mut body) = fed(&layer);
        let Polled::Data(line) = poll_frame(&mut body) else { panic!("no preamble") };
        drawn.insert(line);
    }
    assert_eq!(
        drawn.into_iter().collect::<Vec<_>>(),
        ["retry: 10\n", "retry: 11\n", "retry: 12\n"]
    );
}

#[test]
#[should_panic(expected = "the minimum reconnection time is greater than the maximum")]
fn inverted_range_of_reconnection_times_panics() {
    let _ = Retry::between(Duration::from_secs(2), Duration::from_secs(1));
}

#[tokio::test]
async fn padding_is_a_comment_line_of_exactly_that_many_bytes() {
    for (bytes, expected) in [(2048, 2048), (3, 3), (2, 2), (1, 2)] {
        let (_feed, mut body) = fed(&layer().padding(bytes));
        let Polled::Data(line) = poll_frame(&mut body) else { panic!("no preamble") };
        assert_eq!(line.len(), expected);
        assert!(line.starts_with(b":") && line.ends_with(b"\n"));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    }
}

#[test]
#[should_panic(expected = "a stream cannot start with more than 64 KiB of padding")]
fn padding_beyond_64_kib_panics() {
    let _ = layer().padding(65_537);
}

#[tokio::test]
async fn terminator_follows_the_sources_own_clean_end() {
    for (last, expected) in [
        (None, data("data: [DONE]\n\n")),
        (Some("data: a\n\n"), data("data: [DONE]\n\n")),
        (Some("data: a\r\n\r"), data("\ndata: [DONE]\n\n")),
        (Some(": ping\n"), data("data: [DONE]\n\n")),
        (Some("data: a\n"), Polled::End),
        (Some("data: a"), Polled::End),
        (Some(": pi"), Polled::End),
    ] {
        let (feed, mut body) = fed(&layer().terminator(Event::from("[DONE]")));
        if let Some(last) = last {
            feed.passes(last, &mut body);
        }
        feed.end();
        assert_eq!(poll_frame(&mut body), expected, "after {last:?}");
        assert_eq!(poll_frame(&mut body), Polled::End);
    }
}

#[tokio::test]
async fn trailers_wait_for_the_terminator() {
    let (feed, mut body) = fed(&layer().terminator(Event::from("[DONE]")));
    let trailers = checksum();
    feed.trailers(trailers.clone());
    assert_eq!(poll_frame(&mut body), data("data: [DONE]\n\n"));
    assert!(feed.is_dropped(), "the source goes as soon as the end is decided");
    assert!(!body.is_end_stream());
    assert_eq!(poll_frame(&mut body), Polled::Trailers(trailers));
    assert!(body.is_end_stream());
    assert_eq!(poll_frame(&mut body), Polled::End);
}

#[tokio::test]
async fn stream_has_not_ended_before_its_last_byte_is_sent() {
    let layer = layer().terminator(Event::from("[DONE]"));
    let source = http_body_util::Full::new(bytes::Bytes::from_static(b"data: a\n\n"));
    let mut body = through(&layer, event_stream(source)).into_body();
    let hint =
        |body: &dyn Body<Data = _, Error = _>| (body.is_end_stream(), body.size_hint().exact());
    assert_eq!(hint(&body), (false, None));
    assert_eq!(poll_frame(&mut body), data("data: a\n\n"));
    assert_eq!(hint(&body), (false, None));
    assert_polls(&mut body, [data("data: [DONE]\n\n"), Polled::End]);
    assert_eq!(hint(&body), (true, Some(0)));
}

#[tokio::test]
async fn terminator_without_data_gets_empty_data_or_is_not_sent() {
    let retry = Event::new().retry(Duration::from_secs(1));
    for (terminator, expected) in [
        (Event::new().event("end"), data("event: end\ndata: \n\n")),
        (Event::new().event("end").id(7), data("event: end\nid: 7\ndata: \n\n")),
        (Event::new().data(""), data("data: \n\n")),
        (Event::new(), Polled::End),
        (Event::new().id(7), Polled::End),
        (Event::new().comment("end"), Polled::End),
        (retry, Polled::End),
    ] {
        let (feed, mut body) = fed(&layer().terminator(terminator.clone()));
        feed.end();
        assert_eq!(poll_frame(&mut body), expected, "{terminator:?}");
        assert_eq!(poll_frame(&mut body), Polled::End);
    }
}

/// JavaScript's `setTimeout` fires at once when it is given more.
#[tokio::test]
async fn reconnection_time_is_capped_at_what_clients_can_represent() {
    for time in [Duration::from_millis(1 << 31), Duration::MAX] {
        let (_feed, mut body) = fed(&layer().retry(Retry::fixed(time)));
        assert_eq!(poll_frame(&mut body), data("retry: 2147483647\n"));
    }
}

#[tokio::test]
async fn reconnection_time_is_omitted_if_the_sources_first_block_has_one() {
    let layer = layer().padding(4).retry(Retry::fixed(Duration::from_secs(1)));
    let ours = "retry: 1000\n:  \n";
    for (first, preamble) in [
        ("id: 0\nretry: 3000\ndata: \n\n", ":  \n"),
        ("retry: 3000\r\n\r\n", ":  \n"),
        (": a\rretry:5\r\r", ":  \n"),
        (": a\rretry\r\r", ours),
        ("retry: 5s\n\n", ours),
        ("data: a\nretry: 3000", ":  \n"),
        ("\u{feff}retry: 3000\n\n", ":  \n"),
        ("data: a\n\nretry: 3000\n\n", ours),
        ("data: retry: 3000\n\n", ours),
        ("retrying: 3000\n\n", ours),
        ("\nretry: 3000\n\n", ours),
    ] {
        let (feed, mut body) = fed(&layer);
        feed.data(first);
        assert_eq!(poll_frame(&mut body), data(preamble), "{first:?}");
        // A byte order mark is only legal at the very start.
        let rest = first.trim_start_matches('\u{feff}');
        assert_eq!(poll_frame(&mut body), data(rest), "{first:?}");
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    }
}

#[tokio::test]
async fn peeked_first_frame_still_passes_on_ends_and_errors() {
    let layer = layer().retry(Retry::fixed(Duration::from_secs(1))).terminator(Event::from("end"));
    let (feed, mut body) = fed(&layer);
    feed.end();
    assert_polls(&mut body, [data("retry: 1000\n"), data("data: end\n\n"), Polled::End]);

    let layer = layer.on_error(|error| Event::from(error.to_string()));
    let (feed, mut body) = fed(&layer);
    feed.fail("broken");
    assert_polls(&mut body, [data("retry: 1000\n"), data("data: broken\n\n"), Polled::End]);
}

/// The first event of rmcp's server, read by rmcp's client.
#[tokio::test]
async fn mcp_readers_accept_a_priming_event_after_a_reconnection_time() {
    const PRIMING: &str = "id: 0\nretry: 3000\ndata: \n\n";

    let layer = layer().retry(Retry::fixed(Duration::from_secs(1)));
    let (feed, source) = Feed::new();
    feed.data(PRIMING);
    feed.end();
    let body = through(&layer, event_stream(source)).into_body();
    let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();

    let chunks = || stream::iter([Ok::<_, Infallible>(bytes.clone())]);
    let mut old = sse_stream_02::SseStream::from_bytes_stream(chunks());
    let event = old.next().await.unwrap().unwrap();
    assert_eq!((event.id.as_deref(), event.retry), (Some("0"), Some(3000)));
    let mut new = sse_stream::SseStream::from_bytes_stream(chunks());
    let event = new.next().await.unwrap().unwrap();
    assert_eq!((event.id.as_deref(), event.retry), (Some("0"), Some(3000)));

    // Without the reconnection time, the old reader fails.
    let both = ["retry: 1000\n", PRIMING].concat();
    let both = stream::iter([Ok::<_, Infallible>(bytes::Bytes::from(both))]);
    sse_stream_02::SseStream::from_bytes_stream(both).next().await.unwrap().unwrap_err();
}
