//! Subscriptions whose events are hidden or changed for each client.

use tower_sse::hub::{Gap, View};
use tower_sse::{Heartbeat, StreamOptions};

use crate::*;

type Shown = Result<Message, Gap>;

fn visible(item: Shown) -> Option<Event> {
    match item {
        Ok(message) => message.data.starts_with('v').then(|| message.into()),
        Err(gap) => Some(gap.into()),
    }
}

fn hidden(_: Shown) -> Option<Event> {
    None
}

type Show = fn(Shown) -> Option<Event>;

fn view_of(hub: &Hub, last: Option<LastEventId>, show: Show) -> View<Show> {
    hub.subscribe_to("a").resume(last).view(show)
}

async fn wire(view: &mut (impl Stream<Item = Encoded> + Unpin)) -> String {
    let mut all = String::new();
    // Hidden events use up the task's cooperative budget.
    for _ in 0..POLLS {
        yield_now().await;
        while let Some(Some(item)) = view.next().now_or_never() {
            all += str::from_utf8(item.as_bytes()).unwrap();
        }
    }
    all
}

async fn text(body: &mut (impl Body<Data = Bytes, Error: ToString> + Unpin)) -> String {
    let mut all = String::new();
    for _ in 0..POLLS {
        yield_now().await;
        while let Polled::Data(bytes) = poll_frame(body) {
            all += str::from_utf8(&bytes).unwrap();
        }
    }
    all
}

const POLLS: usize = 20;

fn last_id_in(wire: &str) -> LastEventId {
    last_id(wire.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap())
}

fn position(hub: &Hub, number: u64) -> String {
    format!("id: {}\n\n", id(hub, number).as_str())
}

fn publish_many(hub: &Hub, data: &str, count: usize) {
    (0..count).for_each(|_| _ = publish(hub, "a", data));
}

#[tokio::test(start_paused = true)]
async fn view_shows_each_client_its_own_events_with_their_ids() {
    let (_broker, [one, other]) = connected();
    for (publisher, hub) in [(&Hub::new(), None), (&one, Some(&other))] {
        let hub = hub.unwrap_or(publisher);
        let mut views = [b'1', b'2'].map(|user| {
            hub.subscribe(["a", "b"]).resume(None).view(move |item| {
                let message = item.unwrap();
                let is_own = message.data.as_bytes()[1] == user;
                is_own.then(|| Event::new().event("own").data(message.data.to_uppercase()))
            })
        });
        publish_all(publisher, ["a1", "b2", "b1", "a2", "a3"]);
        let own =
            |data: &str, number| format!("event: own\ndata: {data}\n{}", position(hub, number));
        assert_eq!(wire(&mut views[0]).await, own("A1", 1) + &own("B1", 3));
        assert_eq!(wire(&mut views[1]).await, own("B2", 2) + &own("A2", 4));
    }
}

#[tokio::test(start_paused = true)]
async fn client_whose_events_are_all_hidden_moves_on() {
    let hub = Hub::builder().retention(Retention::new().events(300)).build();
    let mut view = view_of(&hub, Some(id(&hub, 0)), visible);
    publish_many(&hub, "hidden", 255);
    assert_eq!(wire(&mut view).await, "");
    publish_many(&hub, "hidden", 1);
    assert_eq!(wire(&mut view).await, position(&hub, 256));
    publish_many(&hub, "hidden", 3);
    assert_eq!(wire(&mut view).await, "");
    advance(4 * SECOND).await;
    assert_eq!(wire(&mut view).await, "", "5 seconds after the first");
    publish_many(&hub, "hidden", 1);
    assert_eq!(wire(&mut view).await, "");
    advance(2 * SECOND).await;
    let moved = wire(&mut view).await;
    assert_eq!(moved, position(&hub, 260));
    advance(60 * SECOND).await;
    assert_eq!(wire(&mut view).await, "", "nothing was hidden since");
    // The hub evicts hidden events. The client must still miss no event and receive none twice.
    publish_many(&hub, "hidden", 299);
    publish_many(&hub, "v", 1);
    let shown = format!("data: v\n{}", position(&hub, 560));
    assert_eq!(wire(&mut view).await, position(&hub, 516) + &shown);
    for show in [visible as Show, |item| Some(item.unwrap().into())] {
        assert!(!wire(&mut view_of(&hub, Some(last_id_in(&moved)), show)).await.contains("gap"));
    }
    assert!(wire(&mut view_of(&hub, Some(id(&hub, 0)), visible)).await.starts_with("event: gap\n"));
    assert_eq!(wire(&mut view_of(&hub, Some(last_id_in(&shown)), visible)).await, "");
}

