use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tower_sse::LastEventId;
use tower_sse::Retention;
use tower_sse::hub::{Hub, Receipt, Subscription};

use crate::*;

pub const BROADCAST: &str = "tokio broadcast";
pub const TOPICS: &str = "a subscription of 100 topics";
pub const AT_LIMIT_BESIDE_MANY: &str = "publish at the memory limit beside 100000";
pub const AT_LIMIT_TO_MANY: &str = "publish at the memory limit to one of 100000";
pub const ONE_TOPIC: &str = "of one topic";
const BY_ID: &str = "resume beside 100000 kept messages";

/// Returns the cases of the hub in memory. In most of them, one event of 256 bytes is published,
/// and all subscribers are polled until nothing is left. The others subscribe or resume. The peer
/// is a channel of encoded events.
pub fn cases() -> Vec<Case> {
    let text = payload::line(256);
    vec![
        Case::new("publish to nobody", OURS, published_to_one_of(1, text)),
        Case::new("publish to one of 10000 topics", OURS, published_to_one_of(10_000, text)),
        Case::new("publish to a new topic", OURS, published_to_new(text)),
        Case::new("publish at the memory limit", OURS, published_at_limit(0, text)),
        Case::new("publish at the memory limit beside 100", OURS, published_at_limit(100, text)),
        Case::new(AT_LIMIT_BESIDE_MANY, OURS, published_at_limit(100_000, text)),
        Case::new(AT_LIMIT_TO_MANY, OURS, published_at_limit_to(100_000, text)),
        Case::new("publish to 1 subscriber", OURS, published_to(1, text)),
        Case::new("publish to 1 subscriber", BROADCAST, sent_to(1, text)),
        Case::new("publish to 10 subscribers", OURS, published_to(10, text)),
        Case::new("publish to 10 subscribers", BROADCAST, sent_to(10, text)),
        Case::new("publish to 100 subscribers", OURS, published_to(100, text)),
        Case::new("publish to 100 subscribers", BROADCAST, sent_to(100, text)),
        Case::new(TOPICS, OURS, to_one_topic_of(100, text)),
        Case::new(TOPICS, "of 10 topics", to_one_topic_of(10, text)),
        Case::new(TOPICS, ONE_TOPIC, to_one_topic_of(1, text)),
        Case::new("subscribe and leave", OURS, subscribed()),
        Case::new("subscribe and leave", BROADCAST, subscribed_to_channel()),
        Case::new("resume 1024 events behind", OURS, resumed(1024, text)),
        Case::new(BY_ID, OURS, resumed_by(None)),
        Case::new(BY_ID, "by an own id", resumed_by(Some("99999"))),
        Case::new(BY_ID, "by an unknown own id", resumed_by(Some("unknown"))),
    ]
}

fn publish(hub: &Hub, topic: &str, text: &'static str) -> Receipt {
    hub.publish_now(topic, Event::from_static(text)).expect("an event that can be published")
}

fn read(stream: &mut (impl Stream<Item = impl AsRef<[u8]>> + Unpin)) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    while let Poll::Ready(item) = Pin::new(&mut *stream).poll_next(&mut cx) {
        let item = black_box(item.expect("a stream that goes on"));
        bytes += item.as_ref().len() as u64;
    }
    bytes
}

/// Publishes to a new topic each time. The topic is created and removed again, because nothing is
/// retained.
pub fn published_to_new(text: &'static str) -> impl FnMut(u64) -> u64 {
    let hub = Hub::builder().max_memory(0).build();
    let names: Vec<_> = (0..1024).map(|n| format!("client:{n}")).collect();
    move |times| {
        for name in names.iter().cycle().take(times as usize) {
            _ = black_box(publish(&hub, name, text));
        }
        times
    }
}

/// Publishes to one topic after another. If there are many, two in a row are far apart in memory.
pub fn published_to_one_of(topics: usize, text: &'static str) -> impl FnMut(u64) -> u64 {
    let hub = Hub::new();
    let names: Vec<_> = (0..topics).map(|n| format!("client:{n}")).collect();
    let mut at = 0;
    move |times| {
        for _ in 0..times {
            // A prime step visits all topics.
            at = (at + 7919) % topics;
            _ = black_box(publish(&hub, &names[at], text));
        }
        times
    }
}

/// Publishes to one topic of a hub whose memory is full, beside `others` topics that keep one event
/// each.
pub fn published_at_limit(others: usize, text: &'static str) -> impl FnMut(u64) -> u64 {
    // A topic with one event takes about 960 bytes. This topic gets 1,000 times as much.
    let hub = Hub::builder()
        .retention(Retention::new().events(1 << 20))
        .max_memory((others + 1_000) * 960)
        .build();
    for n in 0..others {
        _ = black_box(publish(&hub, &format!("client:{n}"), text));
    }
    fill(&hub, text);
    move |times| {
        for _ in 0..times {
            _ = black_box(publish(&hub, "news", text));
        }
        times
    }
}

