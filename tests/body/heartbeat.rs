//! Heartbeats are sent when a stream is silent and only then: poll by poll, under a paused clock.

use crate::*;

/// Returns a layer whose heartbeats are due only at whole seconds after the layer was made: the
/// layer delays each to a multiple of a sixteenth of the interval.
fn every_16_seconds() -> SseLayer {
    SseLayer::new().heartbeat(Heartbeat::every(16 * SECOND))
}

/// The docs of `SseLayer` name this panic.
#[test]
#[should_panic = "timers are disabled"]
fn idle_body_panics_in_a_runtime_without_timers() {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let (_feed, mut body) = fed(&SseLayer::new().without_retry());
    runtime.block_on(async { poll_frame(&mut body) });
}

#[tokio::test(start_paused = true)]
async fn due_heartbeat_wakes_the_task_that_polled_last() {
    let (feed, mut body) = fed(&every_16_seconds());
    let tasks = [0; 3].map(|_| Wakes::new());
    for (_, waker) in &tasks {
        assert_eq!(poll_frame_with(&mut body, waker), Polled::Pending);
        assert_eq!(poll_frame_with(&mut body, waker), Polled::Pending);
    }
    // The task that polled last is also woken if the timer is armed for a silence that has ended.
    time::advance(SECOND).await;
    feed.data("data: x\n\n");
    let (_, last) = &tasks[1];
    assert_eq!(poll_frame_with(&mut body, last), data("data: x\n\n"));
    assert_eq!(poll_frame_with(&mut body, last), Polled::Pending);
    let woken = || tasks.each_ref().map(|(task, _)| task.get());
    let before = woken();
    time::advance(15 * SECOND - MILLISECOND).await;
    assert_eq!(woken(), before);
    time::advance(2 * MILLISECOND).await;
    assert_eq!(woken()[1], before[1] + 1, "for the silence before");
    assert_eq!(poll_frame_with(&mut body, last), Polled::Pending);
    time::advance(SECOND + MILLISECOND).await;
    assert_eq!(woken(), [before[0], before[1] + 2, before[2]]);
    assert_eq!(poll_frame_with(&mut body, last), data(": \n"));
}

#[tokio::test(start_paused = true)]
async fn every_byte_restarts_the_interval() {
    let (feed, mut body) = fed(&every_16_seconds());
    for _ in 0..5 {
        idle(&mut body, 15 * SECOND).await;
        feed.passes("data: a\n\n", &mut body);
    }
    idle(&mut body, 15 * SECOND).await;
    idle(&mut body, SECOND).await;
    assert_eq!(poll_frame(&mut body), data(": \n"));
}

#[tokio::test(start_paused = true)]
async fn ready_event_replaces_a_due_heartbeat() {
    let (feed, mut body) = fed(&every_16_seconds());
    idle(&mut body, 60 * SECOND).await;
    feed.passes("data: a\n\n", &mut body);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
}

#[tokio::test(start_paused = true)]
async fn silence_before_the_first_poll_does_not_count() {
    let (_feed, mut body) = fed(&every_16_seconds());
    time::advance(60 * SECOND).await;
    idle(&mut body, 15 * SECOND).await;
    idle(&mut body, SECOND).await;
    assert_eq!(poll_frame(&mut body), data(": \n"));
}

#[tokio::test(start_paused = true)]
async fn streams_share_heartbeat_deadlines_at_most_a_sixteenth_late() {
    let layer = every_16_seconds();
    let made = Instant::now();
    let mut bodies = Vec::new();
    for _ in 0..10 {
        time::advance(97 * MILLISECOND).await;
        let (feed, mut body) = fed(&layer);
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        bodies.push((feed, body));
    }
    time::advance(made + 17 * SECOND - MILLISECOND - Instant::now()).await;
    for (_, body) in &mut bodies {
        assert_eq!(poll_frame(body), Polled::Pending);
    }
    time::advance(MILLISECOND).await;
    for (_, body) in &mut bodies {
        assert_eq!(poll_frame(body), data(": \n"));
    }
}

