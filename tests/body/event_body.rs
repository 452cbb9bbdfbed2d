//! How the body of a stream of events packs ready events into frames, and how it ends.

use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};

use super::support::*;
use crate::*;

fn channel<T>() -> (mpsc::UnboundedSender<T>, EventBody<UnboundedReceiverStream<T>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, EventBody::new(UnboundedReceiverStream::new(receiver)))
}

fn frames_of<S>(stream: S) -> impl Iterator<Item = Bytes>
where
    S: Stream<Item = Event> + Unpin,
{
    let mut body = EventBody::new(stream);
    std::iter::from_fn(move || match poll_frame(&mut body) {
        Polled::Data(frame) => Some(frame),
        Polled::End => None,
        other => panic!("{other:?}"),
    })
}

fn numbered(count: usize, len: usize) -> impl Stream<Item = Event> + Unpin {
    stream::iter((0..count).map(move |n| Event::from(format!("{n:>len$}"))))
}

#[tokio::test]
async fn ready_events_are_sent_as_one_frame_without_waiting() {
    let (events, mut body) = channel();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    events.send(Event::from("a")).unwrap();
    assert_polls(&mut body, [data("data: a\n\n"), Polled::Pending]);
    for text in ["b", "c", "d"] {
        events.send(Event::from(text)).unwrap();
    }
    assert_eq!(poll_frame(&mut body), data("data: b\n\ndata: c\n\ndata: d\n\n"));
    events.send(Event::from("e")).unwrap();
    drop(events);
    assert_eq!(poll_frame(&mut body), data("data: e\n\n"));
    assert!(body.is_end_stream());
    assert_polls(&mut body, [Polled::End, Polled::End]);
}

#[tokio::test]
async fn events_without_fields_are_no_frames() {
    let (events, mut body) = channel();
    events.send(Event::new()).unwrap();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    events.send(Event::new()).unwrap();
    events.send(Event::from("a")).unwrap();
    events.send(Event::new()).unwrap();
    assert_eq!(poll_frame(&mut body), data("data: a\n\n"));
}

#[tokio::test]
async fn event_does_not_wait_for_following_events_without_fields() {
    let mut rest = 0;
    let events = stream::repeat_with(|| {
        rest += 1;
        Event::new()
    });
    let mut body = EventBody::new(stream::iter([Event::from("a")]).chain(events));
    let frame = task::yield_now().then(|()| future::ready(poll_frame(&mut body))).await;
    assert_eq!(frame, data("data: a\n\n"));
    drop(body);
    assert!(rest <= 1000, "{rest} more events");
}

#[test]
fn frames_of_whole_events_grow_to_16_kib_for_a_fast_client() {
    for (len, count) in
        [(1, 4000), (16, 2000), (64, 2000), (256, 500), (1000, 200), (4096, 50), (5000, 50)]
    {
        let mut expected = Vec::new();
        let sizes: Vec<_> = frames_of(numbered(count, len))
            .map(|frame| {
                assert!(frame.ends_with(b"\n\n"), "a frame ends with an event");
                expected.extend_from_slice(&frame);
                frame.len()
            })
            .collect();
        let one = (len + "data: \n\n".len()).max(11);
        let (first, rest) = sizes.split_first().unwrap();
        assert!(*first <= 4096.max(one), "the first frame has {first} bytes");
        let (_last, full) = rest.split_last().unwrap();
        for size in full {
            assert!((16 * 1024 - 2 * one..=16 * 1024).contains(size), "{size} bytes of {one} each");
        }
        let events = naive::read(&expected).events;
        assert_eq!(events.len(), count);
        assert!(events.iter().enumerate().all(|(n, (_, data, _))| data.trim() == n.to_string()));
    }
}

#[test]
fn frames_are_4_kib_while_earlier_frames_are_held() {
    let held: Vec<_> = frames_of(numbered(2000, 64)).collect();
    assert!(held.iter().all(|frame| frame.len() <= 4096));
    assert!(held.len() <= 2000 * 72 / 4000 + 1);
}

