//! Clients of several topics that move between processes which have received, kept or lost
//! different events.

use std::collections::VecDeque;

use crate::mover::{Entry, Node, Reader, SCENE, Scene};
use crate::*;

#[derive(Debug, Default)]
struct Tally {
    plays: usize,
    published: usize,
    silent: usize,
    /// The number of plays in which a client missed an event without a gap.
    failed: usize,
    gaps: usize,
}

impl Tally {
    fn of(scene: &Scene, plays: u64) -> Self {
        let mut tally = Self::default();
        for seed in 0..plays {
            let (reader, published) = play(scene, seed);
            tally.plays += 1;
            tally.published += published;
            tally.silent += reader.silent;
            tally.failed += usize::from(reader.silent > 0);
            tally.gaps += reader.gaps;
        }
        tally
    }
}

/// One client among processes that receive what is published, with more or less delay.
fn play(scene: &Scene, seed: u64) -> (Reader, usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut nodes: Vec<_> = scene.kept.iter().map(|kept| Node::new(scene, *kept)).collect();
    let mut log = Vec::new();
    let mut ended = vec![false; scene.topics];
    let mut reader = Reader {
        policy: match scene.has_all && rng.u8(..3) == 0 {
            true => GapPolicy::ReportAndEnd,
            false => GapPolicy::Report,
        },
        is_greeted: scene.has_all && rng.u8(..4) == 0,
        recent: if scene.has_all { rng.usize(..5) } else { 0 },
        connection: None,
        unread: VecDeque::new(),
        last: None,
        position: 0,
        owed_after: 0,
        received: BTreeSet::new(),
        covered: vec![Vec::new(); scene.topics],
        newest: vec![0; scene.topics],
        unknown_at: None,
        gaps: 0,
        silent: 0,
    };
    for round in 0..40 {
        for _ in 0..rng.usize(..=scene.burst) {
            let topic = rng.usize(..scene.topics);
            if ended[topic] {
                continue;
            }
            log.push(match rng.u16(..400) {
                0..10 if scene.has_all => Entry::Gap(topic),
                10 if scene.has_all => {
                    ended[topic] = true;
                    Entry::End(topic)
                }
                _ => Entry::Event(topic),
            });
        }
        let laggard = nodes.len() - 1;
        for (index, node) in nodes.iter_mut().enumerate() {
            let behind = if index == laggard { rng.usize(..=scene.lag) } else { 0 };
            let up_to = log.len().saturating_sub(behind);
            node.receive(&log, up_to, scene.has_all && rng.u8(..20) == 0);
        }
        let moves = scene.moves && rng.u8(..3) > 0;
        if moves || reader.connection.is_none() {
            reader.leave();
            if scene.has_all && rng.u8(..20) == 0 {
                reader.last = Some(last_id(["zz-1", "?"][rng.usize(..2)]));
            }
            let index = if scene.moves { rng.usize(..nodes.len()) } else { 0 };
            reader.connect(&nodes, index);
        }
        let reads = if round == 0 { usize::MAX } else { rng.usize(..=scene.burst) };
        _ = (0..reads).all(|_| reader.read(&nodes, &log));
    }
    finish(&mut reader, &mut nodes, &log, &mut rng);
    (reader, log.len())
}

/// Lets all processes catch up, and the client read what is left.
fn finish(reader: &mut Reader, nodes: &mut [Node], log: &[Entry], rng: &mut fastrand::Rng) {
    nodes.iter_mut().for_each(|node| node.receive(log, log.len(), false));
    for visit in 0.. {
        assert!(visit < 100, "a client that returns is never done");
        let returns = reader.connection.is_none();
        if returns {
            reader.connect(nodes, rng.usize(..nodes.len()));
        }
        let mut count = 0;
        while reader.read(nodes, log) {
            count += 1;
        }
        if (returns && count == 0) || reader.connection.is_some() {
            break;
        }
    }
    reader.count_silent(nodes[0].has_latest, log);
}

