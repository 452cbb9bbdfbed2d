//! How often memory is allocated. The number does not depend on how busy the machine is, so the
//! tests compare it with constants.

use allocation_counter::AllocationInfo;

use crate::*;

const EVENTS: usize = 10_000;

/// Counts the allocations of `call`, without that of the waker which all tests share.
fn measure(call: impl FnOnce()) -> AllocationInfo {
    assert_eq!(poll_frame(&mut String::new()), Polled::End);
    allocation_counter::measure(call)
}

fn for_each_ready<T: Encode>(item: impl FnMut() -> T) -> f64 {
    let mut body = EventBody::new(stream::repeat_with(item).take(EVENTS));
    poll_all(&mut body)
}

fn poll_all<B>(body: &mut B) -> f64
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    let (_, waker) = Wakes::new();
    let counted = measure(|| while let Polled::Data(_) = poll_frame_with(body, &waker) {});
    assert_eq!(poll_frame(body), Polled::End);
    counted.count_total as f64 / EVENTS as f64
}

#[test]
fn ready_events_allocate_only_their_frames_and_strings() {
    let mut id = 0_u64;
    let with_fields = || {
        id += 1;
        Event::from_static("0123456789abcdef").event("tick").id(id)
    };
    let small = Encoded::from(Event::from("0123456789abcdef"));
    let large = Encoded::from(Event::from("0123456789abcdef".repeat(1024)));
    let text = String::from("0123456789abcdef");
    for (name, per_event, expected) in [
        ("one line", for_each_ready(|| Event::from_static("0123456789abcdef")), 0.0),
        ("lines", for_each_ready(|| Event::from_static("one\ntwo\r\nthree\rfour")), 0.0),
        ("with a name and an id", for_each_ready(with_fields), 0.0),
        ("small and encoded", for_each_ready(|| small.clone()), 0.0),
        ("large and encoded", for_each_ready(|| large.clone()), 0.0),
        ("borrowed text", for_each_ready(|| Event::new().data(text.as_str())), 1.0),
        ("string", for_each_ready(|| Event::from(text.clone())), 1.0),
    ] {
        assert!((expected..expected + 0.01).contains(&per_event), "{name}: {per_event} per event");
    }
}

#[cfg(feature = "json")]
#[test]
fn json_allocates_no_string_per_event() {
    use serde::Serialize;

    #[derive(Serialize)]
    struct Point {
        name: &'static str,
        x: f64,
        y: f64,
    }

    const POINT: Point = Point { name: "origin", x: 0.5, y: -1.25 };

    let json = || Event::new().event("point").id(7).json(&POINT);
    let ready = for_each_ready(json);
    assert!(ready < 0.1, "{ready} for each event");

    // The thread has kept the serialization buffer from earlier events.
    let (counted, frame) = alone(json());
    assert_eq!(counted.count_total, 1);
    assert_eq!(counted.bytes_total, frame.len() as u64);
}

#[cfg(feature = "json")]
#[test]
fn json_buffer_is_kept_up_to_64_kib() {
    use tower_sse::Json;

    let encode = |len| {
        let text = "x".repeat(len);
        measure(|| drop(Encoded::try_new(Json::new(&text)).unwrap()))
    };
    encode(30_000);
    assert_eq!(encode(30_000).count_total, 1, "only the frame");
    let large = encode(100_000);
    assert!(large.bytes_current <= 0, "{large:?}");
}

fn alone(item: impl Encode + Unpin) -> (AllocationInfo, Bytes) {
    let mut body = EventBody::new(stream::iter([item]).chain(stream::pending()));
    let mut polled = Polled::Pending;
    let counted = measure(|| polled = poll_frame(&mut body));
    match polled {
        Polled::Data(frame) => (counted, frame),
        other => panic!("no frame but {other:?}"),
    }
}

#[test]
fn lone_event_is_one_allocation_of_its_own_size() {
    let events = [
        Event::from("hello"),
        Event::from("one\ntwo\nthree"),
        Event::new().event("tick").id(42).data("hello"),
        Event::new().id(u64::MAX).data("a long line ".repeat(100)),
        Event::new().id(-7).event("empty"),
        Event::new().comment("a\nb").data("hello"),
        Event::new().retry(Duration::from_millis(1500)).data("hello"),
    ];
    for event in events {
        let described = format!("{event:?}");
        let (counted, frame) = alone(event);
        assert_eq!(counted.count_total, 1, "{described}");
        assert_eq!(counted.bytes_total, frame.len() as u64, "{described}");
    }
}

