//! A client that is polled by hand, and decodes what it gets.

use crate::*;

pub(crate) struct Client {
    subscription: Subscription,
    decoder: Decoder,
    pub(crate) last: Option<LastEventId>,
    /// The reason in the newest gap.
    pub(crate) reason: Option<String>,
    pub(crate) has_ended: bool,
}

impl Client {
    pub(crate) fn new(subscription: Subscription) -> Self {
        let decoder = Decoder::new();
        Self { subscription, decoder, last: None, reason: None, has_ended: false }
    }

    /// Returns the messages of the next item. The data of a gap is replaced with the gap's topic.
    pub(crate) fn poll(&mut self) -> Poll<Option<Vec<Message>>> {
        self.poll_with(Waker::noop())
    }

    pub(crate) fn poll_with(&mut self, waker: &Waker) -> Poll<Option<Vec<Message>>> {
        let polled = Pin::new(&mut self.subscription).poll_next(&mut Context::from_waker(waker));
        polled.map(|item| {
            self.has_ended = item.is_none();
            let mut bytes = Bytes::from(item?);
            let mut messages = Vec::new();
            while let Some(mut message) = self.decoder.decode(&mut bytes).unwrap() {
                if message.event == "gap" {
                    let mut gap: HashMap<String, String> =
                        serde_json::from_str(&message.data).unwrap();
                    message.data = gap.remove("topic").unwrap();
                    self.reason = gap.remove("reason");
                }
                self.last = Some(last_id(&message.last_event_id));
                messages.push(message);
            }
            Some(messages)
        })
    }

    pub(crate) fn next(&mut self) -> Option<Vec<Message>> {
        wait(poll_fn(|cx| self.poll_with(cx.waker())))
    }

    pub(crate) fn items(&mut self, waker: &Waker) -> impl Iterator<Item = Vec<Message>> {
        iter::from_fn(|| match self.poll_with(waker) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        })
    }

    /// Returns everything that is ready now, as [`describe`] formats it.
    pub(crate) fn read(&mut self) -> Vec<String> {
        self.read_with(Waker::noop())
    }

    pub(crate) fn read_with(&mut self, waker: &Waker) -> Vec<String> {
        self.items(waker).flatten().map(|message| describe(&message)).collect()
    }

    pub(crate) fn read_one(&mut self) -> Vec<String> {
        self.items(Waker::noop()).take(1).flatten().map(|message| describe(&message)).collect()
    }

    pub(crate) fn messages(&mut self) -> Vec<Message> {
        self.items(Waker::noop()).flatten().collect()
    }

    #[track_caller]
    pub(crate) fn assert_ends_with(&mut self, expected: &[impl AsRef<str>]) {
        self.assert_reads(expected);
        assert!(self.has_ended, "the stream is open");
    }

    #[track_caller]
    pub(crate) fn assert_waits_after(&mut self, expected: &[impl AsRef<str>]) {
        self.assert_reads(expected);
        assert!(!self.has_ended, "the stream has ended");
    }

    #[track_caller]
    fn assert_reads(&mut self, expected: &[impl AsRef<str>]) {
        let expected: Vec<_> = expected.iter().map(AsRef::as_ref).collect();
        assert_eq!(self.read(), expected);
    }
}

/// Formats a message: `a1@7` is the event with the data `a1` and the sequence number 7, `gap a@6` a
/// gap in the topic `a`.
pub(crate) fn describe(message: &Message) -> String {
    let gap = if message.event == "gap" { "gap " } else { "" };
    format!("{gap}{}@{}", message.data, sequence(&message.last_event_id))
}

pub(crate) fn sequence(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

pub(crate) fn last_id(id: &str) -> LastEventId {
    LastEventId::try_from(id).unwrap()
}

/// Returns an id of another hub.
pub(crate) fn foreign() -> LastEventId {
    LastEventId::from(Hub::new().position())
}

/// Returns the id that belongs to this sequence number, whether or not there is such an event.
pub(crate) fn id(hub: &Hub, sequence: u64) -> LastEventId {
    let position = hub.position();
    let epoch = position.as_str().split_once('-').unwrap().0;
    last_id(&format!("{epoch}-{sequence}"))
}

/// Publishes an event, and returns its sequence number. A broker in memory never waits.
pub(crate) fn publish(hub: &Hub, topic: &str, data: &str) -> u64 {
    // A test can publish more than a task's cooperative budget allows.
    let receipt = unconstrained(hub.publish(topic, data)).now_or_never().unwrap().unwrap();
    sequence(receipt.id().as_str())
}

pub(crate) fn end(hub: &Hub, topic: &str, event: impl Into<Event>) {
    hub.end(topic, event.into()).now_or_never().unwrap().unwrap();
}

/// Publishes events by their data, whose first letter is the topic.
pub(crate) fn publish_all<'a>(hub: &Hub, data: impl IntoIterator<Item = &'a str>) {
    for data in data {
        publish(hub, &data[..1], data);
    }
}

pub(crate) fn read(hub: &Hub, topics: &[impl AsRef<str>], last: LastEventId) -> Vec<String> {
    Client::new(hub.subscribe(topics).resume(last)).read()
}

pub(crate) fn subscribed(hub: &Hub, topics: &[impl AsRef<str>]) -> Client {
    Client::new(hub.subscribe(topics).resume(None))
}

pub(crate) fn resumed(hub: &Hub, topics: &[impl AsRef<str>], seen: u64) -> Client {
    Client::new(hub.subscribe(topics).resume(id(hub, seen)))
}

pub(crate) fn asleep(hub: &Hub, topics: &[impl AsRef<str>], waker: &Waker) -> Client {
    let mut client = subscribed(hub, topics);
    assert!(client.poll_with(waker).is_pending());
    client
}

/// Waits for `future`, for a test that runs outside of a runtime. Panics if this takes too long.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
    });
    RUNTIME.block_on(soon(future))
}

// Hubs that a test feeds, and that cannot publish.

/// A broker that connects by a closure, which gets the feed. The publisher holds what the closure's
/// future returns.
pub(crate) struct ByHand<F>(pub(crate) F);

pub(crate) struct Refuses<T> {
    _held: T,
}

impl<F, C, T> Broker for ByHand<F>
where
    F: FnOnce(Feed) -> C + Send + 'static,
    C: Future<Output = Result<T, &'static str>> + Send + 'static,
    T: Send + Sync + 'static,
{
    type Publisher = Refuses<T>;
    type Error = &'static str;

    fn name(&self) -> String {
        "by hand".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<Refuses<T>, &'static str> {
        Ok(Refuses { _held: (self.0)(feed).await? })
    }
}

impl<T: Send + Sync + 'static> Publisher for Refuses<T> {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        Err(PublishError::Refused("read only".into()))
    }
}

pub(crate) fn connect_by_hand<T>(
    builder: HubBuilder,
    start: impl FnOnce(Feed) -> T + Send + 'static,
) -> Hub
where
    T: Send + Sync + 'static,
{
    let connecting = builder.connect(ByHand(|feed| ready(Ok(start(feed)))));
    connecting.now_or_never().unwrap().unwrap()
}

pub(crate) fn fed_by_hand() -> (Hub, Feed) {
    let (given, taken) = mpsc::channel();
    let hub = connect_by_hand(Hub::builder(), move |feed| given.send(feed).unwrap());
    (hub, taken.recv().unwrap())
}

pub(crate) const fn arrival(sequence: u64) -> Arrival {
    Arrival::new(sequence, Duration::ZERO, Duration::ZERO)
}
