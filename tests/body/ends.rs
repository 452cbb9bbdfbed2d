//! How a stream begins and ends: preamble, terminator, trailers.

use tower_sse::streams::Streams;

use crate::*;

fn layer() -> SseLayer {
    SseLayer::new().without_heartbeat()
}

#[tokio::test]
async fn reconnection_time_from_a_range_is_drawn_for_every_stream() {
    let layer = layer().retry(Retry::between(10 * MILLISECOND, 12 * MILLISECOND));
    let drawn = BTreeSet::from_iter((0..200).map(|_| match poll_frame(&mut fed(&layer).1) {
        Polled::Data(line) => line,
        other => panic!("{other:?}"),
    }));
    assert!(drawn.iter().eq(["retry: 10\n", "retry: 11\n", "retry: 12\n"]), "{drawn:?}");
}

#[test]
#[should_panic(expected = "the minimum reconnection time is greater than the maximum")]
fn inverted_range_of_reconnection_times_panics() {
    let _ = Retry::between(Duration::from_secs(2), Duration::from_secs(1));
}

#[tokio::test]
async fn padding_is_a_comment_line_of_exactly_that_many_bytes() {
    for (bytes, expected) in [(2048, 2048), (4, 4), (3, 3), (2, 3), (1, 3)] {
        let (_feed, mut body) = fed(&layer().padding(bytes));
        let Polled::Data(line) = poll_frame(&mut body) else { panic!("no preamble") };
        assert_eq!(line.len(), expected);
        assert!(line.starts_with(b": ") && line.ends_with(b"\n"));
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

/// The digest may not fit what the client received, because the layer may have written into the
/// stream. Into a stream with a content coding, the layer writes nothing.
#[tokio::test]
async fn digest_in_trailers_is_removed_unless_the_stream_is_coded() {
    for is_coded in [false, true] {
        let mut rig = Rig::answering(SseLayer::new(), Requester::Get.request("/"), |answer| {
            if is_coded { answer.with_header("content-encoding", "gzip") } else { answer }
        });
        let mut trailers = checksum();
        trailers.insert("repr-digest", "sha-256=:AAA=:".parse().unwrap());
        rig.feed.trailers(trailers.clone());
        assert_eq!(rig.poll(), Polled::Trailers(if is_coded { trailers } else { checksum() }));
    }
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
    for (terminator, expected) in [
        (Event::new().event("end"), data("event: end\ndata: \n\n")),
        (Event::new().event("end").id(7), data("event: end\ndata: \nid: 7\n\n")),
        (Event::new().data(""), data("data: \n\n")),
        (Event::new(), Polled::End),
        (Event::new().id(7), Polled::End),
        (Event::new().comment("end"), Polled::End),
        (Event::new().retry(SECOND), Polled::End),
    ] {
        let (feed, mut body) = fed(&layer().terminator(terminator.clone()));
        feed.end();
        assert_eq!(poll_frame(&mut body), expected, "{terminator:?}");
        assert_eq!(poll_frame(&mut body), Polled::End);
    }
}

/// With a delay of more than 2,147,483,647 milliseconds, JavaScript's `setTimeout` fires at once.
#[tokio::test]
async fn reconnection_time_is_capped_at_what_clients_can_represent() {
    for time in [Duration::from_millis(1 << 31), Duration::MAX] {
        let (_feed, mut body) = fed(&layer().retry(Retry::fixed(time)));
        assert_eq!(poll_frame(&mut body), data("retry: 2147483647\n"));
    }
}

#[tokio::test]
async fn reconnection_time_is_omitted_if_the_sources_first_block_has_one() {
    let layer = layer().padding(4).retry(SECOND);
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
        // The layer removes a byte order mark behind its preamble: the mark is legal only at the
        // start of a stream.
        let rest = first.trim_start_matches('\u{feff}');
        assert_eq!(poll_frame(&mut body), data(rest), "{first:?}");
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    }
}

#[tokio::test]
async fn peeked_first_frame_still_passes_on_ends_and_errors() {
    let layer = layer().retry(SECOND).terminator(Event::from("end"));
    let (feed, mut body) = fed(&layer);
    feed.end();
    assert_polls(&mut body, [data("retry: 1000\n"), data("data: end\n\n"), Polled::End]);

    let layer = layer.on_error(|error| Event::from(error.to_string()));
    let (feed, mut body) = fed(&layer);
    feed.fail("broken");
    assert_polls(&mut body, [data("retry: 1000\n"), data("data: broken\n\n"), Polled::End]);
}

/// Otherwise, a client that the source has asked to wait for long would return soon.
#[tokio::test(start_paused = true)]
async fn clean_end_behind_a_comment_repeats_the_sources_reconnection_time() {
    for (client, is_late) in [
        (Requester::EventSource, false),
        (Requester::EventSource, true),
        (Requester::Library, false),
    ] {
        let layer = || SseLayer::new().heartbeat(5 * SECOND);
        let last = async |layer: SseLayer| {
            let (feed, source) = Feed::new();
            let answer = answer_to(client.request("/"), &layer, event_stream(source));
            let mut body = answer.into_body();
            if is_late {
                while let Polled::Data(_) = poll_frame(&mut body) {}
            }
            feed.data("retry: 60000\ndata: a\n\n");
            assert_eq!(poll_frame(&mut body), data("retry: 60000\ndata: a\n\n"));
            for time in [9, 2] {
                while let Polled::Data(_) = poll_frame(&mut body) {}
                advance(time * SECOND).await;
            }
            feed.end();
            String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap()
        };
        for layer in [layer(), layer().retry(SECOND)] {
            assert_eq!(last(layer).await.trim_start(), "retry: 60000\n", "{client:?}");
        }
        assert_eq!(last(layer().without_retry()).await, "", "{client:?}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum CleanEnd {
    Source,
    Age,
    Cancelled,
    LogOut,
}

/// Returns what a stream sends at its clean end, after its preamble, any heartbeat and `text`.
async fn last_bytes(
    layer: SseLayer,
    client: Requester,
    text: &'static str,
    end: CleanEnd,
) -> String {
    let streams = Streams::new();
    let mut request = client.request("/");
    streams.subjects_of(&mut request).add("user");
    let layer = layer.max_age(10 * SECOND).cancellation_if(|_| true).streams(&streams);
    let (feed, source) = Feed::new();
    let mut body = answer_to(request, &layer, event_stream(source)).into_body();
    while let Polled::Data(_) = poll_frame(&mut body) {}
    advance(9 * SECOND).await;
    while let Polled::Data(_) = poll_frame(&mut body) {}
    feed.data(text);
    while let Polled::Data(_) = poll_frame(&mut body) {}
    match end {
        CleanEnd::Source => feed.end(),
        CleanEnd::Age => advance(2 * SECOND).await,
        CleanEnd::Cancelled => feed.fail("cancelled"),
        CleanEnd::LogOut => _ = streams.close("user").now_or_never(),
    }
    match body.collect().await {
        Ok(last) => String::from_utf8(last.to_bytes().into()).unwrap(),
        Err(error) => format!("failed: {error}"),
    }
}

/// go-sse does not reconnect if the last line of a stream is a comment.
#[tokio::test(start_paused = true)]
async fn clean_end_behind_a_comment_has_a_reconnection_time() {
    let beat = |comment: &str| Heartbeat::every(5 * SECOND).comment(comment);
    let layer = || SseLayer::new().retry(2 * SECOND).heartbeat(5 * SECOND);
    let ends = [CleanEnd::Source, CleanEnd::Age, CleanEnd::LogOut];
    for client in [Requester::EventSource, Requester::Library] {
        for end in ends {
            for layer in [layer(), layer().heartbeat(beat("a\nb"))] {
                let last = last_bytes(layer, client, "", end).await;
                assert_eq!(last.trim_start(), "retry: 2000\n", "{client:?} {end:?}");
            }
            let padded = SseLayer::new().retry(2 * SECOND).without_heartbeat().padding(9);
            assert_eq!(last_bytes(padded, client, "", end).await.trim_start(), "retry: 2000\n");
            for comment in [": of the source\n", "data: a\n\n: one\r\n: two\r\n"] {
                let last = last_bytes(layer(), client, comment, end).await;
                assert_eq!(last.trim_start(), "retry: 2000\n", "{client:?} {end:?} {comment:?}");
            }
            // After an event of the source or of a heartbeat, the last line is no comment.
            for text in ["data: a\n\n", ": a\n\n", "data: a\n: b\n\n"] {
                assert_eq!(last_bytes(layer(), client, text, end).await, "", "{end:?} {text:?}");
            }
            let events = layer().heartbeat(Heartbeat::every(5 * SECOND).event("beat", "{}"));
            assert_eq!(last_bytes(events, client, "", end).await, "", "{end:?}");
            let off = last_bytes(layer().without_retry(), client, "", end).await;
            assert_eq!(off, "", "the program wants none");
        }
        let told = last_bytes(layer().terminator("[DONE]"), client, "", CleanEnd::Source).await;
        assert_eq!(told, "data: [DONE]\n\n");
    }
    let last = last_bytes(layer(), Requester::EventSource, "", CleanEnd::Cancelled).await;
    assert_eq!(last.trim_start(), "retry: 2000\n");
    let by_default = SseLayer::new().heartbeat(5 * SECOND);
    let last = last_bytes(by_default, Requester::Library, "", CleanEnd::Age).await;
    let time: u64 = last.trim().strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((1_000..=5_000).contains(&time), "{time}");
    // A script (`Requester::Get`) would not reconnect, and could take a `retry` line for an event.
    let other = last_bytes(layer(), Requester::Get, "", CleanEnd::Age).await;
    assert_eq!(other, "");
}
