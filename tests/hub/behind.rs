//! Clients that are behind and do not read: the memory that they take, counted by an allocator, and
//! when a replaced value is sent. A server such as hyper takes up to 16 frames for each client.

use tower_sse::Heartbeat;

use crate::*;

/// The number of frames that hyper takes for one connection.
const FRAMES: usize = 16;
/// The memory that a client may take, without its connection.
const LIMIT: usize = 12 * 1024;

/// A client and the frames that its server has taken but not sent.
struct Stalled {
    subscription: Subscription,
    frames: Vec<Encoded>,
}

impl Stalled {
    fn new(subscription: Subscription) -> Self {
        Self { subscription, frames: Vec::with_capacity(FRAMES) }
    }

    fn take_one(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        if self.frames.len() < FRAMES
            && let Poll::Ready(Some(frame)) = Pin::new(&mut self.subscription).poll_next(&mut cx)
        {
            self.frames.push(frame);
        }
    }

    fn take_all(&mut self) {
        (0..FRAMES).for_each(|_| self.take_one());
    }

    fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.as_bytes().len()).sum()
    }
}

fn held_by_each(clients: usize, stall: impl FnOnce(&mut Vec<Stalled>)) -> usize {
    let mut stalled = Vec::with_capacity(clients);
    let held = measure(|| stall(&mut stalled)).bytes_current;
    assert_eq!(stalled.len(), clients);
    let given = stalled.iter().map(Stalled::bytes).sum::<usize>() / clients;
    assert!(given > 64 * 1024, "{given} bytes for each: they were not behind");
    usize::try_from(held).unwrap() / clients
}

#[test]
fn clients_at_the_same_position_share_frames_at_the_memory_limit() {
    const CLIENTS: usize = 200;
    let hub = Hub::builder().max_memory(4 << 20).build();
    let kib = "x".repeat(1024);
    let mut n = 0;
    let mut publish_elsewhere = || {
        n += 1;
        publish(&hub, &format!("other {}", n % 100), &kib);
    };
    (0..5000).for_each(|_| publish_elsewhere());
    let first = (0..1000).map(|_| publish(&hub, "news", &kib)).min().unwrap_or_default();
    let held = held_by_each(CLIENTS, |clients| {
        let begin = |_| Stalled::new(hub.subscribe(["news"]).resume(id(&hub, first)));
        clients.extend((0..CLIENTS).map(begin));
        for _ in 0..FRAMES {
            for client in &mut *clients {
                client.take_one();
                publish_elsewhere();
            }
        }
    });
    assert!(held < LIMIT, "{held} bytes for each client");
}

#[test]
fn clients_at_different_positions_share_frames() {
    const CLIENTS: usize = 300;
    const PLACES: u64 = 64;
    for apart in [1, 8, 13] {
        let hub = Hub::new();
        let kib = "x".repeat(1000);
        for _ in 0..1000 {
            publish(&hub, "news", &kib);
        }
        let held = held_by_each(CLIENTS, |clients| {
            for n in 0..CLIENTS as u64 {
                let last = id(&hub, n % PLACES * apart);
                clients.push(Stalled::new(hub.subscribe(["news"]).resume(last)));
            }
            clients.iter_mut().for_each(Stalled::take_all);
        });
        assert!(held < LIMIT, "{held} bytes for each client, {apart} events apart");
    }
}

#[test]
fn clients_with_an_additional_topic_each_share_frames() {
    const CLIENTS: usize = 300;
    for own_events in [1, 4] {
        let hub = Hub::builder().retention(Retention::new().events(4096).bytes(4 << 20)).build();
        let text = "x".repeat(240);
        for n in 0..4000 {
            publish(&hub, "hot", &text);
            // The clients' own events are spread over the first thousand events of `hot`, because
            // no client of this test reads further.
            if n < 1000 {
                for nth in 0..own_events {
                    let client = (n + nth * 333) % 1000;
                    if client < CLIENTS {
                        publish(&hub, &format!("own {client}"), "to one");
                    }
                }
            }
        }
        let names: Vec<_> = (0..CLIENTS).map(|client| format!("own {client}")).collect();
        let held = held_by_each(CLIENTS, |clients| {
            for name in &names {
                clients.push(Stalled::new(hub.subscribe(["hot", name]).resume(id(&hub, 0))));
            }
            clients.iter_mut().for_each(Stalled::take_all);
        });
        assert!(held < LIMIT, "{held} bytes for each client, {own_events} events of its own");
    }
}

/// Only publishing evicts by the memory limit, so readers must not fill the memory of a hub that is
/// quiet.
#[test]
fn readers_fill_no_memory_beyond_the_limit() {
    const LIMIT: u64 = 4 << 20;
    let kib = "x".repeat(1000);
    let (mut hub, mut last_ids) = (Hub::new(), Vec::new());
    let kept = measure(|| {
        hub = Hub::builder().max_memory(LIMIT as usize).build();
        for topic in 0..300 {
            let publish_one = |_| publish(&hub, &format!("topic {topic}"), &kib);
            last_ids.push((0..15).map(publish_one).collect::<Vec<_>>());
        }
    });
    let read = measure(|| {
        for (topic, ids) in last_ids.iter().enumerate() {
            for last in ids {
                let topics = [format!("topic {topic}")];
                Stalled::new(hub.subscribe(topics).resume(id(&hub, *last))).take_all();
            }
        }
    });
    let bytes = kept.bytes_current + read.bytes_current;
    assert!(bytes < i64::try_from(LIMIT + LIMIT / 10).unwrap(), "{kept:?} {read:?}");
}