const MOVES: [Scene; 7] = [
    Scene { name: "the second keeps more", kept: &[8, 40], ..SCENE },
    Scene { name: "the second is behind", lag: 60, ..SCENE },
    Scene { name: "ten topics", topics: 10, lag: 60, ..SCENE },
    Scene { name: "beside a newest value", has_latest: true, lag: 60, ..SCENE },
    Scene { name: "a new retention", topics: 5, kept: &[50, 100], burst: 200, ..SCENE },
    Scene { name: "all, few topics", kept: &[8, 20, 8], lag: 60, has_all: true, ..SCENE },
    Scene {
        name: "all, ten topics",
        topics: 10,
        kept: &[8, 20, 8],
        lag: 60,
        has_latest: true,
        has_all: true,
        ..SCENE
    },
];

#[test]
fn client_that_moves_gets_each_event_or_a_gap() {
    for scene in MOVES {
        let tally = Tally::of(&scene, 20);
        println!("{}: {tally:?}", scene.name);
        assert_eq!(tally.silent, 0, "{}: {tally:?}", scene.name);
        assert!(tally.gaps > 0, "{}", scene.name);
    }
}

/// Else the naive reader would take for a loss what is none.
#[test]
fn client_that_misses_nothing_gets_no_gap() {
    let scenes = [
        Scene { name: "one topic", topics: 1, kept: &[8, 40], lag: 60, ..SCENE },
        Scene { name: "one process", kept: &[8], ..SCENE },
        Scene { name: "a client that stays", moves: false, ..SCENE },
        Scene { name: "nothing is evicted", kept: &[1000, 2000], lag: 60, ..SCENE },
    ];
    for scene in scenes {
        let tally = Tally::of(&scene, 20);
        println!("{}: {tally:?}", scene.name);
        assert_eq!(tally.silent, 0, "{}: {tally:?}", scene.name);
        let has_gaps = scene.kept[0] < 1000;
        assert_eq!(tally.gaps > 0, has_gaps, "{}: {tally:?}", scene.name);
    }
}

/// A hub that keeps two events of each topic, and one that keeps more.
fn pair() -> (MemoryBroker, Hub, Hub) {
    let broker = MemoryBroker::new();
    let small = connect_with(Hub::builder().retention(Retention::new().events(2)), &broker);
    let large = connect(&broker);
    (broker, small, large)
}

const EVENTS: [&str; 7] = ["a1", "b2", "b3", "a4", "a5", "a6", "b7"];

#[test]
fn client_that_leaves_after_any_message_misses_nothing_elsewhere() {
    let (_broker, small, large) = pair();
    publish_all(&small, EVENTS);
    let topics = ["a", "b"];
    let messages = resumed(&small, &topics, 0).messages();
    let described: Vec<_> = messages.iter().map(describe).collect();
    assert_eq!(described, ["gap a@0", "gap b@2", "b3@3", "a5@5", "a6@6", "b7@7"]);
    for (read, message) in (1..).zip(&messages) {
        let rest = self::read(&large, &topics, last_id(&message.last_event_id));
        let (before, _) = described.split_at(read);
        for (event, number) in EVENTS.iter().zip(1..) {
            let received = |list: &[String]| list.contains(&format!("{event}@{number}"));
            let is_gap = |it: &String| it.starts_with(&format!("gap {}", &event[..1]));
            let is_reported = before.iter().any(is_gap);
            assert!(received(before) || received(&rest) || is_reported, "{event} after {before:?}");
            assert!(!received(before) || !received(&rest), "{event} twice");
        }
    }
}

/// With an id below the gap, the client would get the same gap at each reconnection.
#[test]
fn stream_that_ends_at_gaps_first_gets_past_them() {
    let (_broker, small, _) = pair();
    publish_all(&small, EVENTS);
    let begin = |last| {
        let subscribe = small.subscribe(["a", "b"]).gap_policy(GapPolicy::ReportAndEnd);
        Client::new(subscribe.resume(last))
    };
    let mut client = begin(id(&small, 0));
    client.assert_ends_with(&["gap a@0", "gap b@2", "b3@3", "a5@5", "a6@6"]);
    begin(client.last.unwrap()).assert_waits_after(&["b7@7"]);
    // Nothing else is left below the gap.
    publish_all(&small, ["a8", "a9", "a10"]);
    let mut client = begin(id(&small, 7));
    client.assert_ends_with(&["gap a@8"]);
    begin(client.last.unwrap()).assert_waits_after(&["a9@9", "a10@10"]);
}