/// Returns the allocations of a hundred events that become ready one by one, with a silence after
/// each.
fn one_by_one<B>(text: &'static str, to_body: impl FnOnce(OneByOne) -> B) -> AllocationInfo
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    let ready = Rc::new(Cell::new(false));
    let mut body = to_body(OneByOne { ready: Rc::clone(&ready), text });
    let mut turn = || {
        ready.set(true);
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    };
    turn();
    measure(|| (0..100).for_each(|_| turn()))
}

struct OneByOne {
    ready: Rc<Cell<bool>>,
    text: &'static str,
}

impl Stream for OneByOne {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ready.take() {
            Poll::Ready(Some(Event::from_static(self.text)))
        } else {
            Poll::Pending
        }
    }
}

#[test]
fn lone_encoded_event_is_sent_without_a_copy() {
    for len in [1, 100, 5_000] {
        let encoded = Encoded::from(Event::from("x".repeat(len)));
        let (counted, frame) = alone(encoded.clone());
        assert_eq!(counted.count_total, 0);
        assert_eq!(frame.as_ptr(), encoded.as_bytes().as_ptr());
    }
}

#[test]
fn large_events_sent_one_by_one_get_buffers_of_their_own_size() {
    let text: &str = "a long line ".repeat(300).leak();
    let counted = one_by_one(text, EventBody::new);
    // The second allocation of an event makes its buffer shareable, so that later events can go
    // into it too.
    assert_eq!(counted.count_total, 200);
    assert!(counted.bytes_total < 100 * (text.len() as u64 + 100), "{counted:?}");
}

#[test]
fn bookkeeping_of_heartbeats_allocates_nothing() {
    // Timers need a runtime. No task polls, because a task would have a coop budget.
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let ready = || stream::repeat_with(|| Event::from_static("hello")).take(EVENTS);
    let bare = poll_all(&mut EventBody::new(ready()));
    let mut body = through(&SseLayer::new(), tower_sse::response(ready())).into_body();
    assert_eq!(poll_all(&mut body), bare, "for each event that is ready");

    let counted = one_by_one("hello", |events| {
        through(&SseLayer::new(), tower_sse::response(events)).into_body()
    });
    assert_eq!(counted.count_total, 100, "the frames of events that came one by one");
}

#[tokio::test(start_paused = true)]
async fn heartbeat_allocates_nothing() {
    let silent = stream::pending::<Event>();
    let mut body = through(&SseLayer::new(), tower_sse::response(silent)).into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(Duration::from_secs(20)).await;
    let mut polled = Polled::Pending;
    let counted = measure(|| polled = poll_frame(&mut body));
    assert_eq!(polled, data(": \n"));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn other_responses_allocate_nothing_in_the_layer() {
    let request = Request::builder().header("accept", "*/*").body(()).unwrap();
    let response = Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from("{}"))
        .unwrap();
    let layer = SseLayer::new();
    let counted = measure(|| {
        let mut body = answer_to(request, &layer, response).into_body();
        assert_eq!(poll_frame(&mut body), data("{}"));
        assert_eq!(poll_frame(&mut body), Polled::End);
    });
    assert_eq!(counted.count_total, 0);
}

/// The allocations of a new stream: one for the body's state, two for the table of headers, and two
/// for the table of extensions. Two more are for an outer layer: what it finds in the extensions,
/// and the slot in which it can leave its shutdown.
const OPENING: u64 = 7;

#[tokio::test]
async fn event_stream_is_opened_with_few_allocations() {
    let layer = SseLayer::new();
    let counted = measure(|| {
        let silent = stream::pending::<Event>();
        let mut body = through(&layer, tower_sse::response(silent)).into_body();
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    });
    assert!(counted.count_total <= OPENING, "{counted:?}");
}

#[test]
fn long_query_is_searched_without_allocating() {
    let uri = format!("/?{}", "a+%62=c&".repeat(7 << 10)).parse().unwrap();
    let names = ["lastEventId", "last_event_id", "x y"];
    let counted = measure(|| {
        assert_eq!(LastEventId::from_query(&uri, &names), None);
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