// Clients that stall while the values of their topics are replaced.

/// Returns a hub in which each event of a topic from `a` to `m` replaces the one before it.
fn prices() -> Hub {
    Hub::builder().retention_of(|topic| (topic < "n").then(Retention::latest)).build()
}

fn served(subscription: Subscription) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
    let layer = SseLayer::new().without_heartbeat();
    answer_to(Requester::Fetch.request("/"), &layer, subscription.response()).into_body()
}

#[track_caller]
fn frame(body: &mut (impl Body<Data = Bytes, Error = BoxError> + Unpin)) -> Bytes {
    match poll_frame(body) {
        Polled::Data(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

fn has(frame: &Bytes, data: &str) -> bool {
    String::from_utf8_lossy(frame).contains(&format!("data: {data}\n"))
}

#[tokio::test(start_paused = true)]
async fn frame_of_newest_values_waits_until_the_last_one_is_written() {
    let hub = prices();
    let mut body = served(hub.subscribe(["a", "b"]).resume(None));
    publish_all(&hub, ["a1"]);
    let held = frame(&mut body);
    for data in ["a2", "a3", "b1", "a4"] {
        publish(&hub, &data[..1], data);
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    }
    let (wakes, waker) = Wakes::new();
    assert!(Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)).is_pending());
    publish_all(&hub, ["a5"]);
    assert_eq!(wakes.get(), 0, "no event wakes it");
    drop(held);
    assert_eq!(wakes.get(), 1);
    let next = frame(&mut body);
    assert!(has(&next, "a5") && has(&next, "b1"));
    assert_eq!(String::from_utf8_lossy(&next).matches("data: ").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn values_that_are_not_all_replaced_do_not_wait() {
    let hub = prices();
    let mut body = served(hub.subscribe(["a", "z"]).resume(None));
    publish_all(&hub, ["a1"]);
    let _held = frame(&mut body);
    publish_all(&hub, ["z2"]);
    assert!(has(&frame(&mut body), "z2"));
}

/// Code that collects a body holds all its frames, so a body that waits for a frame to be dropped
/// must not wait forever.
#[tokio::test(start_paused = true)]
async fn body_that_is_collected_ends() {
    let hub = prices();
    publish_all(&hub, ["a1"]);
    let mut body = served(hub.subscribe(["a"]).resume(None));
    let held = frame(&mut body);
    hub.end("a", Event::from("a2")).await.unwrap();
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(has(&held, "a1") && has(&rest, "a2"));

    // The end of a stream does not wait for the frame before it.
    hub.end("c", Event::from("c1")).await.unwrap();
    let mut ended = served(hub.subscribe(["c"]).resume(None));
    let _held = frame(&mut ended);
    assert_eq!(poll_frame(&mut ended), Polled::End);

    let mut body = served(hub.subscribe(["b"]).resume(None));
    publish_all(&hub, ["b1"]);
    let _held = frame(&mut body);
    publish_all(&hub, ["b2"]);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(20 * MILLISECOND).await;
    assert_eq!(frame(&mut body), ": \n", "a compressor would drop the frame now");
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(Duration::from_secs(59)).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(Duration::from_secs(2)).await;
    assert!(has(&frame(&mut body), "b2"));
}

/// A heartbeat event still repeats the value's id, and go-sse would not reconnect after a comment.
#[tokio::test(start_paused = true)]
async fn comment_behind_a_held_value_leaves_its_id_and_reconnection() {
    let hub = prices();
    publish_all(&hub, ["a1"]);
    let beat = |id: &str| format!("event: beat\ndata: {{}}\nid: {id}\n\n");
    let (zero, one) = (beat(id(&hub, 0).as_str()), beat(hub.position().as_str()));
    let beats = SseLayer::new().heartbeat(Heartbeat::every(SECOND).event("beat", "{}"));
    let ends = SseLayer::new().without_heartbeat().max_age(SECOND);
    for (layer, first, next) in [(beats, &*zero, &*one), (ends, "", "retry: 2000\n")] {
        let visit = hub.subscribe(["a"]).resume(id(&hub, 0)).response();
        let layer = layer.retry(2 * SECOND);
        let mut body = answer_to(Requester::EventSource.request("/"), &layer, visit).into_body();
        assert_eq!(frame(&mut body), format!("retry: 2000\n{first}"));
        let _held = frame(&mut body);
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        advance(20 * MILLISECOND).await;
        assert_eq!(frame(&mut body), ": \n");
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        advance(2 * SECOND).await;
        assert_eq!(frame(&mut body), next);
    }
}