#[tokio::test(start_paused = true)]
async fn shown_event_carries_the_position_and_restarts_the_delay() {
    let hub = Hub::new();
    let mut view = view_of(&hub, None, visible);
    for (round, number) in [2, 4].into_iter().enumerate() {
        publish_many(&hub, "hidden", 1);
        assert_eq!(wire(&mut view).await, "");
        advance(4 * SECOND).await;
        publish_many(&hub, "v", 1);
        assert_eq!(
            wire(&mut view).await,
            format!("data: v\n{}", position(&hub, number)),
            "{round}"
        );
    }
    advance(60 * SECOND).await;
    assert_eq!(wire(&mut view).await, "");
}

#[tokio::test(start_paused = true)]
async fn gap_has_the_name_that_the_closure_gives_it_or_none() {
    let (broker, [hub]) = connected();
    let start = |show| view_of(&hub, Some(id(&hub, 0)), show);
    let mut views = [visible as Show, hidden, |item| match item {
        Ok(message) => Some(message.into()),
        Err(gap) => Some(Event::new().event("reload").data(gap.topic())),
    }]
    .map(start);
    publish(&hub, "a", "v1");
    broker.lose_history();
    publish(&hub, "a", "v3");
    let shown = |number| format!("data: v{number}\n{}", position(&hub, number));
    let around = |gap: &str| shown(1) + gap + &position(&hub, 2) + &shown(3);
    assert_eq!(
        wire(&mut views[0]).await,
        around("event: gap\ndata: {\"topic\":\"a\",\"reason\":\"lost\"}\n")
    );
    assert_eq!(wire(&mut views[1]).await, "", "the stream goes on");
    assert_eq!(wire(&mut views[2]).await, around("event: reload\ndata: a\n"));
    advance(10 * SECOND).await;
    assert_eq!(wire(&mut views[1]).await, position(&hub, 3));
    // The stream can end without an event, and the client that returns is past the gap.
    let ends = hub.subscribe_to("a").gap_policy(GapPolicy::ReportAndEnd).resume(id(&hub, 0));
    let mut ends = ends.view(|item| item.ok().map(Into::into));
    let ended = wire(&mut ends).await;
    assert_eq!(ended, shown(1) + &position(&hub, 2));
    assert_eq!(ends.next().now_or_never(), Some(None));
    assert_eq!(wire(&mut view_of(&hub, Some(last_id_in(&ended)), visible)).await, shown(3));
}

#[tokio::test(start_paused = true)]
async fn view_starts_and_stops_a_client_as_its_subscription_does() {
    let hub = Hub::new();
    publish(&hub, "a", "hidden");
    let layer = SseLayer::new().without_retry();
    let open = |client: Requester, last| {
        answer_to(client.request("/"), &layer, view_of(&hub, last, visible).response())
    };
    let start = |number| format!("event: start\ndata: {{}}\n{}", position(&hub, number));
    let mut page = open(Requester::EventSource, None).into_body();
    let mut fetch = open(Requester::Fetch, None).into_body();
    assert_eq!((text(&mut page).await, text(&mut fetch).await), (start(1), String::new()));
    // Some browsers ignore an id without data, and some other clients don't know `start`.
    publish_many(&hub, "hidden", 256);
    assert_eq!((text(&mut page).await, text(&mut fetch).await), (start(257), position(&hub, 257)));
    end(&hub, "a", "hidden");
    assert_eq!((text(&mut page).await, text(&mut fetch).await), (start(258), position(&hub, 258)));
    assert_eq!(poll_frame(&mut page), Polled::End);
    assert_eq!(open(Requester::EventSource, Some(id(&hub, 258))).status(), 204);
    assert_eq!(open(Requester::EventSource, Some(id(&hub, 257))).status(), 200);
}

