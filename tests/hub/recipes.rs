//! The recipes on the module page of `hub`.

use crate::*;

const WINDOW: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

fn values() -> Hub {
    Hub::builder().retention(Retention::latest()).build()
}

fn prices(hub: &Hub, symbols: &[&str], last: Option<LastEventId>) -> Subscription {
    hub.subscribe(symbols).flush_window(WINDOW).resume(last)
}

fn publish_rounds(hub: &Hub, symbols: &[&str], rounds: usize) -> Vec<String> {
    let mut newest = Vec::new();
    for round in 0..rounds {
        let publish =
            |symbol: &&str| format!("{round}@{}", publish(hub, symbol, &format!("{round}")));
        newest = symbols.iter().map(publish).collect();
    }
    newest
}

#[tokio::test(start_paused = true)]
async fn slow_client_receives_only_the_newest_value_of_each_topic() {
    let names: Vec<_> = (0..50).map(|n| format!("symbol {n}")).collect();
    let symbols: Vec<_> = names.iter().map(String::as_str).collect();
    let hub = values();
    let first = publish_rounds(&hub, &symbols, 3);
    let mut slow = Client::new(prices(&hub, &symbols, None));
    assert_eq!(slow.read(), first, "on a first visit");
    for rounds in [1, 2, 100] {
        // Renews the task's cooperative budget, without which the subscription would be pending.
        yield_now().await;
        advance(WINDOW).await;
        let newest = publish_rounds(&hub, &symbols, rounds);
        assert_eq!(slow.read(), newest, "behind by {rounds} rounds");
    }
    let last = slow.last.clone();
    drop(slow);
    let newest = publish_rounds(&hub, &symbols, 10);
    for last in [last, Some(foreign())] {
        yield_now().await;
        assert_eq!(Client::new(prices(&hub, &symbols, last.clone())).read(), newest, "{last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn flush_window_sends_only_the_newest_value_of_each_topic() {
    let hub = values();
    let symbols = ["a", "b"];
    let mut client = Client::new(prices(&hub, &symbols, None));
    assert!(client.poll().is_pending());
    publish_rounds(&hub, &symbols, 1);
    assert_eq!(client.read(), ["0@1", "0@2"]);
    for _ in 0..3 {
        let mut newest = Vec::new();
        for _ in 0..5 {
            newest = publish_rounds(&hub, &symbols, 2);
            assert!(client.read().is_empty(), "in the window");
        }
        advance(WINDOW).await;
        assert_eq!(client.read(), newest);
    }
}

#[tokio::test(start_paused = true)]
async fn newest_value_is_kept_at_any_age_unless_one_is_set() {
    let builder = || Hub::builder().retention(Retention::latest());
    for (builder, is_kept) in
        [(builder(), true), (Hub::builder().retention(Retention::latest().age(24 * HOUR)), false)]
    {
        let hub = builder.build();
        let newest = publish_rounds(&hub, &["a"], 2);
        let visit = || Client::new(prices(&hub, &["a"], None)).read();
        advance(23 * HOUR).await;
        publish(&hub, "b", "evicts old events");
        assert_eq!(visit(), newest);
        advance(2 * HOUR).await;
        assert_eq!(visit(), if is_kept { newest } else { Vec::new() });
    }
}

fn mixed(builder: HubBuilder) -> HubBuilder {
    builder
        .retention(Retention::new().events(2))
        .retention_of(|topic| topic.starts_with('p').then(Retention::latest))
}

#[test]
fn latest_values_and_recent_events_share_a_stream() {
    let hub = mixed(Hub::builder()).build();
    for topic in ["p", "news", "news", "p", "pq", "news", "news"] {
        publish(&hub, topic, topic);
    }
    let topics = ["news", "p", "pq"];
    let latest = ["p@4", "pq@5"];
    let first_visit = |recent| {
        let greeting = Event::new().event("connected").data("hello");
        Client::new(hub.subscribe(topics).recent(recent).greeting(greeting).resume(None)).read()
    };
    assert_eq!(first_visit(0), [&["hello@3"][..], &latest].concat());
    assert_eq!(first_visit(1), [&["hello@3"][..], &latest, &["news@7"]].concat());
    assert_eq!(first_visit(9), [&["hello@3"][..], &latest, &["news@6", "news@7"]].concat());
    let last = id(&hub, 1);
    assert_eq!(
        read(&hub, &topics, last),
        [&["gap news@3"][..], &latest, &["news@6", "news@7"]].concat(),
        "only news are missed"
    );
    let rest = [&latest[..], &["news@6", "news@7"]].concat();
    assert_eq!(read(&hub, &topics, foreign()), [&["gap news@3"][..], &rest].concat());
    let malformed = last_id("?");
    let gaps = ["gap news@0", "gap p@0", "gap pq@3"];
    assert_eq!(read(&hub, &topics, malformed), [&gaps[..], &latest].concat());
}

#[test]
fn recent_events_of_each_topic_include_those_of_quiet_ones() {
    let hub = Hub::new();
    for topic in ["quiet", "busy", "busy", "busy", "other"] {
        publish(&hub, topic, topic);
    }
    let first_visit = |events| {
        let greeting = Event::new().event("connected").data("hello");
        let topics = hub.subscribe(["busy", "quiet"]).greeting(greeting);
        Client::new(topics.recent_of_each(events).resume(None)).read()
    };
    assert_eq!(first_visit(0), ["hello@5"]);
    assert_eq!(first_visit(1), ["hello@0", "quiet@1", "busy@4"]);
    assert_eq!(first_visit(2), ["hello@0", "quiet@1", "busy@3", "busy@4"]);
    let topics = hub.subscribe(["busy", "quiet"]).recent_of_each(2).recent(1);
    assert_eq!(Client::new(topics.resume(None)).read(), ["busy@4"]);
}

#[test]
fn latest_value_that_is_gone_is_a_gap() {
    let hub = Hub::builder().retention(Retention::latest()).max_memory(100_000).build();
    publish(&hub, "a", "a");
    let last = id(&hub, 1);
    let mut asleep = Client::new(hub.subscribe(["a"]).resume(last.clone()));
    assert!(asleep.poll().is_pending());
    publish(&hub, "a", "b");
    for number in 0..200 {
        publish(&hub, &format!("other {number}"), &"x".repeat(1000));
    }
    assert_eq!(asleep.read(), ["gap a@2"]);
    assert_eq!(read(&hub, &["a"], last.clone()), ["gap a@2"]);
    assert_eq!(read(&hub, &["a"], foreign()), ["gap a@2"]);
    let again = publish(&hub, "a", "c");
    assert_eq!(asleep.read(), [format!("c@{again}")]);
    assert_eq!(read(&hub, &["a"], last), [format!("c@{again}")], "it replaces what is gone");
}

/// Each topic has a gap before the new value, because the hub cannot know which topics a loss
/// affects.
#[test]
fn latest_values_of_many_processes_survive_a_loss() {
    let broker = MemoryBroker::new();
    let one = connect_with(mixed(Hub::builder()), &broker);
    publish(&one, "p", "lost");
    publish(&one, "pq", "lost");
    let seen = id(&one, 1);
    broker.lose_history();
    publish(&one, "p", "new");
    let late = connect_with(mixed(Hub::builder()), &broker);
    assert_eq!(Client::new(late.subscribe(["p", "pq"]).resume(None)).read(), ["new@4"]);
    assert_eq!(
        read(&late, &["p", "pq"], seen.clone()),
        ["gap p@1", "gap pq@3", "new@4"],
        "the value of pq is lost"
    );
    let kept = ["lost@2", "gap p@2", "gap pq@3", "new@4"];
    assert_eq!(read(&one, &["p", "pq"], seen), kept, "this process has it");
}

/// A process loads values up to the maximum age in `retention`, even if `retention_of` keeps them
/// longer.
#[tokio::test(start_paused = true)]
async fn late_process_loads_latest_values_as_old_as_events_are_retained() {
    let broker = MemoryBroker::new();
    let one = connect_with(Hub::builder().retention(Retention::latest()), &broker);
    publish(&one, "p", "old");
    advance(25 * HOUR).await;
    for (builder, is_loaded) in [
        (Hub::builder().retention(Retention::latest()), true),
        (mixed(Hub::builder()).retention(Retention::new().age(26 * HOUR)), true),
        (mixed(Hub::builder()), false),
    ] {
        let late = connect_with(builder, &broker);
        let read = Client::new(late.subscribe_to("p").resume(None)).read();
        assert_eq!(read, if is_loaded { vec!["old@1"] } else { Vec::new() });
    }
}

/// The page takes the position and reads the state. The writer writes and publishes. The cases are
/// the orders of these steps.
#[test]
fn change_is_in_the_state_or_in_the_stream() {
    for (steps, repeated) in [
        ("write publish position read", 0),
        ("write position publish read", 1),
        ("write position read publish", 1),
        ("position write publish read", 1),
        ("position write read publish", 1),
        ("position read write publish", 0),
    ] {
        let (hub, mut database) = (Hub::new(), 0);
        let (mut position, mut state) = (hub.position(), 0);
        for step in steps.split(' ') {
            match step {
                "write" => database = 1,
                "publish" => _ = publish(&hub, "a", "change"),
                "position" => position = hub.position(),
                _ => state = database,
            }
        }
        let events = read(&hub, &["a"], position.into());
        assert_eq!(state + events.len(), 1 + repeated, "{steps}");
    }
}
