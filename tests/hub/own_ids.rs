//! Views that send the program's own message ids and find them again in the events that the hub
//! keeps, without a database.

use tower_sse::Heartbeat;
use tower_sse::decode::MessageId;
use tower_sse::hub::{Gap, View};

use crate::*;

type Show = fn(Result<Message, Gap>) -> Option<Event>;

/// Returns the program's id of a message. The message's data is that id, a space, and `shown` or
/// `hidden`. The id looks like one of another hub.
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

async fn wire<S: Stream<Item = Bytes> + Unpin>(mut stream: S) -> String {
    let mut all = String::new();
    // Hidden events use up the task's cooperative budget.
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
        // A client with an id of the hub resumes too.
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
    // `own_id` is not called for a greeting, which gets the newest own id before its position.
    let greet =
        |last| visit(&hub).recent(1).greeting("three events").resume(last).view(show as Show);
    let hello = "data: three events\nid: own-2\n\n".to_owned();
    assert_eq!(wire(items(&mut greet(None))).await, hello + &event(3));
    let gaps = wire(items(&mut view_of(&hub, own(9)))).await;
    let reasons = gaps.matches(r#""reason":"unknown_id""#).count();
    assert_eq!((reasons, newest_id(&gaps)), (2, own(3)), "{gaps}");
    assert_eq!(wire(items(&mut view_of(&hub, own(3)))).await, "");
    // A heartbeat repeats the program's id.
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

/// A client that returned with an earlier message's id would get what came before its visit.
#[tokio::test(start_paused = true)]
async fn start_behind_a_gap_or_another_message_has_the_hubs_id() {
    let short = |topic: &str| (topic == "b").then(|| Retention::new().age(SECOND));
    let (broker, [lossy]) = connected();
    let [reported, other] = [Hub::new(), Hub::new()];
    let evicts = Hub::builder().retention_of(short).build();
    for hub in [&reported, &lossy, &other, &evicts] {
        publish(hub, "a", &shown(1));
    }
    reported.gap("a").await.unwrap();
    broker.lose_history();
    publish(&other, "b", "without");
    publish(&evicts, "b", &shown(2));
    advance(2 * SECOND).await;
    for (hub, case) in
        [(&reported, "gap"), (&lossy, "loss"), (&other, "message"), (&evicts, "eviction")]
    {
        let mut body = open(Requester::EventSource, view_of(hub, None));
        let start = newest_id(&wire(frames(&mut body)).await);
        assert_eq!(start, Some(id(hub, 2)), "{case}");
        assert_eq!(wire(items(&mut view_of(hub, start))).await, "", "{case}");
    }
}

/// If the program has no id for the position of a gap, the gap has the hub's id. Without an id, the
/// stream would end at the same gap after each reconnection.
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
    // An empty hub keeps no event whose id the gap could have.
    let empty = Hub::new();
    let gaps = wire(items(&mut view_of(&empty, own(7)))).await;
    assert!(gaps.contains("unknown_id"), "{gaps}");
    assert_eq!(wire(items(&mut view_of(&empty, newest_id(&gaps)))).await, "");
}

/// The program has no other store of events, so the client can get no more.
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
    // A program that has the state sends it as the greeting.
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

/// HTTP removes blanks around a header's value, and allows no control characters in it.
const UNUSABLE: [&str; 9] =
    ["", "two\nlines", "nul\0", "7 ", " 7", "7\t", "\t7", "escape \u{1b}", "delete \u{7f}"];

/// Without any id, the client would resume before the message. With an empty one, a client that
/// reconnects would send no id and miss what was published in the meantime.
#[tokio::test(start_paused = true)]
async fn message_whose_own_id_is_unusable_has_the_hubs() {
    let hub = Hub::new();
    let view = |last| {
        let visit = hub.subscribe_to("a").own_ids(|message| Some(message.data.as_str().into()));
        visit.resume(last).view(show as Show)
    };
    for (number, data) in (1..).zip(UNUSABLE) {
        publish(&hub, "a", data);
        let position = Some(id(&hub, number));
        assert_eq!(
            newest_id(&wire(items(&mut view(Some(id(&hub, 0))))).await),
            position,
            "{data:?}"
        );
        let mut body = open(Requester::EventSource, view(None));
        assert_eq!(newest_id(&wire(frames(&mut body)).await), position, "{data:?} at the start");
    }
}

/// The program says in which topic, and at which number, a message is that has an id.
struct Rig {
    hub: Hub,
    topics: Vec<String>,
    limits: Vec<usize>,
    /// The topic, the number and the ids of each message.
    messages: Vec<(usize, u64, [String; 2])>,
}

fn first_id(message: &Message) -> Option<MessageId> {
    message.data.split(' ').next().map(MessageId::from)
}

fn second_id(message: &Message) -> Option<MessageId> {
    message.data.split(' ').nth(1).filter(|id| *id != "none").map(MessageId::from)
}

impl Rig {
    fn new(random: &mut fastrand::Rng) -> Self {
        let topics: Vec<_> = (0..random.usize(1..10)).map(|topic| format!("t{topic}")).collect();
        let limits: Vec<_> =
            topics.iter().map(|_| *random.choice(&[1, 3, 40, 1_500, 5_000]).unwrap()).collect();
        let of: HashMap<_, _> = topics.iter().cloned().zip(limits.clone()).collect();
        let retention_of = move |topic: &str| match of[topic] {
            1 => Some(Retention::latest()),
            events => Some(Retention::new().events(events)),
        };
        let hub = Hub::builder().retention_of(retention_of).build();
        Self { hub, topics, limits, messages: Vec::new() }
    }

    fn publish(&mut self, random: &mut fastrand::Rng) {
        // Sometimes, many messages have the same ids.
        let (ids, topics) = (*random.choice(&[1, 50, 100_000]).unwrap(), self.topics.len());
        for _ in 0..*random.choice(&[1, 10, 700]).unwrap() {
            let topic = random.usize(..topics).min(random.usize(..topics));
            let second = format!("s{}", random.u32(..ids));
            let second = if random.bool() { second } else { "none".to_owned() };
            let ids = [format!("f{}", random.u32(..ids)), second];
            let number = publish(&self.hub, &self.topics[topic], &ids.join(" "));
            self.messages.push((topic, number, ids));
        }
    }

    /// Returns the number of the oldest kept message with this id, in the newest `searched`
    /// messages of these topics.
    fn find(&self, topics: &[usize], which: usize, id: &str, searched: usize) -> Option<u64> {
        let mut left = self.limits.clone();
        let mut kept = Vec::new();
        for (topic, number, ids) in self.messages.iter().rev() {
            if topics.contains(topic) && left[*topic] > 0 {
                left[*topic] -= 1;
                kept.push((*number, &ids[which]));
            }
        }
        kept.truncate(searched);
        kept.iter().rev().find(|(_, own)| *own == id && id != "none").map(|(number, _)| *number)
    }
}

#[test]
fn client_resumes_after_the_oldest_kept_message_with_its_id() {
    let (mut found, mut lost) = (0, 0);
    for seed in 0..40 {
        let _case = case(seed.to_string());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::new(&mut random);
        for _ in 0..12 {
            rig.publish(&mut random);
            for _ in 0..3 {
                let mut topics: Vec<_> = (0..rig.topics.len()).collect();
                random.shuffle(&mut topics);
                topics.truncate(random.usize(1..=topics.len()));
                let names: Vec<_> = topics.iter().map(|topic| &rig.topics[*topic]).collect();
                let which = random.usize(..2);
                let (_, _, ids) = random.choice(&rig.messages).unwrap();
                let last = if random.u8(..5) == 0 { "unknown" } else { &ids[which] };
                let visit = || rig.hub.subscribe(&names);
                let capturing = move |it: &Message| [first_id, second_id][which](it);
                let (visit, searched) = match (random.u8(..3), which) {
                    (0, _) => (visit().own_ids(capturing), 1024),
                    (_, 0) => (visit().own_ids(first_id), usize::MAX),
                    _ => (
                        visit().own_ids(|it| second_id(it).filter(|id| !id.is_empty())),
                        usize::MAX,
                    ),
                };
                let position = rig.find(&topics, which, last, searched);
                let expected = match position {
                    Some(number) => resumed(&rig.hub, &names, number).read_one(),
                    None => Client::new(rig.hub.subscribe(&names).resume(foreign())).read_one(),
                };
                *(if position.is_some() { &mut found } else { &mut lost }) += 1;
                assert_eq!(
                    Client::new(visit.resume(last_id(last))).read_one(),
                    expected,
                    "after {last}"
                );
            }
        }
    }
    assert!(found > 500 && lost > 500, "{found}, {lost}");
}

/// A client chooses the id that it sends, and can repeat it.
#[test]
fn no_id_makes_the_hub_read_a_message_twice() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn counted(message: &Message) -> Option<MessageId> {
        CALLS.fetch_add(1, SeqCst);
        own_id(message)
    }
    let hub = Hub::builder().retention(Retention::new().events(3_000)).build();
    publish_both(&hub, 1..=6_000);
    let calls_of = |visit: Subscribe, last| {
        let before = CALLS.load(SeqCst);
        drop(visit.resume(last));
        CALLS.load(SeqCst) - before
    };
    let visit = || hub.subscribe(["a", "b"]);
    assert_eq!(calls_of(visit().own_ids(counted), own(9_999)), 6_000);
    for n in 6_001..6_050 {
        assert_eq!(calls_of(visit().own_ids(counted), own(n)), 0, "not published yet");
        publish_both(&hub, [n]);
        assert_eq!(calls_of(visit().own_ids(counted), own(n)), 2, "once more for the start");
    }
    // The next function of this type can return other ids.
    let captured = String::from("own");
    let capturing = move |it: &Message| counted(it).filter(|id| id.starts_with(&*captured));
    assert_eq!(calls_of(visit().own_ids(capturing), own(9_999)), 1_024);
}

/// With the closure's id, the client would get the same gap whenever it returned.
#[tokio::test(start_paused = true)]
async fn since_gets_a_client_past_a_gap_with_an_own_id() {
    let (broker, [hub]) = connected();
    publish_both(&hub, 1..=2);
    broker.lose_history();
    publish_both(&hub, 4..=5);
    let again = |is_since: bool, last: Option<LastEventId>| {
        let newest = last.clone().unwrap();
        let visit = visit(&hub).gap_policy(GapPolicy::ReportAndEnd);
        let visit = if is_since { visit.since(hub.position()) } else { visit };
        visit.resume(last).view(move |item| match item {
            Ok(message) => Some(message.into()),
            Err(_) => Some(Event::new().event("reload").data("").try_id(newest.as_str()).unwrap()),
        })
    };
    for (is_since, ends) in [(false, true), (true, false)] {
        let mut view = again(is_since, own(2));
        let all = wire(items(&mut view)).await;
        assert_eq!((all.matches("reload").count(), newest_id(&all)), (2, own(2)), "{all}");
        assert_eq!(view.next().now_or_never().is_some(), ends, "{is_since}");
    }
}
