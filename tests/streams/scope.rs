//! Which streams a close ends.

use tower_sse::streams::Streams;

use super::rig::{layer, open};
use super::*;
use crate::{rig::Requester::EventSource, *};

/// Opens the stream of `request`, which has arrived before this call.
fn answer(streams: &Streams, request: Request<()>) -> Rig {
    Rig::fed(layer(streams), request)
}

#[tokio::test(start_paused = true)]
async fn only_the_streams_of_the_subject_end() {
    let streams = Streams::new();
    let mut phone = open(&streams, &["user:1", "session:a", "tenant:7"]);
    let mut tablet = open(&streams, &["user:1", "session:b", "tenant:7"]);
    let mut other = open(&streams, &["user:2", "session:c", "tenant:7"]);
    assert_eq!(now(streams.close("user:3")), 0);
    assert_eq!(now(streams.close("session:b")), 1);
    assert_eq!(tablet.poll(), Polled::End);
    assert_eq!((phone.poll(), other.poll()), (Polled::Pending, Polled::Pending));
    assert_eq!(now(streams.clone().close("tenant:7")), 2);
    assert_eq!((phone.poll(), other.poll()), (Polled::End, Polled::End));
}

#[tokio::test(start_paused = true)]
async fn streams_of_the_kept_subject_stay() {
    let streams = Streams::new();
    let mut this =
        [open(&streams, &["user:1", "session:a"]), open(&streams, &["session:a", "user:1"])];
    let mut others = [open(&streams, &["user:1", "session:b"]), open(&streams, &["user:1"])];
    let mut stranger = open(&streams, &["user:2"]);
    assert_eq!(now(streams.close_except("user:1", "session:a")), 2);
    assert_eq!(others.each_mut().map(Rig::poll), [Polled::End, Polled::End]);
    assert_eq!(this.each_mut().map(Rig::poll), [Polled::Pending, Polled::Pending]);
    assert_eq!(stranger.poll(), Polled::Pending);
    assert_eq!((streams.count("user:1"), streams.count("session:b")), (2, 0));
    // `user:2` has a single stream, which does not have the kept subject.
    assert_eq!(now(streams.close_except("user:2", "session:a")), 1);
    assert_eq!(stranger.poll(), Polled::End);
    assert_eq!(streams.count("user:2"), 0);
}

/// If the request kept the subjects of the other `Streams`, only these could close the stream.
#[tokio::test(start_paused = true)]
async fn request_with_subjects_of_other_streams_gets_its_own() {
    let (streams, others) = (Streams::new(), Streams::new());
    let mut request: Request<()> = EventSource.request("/");
    others.subjects_of(&mut request).add("a");
    streams.subjects_of(&mut request).add("a");
    let mut stream = answer(&streams, request);
    assert_eq!((now(others.close("a")), stream.poll()), (0, Polled::Pending));
    assert_eq!((now(streams.close("a")), stream.poll()), (1, Polled::End));
}

#[tokio::test(start_paused = true)]
async fn counts_are_those_of_open_streams() {
    let streams = Streams::new();
    let counts = || streams.subjects().into_iter().collect::<BTreeMap<_, _>>();
    let one = open(&streams, &["user:1", "tenant:7", "user:1"]);
    let two = open(&streams, &["user:2", "tenant:7"]);
    let expected = [("user:1", 1), ("user:2", 1), ("tenant:7", 2)];
    assert_eq!(counts(), expected.map(|(name, count)| (name.into(), count)).into());
    // A stream that was closed by one of its subjects no longer counts for any.
    now(streams.close("user:1"));
    assert_eq!(counts(), [("user:2", 1), ("tenant:7", 1)].map(|(a, b)| (a.into(), b)).into());
    drop(two);
    assert_eq!(counts(), BTreeMap::new());
    drop(one);
    assert_eq!(counts(), BTreeMap::new());
}

