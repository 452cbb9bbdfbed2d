//! Views whose clients have ids of the program, and no other store than the hub.

use tower_sse::decode::MessageId;
use tower_sse::hub::{Gap, View};
use tower_sse::{Heartbeat, StreamOptions};

use crate::*;

type Show = fn(Result<Message, Gap>) -> Option<Event>;

/// The data of a message is its own id, a space, and `shown` or `hidden`. It looks like an id of
/// another hub.
fn own_id(message: &Message) -> Option<MessageId> {
    Some(message.data.split_once(' ')?.0.into())
}

fn show(item: Result<Message, Gap>) -> Option<Event> {
    match item {
        Ok(message) => (!message.data.ends_with("hidden")).then(|| message.into()),
        Err(gap) => Some(gap.into()),
    }
}

fn visit(hub: &Hub) -> Subscribe {
    hub.subscribe(["a", "b"]).own_ids(own_id)
}

fn view_of(hub: &Hub, last: Option<LastEventId>) -> View<Show> {
    visit(hub).resume(last).view(show as Show)
}

fn shown(n: u64) -> String {
    format!("own-{n} shown")
}

fn event(n: u64) -> String {
    format!("data: own-{n} shown\nid: own-{n}\n\n")
}

fn own(n: u64) -> Option<LastEventId> {
    Some(last_id(&format!("own-{n}")))
}

/// Everything that a view or a body sends now.
async fn wire<S: Stream<Item = Bytes> + Unpin>(mut stream: S) -> String {
    let mut all = String::new();
    // Hidden events use up the budget of a poll of the task.
    for _ in 0..40 {
        yield_now().await;
        while let Some(Some(item)) = stream.next().now_or_never() {
            all += str::from_utf8(&item).unwrap();
        }
    }
    all
}

fn items<F>(view: &mut View<F>) -> impl Stream<Item = Bytes> + Unpin + use<'_, F>
where
    F: FnMut(Result<Message, Gap>) -> Option<Event>,
{
    view.map(Bytes::from)
}

fn frames<B: Body<Data = Bytes, Error: ToString> + Unpin>(
    body: &mut B,
) -> impl Stream<Item = Bytes> + Unpin + use<'_, B> {
    stream::poll_fn(move |_| match poll_frame(body) {
        Polled::Data(bytes) => Poll::Ready(Some(bytes)),
        Polled::Pending => Poll::Pending,
        _ => Poll::Ready(None),
    })
}

fn newest_id(wire: &str) -> Option<LastEventId> {
    wire.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().map(last_id)
}

fn open(client: Requester, view: View<Show>) -> impl Body<Data = Bytes, Error: ToString> + Unpin {
    let layer = SseLayer::new().without_retry();
    answer_to(client.request("/"), &layer, view.response()).into_body()
}