/// Otherwise, a client whose connection breaks before it gets an id returns as on a first visit,
/// and what was published in the meantime is lost without a gap.
#[tokio::test(start_paused = true)]
async fn client_whose_first_items_are_hidden_gets_an_id_at_once() {
    let latest = |topic: &str| topic.starts_with("gauge").then(Retention::latest);
    let layer = SseLayer::new().without_retry();
    let visits: [fn(Subscribe) -> Subscribe; 4] = [
        |visit| visit.recent(10),
        |visit| visit.recent_of_each(1),
        |visit| visit.greeting("hidden"),
        |visit| visit,
    ];
    for (index, visit) in visits.into_iter().enumerate() {
        let _case = case(index.to_string());
        let hub = Hub::builder().retention_of(latest).build();
        publish_many(&hub, "hidden", 3);
        publish(&hub, "gauge", "hidden");
        let open = |client: Requester, last| {
            let view = visit(hub.subscribe(["a", "gauge"])).resume(last).view(visible).response();
            answer_to(client.request("/"), &layer, view).into_body()
        };
        let mut page = open(Requester::EventSource, None);
        let first = text(&mut page).await;
        assert_eq!(first, format!("event: start\ndata: {{}}\n{}", position(&hub, 4)));
        assert_eq!(text(&mut open(Requester::Fetch, None)).await, position(&hub, 4));
        publish_many(&hub, "hidden", 1);
        assert_eq!(text(&mut page).await, "", "it has an id, so this position can wait");
        publish_many(&hub, "v", 1);
        let shown = text(&mut open(Requester::EventSource, Some(last_id_in(&first)))).await;
        assert_eq!(shown, format!("data: v\n{}", position(&hub, 6)));
    }
    let hub = Hub::new();
    publish_many(&hub, "hidden", 1);
    // This client has an id.
    let mut view = view_of(&hub, Some(id(&hub, 0)), hidden);
    assert_eq!(wire(&mut view).await, "");
}

/// Unlike a view, a filter has no position that it could send instead.
#[tokio::test(start_paused = true)]
async fn filter_that_drops_the_first_event_drops_its_id() {
    let hub = Hub::new();
    publish_many(&hub, "hidden", 1);
    let drop_all = || filter::from_fn(|_| Verdict::Drop);
    let response = hub.subscribe_to("a").recent(1).resume(None).response();
    let response = response.map(|body| FilterBody::new(body, drop_all()));
    let layer = SseLayer::new().without_retry();
    let mut body = answer_to(Requester::EventSource.request("/"), &layer, response).into_body();
    assert_eq!(text(&mut body).await, "");
    advance(60 * SECOND).await;
    assert!(!text(&mut body).await.contains("id: "));
}

/// Without the position of the topic's end, an `EventSource` would return for ever.
#[tokio::test(start_paused = true)]
async fn hidden_last_event_stops_a_client_that_gets_no_start() {
    let hub = Hub::new();
    publish_many(&hub, "v", 1);
    publish_many(&hub, "hidden", 1);
    end(&hub, "a", "hidden");
    let layer = SseLayer::new().without_retry();
    let visit = |last| hub.subscribe_to("a").recent(1).start_event(false).resume(last);
    let open = |last| {
        answer_to(Requester::EventSource.request("/"), &layer, visit(last).view(visible).response())
    };
    for (last, shown) in [
        (Some(id(&hub, 0)), format!("data: v\n{}", position(&hub, 1))),
        (Some(id(&hub, 1)), String::new()),
        (None, String::new()),
    ] {
        let mut body = open(last).into_body();
        let wire = text(&mut body).await;
        assert_eq!((poll_frame(&mut body), &wire), (Polled::End, &(shown + &position(&hub, 3))));
        assert_eq!(open(Some(last_id_in(&wire))).status(), 204);
    }
    // The view has sent an id of the program.
    let mut numbered = visit(Some(id(&hub, 0))).view(|item| Some(visible(item)?.id(7)));
    assert_eq!(wire(&mut numbered).await, "data: v\nid: 7\n\n");
}

/// If no position were sent, a client that polls for hours would get a gap for hidden events.
#[tokio::test(start_paused = true)]
async fn long_poll_ends_with_the_position_of_hidden_events() {
    let hub = Hub::new();
    publish_many(&hub, "hidden", 1);
    let mut response = view_of(&hub, Some(id(&hub, 0)), hidden).response();
    StreamOptions::new().long_poll(8 * SECOND).merge_into(&mut response);
    let layer = SseLayer::new().without_retry();
    let mut body = answer_to(Requester::EventSource.request("/"), &layer, response).into_body();
    assert_eq!(text(&mut body).await, "");
    advance(6 * SECOND).await;
    let start = format!("event: start\ndata: {{}}\n{}", position(&hub, 1));
    assert_eq!(text(&mut body).await, start);
    assert_eq!(poll_frame(&mut body), Polled::End);
}

