//! Streams that begin with state from a database.

use crate::*;

fn backlog() -> Event {
    Event::new().event("backlog").data("backlog")
}

/// Returns a hub with the events 1 to 3, and a function that subscribes with the result of a query
/// as the greeting. The query's position is 2.
fn queried() -> (Hub, impl Fn() -> Subscribe) {
    let hub = Hub::builder().retention(Retention::new().events(3)).build();
    publish_all(&hub, ["a1", "b2"]);
    let position = hub.position();
    publish_all(&hub, ["a3"]);
    let subscribing = hub.clone();
    let subscribe =
        move || subscribing.subscribe(["a", "b"]).since(position.clone()).greeting(backlog());
    (hub, subscribe)
}

#[test]
fn first_visit_starts_with_the_backlog_and_continues_after_its_position() {
    let (hub, subscribe) = queried();
    let mut client = Client::new(subscribe().resume(None));
    assert_eq!(client.read(), ["backlog@2", "a3@3"]);
    let position = hub.position();
    publish_all(&hub, ["b4"]);
    assert_eq!(client.read(), ["b4@4"]);
    let without_backlog = hub.subscribe(["a", "b"]).since(position).resume(None);
    assert_eq!(Client::new(without_backlog).read(), ["b4@4"]);
    let with_recent = subscribe().recent(3).resume(None);
    assert_eq!(Client::new(with_recent).read(), ["backlog@2", "a3@3", "b4@4"], "no recent events");
}

#[test]
fn client_that_has_missed_events_gets_the_backlog_after_a_gap() {
    let (hub, subscribe) = queried();
    // The hub keeps the events 3, 4 and 5 of `a`.
    publish_all(&hub, ["a4", "a5"]);
    let position = hub.position();
    publish_all(&hub, ["b6"]);
    let subscribe = || subscribe().since(position.clone());
    for last in [id(&hub, 0), foreign(), last_id("garbage")] {
        let _case = case(last.as_str());
        let mut client = Client::new(subscribe().resume(last.clone()));
        let read = client.read();
        let data: Vec<_> = read.iter().map(|item| item.split('@').next().unwrap()).collect();
        assert_eq!(data, ["gap a", "gap b", "backlog", "b6"]);
        assert_eq!(read[2..], ["backlog@5", "b6@6"]);

        // A client that leaves before the backlog gets the gaps again, and then the backlog.
        let mut leaves = Client::new(subscribe().resume(last.clone()));
        assert_eq!(leaves.read_one().len(), 2);
        let mut again = Client::new(subscribe().resume(leaves.last));
        assert_eq!(again.read()[2..], ["backlog@5", "b6@6"]);

        let ending = subscribe().gap_policy(GapPolicy::ReportAndEnd).resume(last.clone());
        let mut ending = Client::new(ending);
        assert_eq!(ending.read()[2..], ["backlog@5", "b6@6"], "it has the state");
        assert!(!ending.has_ended);
    }
    // This client has missed no evicted event.
    let mut client = Client::new(subscribe().resume(id(&hub, 2)));
    assert_eq!(client.read(), ["a3@3", "a4@4", "a5@5", "b6@6"]);
}

/// The client misses events that were evicted before it read them. Later, the broker loses its
/// history.
#[tokio::test]
async fn client_that_falls_behind_gets_the_backlog_when_it_reconnects() {
    let broker = MemoryBroker::new();
    let hub =
        Hub::builder().retention(Retention::new().events(2)).connect(broker.clone()).await.unwrap();
    let subscribe = |last: Option<LastEventId>| {
        let subscribe = hub.subscribe(["a"]).gap_policy(GapPolicy::ReportAndEnd);
        Client::new(subscribe.since(hub.position()).greeting(backlog()).resume(last))
    };
    let data = |client: &mut Client| -> Vec<String> {
        client.read().iter().map(|item| item.split('@').next().unwrap().to_owned()).collect()
    };
    let mut client = subscribe(None);
    assert_eq!(data(&mut client), ["backlog"]);
    publish_all(&hub, ["a1", "a2", "a3"]);
    assert_eq!(data(&mut client), ["gap a"]);
    assert!(client.has_ended);
    let mut again = subscribe(client.last);
    assert_eq!(data(&mut again), ["gap a", "backlog"]);
    publish_all(&hub, ["a4"]);
    assert_eq!(data(&mut again), ["a4"]);

    broker.lose_history();
    assert_eq!(data(&mut again), ["gap a"]);
    assert!(again.has_ended);
    assert_eq!(data(&mut subscribe(again.last)), ["gap a", "backlog"]);
}

#[test]
fn loss_since_the_clients_id_brings_the_backlog() {
    let (broker, [hub]) = connected();
    publish_all(&hub, ["a1"]);
    broker.lose_history();
    let subscribe = hub.subscribe(["a"]).since(hub.position()).greeting(backlog());
    let mut client = Client::new(subscribe.resume(id(&hub, 1)));
    assert_eq!(client.read(), ["gap a@1", "backlog@2"]);
}

#[test]
fn gaps_before_the_backlog_say_why_and_count_once() {
    let (hub, subscribe) = queried();
    // This evicts `a1`.
    publish_all(&hub, ["a4", "a5"]);
    for (last, reason) in [
        (id(&hub, 0), GapReason::Evicted),
        (foreign(), GapReason::OtherHub),
        (last_id("garbage"), GapReason::UnknownId),
    ] {
        let counted = || hub.stats().gaps_by_reason.iter().find(|it| it.0 == reason).unwrap().1;
        let before = counted();
        let messages = subscribe().resume(last).messages().take(3).collect::<Vec<_>>();
        let read = messages.now_or_never().unwrap();
        let gaps: Vec<_> = read.iter().filter_map(|it| it.as_ref().err()).collect();
        assert_eq!(gaps.iter().map(|gap| gap.reason()).collect::<Vec<_>>(), [reason; 2]);
        assert_eq!((read.len(), counted()), (3, before + 2));
    }
}

#[test]
fn what_is_evicted_between_the_query_and_the_subscription_is_a_gap() {
    let (hub, subscribe) = queried();
    publish_all(&hub, ["a4", "a5", "a6", "a7"]);
    let mut client = Client::new(subscribe().resume(None));
    assert_eq!(client.read(), ["backlog@2", "gap a@4", "a5@5", "a6@6", "a7@7"]);
}

#[test]
fn position_of_another_hub_is_a_gap() {
    let (hub, _) = queried();
    let subscribe = || {
        let since = EventId::try_from(foreign().as_str()).unwrap();
        hub.subscribe(["a"]).since(since).greeting(backlog())
    };
    let mut client = Client::new(subscribe().resume(None));
    assert_eq!(client.read(), ["gap a@0", "backlog@3"]);
    publish_all(&hub, ["a4"]);
    assert_eq!(client.read(), ["a4@4"]);
}
