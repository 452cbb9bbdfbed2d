//! How long a stream that is always ready delays other tasks.
//!
//! Time is no measure on a machine that others use. So the tests count what the stream makes
//! between two turns of another task on the same thread. A turn is one poll of a task by the
//! runtime. The other task yields as if it waited for a socket: it is woken when the runtime looks
//! at its driver, after the tasks that are ready.

use crate::*;

const KIB: usize = 1024;
/// The units of coop budget that tokio gives a task for each of its turns.
const UNITS_PER_TURN: usize = 128;
/// A body spends a unit for each frame and for each whole KiB in it. The frame that spends the last
/// unit may have 16 KiB.
const BYTES_PER_TURN: usize = UNITS_PER_TURN * KIB + 16 * KIB;
/// Of the tasks that gave up their turn, the last is woken first. So two tasks run in the order A
/// B, B A, A B: one can have two turns between two turns of the other.
const TURNS: usize = 2;

#[derive(Clone, Default)]
struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// Returns `count` items without a pause, each of which counts for `weight`.
    fn stream<T: Clone>(
        &self,
        item: T,
        weight: usize,
        count: usize,
    ) -> impl Stream<Item = T> + use<T> {
        let made = Arc::clone(&self.0);
        stream::iter(std::iter::repeat_n(item, count)).inspect(move |_| {
            made.fetch_add(weight, SeqCst);
        })
    }

    /// Returns the most that is made between two turns of another task, until `body` has been read.
    async fn longest_run<B>(&self, body: B) -> usize
    where
        B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
    {
        let made = Arc::clone(&self.0);
        let (mut longest, mut last) = (0, made.load(SeqCst));
        let busy = tokio::spawn(async {
            let mut body = Box::pin(body);
            while let Some(frame) = body.frame().await {
                frame.unwrap();
            }
        });
        let is_busy = busy.abort_handle();
        let other = tokio::spawn(async move {
            loop {
                let now = made.load(SeqCst);
                longest = longest.max(now - last);
                last = now;
                if is_busy.is_finished() {
                    return longest;
                }
                yield_now().await;
            }
        });
        busy.await.unwrap();
        other.await.unwrap()
    }
}

fn small_event() -> Event {
    Event::from("x".repeat(64 - b"data: \n\n".len()))
}

/// Asserts that a stream of `count` times this event, which has `size` bytes, yields after `limit`
/// bytes, with the layer and without.
async fn assert_yields<T>(event: T, size: usize, count: usize, limit: usize)
where
    T: Encode<Error: Into<BoxError>> + Clone + Send + 'static,
{
    let meter = Meter::default();
    let events = || meter.stream(event.clone(), size, count);

    let longest = meter.longest_run(EventBody::new(events())).await;
    assert!(longest <= TURNS * limit, "without the layer: {longest} bytes");
    let body = through(&SseLayer::new(), events()).into_body();
    let longest = meter.longest_run(body).await;
    assert!(longest <= TURNS * limit, "with the layer: {longest} bytes");
}

#[tokio::test]
async fn streams_of_small_and_of_large_events_yield() {
    assert_yields(small_event(), 64, 64 * KIB, BYTES_PER_TURN).await;
    let event = Encoded::from(Event::from("x".repeat(64 * KIB - b"data: \n\n".len())));
    assert_yields(event, 64 * KIB, 64, BYTES_PER_TURN + 64 * KIB).await;
}

#[tokio::test]
async fn streams_of_empty_events_and_of_tiny_frames_yield() {
    let meter = Meter::default();
    let events = meter.stream(Event::new(), 1, 10_000);
    let longest = meter.longest_run(EventBody::new(events)).await;
    assert!(longest <= TURNS * (UNITS_PER_TURN + 1), "{longest} events without a field");
    let longest = meter.longest_run(foreign(meter.stream(Bytes::new(), 1, 10_000))).await;
    assert!(longest <= TURNS * (UNITS_PER_TURN + 1), "{longest} empty frames");
    // A frame of one byte costs a whole unit, but counts as only 64 bytes here.
    let frames = meter.stream(Bytes::from_static(b"\n"), 64, 64 * KIB);
    let longest = meter.longest_run(foreign(frames)).await;
    assert!(longest <= TURNS * BYTES_PER_TURN, "{longest} bytes that are paid for");
}

fn foreign(
    frames: impl Stream<Item = Bytes> + Send + Unpin + 'static,
) -> impl http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static {
    let body = StreamBody::new(frames.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))));
    through(&SseLayer::new(), event_stream(body)).into_body()
}

#[tokio::test]
async fn server_on_one_thread_stays_responsive() {
    for host in Host::ALL {
        let meter = Meter::default();
        let source = meter.clone();
        let handler =
            move |_| tower_sse::response(source.stream(small_event(), 64, 64 * KIB)).map(Body::new);
        let mut client = host.connect(host.serve(SseLayer::new(), handler).await).await;

        let body = client.get("/events").await.into_body().map_err(BoxError::from);
        let longest = meter.longest_run(body).await;
        // Every window update of an HTTP/2 client wakes the stream again before the driver has its
        // turn. Until then, a stream can make about as many bytes as its window has: 2 MiB.
        let turns = if host.is_h2() { 8 * TURNS } else { TURNS };
        assert!(longest <= turns * BYTES_PER_TURN, "{host:?}: {longest} bytes");
    }
}
