//! A client that repeats its `POST` when the answer breaks off after an event with an id, as .NET's
//! System.ClientModel and Azure.Core do: three seconds later, with the last id, without a limit.

use crate::*;

/// How such a client is over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    /// The answer ended cleanly: the client takes it for whole.
    Clean,
    /// A status that is no success, which the client reports.
    Status(u16),
}

/// The client repeats a request at most this often in a test.
const MANY: usize = 20;

/// Goes on after a break. Returns the data of all later events, how the client is over, and the
/// number of requests.
async fn go_on(rig: &Rig, mut last: String) -> (Vec<String>, Option<Over>, usize) {
    let mut all = Vec::new();
    for requests in 1..=MANY {
        advance(Duration::from_secs(3)).await;
        let mut client = rig.send(after(&last, post())).client().await;
        if !client.status.is_success() {
            return (all, Some(Over::Status(client.status.as_u16())), requests);
        }
        all.extend(client.read().await);
        if !client.last.is_empty() {
            last = client.last.clone();
        }
        match client.end {
            Some(End::Clean) => return (all, Some(Over::Clean), requests),
            Some(End::Failed) => {}
            None => panic!("the answer is still open"),
        }
    }
    (all, None, MANY)
}

/// Returns a rig with a run whose client lost its connection after the event `a`, its id, and the
/// run's feed. The run has the event `b`, too.
async fn cut() -> (Rig, Feed, String) {
    let (rig, feed, client) = Rig::new(Runs::new()).running().await;
    let last = client.last.clone();
    feed.data("data: b\n\n");
    settle().await;
    (rig, feed, last)
}

#[tokio::test(start_paused = true)]
async fn repeated_post_gets_the_rest_once_and_stops() {
    // A cancellation is the user's, and not a failure.
    let cases: [(Outcome, &[&str], Over, usize); 4] = [
        (Outcome::Completed, &["b", "[DONE]"], Over::Clean, 1),
        (Outcome::Cancelled, &["b"], Over::Clean, 1),
        (Outcome::Failed, &["b"], Over::Status(404), 2),
        (Outcome::Interrupted, &["b"], Over::Status(404), 2),
    ];
    for (outcome, rest, over, requests) in cases {
        let (rig, feed, last) = cut().await;
        rig.end(outcome, &feed).await;
        let (all, how, count) = go_on(&rig, last).await;
        assert_eq!((&*all, how, count), (&*owned(rest), Some(over), requests), "{outcome:?}");
        assert_eq!(rig.handler.calls(), 1, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_post_for_a_lost_run_stops_at_once() {
    let (forgetful, feed, forgotten) = cut().await;
    feed.end();
    settle().await;
    advance(Duration::from_secs(301)).await;
    let (_, _, killed) = cut().await;
    let (replacing, _feed, replaced) = cut().await;
    let other = || stream::iter(["other"].map(Event::from));
    _ = replacing.runs.replace(&turn(), None, other).await.unwrap();
    let new = Rig::new(Runs::new());
    for (rig, last) in [(forgetful, forgotten), (new, killed), (replacing, replaced)] {
        assert_eq!(go_on(&rig, last).await, (vec![], Some(Over::Status(404)), 1));
    }
}

/// Many lost connections, of which each one lets an event through.
#[tokio::test(start_paused = true)]
async fn repeated_posts_get_each_event_once() {
    let (rig, feed, mut last) = cut().await;
    let mut all = Vec::new();
    for data in ["c", "d", "e"] {
        let mut client = rig.send(after(&last, post())).client().await;
        all.extend(client.read().await);
        last = client.last.clone();
        drop(client);
        feed.data(format!("data: {data}\n\n"));
        settle().await;
    }
    feed.end();
    let (rest, over, _) = go_on(&rig, last).await;
    all.extend(rest);
    assert_eq!((all, over), (owned(&["b", "c", "d", "e", "[DONE]"]), Some(Over::Clean)));
    assert_eq!(rig.handler.calls(), 1);
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
