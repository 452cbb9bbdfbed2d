//! Losses of one process alone, such as entries that were trimmed before it read them: clients move
//! between processes that have lost different events.

use std::{future::pending, sync::mpsc};

use tower_sse::hub::broker::Arrival;

use crate::*;

/// A hub that has received the first of five events, and those after `lost_up_to`.
fn hub(lost_up_to: u64) -> Hub {
    let (given, taken) = mpsc::channel();
    let hub = connect_by_hand(Hub::builder(), move |feed| given.send(feed).unwrap());
    let mut feed = taken.recv().unwrap();
    for (number, topic) in (1..).zip(["a", "b", "c", "a", "b"]) {
        if number == 1 || number > lost_up_to {
            let arrival = Arrival::new(number, Duration::ZERO, Duration::ZERO);
            feed.event(arrival, topic, &Event::new().data(format!("{topic}{number}"))).unwrap();
        } else if number == lost_up_to {
            feed.report_loss(number).unwrap();
        }
    }
    // It would close the hub.
    feed.spawn(|_| pending());
    hub
}

/// Found by seed 1119687 of the simulation: the ids between the gaps said that the client had
/// everything before the loss, which only the hub that has lost it takes for a gap.
#[tokio::test]
async fn client_that_leaves_between_gaps_misses_nothing_at_another_process() {
    let (whole, lossy) = (hub(0), hub(4));
    let topics = ["a", "b", "c"];
    for start in [0, 1] {
        let messages = resumed(&lossy, &topics, start).messages();
        let described: Vec<_> = messages.iter().map(describe).collect();
        let first = usize::try_from(start).unwrap();
        let expected = ["a1@1", "gap a@1", "gap b@1", "gap c@4", "b5@5"];
        assert_eq!(described, expected[first..]);
        for message in messages.iter().filter(|message| message.data != "c" && message.data != "b5")
        {
            let last = last_id(&message.last_event_id);
            assert_eq!(read(&whole, &topics, last.clone()), ["b2@2", "c3@3", "a4@4", "b5@5"]);
            assert_eq!(read(&lossy, &topics, last), expected[1..], "all gaps again");
        }
    }
}