#[tokio::test(start_paused = true)]
async fn client_resumes_after_its_own_id_in_each_process() {
    let (_broker, [one, other]) = connected();
    for (publisher, hub) in [(&Hub::new(), None), (&one, Some(&other))] {
        let hub = hub.unwrap_or(publisher);
        for n in 1..=4 {
            publish(publisher, ["a", "b"][n as usize % 2], &shown(n));
        }
        assert_eq!(wire(items(&mut view_of(hub, own(2)))).await, event(3) + &event(4));
        assert_eq!(wire(items(&mut view_of(hub, own(4)))).await, "");
        // So does a client that has an id of the hub.
        assert_eq!(wire(items(&mut view_of(hub, Some(id(hub, 3))))).await, event(4));
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_sees_nothing_for_5000_events_moves_on() {
    let hub = Hub::builder().retention(Retention::new().events(300)).build();
    publish(&hub, "a", &shown(0));
    for (client, has_start) in
        [(Requester::EventSource, true), (Requester::EventSource, false), (Requester::Fetch, true)]
    {
        let start = sequence(hub.position().as_str());
        publish(&hub, "a", &shown(start));
        let resumed = |last| {
            let visit = visit(&hub);
            let visit = if has_start { visit } else { visit.start_event(false) };
            visit.resume(last).view(show as Show)
        };
        let mut body = open(client, resumed(own(start)));
        let mut all = String::new();
        for n in start + 1..start + 5000 {
            publish(&hub, ["a", "b"][n as usize % 2], &format!("own-{n} hidden"));
            if n % 100 == 0 {
                all += &wire(frames(&mut body)).await;
                advance(SECOND).await;
            }
        }
        all += &wire(frames(&mut body)).await;
        advance(6 * SECOND).await;
        all += &wire(frames(&mut body)).await;
        assert_eq!(newest_id(&all), own(start + 4999));
        let sends_event = has_start && matches!(client, Requester::EventSource);
        assert_eq!(all.contains("event: start\n"), sends_event);
        assert!((5..30).contains(&all.matches("id: own-").count()), "{all}");
        assert_eq!(all.matches("id: ").count(), all.matches("id: own-").count());
        assert_eq!(wire(items(&mut resumed(newest_id(&all)))).await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn first_item_without_a_message_has_the_newest_own_id() {
    let hub = Hub::new();
    publish_both(&hub, 1..=3);
    let start = "event: start\ndata: {}\nid: own-3\n\n";
    let mut body = open(Requester::EventSource, view_of(&hub, None));
    assert_eq!(wire(frames(&mut body)).await, start);
    // The closure is not asked for the id of a greeting.
    let greet =
        |last| visit(&hub).recent(1).greeting("three events").resume(last).view(show as Show);
    let hello = "data: three events\nid: own-2\n\n".to_owned();
    assert_eq!(wire(items(&mut greet(None))).await, hello + &event(3));
    let gaps = wire(items(&mut view_of(&hub, own(9)))).await;
    let reasons = gaps.matches(r#""reason":"unknown_id""#).count();
    assert_eq!((reasons, newest_id(&gaps)), (2, own(3)), "{gaps}");
    assert_eq!(wire(items(&mut view_of(&hub, own(3)))).await, "");
    // A heartbeat repeats it.
    let layer = SseLayer::new().heartbeat(Heartbeat::every(SECOND).event("beat", "{}"));
    let response = view_of(&hub, own(2)).response();
    let mut body = answer_to(Requester::Fetch.request("/"), &layer, response).into_body();
    wire(frames(&mut body)).await;
    advance(SECOND * 3 / 2).await;
    assert_eq!(wire(frames(&mut body)).await, "event: beat\ndata: {}\nid: own-3\n\n");
}

fn publish_both(hub: &Hub, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        publish(hub, ["a", "b"][n as usize % 2], &shown(n));
    }
}

/// Without an own id for its place, a gap keeps the hub's, or the stream would end there forever.
#[tokio::test(start_paused = true)]
async fn client_comes_past_a_gap_at_which_its_stream_ends() {
    let (broker, [hub]) = connected();
    publish_both(&hub, 1..=2);
    broker.lose_history();
    publish_both(&hub, 3..=4);
    let again =
        |last| visit(&hub).gap_policy(GapPolicy::ReportAndEnd).resume(last).view(show as Show);
    let mut last = own(1);
    let mut all = Vec::new();
    for _ in 0..3 {
        let wire = wire(items(&mut again(last.clone()))).await;
        last = newest_id(&wire).or(last);
        all.push(wire.matches("event: gap").count());
    }
    assert_eq!((all, last), (vec![2, 0, 0], own(4)));
    // Nothing that a gap's id could be is kept.
    let empty = Hub::new();
    let gaps = wire(items(&mut view_of(&empty, own(7)))).await;
    assert!(gaps.contains("unknown_id"), "{gaps}");
    assert_eq!(wire(items(&mut view_of(&empty, newest_id(&gaps)))).await, "");
}

/// Without another source of events, that is all that the client can get.
#[tokio::test(start_paused = true)]
async fn client_whose_own_id_was_evicted_gets_a_gap_and_all_kept() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    publish_both(&hub, 1..=6);
    let gap =
        |topic| format!("event: gap\ndata: {{\"topic\":\"{topic}\",\"reason\":\"unknown_id\"}}\n");
    let all = wire(items(&mut view_of(&hub, own(1)))).await;
    let (gaps, kept) = all.split_at(all.find("data: own-").unwrap());
    assert!(gaps.starts_with(&gap("a")) && gaps.contains(&gap("b")), "{gaps}");
    assert_eq!(kept, (3..=6).map(event).collect::<String>());
    let figures = hub.stats().gaps_by_reason;
    assert!(figures.contains(&(GapReason::UnknownId, 2)), "{figures:?}");
    // The program has the events: it begins with its state.
    let state = |last| {
        let visit = visit(&hub).since(hub.position()).greeting("the state");
        visit.resume(last).view(show as Show)
    };
    let all = wire(items(&mut state(own(1)))).await;
    let (gaps, rest) = all.split_at(all.find("data: the").unwrap());
    assert!(gaps.starts_with(&gap("a")) && gaps.contains(&gap("b")), "{gaps}");
    assert_eq!(rest, "data: the state\nid: own-6\n\n");
    assert_eq!(wire(items(&mut state(own(5)))).await, event(6));
}

#[tokio::test(start_paused = true)]
async fn replaced_value_of_the_own_id_causes_no_gap() {
    let hub = Hub::builder().retention(Retention::latest()).build();
    publish_both(&hub, 1..=6);
    assert_eq!(wire(items(&mut view_of(&hub, own(1)))).await, event(5) + &event(6));
    assert_eq!(wire(items(&mut view_of(&hub, own(5)))).await, event(6));
    assert_eq!(wire(items(&mut view_of(&hub, own(6)))).await, "");
}

#[tokio::test(start_paused = true)]
async fn client_with_an_id_of_two_messages_loses_none() {
    let hub = Hub::new();
    publish_both(&hub, [1, 2, 2, 3]);
    publish(&hub, "b", &shown(2));
    let all = event(2) + &event(3) + &event(2);
    assert_eq!(wire(items(&mut view_of(&hub, own(2)))).await, all);
}

#[tokio::test(start_paused = true)]
async fn message_without_an_own_id_has_the_hubs() {
    let hub = Hub::new();
    publish_all(&hub, ["a1", "b2", "a3"]);
    let rest = wire(items(&mut view_of(&hub, Some(id(&hub, 1))))).await;
    assert_eq!(newest_id(&rest), Some(id(&hub, 3)));
    assert_eq!(wire(items(&mut view_of(&hub, newest_id(&rest)))).await, "");
}

#[tokio::test(start_paused = true)]
async fn client_of_short_polls_moves_on_by_own_ids() {
    let hub = Hub::builder().retention(Retention::new().events(20)).build();
    publish(&hub, "a", &shown(0));
    let layer = SseLayer::new().without_retry().options(StreamOptions::new().long_poll(SECOND));
    let (mut last, mut n) = (own(0), 0);
    for round in 0..50 {
        let view = visit(&hub).start_event(round % 2 == 0).resume(last.clone());
        let view = view.view(show as Show).response();
        let mut body = answer_to(Requester::Fetch.request("/"), &layer, view).into_body();
        let mut all = String::new();
        for _ in 0..12 {
            n += 1;
            publish(&hub, "a", &format!("own-{n} hidden"));
            all += &wire(frames(&mut body)).await;
            advance(SECOND / 10).await;
        }
        assert!(!all.contains("gap"), "{all}");
        last = newest_id(&all).or(last);
    }
    assert!(n - sequence(last.unwrap().as_str()) < 20);
}

/// What a client has received: the shown events, and whether a gap came before each.
struct Received {
    last: Option<LastEventId>,
    /// The newest event of each topic, and whether a gap of the topic has come since.
    topics: [(u64, bool); 2],
    gaps: usize,
}

impl Received {
    /// Without a gap of its topic, each shown event comes once, in order, and none is missing.
    fn take(&mut self, item: &Encoded) {
        let text = str::from_utf8(item.as_bytes()).unwrap();
        self.last = newest_id(text).or(self.last.take());
        if let Some(gap) = text.strip_prefix("event: gap\ndata: {\"topic\":\"") {
            self.topics[usize::from(gap.starts_with('b'))].1 = true;
            self.gaps += 1;
        } else if let Some(data) = text.strip_prefix("data: own-") {
            let n = data.split(' ').next().unwrap().parse().unwrap();
            let topic = topic_of(n);
            let (newest, has_gap) = self.topics[topic];
            let due = due_after(newest, topic);
            assert!(has_gap || n == due, "{n} instead of {due}");
            self.topics[topic] = (n, false);
        }
    }
}

fn is_shown(n: u64) -> bool {
    n.is_multiple_of(3)
}

fn topic_of(n: u64) -> usize {
    usize::from(n.is_multiple_of(5))
}

fn due_after(newest: u64, topic: usize) -> u64 {
    (newest + 1..).find(|n| is_shown(*n) && topic_of(*n) == topic).unwrap()
}

#[tokio::test(start_paused = true)]
async fn client_cut_off_anywhere_misses_nothing_without_a_gap() {
    let mut cuts = 0;
    for (retained, has_broker, restarts) in [
        (1000, false, false),
        (1000, true, true),
        (4, false, false),
        (4, true, true),
        (1000, false, true),
    ] {
        let mut gaps = 0;
        for (cut, new) in (1..=12).flat_map(|cut| (0..=3).map(move |new| (cut, new))) {
            let broker = MemoryBroker::new();
            let hub = || {
                let builder = Hub::builder().retention(Retention::new().events(retained));
                if has_broker { connect_with(builder, &broker) } else { builder.build() }
            };
            let (mut current, mut published) = (hub(), 0);
            let mut grow = |hub: &Hub, count: u64| {
                for _ in 0..count {
                    let topic = ["a", "b"][topic_of(published)];
                    let kind = if is_shown(published) { "shown" } else { "hidden" };
                    publish(hub, topic, &format!("own-{published} {kind}"));
                    published += 1;
                }
                published
            };
            grow(&current, 1);
            let mut client = Received { last: own(0), topics: [(0, false); 2], gaps: 0 };
            while grow(&current, new) < 120 {
                let mut view = view_of(&current, client.last.clone());
                for _ in 0..cut {
                    yield_now().await;
                    grow(&current, 1);
                    if let Some(Some(item)) = view.next().now_or_never() {
                        client.take(&item);
                    }
                    advance(SECOND).await;
                }
                cuts += 1;
                if restarts {
                    current = hub();
                }
            }
            let mut view = view_of(&current, client.last.clone());
            while let Some(Some(item)) = view.next().now_or_never() {
                client.take(&item);
            }
            for (topic, (newest, has_gap)) in client.topics.into_iter().enumerate() {
                assert!(has_gap || due_after(newest, topic) >= grow(&current, 0));
            }
            gaps += client.gaps;
        }
        assert_eq!(gaps > 0, retained < 1000 || (restarts && !has_broker), "{gaps}");
    }
    assert!(cuts > 1000, "{cuts}");
}
