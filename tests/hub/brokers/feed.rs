//! What a hub takes from the feed of its broker, and when the feed ends.

use tokio::sync::oneshot;
use tower_sse::hub::broker::Closed;

use crate::{client::ByHand, *};

fn event(feed: &mut Feed, sequence: u64) -> Result<bool, Closed> {
    feed.event(arrival(sequence), "a", &Event::from("x"))
}

fn assert_open(feed: &Feed) {
    assert!(!feed.is_closed());
    assert_eq!(feed.closed().now_or_never(), None);
}

fn assert_closed(feed: &mut Feed) {
    assert!(feed.is_closed());
    assert_eq!(feed.closed().now_or_never(), Some(()));
    assert!(event(feed, 100).is_err());
    assert!(feed.report_loss(100).is_err());
}

#[test]
fn feed_ends_when_the_hub_is_closed() {
    let (hub, mut feed) = fed_by_hand();
    assert_open(&feed);
    hub.close();
    assert_closed(&mut feed);
}

#[test]
fn feed_ends_with_the_last_clone_or_subscription_of_the_hub() {
    let (hub, mut feed) = fed_by_hand();
    let mut client = subscribed(&hub, &["a"]);
    drop(hub.clone());
    drop(hub);
    assert_open(&feed);
    assert_eq!(event(&mut feed, 1), Ok(true));
    assert_eq!(client.read(), ["x@1"]);
    drop(client);
    assert_closed(&mut feed);
}

#[test]
fn feed_ends_when_connecting_is_cancelled_or_fails() {
    let (given, taken) = mpsc::channel();
    let waits = {
        let given = given.clone();
        ByHand(move |feed| {
            given.send(feed).unwrap();
            pending::<Result<(), _>>()
        })
    };
    let mut connecting = Box::pin(Hub::connect(waits));
    assert!((&mut connecting).now_or_never().is_none());
    let mut feed = taken.recv().unwrap();
    assert_open(&feed);
    assert_eq!(event(&mut feed, 1), Ok(true));
    drop(connecting);
    assert_closed(&mut feed);

    let fails = ByHand(move |feed| {
        given.send(feed).unwrap();
        ready(Err::<(), _>("unreachable"))
    });
    assert_eq!(Hub::connect(fails).now_or_never().unwrap().unwrap_err(), "unreachable");
    assert_closed(&mut taken.recv().unwrap());
}

/// A loss up to a received event is not a loss: the hub has received all events up to there.
#[test]
fn sequence_number_that_does_not_rise_is_ignored() {
    let (hub, mut feed) = fed_by_hand();
    assert_eq!([7, 6].map(|sequence| event(&mut feed, sequence)), [Ok(true), Ok(false)]);
    assert_eq!(feed.event(arrival(7), "b", &Event::from("x")), Ok(false));
    assert_eq!(hub.topics(), [Arc::from("a")], "a stale event creates no topic");
    assert_eq!([6, 7].map(|sequence| feed.report_loss(sequence)), [Ok(false); 2]);
    assert_eq!([9, 9].map(|sequence| feed.report_loss(sequence)), [Ok(true), Ok(false)]);
    assert_eq!([8, 10].map(|sequence| event(&mut feed, sequence)), [Ok(false), Ok(true)]);
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["x@7", "gap a@9", "x@10"]);
}

#[test]
fn highest_number_can_be_fed_and_nothing_after_it() {
    const HIGHEST: u64 = u64::MAX - 1;
    for is_loss in [false, true] {
        let (hub, mut feed) = fed_by_hand();
        assert_eq!(event(&mut feed, 7), Ok(true));
        let mut waiting = asleep(&hub, &["a", "b"], Waker::noop());
        let fed = if is_loss { feed.report_loss(HIGHEST) } else { event(&mut feed, HIGHEST) };
        assert_eq!(fed, Ok(true));
        assert!(!waiting.read().is_empty());
        for number in [8, HIGHEST, u64::MAX] {
            assert_eq!(event(&mut feed, number), Ok(false));
            assert_eq!(feed.event(arrival(number).ends_topic(true), "b", &"x".into()), Ok(false));
            assert_eq!(feed.report_loss(number), Ok(false));
        }
        for number in [0, 7, HIGHEST - 1] {
            let messages = resumed(&hub, &["a", "b"], number).messages();
            assert_eq!(&*messages.last().unwrap().last_event_id, hub.position().as_str());
        }
        assert_eq!(read(&hub, &["a", "b"], id(&hub, HIGHEST)), [""; 0]);
    }
}

#[test]
fn highest_number_can_end_a_topic() {
    let (hub, mut feed) = fed_by_hand();
    let end = arrival(u64::MAX - 1).ends_topic(true);
    assert_eq!(feed.event(end, "a", &"x".into()), Ok(true));
    for number in [u64::MAX - 1, u64::MAX] {
        assert_eq!(event(&mut feed, number), Ok(false));
    }
    subscribed(&hub, &["a"]).assert_ends_with(&[""; 0]);
}

/// A subscription could not continue after `u64::MAX`.
#[test]
fn number_that_none_can_follow_is_ignored() {
    let (hub, mut feed) = fed_by_hand();
    assert_eq!(event(&mut feed, u64::MAX), Ok(false));
    assert_eq!(feed.report_loss(u64::MAX), Ok(false));
    assert_eq!(hub.topics(), [""; 0].map(Arc::from), "it creates no topic");
    assert_eq!(event(&mut feed, 1), Ok(true));
    assert_eq!(read(&hub, &["a"], id(&hub, 0)), ["x@1"]);
    hub.close();
    for number in [0, 2, u64::MAX] {
        assert!(event(&mut feed, number).is_err());
        assert!(feed.report_loss(number).is_err());
    }
}

/// A broker that only orders events may accept an event after the end of its topic.
#[test]
fn events_after_an_end_are_dropped_until_the_log_frees_the_name() {
    let (hub, mut feed) = fed_by_hand();
    for (sequence, milliseconds, ends_topic, is_new, received) in [
        (1, 0, true, true, &["x@1"][..]),
        (2, 299_999, false, true, &["x@1"]),
        (2, 299_999, false, false, &["x@1"]),
        (3, 300_000, false, true, &["x@1", "x@3"]),
    ] {
        let arrival = Arrival::new(sequence, Duration::from_millis(milliseconds), Duration::ZERO)
            .ends_topic(ends_topic);
        assert_eq!(feed.event(arrival, "a", &Event::from("x")), Ok(is_new), "{arrival:?}");
        assert_eq!(read(&hub, &["a"], id(&hub, 0)), received, "{arrival:?}");
    }
}

#[tokio::test]
async fn reader_that_waits_ends_with_its_hub() {
    for closes in [false, true] {
        let (hub, feed) = fed_by_hand();
        let (held, is_dropped) = oneshot::channel::<()>();
        feed.spawn(|feed| async move {
            let _parts = (held, feed);
            pending::<()>().await;
        });
        if closes {
            hub.close();
        }
        let _hub = closes.then_some(hub);
        assert!(is_dropped.await.is_err());
    }
}
