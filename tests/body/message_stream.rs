//! A body is a stream of messages, however its frames are cut and however it ends.

use proptest::prelude::*;

use super::support::{FedBody, Feed, SECOND};
use crate::*;

fn fed() -> (Feed, MessageStream<FedBody>) {
    let (feed, body) = Feed::new();
    (feed, MessageStream::new(body))
}

fn poll<B>(stream: &mut MessageStream<B>) -> Poll<Option<Result<Message, BoxError>>>
where
    B: Body<Error: Into<BoxError>> + Unpin,
{
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn next<B>(stream: &mut MessageStream<B>) -> String
where
    B: Body<Error: Into<BoxError>> + Unpin,
{
    match poll(stream) {
        Poll::Ready(Some(Ok(message))) => message.data,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_ended<B>(stream: &mut MessageStream<B>)
where
    B: Body<Error: Into<BoxError>> + Unpin,
{
    for _ in 0..3 {
        assert!(matches!(poll(stream), Poll::Ready(None)));
    }
}

#[test]
fn stream_ends_at_its_terminator_and_drops_the_rest() {
    let body = "data: one\n\ndata: [DONE]\n\ndata: rest\n\n".to_owned();
    let mut messages = MessageStream::new(body).terminator("[DONE]");
    assert_eq!(next(&mut messages), "one");
    assert_ended(&mut messages);
}

#[test]
fn body_that_ends_before_the_terminator_is_an_error_once() {
    // The terminator of the last body is incomplete, so a client would not dispatch it.
    for body in ["", "data: one\n\n", "data: one\n\ndata: [DONE]\n"] {
        let messages = MessageStream::new(body.to_owned()).terminator("[DONE]");
        let mut items: Vec<_> = messages.collect().now_or_never().unwrap();
        let error = items.pop().unwrap().unwrap_err();
        let error = error.downcast_ref::<io::Error>().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(error.to_string(), "event stream ended without \"[DONE]\"");
        assert_eq!(items.len(), body.matches("one").count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_decode_as_the_oracle_decodes_the_whole_body(
        body in special_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let frames = cut(&body, &cuts).into_iter().map(Bytes::copy_from_slice);
        let frames = frames.map(|data| Ok::<_, Infallible>(Frame::data(data)));
        let mut stream = MessageStream::new(StreamBody::new(stream::iter(frames)));
        let messages: Vec<_> =
            stream.by_ref().map(Result::unwrap).map(naive::seen).collect().now_or_never().unwrap();
        let expected = naive::read(&body);
        prop_assert_eq!(messages, expected.events);
        prop_assert_eq!(stream.last_event_id(), expected.last_event_id);
        prop_assert_eq!(stream.retry(), expected.retry.map(Duration::from_millis));
    }
}

#[test]
fn messages_come_as_their_bytes_come() {
    let (feed, mut stream) = fed();
    assert!(poll(&mut stream).is_pending());
    feed.data("data: o");
    assert!(poll(&mut stream).is_pending());
    feed.data("ne\n\ndata: two\n\nid: 7\ndata: th");
    assert_eq!(next(&mut stream), "one");
    assert_eq!(next(&mut stream), "two");
    assert!(poll(&mut stream).is_pending());
    assert_eq!(stream.last_event_id(), "");
    // Trailers and empty frames are skipped.
    feed.data("");
    feed.trailers(HeaderMap::new());
    feed.data("ree\n\n");
    assert_eq!(next(&mut stream), "three");
    assert_eq!(stream.last_event_id(), "7");
}

#[test]
fn incomplete_event_is_discarded_at_the_end_and_the_body_is_dropped() {
    let (feed, mut stream) = fed();
    feed.data("id: 1\nretry: 5\ndata: one\n\nid: 2\ndata: two\n");
    feed.end();
    assert_eq!(next(&mut stream), "one");
    assert!(!feed.is_dropped());
    assert_ended(&mut stream);
    assert!(feed.is_dropped());
    assert_eq!(stream.last_event_id(), "1");
    assert_eq!(stream.retry(), Some(Duration::from_millis(5)));
}

#[test]
fn error_of_the_body_comes_unchanged_after_the_messages_before_it() {
    let (feed, body) = Feed::new();
    let mut stream = MessageStream::new(body).terminator("[DONE]");
    feed.data("data: one\n\ndata: two\n\ndata: th");
    feed.fail(io::Error::other("cable cut"));
    feed.data("ree\n\n");
    assert_eq!([next(&mut stream), next(&mut stream)], ["one", "two"]);
    let Poll::Ready(Some(Err(error))) = poll(&mut stream) else { panic!("the body failed") };
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().to_string(), "cable cut");
    assert_ended(&mut stream);
    assert!(feed.is_dropped());
}

#[test]
fn event_over_the_limit_is_an_error_after_the_messages_before_it() {
    let (feed, body) = Feed::new();
    let mut stream = MessageStream::with_decoder(body, Decoder::new().max_event_size(16));
    feed.data("data: one\n\ndata: 0123456789abcdef\n\ndata: two\n\n");
    assert_eq!(next(&mut stream), "one");
    let Poll::Ready(Some(Err(error))) = poll(&mut stream) else { panic!("too large") };
    assert!(error.is::<EventTooLarge>(), "{error}");
    assert_ended(&mut stream);
    assert!(feed.is_dropped());
}

#[test]
fn frame_in_pieces_and_a_stream_of_chunks_are_read() {
    let frame = Frame::data((&b"data: a\r"[..]).chain(&b"\n\r\ndata: b\n\n"[..]));
    let body = StreamBody::new(stream::iter([Ok::<_, io::Error>(frame)]));
    let read: Vec<_> = MessageStream::new(body).try_collect().now_or_never().unwrap().unwrap();
    assert_eq!(read, [Message::new("a"), Message::new("b")]);
}

#[tokio::test]
async fn body_without_messages_that_is_always_ready_lets_other_tasks_run() {
    for frame in [":\n", ""] {
        let frames =
            stream::repeat_with(move || Ok::<_, Infallible>(Frame::data(frame.as_bytes())));
        let mut stream = MessageStream::new(StreamBody::new(frames));
        let reading = tokio::spawn(async move { stream.next().await });
        // `yield_now` returns only if the reading task yields too.
        tokio::task::yield_now().await;
        reading.abort();
        assert!(reading.await.unwrap_err().is_cancelled(), "{frame:?}");
    }
}

#[test]
fn stream_starts_after_a_known_id() {
    let body = "data: one\n\nid: 8\ndata: two\n\nid\ndata: three\n\n".to_owned();
    let mut stream = MessageStream::new(body).after(String::from("7"));
    assert_eq!(stream.last_event_id(), "7");
    for (data, id) in [("one", "7"), ("two", "8"), ("three", "")] {
        let Poll::Ready(Some(Ok(message))) = poll(&mut stream) else { panic!("{data}") };
        assert_eq!((&*message.data, &*message.last_event_id), (data, id));
        assert_eq!(stream.last_event_id(), id);
    }
    let taken_back = MessageStream::new("data: one\n\n".to_owned()).after("7").after("");
    assert_eq!(taken_back.last_event_id(), "");
    let messages: Vec<_> = taken_back.try_collect().now_or_never().unwrap().unwrap();
    assert_eq!(messages, [Message::new("one")], "without an id field");
}

#[tokio::test(start_paused = true)]
async fn silence_above_its_limit_is_an_error_and_any_byte_ends_it() {
    let (feed, body) = Feed::new();
    let mut stream = MessageStream::new(body).max_silence(10 * SECOND);
    for bytes in [":\n\n", "da", "ta: one\n", ": a comment\n", "retry: 1\n", "\n"] {
        let nearly = tokio::time::timeout(9 * SECOND, stream.next()).await;
        assert!(nearly.is_err(), "{bytes:?}: {nearly:?}");
        feed.data(bytes);
    }
    assert_eq!(stream.next().await.unwrap().unwrap().data, "one");
    // The program is busy, which is no silence of the body.
    tokio::time::sleep(20 * SECOND).await;
    let since = tokio::time::Instant::now();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(since.elapsed(), 10 * SECOND);
    assert_eq!(error.to_string(), "event stream sent nothing for 10s");
    assert_eq!(error.downcast::<io::Error>().unwrap().kind(), io::ErrorKind::TimedOut);
    assert!(feed.is_dropped());
    assert_ended(&mut stream);
}

#[tokio::test(start_paused = true)]
async fn ready_frames_without_bytes_are_a_silence_within_any_budget() {
    for has_budget in [true, false] {
        let frames = stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::new())));
        let mut messages = MessageStream::new(StreamBody::new(frames)).max_silence(10 * SECOND);
        let next = async move { messages.next().await.unwrap().unwrap_err() };
        let next = if has_budget { next.boxed() } else { task::coop::unconstrained(next).boxed() };
        let next = tokio::spawn(next);
        for (step, has_failed) in [(9 * SECOND, false), (2 * SECOND, true)] {
            task::yield_now().await;
            time::advance(step).await;
            task::yield_now().await;
            assert_eq!(next.is_finished(), has_failed, "{has_budget}");
        }
    }
}

/// Without budget, the body is not polled, although it may have sent bytes.
#[tokio::test(start_paused = true)]
async fn silence_passes_only_if_there_was_budget_to_poll_the_body() {
    let (feed, body) = Feed::new();
    let mut stream = MessageStream::new(body).max_silence(10 * SECOND);
    let mut poll_without_budget = async || {
        task::yield_now().await;
        while task::coop::has_budget_remaining() {
            task::coop::consume_budget().await;
        }
        assert!(poll(&mut stream).is_pending());
    };
    poll_without_budget().await;
    feed.data("data: one\n\n");
    time::advance(11 * SECOND).await;
    poll_without_budget().await;
    task::yield_now().await;
    assert_eq!(next(&mut stream), "one");
}

#[tokio::test(start_paused = true)]
async fn silence_of_any_limit_does_not_panic() {
    let (_feed, body) = Feed::new();
    let mut endless = MessageStream::new(body).max_silence(Duration::MAX);
    assert!(tokio::time::timeout(1000 * SECOND, endless.next()).await.is_err());
    let (_feed, body) = Feed::new();
    assert!(MessageStream::new(body).max_silence(Duration::ZERO).next().await.unwrap().is_err());
}