/// More topics than an item has gaps, for a client that returns and one that was behind.
#[test]
fn gaps_of_many_topics_come_first_with_one_later_id() {
    const TOPICS: u64 = 600;
    let names: Vec<_> = (0..TOPICS).map(|topic| format!("t{topic}")).collect();
    for policy in [GapPolicy::Report, GapPolicy::ReportAndEnd] {
        let hub = Hub::builder().retention(Retention::new().events(1)).build();
        let begin = |last| Client::new(hub.subscribe(&names).gap_policy(policy).resume(last));
        let mut behind = begin(None);
        assert!(behind.poll().is_pending());
        publish(&hub, &names[7], "x");
        assert_eq!(behind.read(), ["x@1"]);
        for name in names.iter().chain(&names) {
            publish(&hub, name, "x");
        }
        for mut client in [behind, begin(Some(id(&hub, 1)))] {
            let items: Vec<_> = client.items(Waker::noop()).collect();
            assert!(items.iter().all(|item| item.len() <= 256));
            let messages: Vec<_> = items.concat().iter().map(describe).collect();
            let (gaps, events) = messages.split_at(names.len());
            assert_eq!(gaps[names.len() - 1], format!("gap t{}@{}", TOPICS - 1, TOPICS + 1));
            assert!(gaps.iter().rev().skip(1).all(|gap| gap.ends_with("@1")));
            assert!(gaps.iter().map(|gap| gap.split(['@', ' ']).nth(1).unwrap()).eq(&names));
            let expected: Vec<_> =
                (TOPICS + 2..2 * TOPICS + 2).map(|number| format!("x@{number}")).collect();
            let mut rest = client;
            if policy == GapPolicy::ReportAndEnd {
                assert!(events.is_empty() && rest.has_ended);
                rest = begin(rest.last);
                assert_eq!(rest.read(), expected);
            } else {
                assert_eq!(events, expected);
            }
            publish(&hub, "other", "x");
            assert!(rest.read().is_empty() && !rest.has_ended);
        }
    }
}

/// The first process keeps one event of each topic, and has lost the events 2 to 4.
#[tokio::test]
async fn gap_before_a_loss_passes_nothing_that_was_lost() {
    let hub = |loses: bool| {
        let (given, taken) = mpsc::channel();
        let builder = Hub::builder().retention(Retention::new().events(if loses { 1 } else { 9 }));
        let hub = connect_by_hand(builder, move |feed| given.send(feed).unwrap());
        let mut feed: Feed = taken.recv().unwrap();
        for (number, topic) in (1..).zip(["a", "b", "b", "b", "a", "a"]) {
            if !loses || !(2..5).contains(&number) {
                let event = Event::from(format!("{topic}{number}"));
                feed.event(arrival(number), topic, &event).unwrap();
            } else if number == 4 {
                feed.report_loss(number).unwrap();
            }
        }
        feed.spawn(|_| pending());
        hub
    };
    let (lossy, whole) = (hub(true), hub(false));
    let messages = resumed(&lossy, &["a", "b"], 1).messages();
    let described: Vec<_> = messages.iter().map(describe).collect();
    assert_eq!(described, ["gap a@1", "gap a@1", "gap b@4", "a6@6"]);
    for message in &messages[..2] {
        let last = last_id(&message.last_event_id);
        assert_eq!(read(&whole, &["a", "b"], last), ["b2@2", "b3@3", "b4@4", "a5@5", "a6@6"]);
    }
}

/// Its value is evicted by age, so that it is no longer replaced.
#[tokio::test(start_paused = true)]
async fn evicted_newest_value_is_a_gap_before_older_events() {
    let retention = |topic: &str| (topic == "p").then(|| Retention::latest().age(MILLISECOND));
    let hub = Hub::builder().retention_of(retention).build();
    publish_all(&hub, ["a1", "p2", "a3"]);
    assert_eq!(read(&hub, &["a", "p"], id(&hub, 0)), ["a1@1", "p2@2", "a3@3"]);
    advance(2 * MILLISECOND).await;
    assert_eq!(read(&hub, &["a", "p"], id(&hub, 0)), ["gap p@0", "a1@1", "a3@3"]);
    assert_eq!(read(&hub, &["a", "p"], id(&hub, 2)), ["a3@3"]);
}