/// If the client didn't move on, each poll would begin with a gap for the events that the poll
/// before it has hidden.
#[tokio::test(start_paused = true)]
async fn client_of_short_polls_moves_on_without_a_visible_event() {
    let hub = Hub::builder().retention(Retention::new().events(20)).build();
    for longest in [SECOND / 2, SECOND, 3 * SECOND, 8 * SECOND] {
        let layer =
            SseLayer::new().without_retry().options(StreamOptions::new().long_poll(longest));
        let mut last = LastEventId::from(hub.position());
        for round in 0..20 {
            let view = view_of(&hub, Some(last.clone()), visible).response();
            let mut body = answer_to(Requester::Fetch.request("/"), &layer, view).into_body();
            let mut wire = String::new();
            for step in 0.. {
                yield_now().await;
                match poll_frame(&mut body) {
                    Polled::Data(bytes) => wire += str::from_utf8(&bytes).unwrap(),
                    Polled::Pending => {}
                    polled => {
                        assert_eq!(polled, Polled::End);
                        break;
                    }
                }
                if step % 10 == 5 {
                    publish(&hub, "a", "hidden");
                }
                advance(SECOND / 10).await;
            }
            assert!(!wire.contains("gap"), "{wire} in round {round} of {longest:?}");
            if !wire.is_empty() {
                last = last_id_in(&wire);
            }
        }
    }
}

/// Returns the numbers of visible events, and the id of each message.
fn numbers_in(wire: &str) -> Vec<(Option<u64>, u64)> {
    let blocks = wire.split_terminator("\n\n");
    let message = |block: &str| {
        let shown = block.lines().find_map(|line| line.strip_prefix("data: v"));
        (shown.map(|number| number.parse().unwrap()), sequence(last_id_in(block).as_str()))
    };
    blocks.map(message).collect()
}

/// The client returns with the newest id that it has, or with an earlier one.
#[tokio::test(start_paused = true)]
async fn client_of_few_visible_events_misses_none_and_is_never_far_behind() {
    let mut positions = 0;
    for seed in 0..60 {
        let _case = case(seed.to_string());
        let mut random = fastrand::Rng::with_seed(seed);
        let hub = Hub::builder().retention(Retention::new().events(10_000)).build();
        let (mut last, mut all, mut seen) = (0, Vec::new(), Vec::new());
        let mut view = view_of(&hub, Some(id(&hub, 0)), visible);
        for _ in 0..random.usize(1..10) {
            publish_many(&hub, "hidden", *random.choice(&[0, 1, 200, 256, 257, 900]).unwrap());
            if random.bool() {
                let number = sequence(hub.position().as_str()) + 1;
                all.push(publish(&hub, "a", &format!("v{number}")));
            }
            let mut messages = numbers_in(&wire(&mut view).await);
            let newest = sequence(hub.position().as_str());
            let leaves = random.u8(..3) == 0;
            if leaves {
                messages.truncate(random.usize(..=messages.len()));
            }
            positions += messages.iter().filter(|(shown, _)| shown.is_none()).count();
            seen.extend(messages.iter().filter_map(|(shown, _)| *shown));
            last = messages.last().map_or(last, |(_, id)| *id);
            assert!(leaves || newest - last < 256, "the id {last} of {newest}");
            if leaves {
                view = view_of(&hub, Some(id(&hub, last)), visible);
            }
        }
        seen.extend(numbers_in(&wire(&mut view).await).iter().filter_map(|(shown, _)| *shown));
        assert_eq!(seen, all);
    }
    assert!(positions > 50, "{positions}");
}

#[tokio::test(start_paused = true)]
async fn heartbeat_events_repeat_the_position_and_are_not_delayed_by_it() {
    let hub = Hub::new();
    let heartbeat = Heartbeat::every(15 * SECOND).event("heartbeat", "{}");
    let layer = SseLayer::new().heartbeat(heartbeat).without_retry();
    let view = view_of(&hub, Some(id(&hub, 0)), hidden).response();
    let mut body = answer_to(Requester::EventSource.request("/"), &layer, view).into_body();
    let mut all = String::new();
    for _ in 0..32 {
        publish_many(&hub, "x", 1);
        all += &text(&mut body).await;
        advance(SECOND).await;
    }
    let beats: Vec<_> = all.split("event: heartbeat\ndata: {}\n").skip(1).collect();
    assert_eq!(beats.len(), 3, "{all}");
    let repeats = |beat: &&str| (10..=15).any(|at| beat.starts_with(&position(&hub, at)));
    assert!(repeats(&beats[1]), "{all}");
}