#[test]
fn event_larger_than_a_frame_is_a_frame() {
    let large = "x".repeat(100_000);
    let events = [Event::from("a"), Event::from(large.clone()), Event::from("b")];
    let frames: Vec<_> = frames_of(stream::iter(events)).collect();
    assert_eq!(frames.concat(), format!("data: a\n\ndata: {large}\n\ndata: b\n\n").into_bytes());
}

#[test]
fn huge_event_leaves_no_huge_buffer_behind() {
    let large = "x".repeat(10 << 20);
    let small = || stream::repeat_with(|| Event::from("0123456789abcdef"));
    let events = small().take(3000).chain(stream::iter([Event::from(large)])).chain(small());
    let mut frames = frames_of(events);
    frames.find(|frame| frame.len() > 1 << 20).expect("the huge one");
    frames.by_ref().take(10).for_each(drop);
    // The frames are kept, as when the client stops reading.
    let held: Vec<_> = frames.take(16).collect();
    assert!(held.iter().skip(1).all(|frame| frame.len() <= 4096));
}

#[test]
fn large_encoded_events_are_not_copied_and_keep_their_place() {
    let large = Encoded::from(Event::from("x".repeat(4096)));
    let small = Encoded::from(Event::from("a"));
    let events = [&small, &large, &large, &small, &small].map(Encoded::clone);
    let mut body = EventBody::new(stream::iter(events));
    assert_eq!(poll_frame(&mut body), data("data: a\n\n"));
    for _ in 0..2 {
        let Polled::Data(frame) = poll_frame(&mut body) else { panic!("no frame") };
        assert_eq!(frame.as_ptr(), large.as_bytes().as_ptr());
    }
    assert_polls(&mut body, [data("data: a\n\ndata: a\n\n"), Polled::End]);
}

#[tokio::test]
async fn error_follows_the_events_before_it_and_drops_the_stream() {
    let alive = Arc::new(());
    let kept = Arc::clone(&alive);
    let events = [Ok(Event::from("a")), Ok(Event::from("b")), Err("broken"), Ok(Event::from("c"))];
    let mut body = EventBody::new(stream::iter(events).inspect(move |_| {
        let _ = &kept;
    }));
    assert_eq!(poll_frame(&mut body), data("data: a\n\ndata: b\n\n"));
    assert_eq!(Arc::strong_count(&alive), 1, "the stream is dropped at once");
    assert!(!body.is_end_stream());
    assert_polls(&mut body, [failed("broken"), Polled::End]);
    assert!(body.is_end_stream());
}

#[cfg(feature = "json")]
#[test]
fn item_that_fails_or_panics_while_it_is_serialized_leaves_no_bytes() {
    use serde::ser::{Error, Serialize, SerializeSeq, Serializer};

    #[derive(Clone, Copy)]
    enum Value {
        Complete,
        FailsHalfway,
        PanicsHalfway,
    }

    impl Serialize for Value {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut list = serializer.serialize_seq(None)?;
            list.serialize_element(&1)?;
            match self {
                Self::Complete => list.end(),
                Self::FailsHalfway => Err(S::Error::custom("halfway")),
                Self::PanicsHalfway => panic!("halfway"),
            }
        }
    }

    let body_with = |value| {
        let events = [Value::Complete, value, Value::Complete];
        let mut body =
            EventBody::new(stream::iter(events.map(|value| Event::new().id(7).json(value))));
        assert_eq!(poll_frame(&mut body), data("data: [1]\nid: 7\n\n"));
        body
    };
    let mut body = body_with(Value::FailsHalfway);
    assert_polls(&mut body, [failed("halfway"), Polled::End]);
    let mut body = body_with(Value::PanicsHalfway);
    let panic = catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"halfway"));
}

#[test]
fn results_of_results_are_items_too() {
    let events = [Ok(Ok::<_, Infallible>(Event::from("a"))), Err("outer")];
    let mut body = EventBody::new(stream::iter(events));
    assert_polls(&mut body, [data("data: a\n\n"), failed("outer")]);
}