/// A request whose user was checked before the close must not open a stream after it.
#[tokio::test(start_paused = true)]
async fn close_counts_for_requests_that_arrived_before_it() {
    for is_added_after in [false, true] {
        for closes in [
            (|streams| now(streams.close("a"))) as fn(&Streams) -> usize,
            |streams| now(streams.close_except("a", "b")),
            |streams| streams.close_all(),
        ] {
            let streams = Streams::new();
            let mut request: Request<()> = EventSource.request("/");
            let subjects = streams.subjects_of(&mut request);
            if is_added_after {
                closes(&streams);
                subjects.add("a");
            } else {
                subjects.add("a");
                assert_eq!(closes(&streams), 0, "the stream is not open yet");
            }
            let mut answer = answer(&streams, request);
            assert_eq!(streams.count("a"), 0);
            assert_eq!(answer.poll(), Polled::End);

            let mut later = open(&streams, &["a"]);
            assert_eq!(later.poll(), Polled::Pending, "a later request is judged anew");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn kept_device_survives_a_close_before_it_opens() {
    let streams = Streams::new();
    let mut request: Request<()> = EventSource.request("/");
    let subjects = streams.subjects_of(&mut request);
    now(streams.close_except("user:1", "session:a"));
    subjects.add("user:1");
    subjects.add("session:a");
    let mut open = answer(&streams, request);
    assert_eq!((open.poll(), streams.count("user:1")), (Polled::Pending, 1));
}

/// The log of closes is bounded, so it cannot tell whether an older request was closed.
#[tokio::test(start_paused = true)]
async fn request_that_is_older_than_the_log_of_closes_opens_no_stream() {
    for (closes, expected) in [(65_536, Polled::Pending), (65_537, Polled::End)] {
        let streams = Streams::new();
        let mut request: Request<()> = EventSource.request("/");
        streams.subjects_of(&mut request).add("a");
        for _ in 0..closes {
            now(streams.close("b"));
        }
        assert_eq!(answer(&streams, request).poll(), expected, "{closes}");
    }
}

// Closing thousands of streams of one subject, except some.

const STREAMS: usize = 5_000;

type IdleBody = SseBody<EventBody<stream::Pending<Event>>>;

fn one_layer(streams: &Streams) -> SseLayer {
    SseLayer::new().without_retry().without_heartbeat().streams(streams)
}

/// Returns a request with subjects. Every tenth request has the subject whose streams are kept.
fn request(streams: &Streams, number: usize) -> Request<()> {
    let mut request = Requester::EventSource.request("/");
    let subjects = streams.subjects_of(&mut request);
    subjects.add("user:42");
    if is_kept(number) {
        subjects.add("session:kept");
    }
    request
}

const fn is_kept(number: usize) -> bool {
    number.is_multiple_of(10)
}

fn call(layer: &SseLayer, request: Request<()>) -> IdleBody {
    answer_to(request, layer, tower_sse::response(stream::pending::<Event>())).into_body()
}

fn assert_ended_except_kept(bodies: &mut [(usize, IdleBody)]) {
    for (number, body) in bodies {
        let expected = if is_kept(*number) { Polled::Pending } else { Polled::End };
        assert_eq!(poll_frame(body), expected, "stream {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_but_the_kept_streams_end() {
    let streams = Streams::new();
    let layer = one_layer(&streams);
    let mut bodies: Vec<_> =
        (0..STREAMS).map(|number| (number, call(&layer, request(&streams, number)))).collect();
    assert_eq!(now(streams.close_except("user:42", "session:kept")), STREAMS - STREAMS / 10);
    assert_eq!(streams.count("user:42"), STREAMS / 10);
    assert_ended_except_kept(&mut bodies);
    assert_eq!(now(streams.close_except("user:42", "session:kept")), 0);
    assert_eq!(now(streams.close_except("user:42", "another")), STREAMS / 10);
    assert_eq!(streams.subjects(), []);
}

// What subjects cost, in bytes.

fn bytes_per_stream(
    layer: &SseLayer,
    streams: usize,
    subject: impl Fn(usize) -> Option<String>,
) -> i64 {
    let mut bodies = Vec::with_capacity(streams);
    let counted = measure(|| {
        for number in 0..streams {
            let subject = subject(number);
            let answer = answer_by(Requester::EventSource.request("/"), layer, |request| {
                if let Some(subject) = &subject {
                    request.extensions().get::<Subjects>().unwrap().add(&**subject);
                }
                tower_sse::response(stream::pending::<Event>())
            });
            let mut body = answer.into_body();
            assert_eq!(poll_frame(&mut body), Polled::Pending);
            bodies.push(body);
        }
    });
    drop(bodies);
    counted.bytes_current / streams as i64
}

/// The two numbers of streams fill the table of subjects to different degrees.
#[tokio::test(start_paused = true)]
async fn stream_with_one_subject_costs_at_most_270_bytes() {
    let plain: SseLayer = SseLayer::new().without_retry().without_heartbeat();
    for plain in [plain.clone(), plain.shutdown(CancellationToken::new())] {
        for count in [1_250, 4_096] {
            let bytes = |layer: &SseLayer, subject: &dyn Fn(usize) -> Option<String>| {
                bytes_per_stream(layer, count, subject)
            };
            let none = bytes(&plain, &|_| None);
            let streams = Streams::new();
            let layer = plain.clone().streams(&streams);
            let without = bytes(&layer, &|_| None) - none;
            let shared = bytes(&layer, &|_| Some("tenant:7".to_owned())) - none;
            let own = bytes(&layer, &|number| Some(format!("session:{number:08}"))) - none;
            println!("none {none}; without subject +{without}, shared +{shared}, own +{own}");
            assert_eq!(without, 0);
            assert!(shared <= 270 && own <= 270, "{count}: shared {shared}, own {own}");
            let left = measure(|| _ = bytes(&layer, &|n| Some(format!("user:{}", n % 7))));
            assert!(left.bytes_current < 4096, "{left:?}");
            assert_eq!((streams.subjects(), now(streams.close("tenant:7"))), (vec![], 0));
        }
    }
}