#[tokio::test(start_paused = true)]
async fn program_with_own_ids_gets_none_of_the_hub() {
    let hub = Hub::new();
    let subscription = hub.subscribe_to("a").start_event(false).resume(foreign());
    let mut view = subscription.view(|item| {
        let message = item.ok()?;
        let height = message.data.strip_prefix('v')?.parse::<u32>().ok()?;
        Some(Event::new().id(height).data("block"))
    });
    publish_many(&hub, "hidden", 1000);
    publish(&hub, "a", "v7");
    publish_many(&hub, "hidden", 1000);
    advance(60 * SECOND).await;
    assert_eq!(wire(&mut view).await, "data: block\nid: 7\n\n");
    hub.close();
    assert_eq!(wire(&mut view).await, "");
    assert_eq!(view.next().now_or_never(), Some(None));
    // A heartbeat repeats no id either.
    let heartbeat = Heartbeat::every(SECOND).event("heartbeat", "{}");
    let view = hub.subscribe_to("b").start_event(false).resume(None).view(hidden).response();
    let layer = SseLayer::new().heartbeat(heartbeat);
    let mut body = answer_to(Requester::EventSource.request("/"), &layer, view).into_body();
    assert!(!text(&mut body).await.contains("id: "));
}

#[tokio::test(start_paused = true)]
async fn panic_in_the_closure_is_handled_as_one_in_a_source() {
    let hub = Hub::new();
    let view = view_of(&hub, Some(id(&hub, 0)), |item| match &*item.unwrap().data {
        "bad" => panic!("in the closure"),
        data => Some(data.to_owned().into()),
    });
    let mut body = view.response().into_body();
    publish_all(&hub, ["a1"]);
    publish(&hub, "a", "bad");
    publish_all(&hub, ["a3"]);
    assert_eq!(text_once(&mut body), format!("data: a1\n{}", position(&hub, 1)));
    let polled = catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body)));
    assert!(polled.is_err());
    drop(body);
    assert_eq!(hub.subscriber_count("a"), 0);
}

fn text_once(body: &mut (impl Body<Data = Bytes, Error: ToString> + Unpin)) -> String {
    let Polled::Data(bytes) = poll_frame(body) else { panic!("no frame") };
    str::from_utf8(&bytes).unwrap().to_owned()
}

/// A view decodes and encodes its messages again, which must not lose, reorder or rename anything.
#[tokio::test(start_paused = true)]
async fn view_that_hides_nothing_sends_what_its_subscription_sends() {
    let mut gaps = 0;
    for case in 0..300 {
        let mut random = fastrand::Rng::with_seed(case);
        let (broker, [shared]) = connected();
        let retention = Retention::new().events(random.usize(1..5));
        let hub = if random.bool() { shared } else { Hub::builder().retention(retention).build() };
        let topics: Vec<_> = (0..random.usize(1..8)).map(|topic| format!("t{topic}")).collect();
        for _ in 0..random.usize(..30) {
            let topic = random.choice(&topics).unwrap();
            match random.u8(..12) {
                0 => hub.gap(topic.clone()).await.map(drop).unwrap(),
                1 => broker.lose_history(),
                _ => _ = publish(&hub, topic, "event"),
            }
            yield_now().await;
        }
        let newest = sequence(hub.position().as_str());
        let mut seen = || id(&hub, random.u64(..=newest));
        let last = match case % 5 {
            0 => None,
            1 => Some(foreign()),
            2 => Some(last_id("?")),
            _ => Some(seen()),
        };
        let since = (case % 3 == 0).then(|| EventId::try_from(seen().as_str()).unwrap());
        let policies = [GapPolicy::Report, GapPolicy::ReportAndEnd];
        let policy = *random.choice(policies).as_ref().unwrap();
        let open = || {
            let visit = hub.subscribe(&topics).gap_policy(policy).recent(3).greeting("hello");
            let visit = match &since {
                Some(since) => visit.since(since.clone()),
                None => visit,
            };
            visit.resume(last.clone())
        };
        let plain = wire(&mut open()).await;
        let mut view = open().view(|item| Some(item.map_or_else(Into::into, Into::into)));
        assert_eq!(wire(&mut view).await, plain, "case {case}");
        gaps += plain.matches("event: gap\n").count();
    }
    assert!(gaps > 200, "{gaps}");
}

#[tokio::test(start_paused = true)]
async fn greeting_with_only_a_name_is_shown() {
    let hub = Hub::new();
    let visit = || hub.subscribe_to("a").greeting(Event::new().event("hello")).resume(None);
    let greeting = "event: hello\ndata: \n".to_owned() + &position(&hub, 0);
    assert_eq!(wire(&mut visit().view(|item| Some(item.unwrap().into()))).await, greeting);
    assert_eq!(wire(&mut visit()).await, greeting);
}