#[test]
fn panic_follows_the_events_before_it() {
    let events = stream::iter(0..).map(|n| match n {
        3 => panic!("the stream panics"),
        n => Event::from(n.to_string()),
    });
    let mut body = EventBody::new(events);
    assert_eq!(poll_frame(&mut body), data("data: 0\n\ndata: 1\n\ndata: 2\n\n"));
    assert!(!body.is_end_stream());
    let panic = catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the stream panics"));
}

// Incomplete answers: the producer, a task that sends events through a channel, has panicked, or
// the program has stopped the stream.

fn produce(panics: bool) -> (mpsc::Receiver<Event>, JoinHandle<()>) {
    let (events, received) = mpsc::channel(8);
    let task = tokio::spawn(async move {
        events.send(Event::from("one")).await.unwrap();
        assert!(!panics, "a producer that panics");
    });
    (received, task)
}

/// Returns the stream that the page `guide::errors` shows for tasks that panic.
fn with_its_end(
    events: mpsc::Receiver<Event>,
    producer: JoinHandle<()>,
) -> impl Stream<Item = Result<Event, JoinError>> {
    let failure = stream::once(producer).filter_map(|end| future::ready(end.err().map(Err)));
    ReceiverStream::new(events).map(Ok).chain(failure)
}

/// Returns the stream that the page `guide::errors` shows for stopping.
fn until_stopped(
    events: impl Stream<Item = Event> + Unpin,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Event, Root>> {
    stream::unfold(Some((events, stop)), |open| async {
        let (mut events, stop) = open?;
        tokio::select! {
            event = events.next() => Some((Ok(event?), Some((events, stop)))),
            () = stop.cancelled() => Some((Err(Root), None)),
        }
    })
}

async fn read_by<S>(client: Requester, reports: &Reports, stream: S) -> (String, Option<BoxError>)
where
    S: Stream<Item: Encode<Error: Debug>>,
{
    let layer = SseLayer::new()
        .without_retry()
        .shutdown(CancellationToken::new())
        .terminator(Event::from("[DONE]"))
        .cancellation_if(<dyn Error>::is::<Root>);
    let answer = answer_to(client.request("/"), &reports.observe(layer), stream);
    read_to_end(answer.into_body()).await
}

const WHOLE: &str = "data: one\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn stream_that_ends_with_its_producer_fails_if_that_has_panicked() {
    let read = async |panics| {
        let (events, producer) = produce(panics);
        read_by(Requester::Post, &Reports::default(), with_its_end(events, producer)).await
    };
    let (text, failure) = read(false).await;
    assert_eq!((&*text, failure.is_none()), (WHOLE, true));
    let (text, failure) = read(true).await;
    assert!(text.starts_with("data: one\n\n") && !text.contains("[DONE]"), "{text:?}");
    let failure = failure.expect("the body fails");
    assert!(failure.downcast_ref::<JoinError>().is_some_and(JoinError::is_panic), "{failure}");
}

/// Returns a stream that yields one event, cancels `stop` at the next poll, and stays pending.
fn one_and_stop(stop: &CancellationToken) -> impl Stream<Item = Event> + Unpin + use<> {
    let stop = stop.clone();
    let rest = stream::once(async move {
        stop.cancel();
        future::pending().await
    });
    Box::pin(stream::iter([Event::from("one")]).chain(rest))
}

#[tokio::test]
async fn stream_that_a_cancellation_stops_does_not_look_complete() {
    for client in Requester::ALL {
        let reports = Reports::default();
        let stop = CancellationToken::new();
        let events = until_stopped(one_and_stop(&stop), stop);
        let (text, failure) = read_by(client, &reports, events).await;
        assert!(text.starts_with("data: one\n\n") && !text.contains("[DONE]"), "{text:?}");
        assert_eq!(failure.is_none(), client == Requester::EventSource, "{client:?}");
        assert!(failure.is_none_or(|error| error.is::<Root>()));
        assert_eq!(reports.take(), [CloseReason::Cancelled]);
    }
}
