//! The maximum cost of one poll, however much a source has, and huge frames and ids.

use crate::*;

/// Without tokio's cooperative budget, only the body itself limits its polls of the source.
#[test]
fn endless_source_of_empty_events_yields_without_a_budget() {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut events = EventBody::new(stream::repeat(Event::new()));
    assert_eq!(poll_frame_with(&mut events, &waker), Polled::Pending);
    assert_eq!(wakes.get(), 1, "it asks to be polled again");

    let frames = stream::repeat_with(|| Ok::<_, BoxError>(http_body::Frame::data("".into())));
    let layer = SseLayer::new().without_heartbeat();
    let mut body = through(&layer, event_stream(StreamBody::new(frames))).into_body();
    assert_eq!(poll_frame_with(&mut body, &waker), Polled::Pending);
    assert_eq!(wakes.get(), 2);
}

async fn read_pieces(body: &mut SseBody<FedBody>, len: usize, waker: &Waker) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < len {
        match poll_frame_with(body, waker) {
            Polled::Data(piece) => {
                assert!(piece.len() <= 256 << 10, "{} bytes in one piece", piece.len());
                received.extend_from_slice(&piece);
            }
            // The coop budget of this task is used up.
            Polled::Pending => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
    received
}

#[tokio::test]
async fn huge_frame_is_passed_on_in_pieces() {
    let lines = ":\n".repeat(1 << 20);
    let layer = SseLayer::new().terminator(Event::from("end"));
    let (feed, mut body) = fed(&layer);
    // The body has a short path for a quiet stream that the same task polls again. A copy of a
    // no-op waker need not count as the same task, because `will_wake` can be false for it.
    let (_, waker) = Wakes::new();
    for _ in ["the first frame", "a frame of a stream that was quiet"] {
        feed.data(lines.clone());
        assert!(read_pieces(&mut body, lines.len(), &waker).await == lines.as_bytes());
        tokio::task::yield_now().await;
        assert_eq!(poll_frame_with(&mut body, &waker), Polled::Pending);
    }
    feed.data("data: a\n\n");
    feed.end();
    assert_polls(&mut body, [data("data: a\n\n"), data("data: end\n\n"), Polled::End]);
}

#[tokio::test(start_paused = true)]
async fn huge_frame_is_cut_at_its_first_event_boundary() {
    let layer = SseLayer::new().max_age(MaxAge::new(SECOND));
    let (feed, mut body) = fed(&layer);
    feed.passes("data: ", &mut body);
    idle(&mut body, Duration::from_secs(2)).await;
    let line = "x".repeat(300 << 10);
    feed.data([line.as_str(), "\n\ndata: never sent\n\n"].concat());
    let received = read_pieces(&mut body, line.len() + 2, Waker::noop()).await;
    assert!(received == [line.as_bytes(), b"\n\n"].concat());
    tokio::task::yield_now().await;
    assert_eq!(poll_frame(&mut body), Polled::End);
}

#[test]
fn messages_share_the_bytes_of_a_long_id() {
    let stream = format!("id: {}\ndata: a\n\ndata: b\n\nid: 7\ndata: c\n\n", "x".repeat(1 << 19));
    let mut decoder = Decoder::new();
    let mut bytes = stream.as_bytes();
    let messages: Vec<_> = std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0].last_event_id.len(), 1 << 19);
    assert_eq!(messages[0].last_event_id.as_ptr(), messages[1].last_event_id.as_ptr());
    assert_eq!(&*messages[2].last_event_id, "7");
}

/// The source has completed the event. The client must receive all of it, although it is sent in
/// pieces.
#[tokio::test(start_paused = true)]
async fn event_that_was_delivered_whole_is_not_cut_for_slow_clients() {
    let shutdown = CancellationToken::new();
    let drain = Drain::at_once().retry(Duration::from_secs(3));
    let layer = SseLayer::new().shutdown(shutdown.clone()).drain(drain);
    let (feed, mut body) = fed(&layer);
    let event = ["data: ", &"x".repeat(4 << 20), "\n\n"].concat();
    feed.data(event.clone());
    let Polled::Data(first) = poll_frame(&mut body) else { panic!("no piece") };
    let mut received = first.to_vec();
    shutdown.cancel();
    while received.len() < event.len() {
        tokio::time::advance(Duration::from_millis(100)).await;
        match poll_frame(&mut body) {
            Polled::Data(piece) => received.extend_from_slice(&piece),
            Polled::Pending => {}
            other => panic!("{other:?} after {} bytes", received.len()),
        }
    }
    assert!(received == event.as_bytes());
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(poll_frame(&mut body), Polled::Data("retry: 3000\n".into()));
    assert_eq!(poll_frame(&mut body), Polled::End);
}