#[tokio::test(start_paused = true)]
async fn custom_comment_can_have_several_lines() {
    for (text, expected) in [("ping", ": ping\n"), ("", ": \n"), ("a\r\nb", ": a\n: b\n")] {
        let (_feed, mut body) =
            fed(&SseLayer::new().heartbeat(Heartbeat::every(SECOND).comment(text)));
        idle(&mut body, 2 * SECOND).await;
        assert_eq!(poll_frame(&mut body), data(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn unrepresentable_interval_sends_no_heartbeats() {
    let (_feed, mut body) = fed(&SseLayer::new().heartbeat(Heartbeat::every(Duration::MAX)));
    assert_eq!(poll_frame(&mut body), Polled::Pending);
}

#[test]
#[should_panic(expected = "the interval of heartbeats cannot be zero")]
fn interval_of_zero_panics() {
    let _ = Heartbeat::every(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn layer_writes_nothing_into_a_stream_with_a_content_coding() {
    for (coding, beats) in [("gzip", false), ("identity", true)] {
        let (feed, source) = Feed::new();
        let response = event_stream(source).with_header("content-encoding", coding);
        let layer = every_16_seconds().retry(SECOND).padding(2).terminator("[DONE]");
        let mut body = answer_to(Requester::EventSource.request("/"), &layer, response).into_body();
        if beats {
            assert_eq!(poll_frame(&mut body), data("retry: 1000\n: \n"));
        }
        feed.data(&b"\x1f\x8b\n"[..]);
        assert_eq!(poll_frame(&mut body), Polled::Data(Bytes::from_static(b"\x1f\x8b\n")));
        idle(&mut body, 60 * SECOND).await;
        assert_eq!(poll_frame(&mut body), if beats { data(": \n") } else { Polled::Pending });
        feed.passes("\n", &mut body);
        feed.end();
        let end = if beats { data("data: [DONE]\n\n") } else { Polled::End };
        assert_eq!(poll_frame(&mut body), end);
    }
}

#[tokio::test(start_paused = true)]
async fn busy_source_without_bytes_does_not_starve_heartbeats() {
    let frames = stream::repeat_with(|| Ok::<_, BoxError>(Frame::data(Bytes::new())));
    for answer in [
        tower_sse::response(stream::repeat_with(Event::new)).map(BodyExt::boxed_unsync),
        event_stream(StreamBody::new(frames).boxed_unsync()),
    ] {
        let mut body = through(&every_16_seconds(), answer).into_body();
        let frame = while_the_clock_runs(60 * SECOND, body.frame()).await;
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), ": \n");
    }
}

/// A page sees only the events that it listens to, and no frames with only ids.
#[tokio::test(start_paused = true)]
async fn other_events_delay_no_heartbeat_event() {
    let beat = Heartbeat::every(16 * SECOND).event("beat", "{}");
    let (feed, mut body) = fed(&SseLayer::new().heartbeat(beat.clone()));
    let mut beats = Vec::new();
    let begun = Instant::now();
    for second in 0..50 {
        feed.data(["data: a\n\n", "id: 1\n\n", "event: start\ndata: {}\nid: 1\n\n"][second % 3]);
        while let Polled::Data(bytes) = poll_frame(&mut body) {
            if bytes.starts_with(b"event: beat\n") {
                beats.push(begun.elapsed().as_secs());
            }
        }
        time::advance(SECOND).await;
    }
    assert_eq!(beats, [0, 16, 32, 48]);
    // A comment is only for proxies, which see every byte.
    let (feed, mut body) = fed(&every_16_seconds());
    for _ in 0..50 {
        feed.passes("data: a\n\n", &mut body);
        idle(&mut body, SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn source_that_is_always_ready_delays_no_heartbeat_event() {
    let events = || stream::repeat_with(|| Event::from("x"));
    let beat = Heartbeat::every(16 * SECOND).event("beat", "{}");
    let layer = SseLayer::new().heartbeat(beat);
    let mut body = through(&layer, tower_sse::response(events())).into_body();
    let mut beats = 0;
    for _ in 0..40 {
        for _ in 0..10 {
            // Each frame uses up some of the task's cooperative budget.
            yield_now().await;
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            beats += usize::from(frame.starts_with(b"event: beat\n"));
        }
        time::advance(SECOND).await;
    }
    assert_eq!(beats, 3);
}

/// The page learns that the stream passes and that heartbeats will come. A library may forget its
/// id at an event without one.
#[tokio::test(start_paused = true)]
async fn stream_begins_with_a_heartbeat_event_except_for_a_library() {
    let beat = Heartbeat::every(16 * SECOND).event("beat", "{}");
    let layer = || SseLayer::new().heartbeat(beat.clone()).retry(SECOND).padding(4);
    for client in Requester::ALL {
        let (feed, mut body) = fed_to(client.request("/"), &layer());
        feed.data("data: a\n\n");
        let first = match client {
            Requester::Library => data("retry: 1000\n:  \n"),
            _ => data("retry: 1000\n:  \nevent: beat\ndata: {}\n\n"),
        };
        assert_polls(&mut body, [first, data("data: a\n\n"), Polled::Pending]);
        time::advance(17 * SECOND).await;
        assert_polls(&mut body, [data("event: beat\ndata: {}\n\n"), Polled::Pending]);
    }
    // A poll ends at once if its first event isn't new, and an encoded stream has no heartbeats.
    let poll = StreamOptions::new().long_poll(8 * SECOND);
    let (_feed, mut body) = fed_to(Requester::EventSource.request("/"), &layer().options(poll));
    assert_polls(&mut body, [data("retry: 1000\n:  \n"), Polled::Pending]);
    let (_feed, source) = Feed::new();
    let response = event_stream(source).with_header("content-encoding", "gzip");
    let mut body = answer_to(Requester::EventSource.request("/"), &layer(), response).into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
}