/// Publishes to one topic after another in a hub whose memory is full.
pub fn published_at_limit_to(topics: usize, text: &'static str) -> impl FnMut(u64) -> u64 {
    let hub = Hub::builder().max_memory(topics * 2_000).build();
    let names: Vec<_> = (0..topics).map(|n| format!("client:{n}")).collect();
    let mut at = 0;
    let mut next = move || {
        at = (at + 7919) % topics;
        at
    };
    for _ in 0..8 * topics {
        _ = black_box(publish(&hub, &names[next()], text));
    }
    move |times| {
        for _ in 0..times {
            _ = black_box(publish(&hub, &names[next()], text));
        }
        times
    }
}

/// Publishes 1,000 events at a time to one topic until an event is evicted.
fn fill(hub: &Hub, text: &'static str) {
    let evicted = hub.stats().evicted;
    while hub.stats().evicted == evicted {
        (0..1_000).for_each(|_| _ = black_box(publish(hub, "news", text)));
    }
}

pub fn published_to(subscribers: usize, text: &'static str) -> impl FnMut(u64) -> u64 {
    let hub = Hub::new();
    let mut subscriptions: Vec<_> =
        (0..subscribers).map(|_| Polled(hub.subscribe(["news"]).resume(None))).collect();
    move |times| {
        let mut bytes: u64 = subscriptions.iter_mut().map(read).sum();
        for _ in 0..times {
            _ = black_box(publish(&hub, "news", text));
            bytes += subscriptions.iter_mut().map(read).sum::<u64>();
        }
        bytes
    }
}

fn sent_to(subscribers: usize, text: &'static str) -> impl FnMut(u64) -> u64 {
    let (sender, _) = broadcast::channel(1024);
    let mut receivers: Vec<_> =
        (0..subscribers).map(|_| Received(BroadcastStream::new(sender.subscribe()))).collect();
    move |times| {
        let mut bytes: u64 = receivers.iter_mut().map(read).sum();
        for _ in 0..times {
            let event = Bytes::from(Encoded::from(Event::from(text)));
            black_box(sender.send(event).expect("receivers"));
            bytes += receivers.iter_mut().map(read).sum::<u64>();
        }
        bytes
    }
}

fn to_one_topic_of(topics: usize, text: &'static str) -> impl FnMut(u64) -> u64 {
    let hub = Hub::new();
    let names: Vec<_> = (0..topics).map(|n| format!("topic:{n}")).collect();
    let mut subscription = Polled(hub.subscribe(&names).resume(None));
    move |times| {
        let mut bytes = read(&mut subscription);
        for _ in 0..times {
            _ = black_box(publish(&hub, "topic:0", text));
            bytes += read(&mut subscription);
        }
        bytes
    }
}

fn subscribed() -> impl FnMut(u64) -> u64 {
    let hub = Hub::new();
    // The topic exists before the work and after it, as a busy topic does.
    let mut other = Polled(hub.subscribe(["news"]).resume(None));
    move |times| {
        read(&mut other);
        (0..times).map(|_| read(&mut Polled(hub.subscribe(["news"]).resume(None)))).sum()
    }
}

fn subscribed_to_channel() -> impl FnMut(u64) -> u64 {
    let (sender, _) = broadcast::channel::<Bytes>(1024);
    move |times| {
        (0..times).map(|_| read(&mut Received(BroadcastStream::new(sender.subscribe())))).sum()
    }
}

fn resumed(events: usize, text: &'static str) -> impl FnMut(u64) -> u64 {
    let hub = Hub::builder().retention(Retention::new().events(events)).build();
    let last = LastEventId::from(hub.position());
    for _ in 0..events {
        _ = black_box(publish(&hub, "news", text));
    }
    move |times| {
        let resume = || hub.subscribe(["news"]).resume(last.clone());
        (0..times).map(|_| read(&mut Polled(resume()))).sum()
    }
}

/// Subscribes and leaves, in a topic that keeps 100,000 messages: by the newest message's id, or by
/// this id of the program.
fn resumed_by(own: Option<&str>) -> impl FnMut(u64) -> u64 + use<> {
    const MESSAGES: usize = 100_000;
    let retention = Retention::new().events(MESSAGES).bytes(usize::MAX);
    let hub = Hub::builder().retention(retention).build();
    for n in 0..MESSAGES {
        let event = Event::from(format!("{n} AAPL 231.4"));
        _ = black_box(hub.publish_now("trades", event).expect("an event that can be published"));
    }
    let newest = LastEventId::from(hub.position());
    let last = own.map_or(newest, |own| LastEventId::try_from(own).expect("an id"));
    move |times| {
        for _ in 0..times {
            let trades = hub.subscribe_to("trades");
            let trades = trades.own_ids(|trade| Some(trade.data.split(' ').next()?.into()));
            drop(black_box(trades.resume(last.clone())));
        }
        times
    }
}

/// A subscription whose items are bytes.
struct Polled(Subscription);

impl Stream for Polled {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.0).poll_next(cx).map(|item| item.map(Bytes::from))
    }
}

/// A receiver that panics if it loses an event.
struct Received(BroadcastStream<Bytes>);

impl Stream for Received {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let item = Pin::new(&mut self.0).poll_next(cx);
        item.map(|item| item.map(|event| event.expect("a channel that is read in time")))
    }
}
